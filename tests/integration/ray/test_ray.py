"""The local Ray cluster, its jobs and the bursty workload, for real."""

import functools
import json
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
import uuid
from collections.abc import Iterator
from pathlib import Path

import dagster as dg
import pytest
from ray_platform_sandbox.ray.nodes import (
    RayCluster,
    Shape,
    ensure_nodes,
    find_nodes,
    place,
    stop_ray,
)
from ray_platform_sandbox.services import processes
from ray_platform_sandbox.services.members import members

from ray_platform.config.settings import Environment, Settings
from ray_platform.ray.cluster_client import describe_cluster, get_json, is_ready, wait_ready
from ray_platform.ray.jobs_client import RayJobs
from ray_platform.ray.pipes_client import pipes_client
from ray_platform.ray.spec import worker_groups
from ray_platform.run_history.burst_metrics import (
    BurstMetrics,
    join_messages,
    read_metrics,
    unreached,
)
from ray_platform.text.errors import LocalServiceError, RayError
from ray_platform.training.autoscaling_trace import plot_png, read_trace
from tests.support.ports import free_port_base

pytestmark = [pytest.mark.real, pytest.mark.timeout(240), pytest.mark.xdist_group("ray")]

ROOT = Path(__file__).resolve().parents[3]
WORKLOADS = ROOT / "workloads"
POOLS = """
region = "us-east-1"
node_pools = {
  cpu = { instance_types = ["m5.xlarge"], min_size = 2, max_size = %d }
}
"""


@functools.cache
def port_base() -> str:
    return str(free_port_base())


def checkout(folder: Path, largest: int) -> tuple[Settings, Environment]:
    """A checkout of its own with one worker group, and its settings."""
    (folder / "terraform" / "environments").mkdir(parents=True, exist_ok=True)
    (folder / "environments").mkdir(exist_ok=True)
    (folder / "workspace.yaml").touch()
    shutil.copy(ROOT / "environments" / "local.toml", folder / "environments" / "local.toml")
    (folder / "terraform" / "environments" / "local.tfvars").write_text(POOLS % largest)
    settings = Settings(folder, folder / "home", {"RAY_PLATFORM_PORT_BASE": port_base()})
    return settings, settings.environment("local")


def ensure_ray(settings: Settings, environment: Environment, frame: str = "one") -> RayCluster:
    """The first local cluster with the environment's worker groups, once it has its workers."""
    groups = worker_groups(environment.node_pools)
    at = place(settings)
    address, token = f"http://127.0.0.1:{at.dashboard_port}", at.folder / "token"

    def ready() -> bool:
        return is_ready(address, token) and describe_cluster(address, token).up().get("cpu", 0) >= 2

    return ensure_nodes(
        at,
        Shape(groups, environment.ray.idle_timeout_seconds, frame),
        ready=ready,
        timeout_seconds=environment.ray.ready_timeout_seconds,
    )


def find_ray(settings: Settings) -> RayCluster | None:
    return find_nodes(place(settings))


@pytest.fixture(scope="module")
def session(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Settings, Environment]]:
    settings, environment = checkout(tmp_path_factory.mktemp("session"), 3)
    yield settings, environment
    stop_ray(settings)


@pytest.fixture
def cluster(session: tuple[Settings, Environment]) -> RayCluster:
    return ensure_ray(*session)


def burst(
    cluster: RayCluster, *arguments: str, run_id: str | None = None
) -> tuple[BurstMetrics, list[dict[str, object]]]:
    """Run the workload as a Ray job; its metrics and log lines."""
    jobs = RayJobs(cluster.address, cluster.token_path)
    run_id = run_id or f"burst-{uuid.uuid4().hex[:8]}"
    output = cluster.token_path.parent / run_id
    argv = ["python", "bursty_training.py", "--run-id", run_id, "--output", str(output)]
    jobs.submit([*argv, *arguments], submission_id=run_id, working_dir=WORKLOADS)
    text = jobs.wait(run_id, timeout_seconds=150)
    lines = [json.loads(line) for line in text.splitlines() if line.startswith('{"run_id"')]
    picture = plot_png(read_trace(json.loads((output / "trace.json").read_text())))
    assert picture.startswith(b"\x89PNG")
    return read_metrics(json.loads((output / "metrics.json").read_text())), lines


