"""A blue/green upgrade of the Ray cluster under a burst run that is live, on real Ray clusters."""

import dataclasses
import json
import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from ray_platform_sandbox.adapters import KubernetesOnThisMachine
from ray_platform_sandbox.kuberay.service import find_kuberay, stop_all
from ray_platform_sandbox.ray.nodes import kill_node, place

from ray_platform.change import deploy_ray
from ray_platform.config.settings import Settings
from ray_platform.config.upgrade_wish import UpgradeWish
from ray_platform.ray.cluster_client import describe_cluster
from ray_platform.ray.clusters import RayOnKubernetes, ray_clusters
from ray_platform.ray.endpoint import ray_endpoint
from ray_platform.ray.jobs_client import RayJobs
from ray_platform.ray.upgrade.switch import BLUE, DRAINING, GREEN
from ray_platform.run_history.burst_metrics import BurstMetrics, read_metrics
from ray_platform.session.environment_session import EnvironmentSession, open_session
from ray_platform.session.lock import change_lock
from tests.integration.conftest import make_settings
from tests.support.ray_operator import Eks
from tests.support.sessions import changed as with_changes
from tests.support.sessions import environment_with, on_cluster

pytestmark = [pytest.mark.real, pytest.mark.timeout(400), pytest.mark.xdist_group("blue-green")]

WORKLOADS = Path(__file__).resolve().parents[3] / "workloads"
PHASES = ("1", "3", "3", "3", "3", "1")


@pytest.fixture(scope="module")
def settings(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Settings]:
    settings = make_settings(tmp_path_factory.mktemp("blue-green"))
    yield settings
    stop_all(settings)


def session_with(settings: Settings, **pool: Any) -> EnvironmentSession:
    """The session of `local` with one pool of workers, as a new process would make it."""
    wish = UpgradeWish("blue-green", drain_seconds=200, waits=True)
    session = open_session(settings, "local", ray_upgrade=wish, run_id="test")
    cpu = next(p for p in session.environment.node_pools if p.name == "cpu")
    others = [p for p in session.environment.node_pools if not p.ray_workers]
    changed = dataclasses.replace(cpu, **{"min_size": 1, "max_size": 3, **pool})
    environment = environment_with(session.environment, node_pools=(changed, *others))
    cluster = RayOnKubernetes(
        settings,
        environment,
        eks=lambda: Eks(settings),
        cluster=lambda: "local",
        local=KubernetesOnThisMachine(settings),
    )
    return on_cluster(with_changes(session, environment=environment), cluster)


def deploy(session: EnvironmentSession, said: list[str]) -> deploy_ray.RayClusterReady:
    with change_lock(session, "test", tell=said.append):
        return deploy_ray.deploy(session, progress=said.append)


def until(found: Callable[[], Any], seconds: float = 90) -> Any:
    deadline = time.monotonic() + seconds
    while not (value := found()):
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.2)
    return value


class Burst:
    """The bursty workload as a job of its own."""

    def __init__(self, session: EnvironmentSession, name: str, folder: Path) -> None:
        endpoint = ray_endpoint(session)
        self.address, self.token = endpoint.address, endpoint.token_path
        self.jobs = RayJobs(self.address, self.token)
        self.name, self.output = name, folder / name
        argv = ["python", "bursty_training.py", "--run-id", name, "--output", str(self.output)]
        argv += ["--phases", ",".join(PHASES), "--task-seconds", "6", "--cpus-per-worker", "1"]
        self.jobs.submit(argv, submission_id=name, working_dir=WORKLOADS)

    def workers(self) -> list[str]:
        nodes = describe_cluster(self.address, self.token).nodes
        return [node.node_id for node in nodes if node.is_up and node.group == "cpu"]

    def result(self) -> BurstMetrics:
        self.jobs.wait(self.name, timeout_seconds=240)
        return read_metrics(json.loads((self.output / "metrics.json").read_text()))


def replicas(session: EnvironmentSession) -> int:
    content = ray_clusters(session).ray_cluster()
    assert content is not None
    return int(content["spec"]["workerGroupSpecs"][0].get("replicas", 0))


def step(session: EnvironmentSession) -> str:
    upgrade = ray_clusters(session).switch().upgrade
    return upgrade.step if upgrade else ""


def test_a_live_burst_survives_new_bounds_a_lost_worker_a_killed_operator_and_a_blue_green_upgrade(
    settings: Settings, tmp_path: Path
) -> None:
    said: list[str] = []
    session = session_with(settings)
    first = deploy(session, said)
    assert ray_clusters(session).switch().active == BLUE
    live = Burst(session, "live", tmp_path)
    until(lambda: len(live.workers()) == 3 and replicas(session) == 3)

    # New bounds under a burst that has scaled up: no conflict, and nothing is reset.
    with ThreadPoolExecutor(1) as pool:
        seen: list[int] = []
        over = threading.Event()

        def watch() -> None:
            while not over.wait(0.2):
                seen.append(replicas(session))

        watching = pool.submit(watch)
        session = session_with(settings, max_size=4)
        deploy(session, said)
        over.set()
        watching.result()
    assert min(seen) == 3, seen
    assert ray_clusters(session).switch().active == BLUE
    assert [r.status for r in ray_clusters(session).releases.history(BLUE)] == [
        "superseded",
        "deployed",
    ]

    # A worker and the operator's stand-in are gone at once; the upgrade starts in the middle of that.
    stand_in = find_kuberay(settings)
    assert stand_in is not None
    os.kill(stand_in.pid, signal.SIGKILL)
    assert kill_node(place(settings), live.workers()[0])
    session = session_with(settings, max_size=4, instance_types=("m5.2xlarge",))
    with ThreadPoolExecutor(1) as pool:
        upgrading = pool.submit(deploy, session, said)
        until(lambda: upgrading.done() or step(session) == DRAINING, 150)
        assert not upgrading.done(), upgrading.result()
        fresh = Burst(session_with(settings), "fresh", tmp_path)
        assert fresh.address != live.address
        assert ray_clusters(session).ray_cluster(BLUE) is not None
        assert live.jobs.status("live") == "RUNNING"
        result = live.result()
        second = upgrading.result()
    assert result.succeeded
    assert result.peak_workers == 3
    assert result.failures == result.retries >= 1  # the worker that was killed, and nothing else
    assert ray_clusters(session).switch().active == GREEN
    assert ray_clusters(session).switch().upgrade is None
    assert ray_clusters(session).ray_cluster(BLUE) is None
    assert second.address == fresh.address != first.address
    again = fresh.result()
    assert again.failures == 0
    assert again.loss == result.loss
    # The same input again changes nothing, also where the second cluster is the one.
    assert deploy(session, said).release == second.release
    print("\n".join(said))
