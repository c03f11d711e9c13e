"""What all jobs share: stages run one after the other in one process, and tell their progress."""

import dagster as dg

from ray_platform.progress import progress


@dg.definitions
def platform() -> dg.Definitions:
    # In process: a stage's work is done by terraform and Ray, and another process for each stage would
    # load the code location again for nothing.
    return dg.Definitions(executor=dg.in_process_executor, loggers={"progress": progress})
