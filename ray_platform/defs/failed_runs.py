"""One message for a failed run: what failed, where, and what to do."""

from collections.abc import Mapping

import dagster as dg
from dagster._core.execution.plan.objects import UserFailureData

from ray_platform.config.partitions import COMMIT_TAG
from ray_platform.store.failure_facts import FailureFacts
from ray_platform.text.errors import FactsError
from ray_platform.text.redaction import redact_text

_PARTITION_TAG = "dagster/partition"


def failure_message(
    *, job: str, run_id: str, partition: str, commit: str, steps: Mapping[str, tuple[str, str]]
) -> str:
    """The message.

    Args:
        job: The job's name.
        run_id: The run's id.
        partition: Its partition; empty for none.
        commit: The commit that it took its files from; empty for the working tree.
        steps: What each failed step says: (what and where, what to do), by step.
    """
    lines = [
        f"{job} failed for {partition or 'no partition'} at {commit[:12] or 'the working tree'}"
    ]
    for step, (said, remedy) in steps.items():
        lines.append(f"  {step}: {said}")
        lines.append(f"    what to do: {remedy}")
    lines.append(f"  run: {run_id}")
    return redact_text("\n".join(lines))


@dg.run_failure_sensor(
    name="failed_runs",
    minimum_interval_seconds=30,
    default_status=dg.DefaultSensorStatus.RUNNING,
    description="Says of each failed run in one message what failed, where and what to do.",
)
def failed_runs(context: dg.RunFailureSensorContext) -> None:
    run = context.dagster_run
    steps = {}
    for event in context.get_step_failure_events():
        data = event.step_failure_data
        failure = data.user_failure_data
        if failure is not None:
            steps[event.step_key or "?"] = _told(failure, run.run_id)
        else:
            error = data.error.cause or data.error if data.error else None
            denied = error is not None and error.cls_name == "DagsterAssetCheckFailedError"
            steps[event.step_key or "?"] = (
                error.message.strip() if error else "no reason given",
                "the check's metadata names rule, resource and remedy"
                if denied
                else "see the run's log; this is a failure that the platform does not know",
            )
    message = failure_message(
        job=run.job_name,
        run_id=run.run_id,
        partition=run.tags.get(_PARTITION_TAG, ""),
        commit=run.tags.get(COMMIT_TAG, ""),
        steps=steps or {"run": (context.failure_event.message or "", "see the run's log")},
    )
    context.log.error(message)


def _told(failure: UserFailureData, run_id: str) -> tuple[str, str]:
    """(what and where, what to do) of a failed step."""
    see = "see the run's log"
    try:
        facts = FailureFacts.found_in(failure.metadata, where=f"run {run_id}")
    except FactsError as error:
        return failure.description or error.what, see
    if facts is None:
        return failure.description or "no reason given", see
    at = f"\n  where: {facts.where}" if facts.where else ""
    return f"{facts.what}{at}", facts.fix or see