def pids_of(settings: Settings) -> list[int]:
    service = processes.find(settings.home, "ray")
    return members(service.instance) if service else []


def test_each_phase_reaches_its_workers_and_the_loss_depends_on_the_seed_alone(
    cluster: RayCluster,
) -> None:
    options = ("--phases", "2,3", "--task-seconds", "0.5", "--seed", "11")
    first, lines = burst(cluster, *options)
    again, _ = burst(cluster, *options)
    other, _ = burst(cluster, *options[:-1], "12")
    assert unreached(first) == []
    assert [phase.workers_reached for phase in first.phases] == [2, 3]
    assert [phase.loss for phase in first.phases] == [phase.loss for phase in again.phases]
    assert first.loss < first.phases[0].loss
    assert other.loss != first.loss
    assert {"run_id", "phase", "event", "timestamp"} <= set.intersection(
        *(set(line) for line in lines)
    )
    assert {line["run_id"] for line in lines} == {first.run_id}


def test_node_intervals_are_those_of_the_cluster_itself(cluster: RayCluster) -> None:
    metrics, _ = burst(cluster, "--phases", "2", "--task-seconds", "0.5")
    told = {n.node_id: n for n in describe_cluster(cluster.address, cluster.token_path).nodes}
    assert metrics.node_intervals
    for node in metrics.node_intervals:
        assert node.start == pytest.approx(told[node.node_id].start)
        assert node.group == told[node.node_id].group
        if node.group == "cpu":
            assert node.instance_type == "m5.xlarge"
    assert metrics.node_seconds()["cpu"] >= 2 * 0.5


def test_a_worker_node_killed_in_the_middle_is_survived_and_counted(
    session: tuple[Settings, Environment], cluster: RayCluster
) -> None:
    undisturbed, _ = burst(cluster, "--phases", "2", "--task-seconds", "0.1", "--seed", "5")
    run_id = f"burst-{uuid.uuid4().hex[:8]}"
    jobs = RayJobs(cluster.address, cluster.token_path)

    def kill_a_worker() -> None:
        deadline = time.monotonic() + 90
        while time.monotonic() < deadline:
            try:
                if "workers_reached" in jobs.logs(run_id):
                    break
            except RayError:
                pass
            time.sleep(0.2)
        raylets = [pid for pid in pids_of(session[0]) if is_worker_raylet(pid)]
        os.kill(raylets[0], signal.SIGKILL)

    killer = threading.Thread(target=kill_a_worker)
    killer.start()
    metrics, lines = burst(
        cluster, "--phases", "2", "--task-seconds", "4", "--seed", "5", run_id=run_id
    )
    killer.join()
    assert metrics.succeeded
    assert metrics.failures == metrics.retries == 1
    assert [line["event"] for line in lines].count("task_retried") == 1
    assert metrics.loss == undisturbed.loss


def is_worker_raylet(pid: int) -> bool:
    try:
        command = Path(f"/proc/{pid}/cmdline").read_bytes()
        # The head's socket is called `raylet`, the workers' `raylet.N`.
        return b"--raylet_socket_name=" in command and b"/sockets/raylet." in command
    except OSError:
        return False


def test_a_phase_that_does_not_reach_its_workers_fails_the_run_with_the_reason(
    cluster: RayCluster,
) -> None:
    jobs = RayJobs(cluster.address, cluster.token_path)
    argv = ["python", "bursty_training.py", "--phases", "4", "--reach-timeout", "3"]
    name = jobs.submit(argv, submission_id=uuid.uuid4().hex, working_dir=WORKLOADS)
    with pytest.raises(RayError, match="of 4 workers came within 3 s"):
        jobs.wait(name, timeout_seconds=60)


