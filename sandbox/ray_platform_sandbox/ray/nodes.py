"""Local Ray clusters: a real head and a real autoscaler whose worker nodes are processes here.

A cluster is the same for every process of one home: found again, started afresh when it died,
replaced when what its nodes are made of changed, and told new bounds while it runs. It listens on
127.0.0.1 alone and asks for a token, which lies in its folder.
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
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import ray_platform
from ray_platform.config.settings import Settings, child_environment
from ray_platform.ray.spec import WorkerGroup, local_autoscaling
from ray_platform.text.errors import LocalServiceError
from ray_platform_sandbox.services import processes
from ray_platform_sandbox.services.members import kill_marked

HEAD_NODE_ID = "f" * 51 + "00000"
PROVIDER = "ray_platform_sandbox.ray.head.LoopbackNodeProvider"
AUTOSCALER_SECONDS = 1
POLL_SECONDS = 0.2
#: Clusters that may run at a time: one, and during a blue/green upgrade another.
MOST_CLUSTERS = 3
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
    frame: str


@dataclass(frozen=True)
class Place:
    """Where a cluster lives: ``name`` is that of its service and of its folder below the home."""

    home: Path
    name: str
    gcs_port: int
    dashboard_port: int

    @property
    def folder(self) -> Path:
        return self.home / self.name

    @property
    def ports(self) -> dict[str, int]:
        return {"gcs": self.gcs_port, "dashboard": self.dashboard_port}


@dataclass(frozen=True)
class Shape:
    """What a cluster is to be; ``frame`` names what cannot change while it runs."""

    groups: tuple[WorkerGroup, ...]
    idle_timeout_seconds: float
    frame: str


def place(settings: Settings, number: int = 0) -> Place:
    """The place of the first cluster of this home, or of one more beside it (0 to `MOST_CLUSTERS` - 1)."""
    first = settings.port_base + (1 if number == 0 else 8 + 2 * number)
    return Place(settings.home, "ray" if number == 0 else f"ray-{number + 1}", first, first + 1)


def ensure_nodes(
    at: Place,
    shape: Shape,
    *,
    ready: Callable[[], bool],
    timeout_seconds: float,
    token: str = "",
) -> RayCluster:
    """The cluster of a place, started unless it runs; one with another frame is ended first.

    Args:
        at: Its place.
        shape: What it is to be. New bounds and a new idle timeout reach a running autoscaler.
        ready: Asked until it says yes.
        timeout_seconds: How long to wait for that.
        token: What it asks of its clients; empty: the one that its folder holds, or a new one.

    Raises:
        LocalServiceError: it does not start, or a port is in use.
    """
    with _locked(at, timeout_seconds):
        if (service := processes.find(at.home, at.name)) and service.ports != at.ports:
            raise LocalServiceError(
                f"Ray runs already, on other ports: {dict(service.ports)}",
                where=str(at.home),
                fix="run `ray-platform down`, or give RAY_PLATFORM_PORT_BASE its old value",
            )
        if service and recorded(at).get("frame") != shape.frame:
            _stop(at)
            service = None
        if service is None:
            # What a crash left over would hold ports, memory and the folder.
            _stop(at)
            _prepare(at, shape, token)
        _write_changed(at.folder / "autoscaling.json", _autoscaling(at, shape))
        processes.start(
            at.home,
            at.name,
            [
                sys.executable,
                "-m",
                "ray_platform_sandbox.ray.head",
                str(at.folder / "head.json"),
            ],
            env=_environment(_cluster(at)),
            ports=at.ports,
            ready=ready,
            timeout_seconds=timeout_seconds,
            cwd=at.folder,
        )
    return _cluster(at)


def find_nodes(at: Place) -> RayCluster | None:
    """The running cluster of a place, or None."""
    return _cluster(at) if processes.find(at.home, at.name) else None


def stop_nodes(at: Place) -> bool:
    """End a cluster: head, autoscaler, all workers and their jobs; whether the head was running.

    Raises:
        LocalServiceError: another process is starting it for longer than the timeout.
    """
    with _locked(at, 60):
        return _stop(at)


def stop_ray(settings: Settings) -> bool:
    """End every cluster of this home; whether one was running.

    Raises:
        LocalServiceError: as `stop_nodes`.
    """
    places = [place(settings, number) for number in range(MOST_CLUSTERS)]
    return any([stop_nodes(at) for at in places if at.folder.exists()])


def kill_node(at: Place, node_id: str) -> bool:
    """End the processes of one worker node at once, as the end of its machine does; whether it had any.

    Args:
        at: The cluster's place.
        node_id: Ray's id of the node.
    """
    service = processes.find(at.home, at.name)
    if service is None or node_id == HEAD_NODE_ID:
        return False
    return kill_marked(service.instance, f"RAY_OVERRIDE_NODE_ID_FOR_TESTING={node_id}") > 0


def recorded(at: Place) -> dict[str, str]:
    """What a place was prepared for, by an earlier start: ``frame``; empty: nothing."""
    try:
        record = json.loads((at.folder / "cluster.json").read_text(encoding="utf-8"))
        return {str(key): str(value) for key, value in record.items()}
    except (OSError, ValueError, AttributeError):
        return {}


def _cluster(at: Place) -> RayCluster:
    return RayCluster(
        address=f"http://{processes.LOOPBACK}:{at.dashboard_port}",
        gcs_address=f"{processes.LOOPBACK}:{at.gcs_port}",
        token_path=at.folder / "token",
        version=importlib.metadata.version("ray"),
        frame=recorded(at).get("frame", ""),
    )


def _stop(at: Place) -> bool:
    service = processes.find(at.home, at.name)
    held = service.ports if service else at.ports
    ours = (at.folder / "cluster.json").exists()
    was_running = processes.stop(at.home, at.name)
    # Killed processes hold their ports until the kernel has cleared them away.
    deadline = time.monotonic() + (RELEASE_SECONDS if ours else 0)
    while time.monotonic() < deadline and not all(map(processes.port_is_free, held.values())):
        time.sleep(POLL_SECONDS)
    (at.folder / "cluster.json").unlink(missing_ok=True)
    folder = _session_folder(at)
    if folder.is_dir() and not folder.is_symlink() and folder.stat().st_uid == os.getuid():
        shutil.rmtree(folder, ignore_errors=True)
    return was_running


def _prepare(at: Place, shape: Shape, token: str) -> None:
    session = _session_folder(at)
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
    token_path = at.folder / "token"
    if token:
        _write_changed(token_path, token)
    elif not token_path.exists():
        _write(token_path, secrets.token_hex(32))
    spec = {
        "gcs_port": at.gcs_port,
        "dashboard_port": at.dashboard_port,
        "temp_dir": str(session / "r"),
        "autoscaling_config": str(at.folder / "autoscaling.json"),
        "head_node_id": HEAD_NODE_ID,
    }
    _write(at.folder / "head.json", json.dumps(spec, indent=2))
    _write(at.folder / "cluster.json", json.dumps({"frame": shape.frame}))


def _autoscaling(at: Place, shape: Shape) -> str:
    config = local_autoscaling(
        shape.groups,
        provider=PROVIDER,
        head_node_id=HEAD_NODE_ID,
        gcs_address=f"{processes.LOOPBACK}:{at.gcs_port}",
        idle_timeout_seconds=shape.idle_timeout_seconds,
    )
    return json.dumps(config, indent=2)


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


def _session_folder(at: Place) -> Path:
    # Unix sockets lie in it, whose paths may have 107 characters: below the home would be too long.
    name = hashlib.sha256(str(at.folder).encode()).hexdigest()[:10]
    short = Path("/tmp")  # noqa: S108  (made with 0700, and checked to be ours)
    return (short if short.is_dir() else Path(tempfile.gettempdir())) / f"ray-platform-{name}"


def _write_changed(path: Path, content: str) -> None:
    # Ray's autoscaler reads its file again at each of its steps: it must never be half of one.
    if not path.exists() or path.read_text(encoding="utf-8") != content:
        _write(path, content)


def _write(path: Path, content: str) -> None:
    beside = path.with_name(path.name + ".new")
    beside.unlink(missing_ok=True)
    with os.fdopen(os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
        file.write(content)
    beside.replace(path)


@contextlib.contextmanager
def _locked(at: Place, timeout_seconds: float) -> Iterator[None]:
    folder = at.folder
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
