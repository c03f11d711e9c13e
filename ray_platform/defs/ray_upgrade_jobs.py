"""The end of a blue/green upgrade that nobody stands by: the old cluster goes once its jobs have ended."""

from collections.abc import Iterator

import dagster as dg

from ray_platform.change.deploy_ray import finish_upgrade
from ray_platform.config.partitions import ASKED_BY_TAG, CHANGE_TAG, environments
from ray_platform.config.settings import Environment, load_settings
from ray_platform.defs.resources import EnvironmentSessions
from ray_platform.ray.endpoint import running_services
from ray_platform.ray.upgrade.drain import Due, due, now
from ray_platform.session.environment_session import open_session
from ray_platform.session.lock import change_lock
from ray_platform.text.errors import NotFoundError, PlatformError


@dg.op(description="End the Ray cluster that takes no new work, if it has no jobs.")
def end_drained_cluster(context: dg.OpExecutionContext, sessions: EnvironmentSessions) -> None:
    with (
        sessions.open(context) as session,
        change_lock(session, f"finish_ray_upgrade, run {context.run_id}", tell=context.log.info),
    ):
        finish_upgrade(session, progress=context.log.info)


@dg.job(
    partitions_def=environments,
    description="End the Ray cluster that a blue/green upgrade has left, once it has no jobs.",
)
def finish_ray_upgrade() -> None:
    end_drained_cluster()


@dg.sensor(
    job=finish_ray_upgrade,
    minimum_interval_seconds=60,
    default_status=dg.DefaultSensorStatus.RUNNING,
    description='Ends the old Ray cluster of an upgrade without jobs, where ray.upgrade = "blue-green".',
)
def drained_ray_clusters(
    context: dg.SensorEvaluationContext,
) -> Iterator[dg.RunRequest | dg.SkipReason]:
    settings = load_settings()
    chosen = [settings.environment(name) for name in settings.environment_names]
    watched = [environment.name for environment in chosen if _is_watched(environment)]
    asked = 0
    for name in watched:
        session = open_session(settings, name, instance=context.instance)
        if session.adapters.local_kubernetes and running_services(session)["kubernetes"] is None:
            continue  # nothing is started to look at it
        try:
            found, switch = due(session)
        except NotFoundError:
            continue  # nothing is applied there yet
        except PlatformError as error:
            context.log.warning(f"{name}: {error.what}")
            continue
        if found is Due.NOTHING or switch.upgrade is None:
            continue
        asked += 1
        # A run that failed is asked for again: the next hour, or for one that is late the next day.
        again = f"{now():%Y-%m-%dT%H}" if found is Due.END else f"{now():%Y-%m-%d}"
        yield dg.RunRequest(
            run_key=f"ray-drain-{name}-{switch.upgrade.started}-{switch.upgrade.step}-{found.value}-{again}",
            partition_key=name,
            tags={CHANGE_TAG: name, ASKED_BY_TAG: "sensor drained_ray_clusters"},
        )
    if not asked:
        nothing = 'no environment has ray.upgrade = "blue-green" and is set up'
        yield dg.SkipReason("no Ray cluster has been drained" if watched else nothing)


def _is_watched(environment: Environment) -> bool:
    return (
        environment.is_set_up
        and environment.ray.runtime == "kubernetes"
        and environment.ray.upgrade == "blue-green"
        and environment.gitops.mode == "install"
    )