def test_a_running_cluster_is_found_again(
    session: tuple[Settings, Environment], cluster: RayCluster
) -> None:
    before = describe_cluster(cluster.address, cluster.token_path)
    assert ensure_ray(*session) == cluster == find_ray(session[0])
    assert describe_cluster(cluster.address, cluster.token_path).session == before.session


def test_two_processes_that_want_a_dead_cluster_at_once_get_the_same_one(
    session: tuple[Settings, Environment], cluster: RayCluster
) -> None:
    service = processes.find(session[0].home, "ray")
    assert service
    old = set(pids_of(session[0]))
    os.kill(service.pid, signal.SIGKILL)
    found: list[RayCluster] = []
    threads = [
        threading.Thread(target=lambda: found.append(ensure_ray(*session))) for _ in range(2)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == [cluster, cluster]
    assert old.isdisjoint(pids_of(session[0]))
    assert not [pid for pid in old if processes.process_started(pid)]


def test_only_loopback_listens_and_the_token_stands_in_no_log_and_no_command(
    session: tuple[Settings, Environment], cluster: RayCluster
) -> None:
    burst(cluster, "--phases", "2", "--task-seconds", "0.1")
    token = cluster.token_path.read_text().strip()
    assert cluster.token_path.stat().st_mode & 0o077 == 0
    pids = pids_of(session[0])
    heard = [address for pid in pids for address in listening(pid)]
    assert heard
    assert [a for a in heard if a not in ("0100007F", "0000000000000000FFFF00000100007F")] == []
    for pid in pids:
        for name in ("cmdline", "environ"):
            try:
                assert token.encode() not in Path(f"/proc/{pid}/{name}").read_bytes()
            except OSError:
                continue  # it has just ended
    spec = json.loads((session[0].home / "ray" / "head.json").read_text())
    files = Path(spec["temp_dir"])
    assert files.parent.stat().st_mode & 0o077 == 0
    places = [files, session[0].home]
    logs = [path for place in places for path in place.rglob("*") if path.is_file()]
    assert len(logs) > 10
    assert [p for p in logs if p != cluster.token_path and token.encode() in p.read_bytes()] == []


def listening(pid: int) -> list[str]:
    """The addresses that a process listens on, in the kernel's hexadecimal spelling."""
    sockets = set()
    try:
        for handle in Path(f"/proc/{pid}/fd").iterdir():
            try:
                sockets.add(handle.readlink().name)
            except OSError:
                continue
    except OSError:
        return []
    rows = []
    for table in ("tcp", "tcp6"):
        for line in Path(f"/proc/net/{table}").read_text().splitlines()[1:]:
            fields = line.split()
            if fields[3] == "0A" and f"socket:[{fields[9]}]" in sockets:
                rows.append(fields[1].split(":")[0])
    return rows


def test_without_the_token_the_cluster_refuses(tmp_path: Path, cluster: RayCluster) -> None:
    with pytest.raises(RayError, match=r"401|403"):
        get_json(cluster.address, "/api/jobs/")
    wrong = tmp_path / "token"
    wrong.write_text("0" * 64)
    with pytest.raises(RayError, match="not ready within 0 s: the Ray cluster answers 40"):
        wait_ready(cluster.address, wrong, timeout_seconds=0)


def test_dagster_gets_the_workloads_results_through_pipes(cluster: RayCluster) -> None:
    received = {}

    @dg.asset
    def burst_run(context: dg.AssetExecutionContext) -> dg.MaterializeResult[None]:
        done = pipes_client(cluster.address, cluster.token_path).run(
            context=context,
            submit_job_params={
                "entrypoint": "python bursty_training.py --phases 2,2 --task-seconds 0.2",
                "runtime_env": {"working_dir": str(WORKLOADS)},
            },
        )
        received.update(join_messages(done.get_custom_messages()))
        return dg.MaterializeResult()

    result = dg.materialize([burst_run])
    metrics = read_metrics(received["metrics.json"])
    assert metrics.succeeded
    assert metrics.run_id == result.run_id
    assert read_trace(received["trace.json"]).samples


STOPPED = """
import sys
from pathlib import Path

import dagster as dg

from ray_platform.ray.pipes_client import pipes_client

@dg.asset
def burst_run(context: dg.AssetExecutionContext) -> None:
    pipes_client({address!r}, Path({token!r})).run(
        context=context,
        submit_job_params={{
            "entrypoint": "python bursty_training.py --phases 2 --task-seconds 120",
            "runtime_env": {{"working_dir": {workloads!r}}},
            "submission_id": {job!r},
        }},
    )

if __name__ == "__main__":
    dg.materialize([burst_run])
"""


def test_a_stopped_dagster_run_stops_its_ray_job(tmp_path: Path, cluster: RayCluster) -> None:
    job = f"stopped-{uuid.uuid4().hex[:8]}"
    script = tmp_path / "run.py"
    script.write_text(
        STOPPED.format(
            address=cluster.address,
            token=str(cluster.token_path),
            workloads=str(WORKLOADS),
            job=job,
        )
    )
    jobs = RayJobs(cluster.address, cluster.token_path)
    env = {**os.environ, "DAGSTER_HOME": ""}
    run = subprocess.Popen([sys.executable, str(script)], env=env)
    try:
        until(lambda: job in jobs.running() and "phase_started" in jobs.logs(job), 60)
        # What Dagster's daemon sends to a run's process when somebody ends the run.
        run.send_signal(signal.SIGINT)
        until(lambda: jobs.status(job) == "STOPPED", 30)
    finally:
        run.kill()
        run.wait()


def until(true: object, seconds: float) -> None:
    assert callable(true)
    deadline = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.2)


