"""A long history of burst runs, written into a real Dagster storage faster than Dagster writes it.

`Story` says what happened; `by_dagster` tells it through Dagster's own storage methods, `in_bulk` by the
same rows in large inserts. A test compares the two, row by row, on SQLite and on PostgreSQL.
"""

import base64
import json
import random
import uuid
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cached_property
from pathlib import Path
from typing import Any

import dagster as dg
import sqlalchemy as db
from dagster import DagsterEventType, DagsterInstance
from dagster._core.events import (
    AssetMaterializationPlannedData,
    DagsterEvent,
    StepMaterializationData,
)
from dagster._core.events.log import EventLogEntry
from dagster._core.storage.event_log.schema import (
    AssetEventTagsTable,
    AssetKeyTable,
    SqlEventLogStorageTable,
)
from dagster._core.storage.event_log.sql_event_log import SqlEventLogStorage
from dagster._core.storage.runs.schema import RunsTable, RunTagsTable
from dagster._core.storage.runs.sql_run_storage import SqlRunStorage
from dagster._serdes import serialize_value

from ray_platform.config.partitions import INFRA_VERSION_TAG
from ray_platform.records.infra_version import MODULES, Applied, Ray, manifest
from ray_platform.run_history.asset_facts import BurstFacts, PhaseFacts
from ray_platform.run_history.run_history_store import BURST_ASSET
from ray_platform.store.artifact_store import Artifacts

ROOT = Path(__file__).resolve().parents[2]
BATCH = 500
#: Seconds between the starts of two runs, and how long one lasts.
APART, LASTS = 600.0, 120.0
_START = datetime(2024, 1, 1, tzinfo=UTC).timestamp()


@dataclass(frozen=True)
class Run:
    """One run of the story; ``version`` is empty for one that is no burst run."""

    run_id: str
    started: float
    version: str
    commit: str
    good: bool
    loss: float

    @property
    def ended(self) -> float:
        return self.started + LASTS

    @property
    def job(self) -> str:
        return "burst" if self.version else "drift"


