"""The local Ray cluster: a real head and a real autoscaler whose worker nodes are processes here.

It is the same cluster for every process of one home: found again, started afresh when it died, and
replaced when the worker groups, the Ray version or the idle timeout changed. It listens on
127.0.0.1 alone and asks for a token, which lies in ``HOME/ray/token`` and nowhere else.
"""

import contextlib
import fcntl
import hashlib
import importlib.metadata
import json
import os
import secrets
import shutil
import stat
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import ray_platform
from ray_platform.clients.ray_cluster import describe_cluster, is_ready
from ray_platform.clients.ray_jobs import RayJobs
from ray_platform.core.errors import LocalServiceError, RayError
from ray_platform.core.ray_spec import WorkerGroup, local_autoscaling, spec_digest, worker_groups
from ray_platform.local import processes
from ray_platform.settings import Environment, Settings, child_environment

SERVICE = "ray"
GCS_PORT, DASHBOARD_PORT = 1, 2
HEAD_NODE_ID = "f" * 51 + "00000"
PROVIDER = "ray_platform.local.ray_head.LoopbackNodeProvider"
AUTOSCALER_SECONDS = 1
POLL_SECONDS = 0.2
#: How long the cluster may finish jobs of its old shape before a changed shape is refused.
DRAIN_SECONDS = 10.0
RELEASE_SECONDS = 5.0

#: What jobs on the cluster see of the environment of whoever started it: no credentials.
_KEPT_VARIABLES = ("PATH", "HOME", "USER", "LANG", "LC_ALL", "TZ", "LD_LIBRARY_PATH", "VIRTUAL_ENV")


@dataclass(frozen=True)
class RayCluster:
    """A Ray cluster that answers: ``address`` of its job server and dashboard, ``gcs_address`` to
    join it."""

    address: str
    gcs_address: str
    token_path: Path
    version: str
    spec_digest: str


def ensure_ray(settings: Settings, environment: Environment) -> RayCluster:
    """The local cluster of the environment's worker groups, started unless it runs.

    Raises:
        LocalServiceError: it does not start, or a port is in use.
        RayError: it has another shape, and a job runs on it.
        SettingsError: the node pools make no worker groups.
    """
    groups = worker_groups(environment.node_pools)
    version = importlib.metadata.version("ray")
    idle_seconds = environment.ray.idle_timeout_seconds
    cluster = RayCluster(
        address=f"http://{processes.LOOPBACK}:{settings.port_base + DASHBOARD_PORT}",
        gcs_address=f"{processes.LOOPBACK}:{settings.port_base + GCS_PORT}",
        token_path=settings.home / "ray" / "token",
        version=version,
        spec_digest=spec_digest(groups, ray_version=version, idle_timeout_seconds=idle_seconds),
    )
    timeout_seconds = environment.ray.ready_timeout_seconds
    with _locked(settings.home, timeout_seconds):
        if (service := processes.find(settings.home, SERVICE)) and service.ports != _ports(
            settings
        ):
            raise LocalServiceError(
                f"Ray runs already, on other ports: {dict(service.ports)}",
                where=str(settings.home),
                fix="run `ray-platform down`, or give RAY_PLATFORM_PORT_BASE its old value",
            )
        if service and _recorded_digest(settings.home) != cluster.spec_digest:
            _require_no_jobs(cluster)
            _stop(settings)
            service = None
        if service is None:
            # What a crash left over would hold ports, memory and the folder.
            _stop(settings)
            config = local_autoscaling(
                groups,
                provider=PROVIDER,
                head_node_id=HEAD_NODE_ID,
                gcs_address=cluster.gcs_address,
                idle_timeout_seconds=idle_seconds,
            )
            _prepare(settings, config, cluster)
        processes.start(
            settings.home,
            SERVICE,
            [
                sys.executable,
                "-m",
                "ray_platform.local.ray_head",
                str(_file(settings, "head.json")),
            ],
            env=_environment(cluster),
            ports=_ports(settings),
            ready=lambda: _has_its_workers(cluster, groups),
            timeout_seconds=timeout_seconds,
            cwd=settings.home / "ray",
        )
    return cluster


