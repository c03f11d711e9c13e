"""What a check judges: the materialization of its own run, not whatever came last in the partition.

Two runs may report on one partition at the same time, and a check of the first must not judge the
report of the second. A run that Dagster retries repeats only the steps that failed, so the report may
be that of the run it retries.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Generic, TypeVar

import dagster as dg
from dagster import DagsterEventType

from ray_platform.store.typed_facts import Facts
from ray_platform.text.errors import FactsError

F = TypeVar("F", bound=Facts)


@dataclass(frozen=True)
class Report(Generic[F]):
    """What a check judges, and the run that made it."""

    facts: F
    run_id: str


def report_to_judge(
    context: dg.AssetCheckExecutionContext, asset: dg.AssetKey, kind: type[F]
) -> Report[F] | dg.AssetCheckResult:
    """The report that a check judges, or the check's result where there is none to judge.

    A run that makes the report judges that one. A run of the check alone judges the latest of its
    partition.

    Args:
        context: The check's.
        asset: The asset that is checked.
        kind: The class of its facts.
    """
    name, partition = asset.to_user_string(), str(context.partition_key)
    planned = False
    for run in _with_retried(context):
        found = context.instance.all_logs(
            run.run_id,
            of_type={
                DagsterEventType.ASSET_MATERIALIZATION,
                DagsterEventType.ASSET_MATERIALIZATION_PLANNED,
            },
        )
        events = [entry.dagster_event for entry in found if entry.dagster_event is not None]
        about = [
            event for event in events if event.asset_key == asset and event.partition == partition
        ]
        planned = planned or bool(about)
        made = [
            event.step_materialization_data.materialization
            for event in about
            if event.is_step_materialization
        ]
        if made:
            return _read(made[-1], kind, run.run_id, name, partition)
    if planned:
        return _nothing(f"run {context.run.run_id} made no {name} of {partition}", name, partition)
    records = context.instance.fetch_materializations(
        dg.AssetRecordsFilter(asset_key=asset, asset_partitions=[partition]), limit=1
    ).records
    if not records or records[0].asset_materialization is None:
        return _nothing(f"{partition} has no {name} yet", name, partition)
    latest = records[0]
    return _read(latest.asset_materialization, kind, latest.run_id, name, partition)


def _read(
    made: dg.AssetMaterialization | None, kind: type[F], run_id: str, name: str, partition: str
) -> Report[F] | dg.AssetCheckResult:
    try:
        metadata = made.metadata if made else {}
        return Report(
            kind.from_metadata(metadata, where=f"{name} of {partition}, run {run_id}"), run_id
        )
    except FactsError as error:
        return _nothing(error.what, name, partition)


def _nothing(why: str, name: str, partition: str) -> dg.AssetCheckResult:
    return dg.AssetCheckResult(
        passed=False,
        severity=dg.AssetCheckSeverity.WARN,
        description=f"Nothing to judge: {why}. Materialize {name} for {partition}, then rerun the check.",
    )


def _with_retried(context: dg.AssetCheckExecutionContext) -> Iterator[dg.DagsterRun]:
    """The run, the one that it retries, and so on to the first."""
    run: dg.DagsterRun | None = context.run
    while run is not None:
        yield run
        parent = run.get_parent_run_id()
        run = context.instance.get_run_by_id(parent) if parent else None
