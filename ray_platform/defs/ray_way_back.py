"""The two ways back for the Ray cluster: to an earlier revision of its release, and out of an upgrade."""

import dagster as dg

from ray_platform.change.deploy_ray import RayClusterReady, back_out, data_version, roll_back
from ray_platform.config.partitions import CHANGE_TAG, environments
from ray_platform.defs.ray_cluster_asset import metadata_of
from ray_platform.defs.resources import EnvironmentSessions
from ray_platform.session.lock import change_lock

#: Of both jobs: one change of an environment at a time, whoever starts the run.
_CHANGE: dg.PartitionedConfig = dg.PartitionedConfig(
    partitions_def=environments,
    run_config_for_partition_key_fn=lambda _: {},
    tags_for_partition_key_fn=lambda environment: {CHANGE_TAG: environment},
)


class EarlierRevision(dg.Config):
    """``revision`` is a number that `ray-platform ray history` lists; without it, the one before."""

    revision: int | None = None


@dg.op(description="Make an earlier revision of the Ray release the current one.")
def make_earlier_revision_current(
    context: dg.OpExecutionContext, config: EarlierRevision, sessions: EnvironmentSessions
) -> None:
    with (
        sessions.open(context) as session,
        change_lock(session, f"roll_back_ray, run {context.run_id}", tell=context.log.info),
    ):
        ready = roll_back(session, config.revision, progress=context.log.info)
        _materialized(context, ready, "rolled back")


@dg.op(description="Send new runs back to the cluster before the upgrade, and end the new one.")
def return_to_cluster_before(context: dg.OpExecutionContext, sessions: EnvironmentSessions) -> None:
    with (
        sessions.open(context) as session,
        change_lock(session, f"back_out_ray_upgrade, run {context.run_id}", tell=context.log.info),
    ):
        active = back_out(
            session,
            progress=context.log.info,
            moved=lambda ready: _materialized(context, ready, "backed out of an upgrade"),
        )
        context.log.info(f"{active} is the active cluster")


def _materialized(context: dg.OpExecutionContext, ready: RayClusterReady, how: str) -> None:
    context.log_event(
        dg.AssetMaterialization(
            "ray_cluster",
            partition=context.partition_key,
            description=how,
            metadata=metadata_of(ready),
            tags={"dagster/data_version": data_version(ready.ray)},
        )
    )


@dg.job(
    config=_CHANGE,
    description="Make an earlier revision of the Ray release the current one.",
)
def roll_back_ray() -> None:
    make_earlier_revision_current()


@dg.job(
    config=_CHANGE,
    description="Back out of a blue/green upgrade of the Ray cluster.",
)
def back_out_ray_upgrade() -> None:
    return_to_cluster_before()
