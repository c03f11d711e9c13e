"""A blue/green upgrade, killed between any two of its steps, backed out of, and drained.

Real Helm on the local API; operator and heads are without Ray.
"""

import dataclasses
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from typing import Any

import dagster as dg
import pytest
from ray_platform_sandbox.kubernetes.service import ensure_kubernetes, stop_kubernetes

from ray_platform.change import deploy_ray
from ray_platform.config.settings import Settings
from ray_platform.config.upgrade_wish import UpgradeWish
from ray_platform.kubernetes.api_client import NAMESPACES, RAY_CLUSTERS, SERVICES
from ray_platform.kubernetes.helm_release_client import HelmReleases
from ray_platform.ray import ray_release, readiness, running_jobs
from ray_platform.ray.clusters import RayOnKubernetes, ray_clusters
from ray_platform.ray.running_jobs import job_of
from ray_platform.ray.upgrade import drain
from ray_platform.ray.upgrade.drain import Due, due
from ray_platform.ray.upgrade.switch import BLUE, GREEN, SERVICE
from ray_platform.run_history.live_runs import LiveRun
from ray_platform.session.environment_session import EnvironmentSession, open_session
from ray_platform.session.lock import change_lock
from ray_platform.text.errors import BusyError, NotFoundError, RayError
from tests.integration.conftest import make_settings
from tests.support.ray_head import Head
from tests.support.ray_operator import Cluster, Operator
from tests.support.sessions import changed, environment_with, on_cluster

pytestmark = [pytest.mark.real, pytest.mark.xdist_group("kubernetes")]

SMALL, LARGE = ("m5.xlarge",), ("m5.2xlarge",)


class Killed(BaseException):
    """As `kill -9`: nothing of the platform catches it."""


@pytest.fixture(scope="module")
def settings(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Settings]:
    settings = make_settings(tmp_path_factory.mktemp("orders"))
    ensure_kubernetes(settings)
    yield settings
    stop_kubernetes(settings)


@pytest.fixture(scope="module")
def heads(settings: Settings) -> Iterator[dict[str, Head]]:
    """The heads of both clusters; an operator brings the clusters up at once."""
    heads = {BLUE: Head(), GREEN: Head()}
    operator = Operator(settings)
    operator.dashboard = lambda name: heads[name].port
    operator.start()
    yield heads
    operator.over.set()
    stop_kubernetes(settings)
    operator.join()
    for head in heads.values():
        head.end()


@pytest.fixture
def world(
    settings: Settings, heads: dict[str, Head], monkeypatch: pytest.MonkeyPatch
) -> Iterator["World"]:
    monkeypatch.setattr(drain, "QUIET_SECONDS", 0)
    monkeypatch.setattr(drain, "POLL_SECONDS", 0.05)
    monkeypatch.setattr(readiness, "POLL_SECONDS", 0.05)
    world = World(settings, heads, monkeypatch)
    for head in heads.values():
        head.jobs.clear()
        head.broken = head.mute = False
    world.upgrade(SMALL)
    yield world
    ray_clusters(world.session()).api.delete(NAMESPACES, "ray")


