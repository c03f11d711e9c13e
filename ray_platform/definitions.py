"""The code location: everything below `defs/`, in the order of the walk."""

import warnings

import dagster as dg

# Dagster is pinned exactly, so what is in preview in it does not move under us.
warnings.filterwarnings("ignore", category=dg.PreviewWarning)
warnings.filterwarnings("ignore", category=dg.BetaWarning)

from ray_platform.defs import (  # noqa: E402 - after the filters above  # noqa: E402 - after the filters above  # noqa: E402 - after the filters above  # noqa: E402 - after the filters above  # noqa: E402 - after the filters above  # noqa: E402 - after the filters above  # noqa: E402 - after the filters above  # noqa: E402 - after the filters above  # noqa: E402 - after the filters above  # noqa: E402 - after the filters above  # noqa: E402 - after the filters above  # noqa: E402 - after the filters above  # noqa: E402 - after the filters above
    apply_assets,
    burst_run,
    daily_cost_report,
    destroy_job,
    drift_report,
    failed_runs,
    git_pushes,
    pull_request_sensor,
    ray_cluster_asset,
    ray_upgrade_jobs,
    ray_way_back,
    terraform_plan,
    walk_jobs,
)
from ray_platform.defs.progress import progress  # noqa: E402
from ray_platform.defs.resources import EnvironmentSessions  # noqa: E402


@dg.definitions
def defs() -> dg.Definitions:
    # The modules are named rather than found: `load_from_defs_folder` imports the component libraries of
    # every installed package first, which takes longer than all of this (bench/load_time.py).
    #
    # In process: a stage's work is done by terraform and Ray, and another process for each stage would
    # load the code location again for nothing.
    return dg.load_definitions_from_modules(
        [
            git_pushes,
            pull_request_sensor,
            terraform_plan,
            apply_assets,
            ray_cluster_asset,
            ray_upgrade_jobs,
            ray_way_back,
            burst_run,
            daily_cost_report,
            drift_report,
            walk_jobs,
            destroy_job,
            failed_runs,
        ],
        resources={"sessions": EnvironmentSessions()},
        executor=dg.in_process_executor,
        loggers={"progress": progress},
    )