def find_ray(settings: Settings) -> RayCluster | None:
    """The running local cluster, or None."""
    service = processes.find(settings.home, SERVICE)
    if service is None:
        return None
    return RayCluster(
        address=f"http://{processes.LOOPBACK}:{service.ports['dashboard']}",
        gcs_address=f"{processes.LOOPBACK}:{service.ports['gcs']}",
        token_path=settings.home / "ray" / "token",
        version=importlib.metadata.version("ray"),
        spec_digest=_recorded_digest(settings.home),
    )


def stop_ray(settings: Settings) -> bool:
    """End the head, the autoscaler, all workers and their jobs; whether the head was running.

    Raises:
        LocalServiceError: another process is starting it for longer than the timeout.
    """
    with _locked(settings.home, 60):
        return _stop(settings)


def _stop(settings: Settings) -> bool:
    service = processes.find(settings.home, SERVICE)
    held = service.ports if service else _ports(settings)
    ours = _file(settings, "cluster.json").exists()
    was_running = processes.stop(settings.home, SERVICE)
    # Killed processes hold their ports until the kernel has cleared them away.
    deadline = time.monotonic() + (RELEASE_SECONDS if ours else 0)
    while time.monotonic() < deadline and not all(map(processes.port_is_free, held.values())):
        time.sleep(POLL_SECONDS)
    _file(settings, "cluster.json").unlink(missing_ok=True)
    folder = _session_folder(settings.home)
    if folder.is_dir() and not folder.is_symlink() and folder.stat().st_uid == os.getuid():
        shutil.rmtree(folder, ignore_errors=True)
    return was_running


def _has_its_workers(cluster: RayCluster, groups: Sequence[WorkerGroup]) -> bool:
    """Whether the head takes jobs and each group has at least its least number of workers."""
    if not is_ready(cluster.address, cluster.token_path):
        return False
    up = describe_cluster(cluster.address, cluster.token_path).up()
    if lacking := [group.name for group in groups if up.get(group.name, 0) < group.min]:
        # The reason that a timeout shows.
        raise RayError(f"worker groups below their least size: {', '.join(lacking)}")
    return True


def _require_no_jobs(cluster: RayCluster) -> None:
    deadline = time.monotonic() + DRAIN_SECONDS
    while True:
        try:
            jobs = RayJobs(cluster.address, cluster.token_path).running()
        except RayError:
            # A head that does not answer runs no job that could be lost.
            return
        if not jobs:
            return
        if time.monotonic() >= deadline:
            raise RayError(
                "the Ray cluster's worker groups changed, but jobs still run on the old ones: "
                + ", ".join(jobs),
                where=cluster.address,
                fix="wait for them, or stop them, and try again",
            )
        time.sleep(POLL_SECONDS)


def _prepare(settings: Settings, config: Mapping[str, object], cluster: RayCluster) -> None:
    session = _session_folder(settings.home)
    try:
        session.mkdir(mode=0o700, exist_ok=True)
        held = session.lstat()
    except OSError as error:
        raise LocalServiceError(
            f"Ray's session folder cannot be made: {error.strerror}",
            where=str(session),
            fix="free its disk, or mend the permissions of the folder above",
        ) from error
    # Ray opens its own folder to everybody, so it gets one below.
    if not stat.S_ISDIR(held.st_mode) or held.st_uid != os.getuid() or held.st_mode & 0o077:
        raise LocalServiceError(
            "Ray's session folder belongs to somebody else or is open to others",
            where=str(session),
            fix="remove it",
        )
    if not cluster.token_path.exists():
        _write(cluster.token_path, secrets.token_hex(32))
    _write(_file(settings, "autoscaling.json"), json.dumps(config, indent=2))
    spec = {
        "gcs_port": settings.port_base + GCS_PORT,
        "dashboard_port": settings.port_base + DASHBOARD_PORT,
        "temp_dir": str(session / "r"),
        "autoscaling_config": str(_file(settings, "autoscaling.json")),
        "head_node_id": HEAD_NODE_ID,
    }
    _write(_file(settings, "head.json"), json.dumps(spec, indent=2))
    _write(_file(settings, "cluster.json"), json.dumps({"spec_digest": cluster.spec_digest}))