class World:
    """One environment, and a process a call that works in it and may be killed."""

    def __init__(
        self, settings: Settings, heads: dict[str, Head], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        self.settings = settings
        self.heads = heads
        self.said: list[str] = []
        self._patch = monkeypatch

    def session(
        self,
        types: tuple[str, ...] = LARGE,
        instance: dg.DagsterInstance | None = None,
        **wish: Any,
    ) -> EnvironmentSession:
        how = UpgradeWish(**{"how": "blue-green", "drain_seconds": 0, "waits": True, **wish})
        session = open_session(
            self.settings, "local", ray_upgrade=how, instance=instance, run_id="test"
        )
        pools = session.environment.node_pools
        environment = environment_with(
            session.environment,
            node_pools=[
                dataclasses.replace(p, instance_types=types) if p.name == "cpu" else p
                for p in pools
            ],
        )
        cluster = Cluster.of(self.settings, environment)
        return on_cluster(changed(session, environment=environment), cluster)

    def upgrade(
        self,
        types: tuple[str, ...] = LARGE,
        *,
        instance: dg.DagsterInstance | None = None,
        **wish: Any,
    ) -> None:
        session = self.session(types, instance=instance, **wish)
        with change_lock(session, "test", tell=self.said.append):
            deploy_ray.deploy(session, progress=self.said.append)

    def back_out(self, **wish: Any) -> str:
        session = self.session(**wish)
        with change_lock(session, "test", tell=self.said.append):
            return deploy_ray.back_out(session, progress=self.said.append)

    def killed_at(self, step: int, act: Callable[[], Any]) -> bool:
        """Whether an act was killed at its step of that number; steps are what it changes."""
        count = 0

        def counted(of: Any, name: str, after: bool) -> None:
            real = getattr(of, name)

            def wrapped(*args: Any, **kwargs: Any) -> Any:
                nonlocal count
                answer = None
                if after:
                    answer = real(*args, **kwargs)
                count += 1
                if count == step:
                    raise Killed
                return answer if after else real(*args, **kwargs)

            patch.setattr(of, name, wrapped)

        with pytest.MonkeyPatch.context() as patch:
            counted(RayOnKubernetes, "write_switch", after=True)
            counted(HelmReleases, "install", after=True)
            counted(HelmReleases, "uninstall", after=True)
            counted(ray_release, "put", after=False)
            counted(deploy_ray, "_note_release", after=False)
            try:
                act()
            except Killed:
                return True
        return False

    def active(self) -> str:
        """The cluster that takes the work: it stands, and is what is recorded."""
        session = self.session()
        switch = ray_clusters(session).switch()
        content = ray_clusters(session).ray_cluster(switch.active)
        assert content is not None, "what takes the work does not stand"
        return switch.active

    def standing(self) -> list[str]:
        found = ray_clusters(self.session()).api.list(RAY_CLUSTERS, "ray")["items"]
        return [content["metadata"]["name"] for content in found]

    def recorded(self) -> str:
        """The instance type of the recorded manifest's workers."""
        session = self.session()
        ray = session.records.ray()
        assert ray is not None
        values = session.artifacts.get_content("values", ray.values_digest)
        return str(values["workerGroups"]["cpu"]["instanceType"])


def test_an_upgrade_killed_at_each_of_its_steps_goes_on_and_ends_with_one_cluster(
    world: World,
) -> None:
    step, seen = 0, []
    while True:
        step += 1
        if not world.killed_at(step, world.upgrade):
            break
        seen.append(world.active())
        assert BLUE in world.standing() or seen[-1] == GREEN
    assert step > 5, "the upgrade was not killed where it changes something"
    assert seen == sorted(seen), "the work went back and forth"
    assert (world.active(), world.standing()) == (GREEN, [GREEN])
    assert world.recorded() == "m5.2xlarge"
    assert ray_clusters(world.session()).switch().upgrade is None


def test_each_step_before_the_old_cluster_is_gone_has_a_way_back(world: World) -> None:
    step, ways = 0, 0
    while True:
        step += 1
        if not world.killed_at(step, world.upgrade):
            break
        if BLUE not in world.standing():
            world.upgrade(SMALL)  # too late: a way back is an upgrade of its own
            break
        if ray_clusters(world.session()).switch().upgrade is None:
            continue
        # The way back is killed as well, and gone on with.
        world.killed_at(1 + step % 3, world.back_out)
        if ray_clusters(world.session()).switch().upgrade is not None:
            assert world.back_out() == BLUE
        ways += 1
        assert (world.active(), world.standing()) == (BLUE, [BLUE])
        assert world.recorded() == "m5.xlarge"
    assert ways >= 3


def test_a_new_cluster_that_takes_no_jobs_is_taken_away_and_the_old_one_goes_on(
    world: World,
) -> None:
    world.heads[GREEN].broken = True
    with pytest.raises(RayError, match="ray-green does not work and was taken away; ray goes on"):
        world.upgrade()
    assert (world.active(), world.standing()) == (BLUE, [BLUE])
    assert ray_clusters(world.session()).switch().upgrade is None
    assert world.recorded() == "m5.xlarge"
    with pytest.raises(NotFoundError, match="nothing to back out of"):
        world.back_out()


def test_jobs_that_outlive_the_deadline_keep_the_old_cluster_until_somebody_ends_them(
    world: World,
) -> None:
    world.heads[BLUE].jobs["long"] = "RUNNING"
    with pytest.raises(BusyError, match=r"jobs still run on ray: long; new work goes to ray-green"):
        world.upgrade()
    assert (world.active(), world.standing()) == (GREEN, [BLUE, GREEN])
    assert world.recorded() == "m5.2xlarge"
    # A deployment in place leaves it to its jobs, and a rollback of the release is another way.
    world.upgrade(how="in-place")
    assert world.standing() == [BLUE, GREEN]
    assert any("ray is still drained" in line for line in world.said)
    with pytest.raises(BusyError, match="has its own way back"):
        ray_release.roll_back(world.session(), None, world.said.append)
    world.upgrade(end_jobs=True)
    assert world.heads[BLUE].jobs["long"] == "STOPPED"
    assert (world.active(), world.standing()) == (GREEN, [GREEN])
    actions = [record.event.decision for record in world.session().audit.records()][-3:]
    assert actions == ["switched", "job ended", "finished"]
    # And the other way round: what the namespace has once is still there.
    world.heads[GREEN].jobs["short"] = "RUNNING"
    with pytest.raises(BusyError):
        world.upgrade(SMALL)
    assert world.active() == BLUE
    world.heads[GREEN].jobs["short"] = "SUCCEEDED"
    world.upgrade(SMALL, how="in-place")
    assert (world.active(), world.standing()) == (BLUE, [BLUE])


def test_a_run_may_read_what_its_job_told_before_the_old_cluster_goes(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.heads[BLUE].jobs[job_of("r1")] = "SUCCEEDED"
    asked: list[str] = []

    def live(instance: object, environment: str) -> tuple[LiveRun, ...]:
        asked.append(environment)
        assert world.standing() == [BLUE, GREEN]
        return (LiveRun("r1", environment, "v", None),) if len(asked) < 4 else ()

    monkeypatch.setattr(running_jobs, "live_bursts", live)
    with dg.DagsterInstance.ephemeral() as instance:
        world.upgrade(instance=instance)
    assert (len(asked), world.standing()) == (4, [GREEN])
    assert any("burst-r1 is being read" in line for line in world.said)


def test_a_run_that_read_the_address_before_the_switch_still_finds_its_cluster(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its job comes late: neither cluster has it yet when the work has long been sent elsewhere."""
    blue, job = world.heads[BLUE].jobs, job_of("r1")
    world.heads[GREEN].jobs[job_of("r2")] = "RUNNING"  # on the new one: waits for nobody
    asked: list[str] = []

    def live(instance: object, environment: str) -> tuple[LiveRun, ...]:
        asked.append(environment)
        assert world.standing() == [BLUE, GREEN]
        runs = (LiveRun("r2", environment, "v", None),)
        return (LiveRun("r1", environment, "v", None), *runs) if len(asked) < 5 else runs

    def comes_late(cluster: RayOnKubernetes, name: str) -> tuple[str, ...]:
        if name == BLUE and len(asked) == 3:
            blue[job] = "SUCCEEDED" if job in blue else "RUNNING"
        return jobs_on(cluster, name)

    jobs_on = running_jobs.jobs_on
    monkeypatch.setattr(drain, "jobs_on", comes_late)
    monkeypatch.setattr(running_jobs, "live_bursts", live)
    with dg.DagsterInstance.ephemeral() as instance:
        world.upgrade(instance=instance, drain_seconds=60)
    assert (blue[job], len(asked), world.standing()) == ("SUCCEEDED", 5, [GREEN])
    said = [line for line in world.said if line.startswith("Draining ray: ")]
    assert said == [
        "Draining ray: no jobs, burst-r1 may come",
        "Draining ray: waiting for burst-r1",
        "Draining ray: no jobs, burst-r1 is being read",
    ]


def test_an_upgrade_that_nobody_waits_for_is_finished_once_the_old_cluster_is_idle(
    world: World,
) -> None:
    def seen() -> Due:
        return due(world.session())[0]

    def finish() -> None:
        session = world.session()
        with change_lock(session, "test", tell=world.said.append):
            deploy_ray.finish_upgrade(session, progress=world.said.append)

    assert seen() is Due.NOTHING
    world.heads[BLUE].jobs["long"] = "RUNNING"
    world.upgrade(waits=False, drain_seconds=3600)
    assert (world.active(), world.standing()) == (GREEN, [BLUE, GREEN])
    assert seen() is Due.NOTHING
    # Another one has no third cluster to go to.
    with pytest.raises(BusyError, match="jobs still run on ray: long"):
        world.upgrade(("c6i.xlarge",), waits=False)
    cluster = ray_clusters(world.session())
    cluster.write_switch(cluster.switch().until(datetime(2026, 1, 1, tzinfo=UTC)))
    assert seen() is Due.LATE
    with pytest.raises(BusyError, match="the time is over"):
        finish()
    world.heads[BLUE].jobs["long"] = "SUCCEEDED"
    assert seen() is Due.END
    finish()
    assert (world.standing(), seen()) == ([GREEN], Due.NOTHING)


def test_before_the_switch_a_deployment_in_place_is_refused(world: World) -> None:
    assert world.killed_at(1, world.upgrade)
    with pytest.raises(BusyError, match="a blue/green upgrade from ray to ray-green is preparing"):
        world.upgrade(how="in-place")
    # Files that ask for what stands already end it.
    world.upgrade(SMALL)
    assert world.standing() == [BLUE]
    world.upgrade(SMALL, how="in-place")


def test_a_head_that_lives_and_does_not_answer_is_not_taken_for_idle(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(running_jobs, "is_head_running", lambda cluster, name: True)
    world.heads[BLUE].mute = True
    with pytest.raises(RayError, match="the jobs cannot be listed"):
        world.upgrade()
    assert (world.active(), world.standing()) == (GREEN, [BLUE, GREEN])


def test_somebody_elses_write_into_the_switch_is_told_and_not_guessed_at(world: World) -> None:
    cluster = ray_clusters(world.session())
    patch = {"spec": {"selector": {"ray.io/cluster": "mine"}}}
    cluster.api.patch(SERVICES, SERVICE, "ray", patch)
    with pytest.raises(RayError, match="which Ray cluster takes new work: mine"):
        world.upgrade()
    assert world.standing() == [BLUE]
