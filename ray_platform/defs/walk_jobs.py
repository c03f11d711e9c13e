"""The jobs that cross stages: the whole walk, and the apply of a plan that was made before."""

import dagster as dg

from ray_platform.config.partitions import CHANGE_TAG, environments
from ray_platform.records.infra_version import MODULES

_PLAN = ("terraform_plan",)
_CLUSTER = ("ray_cluster",)
_RUN = ("burst_run",)


def change_config(environment: str) -> dict[str, str]:
    """The run tag that keeps changes of one environment apart, whoever starts the run."""
    return {CHANGE_TAG: environment}


_one_change_at_a_time: dg.PartitionedConfig = dg.PartitionedConfig(
    partitions_def=environments,
    run_config_for_partition_key_fn=lambda _: {},
    tags_for_partition_key_fn=change_config,
)

up = dg.define_asset_job(
    "up",
    selection=dg.AssetSelection.assets(*_PLAN, *MODULES, *_CLUSTER, *_RUN),
    config=_one_change_at_a_time,
    description="The whole walk: plan, checks, apply, Ray cluster, burst run.",
)

apply = dg.define_asset_job(
    "apply",
    selection=(
        dg.AssetSelection.assets(*MODULES, *_CLUSTER)
        # The plan's checks without the plan: it was made before, and is judged again.
        | dg.AssetSelection.checks_for_assets(*_PLAN)
    ),
    config=_one_change_at_a_time,
    description="Apply a plan that was made and approved before, and bring Ray in line with it.",
)

change = dg.define_asset_job(
    "change",
    selection=dg.AssetSelection.assets(*_PLAN, *MODULES, *_CLUSTER),
    config=_one_change_at_a_time,
    description="Plan, checks, apply, Ray cluster: the walk without a burst run.",
)