@dataclass(frozen=True)
class Story:
    """``bursts`` burst runs over ``versions`` infra versions in order, after each a run of another job.

    The second of every 20 burst runs failed half-way. ``picture_bytes`` is the size of the plot in each
    materialization; a real one has about 50,000 in base64.
    """

    bursts: int
    versions: int
    picture_bytes: int = 50_000
    seed: int = 7

    @cached_property
    def manifests(self) -> tuple[Mapping[str, Any], ...]:
        """One manifest an infra version: each changes one node pool's bound, every tenth the Ray image."""
        return tuple(
            manifest(
                "local",
                Applied(
                    commit=f"{at:040x}",
                    changes_digest="",
                    configuration_digest="1" * 64,
                    variables_digest=_digest(_variables(at)),
                    provider_lock_digest="3" * 64,
                    plan_digest=f"{at:064x}",
                    state_lineage="generated",
                    state_serial=at + 1,
                    modules={name: _digest(_module(name, at)) for name in MODULES},
                    policy_bundle_digest=f"{at // 50:064x}",
                    price_book_version="4" * 64,
                ),
                Ray(
                    chart_digest="5" * 64,
                    values_digest=_digest(_values(at)),
                    manifest_digest=f"{at:064x}",
                    image=f"rayproject/ray:2.60.{at // 10}",
                    version=f"2.60.{at // 10}",
                ),
            )
            for at in range(self.versions)
        )

    @cached_property
    def names(self) -> tuple[str, ...]:
        return tuple(_digest(item) for item in self.manifests)

    def runs(self) -> Iterator[Run]:
        chance = random.Random(self.seed)  # noqa: S311 - a story that can be told again
        for at in range(self.bursts):
            begun = _START + at * APART
            version = at * self.versions // self.bursts
            for name in (self.names[version], ""):
                yield Run(
                    run_id=str(uuid.UUID(int=chance.getrandbits(128), version=4)),
                    started=begun if name else begun + APART / 2,
                    version=name,
                    commit=self.manifests[version]["commit"],
                    good=at % 20 != 1,
                    loss=round(chance.uniform(0.1, 0.2), 6),
                )

    @cached_property
    def picture(self) -> str:
        chance = random.Random(self.seed)  # noqa: S311
        return base64.b64encode(chance.randbytes(self.picture_bytes * 3 // 4)).decode()

    def keep_artifacts(self, artifacts: Artifacts) -> None:
        """Store every manifest and what its digests stand for."""
        for at, item in enumerate(self.manifests):
            assert artifacts.put_content("manifests", item) == self.names[at]
            artifacts.put_content("variables", _variables(at))
            artifacts.put_content("values", _values(at))
            for name in MODULES:
                if at == 0 or name == "node_pools":
                    artifacts.put_content("modules", _module(name, at))


def by_dagster(instance: DagsterInstance, story: Story, run: Run) -> None:
    """One run of the story through Dagster's own storage methods."""
    created, *events = _entries(story, run)
    runs, log = instance.run_storage, instance.event_log_storage
    runs.add_historical_run(created, _time(run.started))
    for entry in events:
        if run.version and entry is events[-2]:
            runs.add_run_tags(run.run_id, _burst_tags(run))
        log.store_event(entry)
        runs.handle_run_event(run.run_id, entry.dagster_event, _time(entry.timestamp))


def in_bulk(instance: DagsterInstance, story: Story) -> None:
    """The whole story: Dagster's own serialized rows of one run, with each run's values put in."""
    runs, log = instance.run_storage, instance.event_log_storage
    assert isinstance(runs, SqlRunStorage) and isinstance(log, SqlEventLogStorage)
    templates = {key: _template(story, *key) for key in ((1, 1), (1, 0), (0, 1), (0, 0))}
    batch: list[Run] = []
    event_id = 0
    last: Run | None = None
    with runs.connect() as run_rows, log.index_connection() as event_rows:
        for run in story.runs():
            batch.append(run)
            last = run if run.version and run.good else last
            if len(batch) == BATCH:
                event_id = _write(run_rows, event_rows, templates, batch, event_id)
                batch = []
        event_id = _write(run_rows, event_rows, templates, batch, event_id)
        if event_rows.dialect.name == "postgresql":  # the ids were given, not drawn
            event_rows.execute(db.text(f"SELECT setval('event_logs_id_seq', {event_id})"))
        if last:
            event_rows.execute(
                AssetKeyTable.insert().values(
                    asset_key=BURST_ASSET.to_string(),
                    last_run_id=last.run_id,
                    last_materialization_timestamp=_time(last.ended - 1).replace(tzinfo=None),
                )
            )


def keep_shards(instance: DagsterInstance, story: Story, runs: Iterable[Run]) -> None:
    """On SQLite, write the files that hold some runs' own events; elsewhere one table holds all."""
    log = instance.event_log_storage
    assert isinstance(log, SqlEventLogStorage)
    if not log.is_run_sharded:
        return
    for run in {run.run_id: run for run in runs}.values():
        _, *events = _entries(story, run)
        with log.run_connection(run.run_id) as connection:
            for entry in events:
                connection.execute(log.prepare_insert_event(entry))


def _write(
    run_rows: db.Connection,
    event_rows: db.Connection,
    templates: Mapping[tuple[int, int], Any],
    batch: list[Run],
    event_id: int,
) -> int:
    rows: dict[str, list[dict[str, Any]]] = {"runs": [], "tags": [], "events": [], "labels": []}
    for run in batch:
        filled = _fill(templates[int(bool(run.version)), int(run.good)], run)
        rows["runs"].append(filled["run"])
        rows["tags"] += [
            {"run_id": run.run_id, "key": key, "value": value}
            for key, value in {**_first_tags(run), **_burst_tags(run)}.items()
        ]
        for event in filled["events"]:
            event_id += 1
            rows["events"].append({"id": event_id, **event})
            if event["dagster_event_type"] == "ASSET_MATERIALIZATION":
                rows["labels"].append(
                    {
                        "event_id": event_id,
                        "asset_key": BURST_ASSET.to_string(),
                        "key": "dagster/data_version",
                        "value": f"{run.version[:12]}-{run.run_id}",
                        "event_timestamp": event["timestamp"],
                    }
                )
    for connection, table, name in (
        (run_rows, RunsTable, "runs"),
        (run_rows, RunTagsTable, "tags"),
        (event_rows, SqlEventLogStorageTable, "events"),
        (event_rows, AssetEventTagsTable, "labels"),
    ):
        if rows[name]:
            connection.execute(table.insert(), rows[name])
    return event_id


_HOLE = Run(
    run_id="00000000-0000-4000-8000-000000000000",
    started=1111111111.25,
    version="f" * 64,
    commit="e" * 40,
    good=True,
    loss=0.987654321,
)


def _template(story: Story, burst: int, good: int) -> dict[str, Any]:
    run = Run(**{**_HOLE.__dict__, "version": _HOLE.version if burst else "", "good": bool(good)})
    created, *events = _entries(story, run)
    done = created.with_tags({**created.tags, **_burst_tags(run)}).with_status(
        dg.DagsterRunStatus.SUCCESS if good else dg.DagsterRunStatus.FAILURE
    )
    return {
        "body": serialize_value(done),
        "status": done.status.value,
        "job": run.job,
        "events": [(entry, serialize_value(entry)) for entry in events],
    }


def _fill(template: Mapping[str, Any], run: Run) -> dict[str, Any]:
    def filled(text: str) -> str:
        text = text.replace(_HOLE.run_id, run.run_id)
        if run.version:
            text = text.replace(_HOLE.version, run.version).replace(_HOLE.commit, run.commit)
            text = text.replace(_HOLE.version[:12], run.version[:12])
            text = text.replace(repr(_HOLE.loss), repr(run.loss))
        return text

    events = []
    for entry, text in template["events"]:
        then = run.started + (entry.timestamp - _HOLE.started)
        event = entry.dagster_event
        events.append(
            {
                "run_id": run.run_id,
                "event": filled(text).replace(repr(entry.timestamp), repr(then)),
                "dagster_event_type": event.event_type_value,
                "timestamp": _time(then).replace(tzinfo=None),
                "step_key": event.step_key,
                "asset_key": event.asset_key.to_string() if event.asset_key else None,
                "partition": event.partition,
            }
        )
    return {
        "events": events,
        "run": {
            "run_id": run.run_id,
            "pipeline_name": template["job"],
            "status": template["status"],
            "run_body": filled(template["body"]),
            "partition": "local",
            "partition_set": f"{template['job']}_partition_set",
            "create_timestamp": _time(run.started).replace(tzinfo=None),
            "update_timestamp": _time(run.ended).replace(tzinfo=None),
            "start_time": run.started,
            "end_time": run.ended,
        },
    }


def _entries(story: Story, run: Run) -> list[Any]:
    """The run as created, then its events: start, planned, materialization or failure, end."""
    tags = _first_tags(run)
    created = dg.DagsterRun(
        job_name=run.job, run_id=run.run_id, status=dg.DagsterRunStatus.NOT_STARTED, tags=tags
    )

    def event(kind: DagsterEventType, at: float, data: Any = None) -> EventLogEntry:
        step = "burst_run" if data else None
        return EventLogEntry(
            error_info=None,
            level=10,
            user_message="",
            run_id=run.run_id,
            timestamp=run.started + at,
            step_key=step,
            job_name=run.job,
            dagster_event=DagsterEvent(
                event_type_value=kind.value,
                job_name=run.job,
                message="",
                step_key=step,
                event_specific_data=data,
            ),
        )

    end = DagsterEventType.PIPELINE_SUCCESS if run.good else DagsterEventType.PIPELINE_FAILURE
    found = [event(DagsterEventType.PIPELINE_START, 0.0)]
    if run.version:
        planned = AssetMaterializationPlannedData(BURST_ASSET, partition="local")
        found.append(event(DagsterEventType.ASSET_MATERIALIZATION_PLANNED, 0.5, planned))
    if run.version and run.good:
        made = StepMaterializationData(_materialization(story, run), [])
        found.append(event(DagsterEventType.ASSET_MATERIALIZATION, LASTS - 1, made))
    found.append(event(end, LASTS))
    return [created, *found]


def _materialization(story: Story, run: Run) -> dg.AssetMaterialization:
    phases = tuple(
        PhaseFacts(
            name=f"phase-{at}",
            tasks=2,
            workers_wanted=2,
            workers_reached=2,
            seconds_to_reach=2.0 + at,
            seconds=10.0 + at,
            samples_per_second=100.0,
            failures=0,
            retries=0,
            loss=run.loss,
            node_seconds={"cpu": 60.0},
            error="",
        )
        for at in range(6)
    )
    facts = BurstFacts(
        infra_version=run.version,
        commit=run.commit,
        loss=run.loss,
        seconds=LASTS,
        node_seconds=400.0,
        usd=0.25,
        failures=0,
        retries=1,
        phases=phases,
    )
    return dg.AssetMaterialization(
        BURST_ASSET,
        partition="local",
        metadata={
            **facts.to_metadata(),
            "autoscaling": dg.MetadataValue.md(f"![](data:image/png;base64,{story.picture})"),
            "manifest": dg.MetadataValue.md(
                f"```json\n{json.dumps(dict(story.manifests[0]), indent=2)}\n```"
            ),
        },
        tags={"dagster/data_version": f"{run.version[:12]}-{run.run_id}"},
    )


def _first_tags(run: Run) -> dict[str, str]:
    return {
        "dagster/partition": "local",
        "dagster/partition_set": f"{run.job}_partition_set",
    }


def _burst_tags(run: Run) -> dict[str, str]:
    return {INFRA_VERSION_TAG: run.version} if run.version else {}


def _time(seconds: float) -> datetime:
    return datetime.fromtimestamp(seconds, UTC)


def _digest(value: Any) -> str:
    from ray_platform.text.canonical import digest

    return digest(value)


def _variables(at: int) -> dict[str, Any]:
    return {"region": "us-east-1", "node_pools": {"cpu": {"min_size": 2, "max_size": 4 + at}}}


def _values(at: int) -> dict[str, Any]:
    return {"workerGroups": [{"name": "cpu", "minReplicas": 2, "maxReplicas": 4 + at}]}


_RESOURCES: dict[str, dict[str, Any]] = {}


def _module(name: str, at: int) -> dict[str, Any]:
    """A module's resources as a real plan has them; the node groups' bound moves with the version."""
    if not _RESOURCES:
        plan = json.loads((ROOT / "tests" / "data" / "plan_local.json").read_text(encoding="utf-8"))
        for item in plan["resource_changes"]:
            if item["mode"] == "managed":
                module = item["address"].split(".")[1]
                after = item["change"]["after"] or {}
                _RESOURCES.setdefault(module, {})[item["address"]] = after
    resources = dict(_RESOURCES.get(name, {}))
    if name == "node_pools":
        for address, attributes in resources.items():
            if "aws_eks_node_group" in address and '"cpu"' in address:
                scaling = [{**attributes["scaling_config"][0], "max_size": 4 + at}]
                resources[address] = {**attributes, "scaling_config": scaling}
    return resources
