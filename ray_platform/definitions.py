"""The code location: everything below `defs/`, in the order of the walk."""

import warnings

import dagster as dg

# Dagster is pinned exactly, so what is in preview in it does not move under us.
warnings.filterwarnings("ignore", category=dg.PreviewWarning)
warnings.filterwarnings("ignore", category=dg.BetaWarning)

from ray_platform.defs import (  # noqa: E402 - after the filters above
    apply,
    burst,
    cost,
    destroy,
    drift,
    failures,
    git,
    plan,
    pull_requests,
    ray_cluster,
    ray_upgrade,
    walk,
)
from ray_platform.progress import progress  # noqa: E402


@dg.definitions
def defs() -> dg.Definitions:
    # The modules are named rather than found: `load_from_defs_folder` imports the component libraries of
    # every installed package first, which takes longer than all of this (bench/load_time.py).
    #
    # In process: a stage's work is done by terraform and Ray, and another process for each stage would
    # load the code location again for nothing.
    return dg.load_definitions_from_modules(
        [
            git,
            pull_requests,
            plan,
            apply,
            ray_cluster,
            ray_upgrade,
            burst,
            cost,
            drift,
            walk,
            destroy,
            failures,
        ],
        executor=dg.in_process_executor,
        loggers={"progress": progress},
    )
