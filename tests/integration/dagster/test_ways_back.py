"""Ways back for the Ray cluster are runs: the asset shows what is current, and the lease has a run id."""

from collections.abc import Callable, Iterator, Mapping
from typing import Any

import dagster as dg
import pytest

from ray_platform.change.deploy_ray import data_version
from ray_platform.cli.run_jobs import execute
from ray_platform.config.partitions import RAY_UPGRADE_TAG
from ray_platform.config.upgrade_wish import UpgradeWish
from ray_platform.definitions import defs
from ray_platform.defs import resources
from ray_platform.ray.clusters import ray_clusters
from ray_platform.ray.upgrade.switch import BLUE, GREEN
from ray_platform.session import lock
from ray_platform.session.environment_session import EnvironmentSession
from tests.integration.kubernetes.test_upgrade_orders import SMALL, World, heads, settings, world
from tests.support.sessions import changed, on_cluster

__all__ = ["heads", "settings", "world"]  # fixtures

pytestmark = [pytest.mark.real, pytest.mark.xdist_group("kubernetes")]

WISH = UpgradeWish("blue-green", drain_seconds=0, end_jobs=True, waits=True)


@pytest.fixture
def instance() -> Iterator[dg.DagsterInstance]:
    with dg.DagsterInstance.ephemeral() as made:
        yield made


@pytest.fixture
def holders(world: World, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Lets runs work on the world's sites; the run ids of all leases that are taken."""
    taken: list[str] = []

    def session_of(*_: Any, **__: Any) -> Callable[..., EnvironmentSession]:
        def make(**given: Any) -> EnvironmentSession:
            session = world.session()
            names = ("run_id", "instance", "asked_by", "ray_upgrade")
            known = {name: given[name] for name in names if given[name] is not None}
            return on_cluster(changed(session, **known), ray_clusters(session))

        return make

    real = lock.hold

    def hold(session: EnvironmentSession, what: str, **more: Any) -> Any:
        taken.append(session.run_id)
        return real(session, what, **more)

    monkeypatch.setattr(resources, "load_settings", lambda: world.settings)
    monkeypatch.setattr(resources, "session_of", session_of)
    monkeypatch.setattr(lock, "hold", hold)
    return taken


def run(instance: dg.DagsterInstance, job: str, config: Mapping[str, Any]) -> Any:
    tags = {RAY_UPGRADE_TAG: WISH.to_tag()}
    return execute(defs().resolve_job_def(job), instance, "local", tags, config)


def shown(instance: dg.DagsterInstance) -> tuple[str, Mapping[str, Any]]:
    """The data version and the metadata that Dagster shows of `ray_cluster`."""
    event = instance.get_latest_materialization_event(dg.AssetKey("ray_cluster"))
    assert event is not None and event.asset_materialization is not None
    made = event.asset_materialization
    assert made.partition == "local" and made.tags is not None
    return made.tags["dagster/data_version"], {k: v.value for k, v in made.metadata.items()}


def recorded(world: World) -> str:
    ray = world.session().records.ray()
    assert ray is not None
    return data_version(ray)


def test_a_rollback_is_a_run_that_materializes_what_is_current(
    world: World, instance: dg.DagsterInstance, holders: list[str]
) -> None:
    before = recorded(world)
    world.upgrade(how="in-place")
    assert recorded(world) != before
    done = run(instance, "roll_back_ray", {})
    assert done.success
    version, facts = shown(instance)
    assert version == before == recorded(world)
    assert (
        facts["release_revision"]
        == ray_clusters(world.session()).releases.history(BLUE)[-1].revision
    )
    assert SMALL[0] in facts["worker groups"]
    assert holders[-1] == done.run_id
    decided = world.session().audit.latest(1)[0].event
    assert (decided.action, decided.run_id) == ("ray-rollback", done.run_id)


def test_a_revision_that_does_not_exist_fails_the_run_by_name(
    world: World, instance: dg.DagsterInstance, holders: list[str]
) -> None:
    config = {"ops": {"make_earlier_revision_current": {"config": {"revision": 77}}}}
    done = run(instance, "roll_back_ray", config)
    assert not done.success
    (failed,) = done.filter_events(lambda event: event.is_step_failure)
    assert "no earlier revision 77" in failed.step_failure_data.user_failure_data.description
    assert instance.get_latest_materialization_event(dg.AssetKey("ray_cluster")) is None


def test_backing_out_of_an_upgrade_is_a_run_that_materializes_the_cluster_before(
    world: World, instance: dg.DagsterInstance, holders: list[str]
) -> None:
    before = recorded(world)
    switched = _switched(world)
    assert (switched, recorded(world) == before) == (GREEN, False)
    done = run(instance, "back_out_ray_upgrade", {})
    assert done.success
    assert (world.active(), shown(instance)[0]) == (BLUE, before)
    assert holders[-1] == done.run_id


def test_backing_out_before_the_switch_leaves_the_asset_as_it_is(
    world: World, instance: dg.DagsterInstance, holders: list[str]
) -> None:
    step = 0
    while ray_clusters(world.session()).switch().upgrade is None:
        step += 1
        assert world.killed_at(step, world.upgrade)
    assert run(instance, "back_out_ray_upgrade", {}).success
    assert instance.get_latest_materialization_event(dg.AssetKey("ray_cluster")) is None


def _switched(world: World) -> str:
    """An upgrade that is killed after new runs go to the new cluster and that is recorded."""
    step = 0
    while ray_clusters(world.session()).switch().active == BLUE or world.recorded() == SMALL[0]:
        step += 1
        assert world.killed_at(step, world.upgrade)
    return ray_clusters(world.session()).switch().active