def _environment(cluster: RayCluster) -> dict[str, str]:
    kept = {name: value for name, value in child_environment().items() if name in _KEPT_VARIABLES}
    return {
        **kept,
        # A job's `python` is the one that Ray itself runs in.
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{kept.get('PATH', os.defpath)}",
        "PYTHONPATH": str(Path(ray_platform.__file__).resolve().parent.parent),
        "PYTHONUNBUFFERED": "1",
        "OMP_NUM_THREADS": "1",
        "RAY_AUTH_MODE": "token",
        "RAY_AUTH_TOKEN_PATH": str(cluster.token_path),
        # Else a job joins whichever cluster Ray finds first on this machine.
        "RAY_ADDRESS": cluster.gcs_address,
        # Ray takes the machine's outward address for 127.0.0.1 unless it may not form clusters.
        "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0",
        "RAY_FAKE_CLUSTER": "1",
        "RAY_enable_autoscaler_v2": "1",
        "RAY_CLOUD_INSTANCE_ID": HEAD_NODE_ID,
        "RAY_OVERRIDE_NODE_ID_FOR_TESTING": HEAD_NODE_ID,
        "AUTOSCALER_UPDATE_INTERVAL_S": str(AUTOSCALER_SECONDS),
        "RAY_USAGE_STATS_ENABLED": "0",
        # Any free port: the usual ones may belong to another home's cluster.
        "AUTOSCALER_METRIC_PORT": "0",
        "DASHBOARD_METRIC_PORT": "0",
    }


def _session_folder(home: Path) -> Path:
    # Unix sockets lie in it, whose paths may have 107 characters: below the home would be too long.
    name = hashlib.sha256(str(home).encode()).hexdigest()[:10]
    short = Path("/tmp")  # noqa: S108  (made with 0700, and checked to be ours)
    return (short if short.is_dir() else Path(tempfile.gettempdir())) / f"ray-platform-{name}"


def _ports(settings: Settings) -> dict[str, int]:
    return {
        "gcs": settings.port_base + GCS_PORT,
        "dashboard": settings.port_base + DASHBOARD_PORT,
    }


def _file(settings: Settings, name: str) -> Path:
    return settings.home / "ray" / name


def _recorded_digest(home: Path) -> str:
    try:
        record = json.loads((home / "ray" / "cluster.json").read_text(encoding="utf-8"))
        return str(record["spec_digest"])
    except (OSError, ValueError, KeyError, TypeError):
        return ""


def _write(path: Path, content: str) -> None:
    beside = path.with_name(path.name + ".new")
    beside.unlink(missing_ok=True)
    with os.fdopen(os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
        file.write(content)
    beside.replace(path)


@contextlib.contextmanager
def _locked(home: Path, timeout_seconds: float) -> Iterator[None]:
    folder = home / "ray"
    try:
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        handle = (folder / "lock").open("ab")
    except OSError as error:
        raise LocalServiceError(
            f"the folder of the local Ray cluster cannot be written: {error.strerror}",
            where=str(folder),
            fix="mend its permissions, or set RAY_PLATFORM_HOME to a folder of yours",
        ) from error
    with handle:
        deadline = time.monotonic() + 2 * timeout_seconds
        while True:
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except OSError as error:
                if time.monotonic() >= deadline:
                    raise LocalServiceError(
                        "another process has been starting or stopping the local Ray cluster "
                        f"for {2 * timeout_seconds:.0f} s",
                        where=str(folder / "lock"),
                        fix="wait for it, or end it, and try again",
                    ) from error
                time.sleep(POLL_SECONDS)
        yield