def test_a_job_that_fails_is_told_with_its_last_lines(cluster: RayCluster) -> None:
    jobs = RayJobs(cluster.address, cluster.token_path)
    argv = ["python", "-c", "print('about to'); raise SystemExit('the reason')"]
    name = jobs.submit(argv, submission_id=uuid.uuid4().hex)
    assert jobs.submit(argv, submission_id=name) == name
    heard: list[str] = []
    with pytest.raises(RayError, match="the reason"):
        jobs.wait(name, timeout_seconds=60, on_line=heard.append)
    assert "about to" in heard


def test_new_bounds_reach_a_running_cluster_and_another_frame_replaces_it(
    session: tuple[Settings, Environment], cluster: RayCluster
) -> None:
    settings, environment = checkout(session[0].root, 2)
    session = describe_cluster(cluster.address, cluster.token_path).session
    assert ensure_ray(settings, environment) == cluster
    config = json.loads((settings.home / "ray" / "autoscaling.json").read_text())
    assert config["available_node_types"]["cpu"]["max_workers"] == 2
    assert describe_cluster(cluster.address, cluster.token_path).session == session
    changed = ensure_ray(settings, environment, frame="two")
    assert changed.frame == "two"
    assert changed.token_path == cluster.token_path
    assert describe_cluster(changed.address, changed.token_path).session != session


def test_stopping_ends_everything_of_ours_and_nothing_else(
    session: tuple[Settings, Environment], cluster: RayCluster
) -> None:
    ours = pids_of(session[0])
    assert len(ours) > 5
    files = Path(json.loads((session[0].home / "ray" / "head.json").read_text())["temp_dir"]).parent
    bystander = subprocess.Popen(["sleep", "60"])
    try:
        assert stop_ray(session[0]) is True
        assert [pid for pid in ours if processes.process_started(pid)] == []
        assert bystander.poll() is None
        assert find_ray(session[0]) is None
        assert not files.exists()
        assert stop_ray(session[0]) is False
    finally:
        bystander.kill()
        bystander.wait()


def test_a_taken_port_is_named_and_nothing_is_started(tmp_path: Path) -> None:
    import socket

    settings, environment = checkout(tmp_path, 2)
    base = free_port_base()
    other = Settings(settings.root, settings.home, {"RAY_PLATFORM_PORT_BASE": str(base)})
    with socket.socket() as held:
        held.bind(("127.0.0.1", base + 2))
        held.listen()
        with pytest.raises(LocalServiceError, match=f"port {base + 2} is in use"):
            ensure_ray(other, environment)
    assert find_ray(other) is None
