"""Dagster's own event log, asked about burst runs: it answers for what the UI started too."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import dagster as dg
from dagster import DagsterEventType, DagsterInstance, RunsFilter

from ray_platform.core.errors import NotFoundError
from ray_platform.partitions import INFRA_VERSION_TAG

BURST_ASSET = dg.AssetKey("burst_run")
_PARTITION_TAG = "dagster/partition"
MIN_PREFIX = 6


@dataclass(frozen=True)
class BurstRun:
    """One training run as the event log tells it.

    ``started`` and ``ended`` are epoch seconds, None while unknown; ``facts`` are the scalar metadata of
    its materialization (loss, node-seconds, US dollars ...), empty for a run that did not end well.
    """

    run_id: str
    environment: str
    infra_version: str
    status: str
    started: float | None
    ended: float | None
    facts: Mapping[str, Any]


class RunHistory:
    """Burst runs and their infra versions."""

    def __init__(self, instance: DagsterInstance) -> None:
        self.instance = instance

    def burst(self, run_id: str) -> BurstRun:
        """One burst run by its id or a unique beginning of it.

        Raises:
            NotFoundError: no such run, or one that trained nothing.
        """
        records = self.instance.get_run_records(RunsFilter(run_ids=[run_id]), limit=1)
        if not records:
            records = [
                record
                for record in self.instance.get_run_records(
                    RunsFilter(tags={INFRA_VERSION_TAG: self._versions()})
                )
                if record.dagster_run.run_id.startswith(run_id) and len(run_id) >= MIN_PREFIX
            ]
        if len(records) != 1:
            raise NotFoundError(
                f"{len(records) or 'no'} burst runs have the id {run_id!r}",
                where="Dagster's run storage",
                fix="ray-platform runs lists them",
            )
        return self._burst(records[0])

    def bursts(self, infra_version: str | None = None, *, limit: int = 50) -> tuple[BurstRun, ...]:
        """Burst runs, newest first: all, or those that ran on an infra version.

        Args:
            infra_version: A version or a unique beginning of one.
            limit: How many at the most.

        Raises:
            NotFoundError: no run ran on such a version, or several versions begin like it.
        """
        versions = self._versions()
        if infra_version is not None:
            versions = [version for version in versions if version.startswith(infra_version)]
            if len(versions) != 1 or len(infra_version) < MIN_PREFIX:
                raise NotFoundError(
                    f"{len(versions)} infra versions that runs ran on begin with {infra_version!r}",
                    where="Dagster's run storage",
                    fix=f"give at least {MIN_PREFIX} characters of one that `ray-platform runs` shows",
                )
        if not versions:
            return ()
        records = self.instance.get_run_records(
            RunsFilter(tags={INFRA_VERSION_TAG: versions}), limit=limit
        )
        return tuple(self._burst(record) for record in records)

    def _versions(self) -> list[str]:
        found = self.instance.get_run_tags(tag_keys=[INFRA_VERSION_TAG])
        return sorted(value for _, values in found for value in values)

    def _burst(self, record: dg.RunRecord) -> BurstRun:
        run = record.dagster_run
        facts, version = self._facts(run.run_id)
        version = version or run.tags.get(INFRA_VERSION_TAG, "")
        if not version:
            raise NotFoundError(
                f"run {run.run_id} is not a burst run: it has no infra version",
                where=f"job {run.job_name}",
                fix="ray-platform runs lists the burst runs",
            )
        return BurstRun(
            run_id=run.run_id,
            environment=run.tags.get(_PARTITION_TAG, ""),
            infra_version=version,
            status=run.status.value,
            started=record.start_time,
            ended=record.end_time,
            facts=facts,
        )

    def _facts(self, run_id: str) -> tuple[dict[str, Any], str]:
        found = self.instance.get_records_for_run(
            run_id, of_type=DagsterEventType.ASSET_MATERIALIZATION
        )
        for record in found.records:
            event = record.event_log_entry.asset_materialization
            if event is not None and event.asset_key == BURST_ASSET:
                facts = {
                    name: value.value
                    for name, value in event.metadata.items()
                    if isinstance(value.value, (int, float, str, bool))
                    and len(str(value.value)) < 200
                }
                return facts, str(facts.get("infra version", ""))
        return {}, ""
