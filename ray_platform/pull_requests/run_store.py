"""The runs that were started for pull requests, from Dagster's storage: those that changed, in one query."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime

from dagster import DagsterInstance, RunsFilter

from ray_platform.config.partitions import (
    ASKED_FOR_TAG,
    COMMIT_TAG,
    PLAN_TAG,
    PULL_TAG,
    REPOSITORY_TAG,
)
from ray_platform.config.repository import Repository
from ray_platform.github.model import PullRef

#: The jobs that a decision asks about; others may bear the tags too, as a burst run on what was applied.
KINDS = ("plan", "apply")
_PARTITION_TAG = "dagster/partition"


@dataclass(frozen=True)
class PullRequestRun:
    """One run. ``created`` in epoch seconds; ``kind`` is its job's name."""

    pull: PullRef
    environment: str
    run_id: str
    kind: str
    is_active: bool
    failed: bool
    created: float
    commit: str
    plan_digest: str
    asked_for: str


def runs_since(
    instance: DagsterInstance, repository: Repository, since: float
) -> Iterator[PullRequestRun]:
    """The runs of a repository's pull requests that changed after a time, oldest first.

    Args:
        instance: Whose storage is asked.
        repository: Whose pull requests.
        since: Epoch seconds; 0 for all of history.
    """
    records = instance.get_run_records(
        RunsFilter(
            tags={REPOSITORY_TAG: str(repository)},
            updated_after=datetime.fromtimestamp(since, UTC) if since else None,
        ),
        ascending=True,
    )
    for record in records:
        run = record.dagster_run
        if run.job_name not in KINDS:
            continue
        yield PullRequestRun(
            pull=PullRef.parse(run.tags[PULL_TAG]),
            environment=run.tags.get(_PARTITION_TAG, ""),
            run_id=run.run_id,
            kind=run.job_name,
            is_active=not run.is_finished,
            failed=run.is_failure_or_canceled,
            created=record.create_timestamp.timestamp(),
            commit=run.tags.get(COMMIT_TAG, ""),
            plan_digest=run.tags.get(PLAN_TAG, ""),
            asked_for=run.tags.get(ASKED_FOR_TAG, ""),
        )
