"""Runs a Ray job in a Dagster Pipes session: what it tells comes back as Dagster's own events."""

import logging
from pathlib import Path
from typing import TYPE_CHECKING

from ray_platform.ray.jobs_client import job_client, use_token

if TYPE_CHECKING:
    from dagster_ray.core.pipes import PipesRayJobClient
    from ray.job_submission import JobSubmissionClient

#: How long a head that does not answer is asked again: a busy one, a network that is back in a moment.
PATIENCE_SECONDS = 60.0
#: What a session raises when its job cannot be followed to a good end.
FAILURES = (RuntimeError, OSError)


def pipes_client(
    address: str, token_path: Path | None = None, *, poll_seconds: float = 1.0
) -> "PipesRayJobClient":
    """A Dagster Pipes client for jobs on that cluster; a run that is ended stops its job.

    Use it as ``pipes_client(...).run(context=context, submit_job_params={...})``. It raises one of `FAILURES`
    when the job fails, when the head stays silent, and when a new head knows nothing of it.
    """
    from dagster_ray.core.pipes import PipesRayJobClient, PipesRayJobMessageReader
    from ray.dashboard.modules import dashboard_sdk
    from ray.dashboard.modules.job import sdk

    use_token(token_path)
    # They tell of packages, uploads and closed connections, on the terminal of whoever started the run;
    # two set their own level when they are imported.
    uploads = logging.getLogger("ray._private.runtime_env.packaging")
    for logger in (uploads, dashboard_sdk.logger, sdk.logger):
        logger.setLevel(logging.WARNING)
    patient = job_client(address, patience_seconds=PATIENCE_SECONDS)

    class Reader(PipesRayJobMessageReader):
        @property
        def client(self) -> "JobSubmissionClient":
            return patient

    made = PipesRayJobClient(
        address=address,
        forward_termination=True,
        poll_interval=poll_seconds,
        message_reader=Reader(),
    )
    made.__dict__["client"] = patient
    return made


def why(error: Exception) -> str:
    """What one of a session's `FAILURES` says."""
    if "status code 404" in str(error):
        return (
            "the head was lost in the middle, and the job with it: the new one knows nothing of it"
        )
    if isinstance(error, OSError):
        return f"the head does not answer any more: {error}"
    return str(error)


def pipes_module() -> str:
    """The folder of the module `dagster_pipes`, to be sent with a job: Ray's own images do not have it."""
    import dagster_pipes

    return str(Path(dagster_pipes.__file__).parent)
