"""What every Ray head keeps to that the platform hands jobs to: the tests' double, and a real one."""

import sys
import time
import uuid
from collections.abc import Iterator
from typing import Protocol

import pytest
from ray_platform_sandbox.ray.nodes import RayCluster, stop_ray

from ray_platform.config.settings import Settings
from ray_platform.ray.cluster_client import describe_cluster, is_ready, wait_ready
from ray_platform.ray.jobs_client import RayJobs
from ray_platform.ray.spec import HEAD_GROUP
from ray_platform.text.errors import RayError
from tests.integration.ray.test_ray import checkout, ensure_ray
from tests.support.ports import free_port_base
from tests.support.ray_head import Head

pytestmark = pytest.mark.timeout(300)


class HeadWorld(Protocol):
    """A head, its client, and jobs of three kinds."""

    jobs: RayJobs

    def good(self) -> str:
        """A job that ends well; its id."""

    def bad(self) -> str:
        """A job that fails; its id."""

    def long(self) -> str:
        """A job that is running and goes on; its id."""


class DoubleWorld:
    def __init__(self, head: Head) -> None:
        self.head = head
        self.jobs = RayJobs(f"http://127.0.0.1:{head.port}")

    def good(self) -> str:
        self.head.broken = False
        return self.jobs.submit(["true"], submission_id=uuid.uuid4().hex)

    def bad(self) -> str:
        self.head.broken = True
        return self.jobs.submit(["false"], submission_id=uuid.uuid4().hex)

    def long(self) -> str:
        name = uuid.uuid4().hex
        self.head.jobs[name] = "RUNNING"
        return name


class RayWorld:
    def __init__(self, cluster: RayCluster) -> None:
        self.jobs = RayJobs(cluster.address, cluster.token_path)

    def _run(self, code: str) -> str:
        argv = [sys.executable, "-c", code]
        return self.jobs.submit(argv, submission_id=uuid.uuid4().hex, metadata={"of": "a test"})

    def good(self) -> str:
        return self._run("print('well done')")

    def bad(self) -> str:
        return self._run("import sys; print('not today'); sys.exit(3)")

    def long(self) -> str:
        name = self._run("import time; print('begun', flush=True); time.sleep(600)")
        _until(self.jobs, name, "RUNNING")
        return name


def _until(jobs: RayJobs, name: str, status: str) -> None:
    deadline = time.monotonic() + 60
    while (found := jobs.status(name)) != status:
        assert time.monotonic() < deadline, f"{name} is {found}, not {status}"
        time.sleep(0.2)  # the job server has no event to wait for


@pytest.fixture(scope="module")
def ray(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RayCluster]:
    made, environment = checkout(tmp_path_factory.mktemp("session"), 2)
    variables = {"RAY_PLATFORM_PORT_BASE": str(free_port_base())}
    settings = Settings(made.root, made.home, variables)
    yield ensure_ray(settings, environment)
    stop_ray(settings)


@pytest.fixture(
    params=[
        "double",
        pytest.param("Ray", marks=[pytest.mark.real, pytest.mark.xdist_group("ray")]),
    ]
)
def world(request: pytest.FixtureRequest) -> Iterator[HeadWorld]:
    if request.param == "Ray":
        yield RayWorld(request.getfixturevalue("ray"))
        return
    head = Head()
    yield DoubleWorld(head)
    head.end()


def test_a_head_says_what_it_is(world: HeadWorld) -> None:
    address, token = world.jobs.address, world.jobs.token_path
    assert is_ready(address, token)
    found = wait_ready(address, token, timeout_seconds=30)
    assert found.ray_version == "2.60.0" and found.address == address
    (head,) = [node for node in found.nodes if node.group == HEAD_GROUP]
    assert head.is_up and head.start > 0 and head.node_id and not head.lost
    assert describe_cluster(address, token).up()[HEAD_GROUP] == 1


def test_a_job_that_ends_well_gives_its_log_and_stays_known(world: HeadWorld) -> None:
    name = world.good()
    lines: list[str] = []
    text = world.jobs.wait(name, timeout_seconds=60, on_line=lines.append)
    assert text == world.jobs.logs(name) and text.strip()
    assert lines == text.splitlines()
    assert world.jobs.status(name) == "SUCCEEDED"
    assert name in world.jobs.known() and name not in world.jobs.running()


def test_a_job_handed_in_again_under_its_id_is_the_same_one(world: HeadWorld) -> None:
    name = world.good()
    assert world.jobs.submit(["another"], submission_id=name) == name
    assert world.jobs.known().count(name) == 1
    world.jobs.wait(name, timeout_seconds=60)
    assert world.jobs.submit(["another"], submission_id=name) == name
    assert world.jobs.status(name) == "SUCCEEDED"


def test_a_job_that_fails_is_an_error_with_its_last_lines(world: HeadWorld) -> None:
    name = world.bad()
    with pytest.raises(RayError, match=f"job {name} failed\n  \\| ") as failed:
        world.jobs.wait(name, timeout_seconds=60)
    assert failed.value.where == world.jobs.address
    assert world.jobs.status(name) == "FAILED" and name not in world.jobs.running()


def test_a_running_job_is_listed_and_takes_too_long(world: HeadWorld) -> None:
    name = world.long()
    assert world.jobs.status(name) == "RUNNING"
    assert name in world.jobs.running() and name in world.jobs.known()
    with pytest.raises(RayError, match=f"job {name} is running after 0 s"):
        world.jobs.wait(name, timeout_seconds=0)
    world.jobs.stop(name)


def test_a_running_job_is_stopped_once_and_stays_stopped(world: HeadWorld) -> None:
    name = world.long()
    assert world.jobs.stop(name)
    _until(world.jobs, name, "STOPPED")
    assert not world.jobs.stop(name)
    assert name not in world.jobs.running()
    with pytest.raises(RayError, match=f"job {name} stopped"):
        world.jobs.wait(name, timeout_seconds=60)


def test_a_job_that_ended_is_not_stopped(world: HeadWorld) -> None:
    name = world.good()
    world.jobs.wait(name, timeout_seconds=60)
    assert not world.jobs.stop(name)
    assert world.jobs.status(name) == "SUCCEEDED"


def test_a_job_that_nobody_handed_in_is_refused_at_once(world: HeadWorld) -> None:
    begun = time.monotonic()
    for ask in (world.jobs.status, world.jobs.logs, world.jobs.stop):
        with pytest.raises(RayError, match="unknown") as refused:
            ask("unknown")
        assert refused.value.where == world.jobs.address
    assert time.monotonic() - begun < 10, "it was asked again and again"
