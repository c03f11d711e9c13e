"""Lineage answers from a long history at once, on SQLite and PostgreSQL, and never wrongly."""

import sqlite3
import time
from collections.abc import Callable
from dataclasses import replace
from itertools import islice
from pathlib import Path
from statistics import median
from typing import Any

import dagster as dg
import pytest
import sqlalchemy as db
from dagster._core.storage.event_log.schema import AssetEventTagsTable, SqlEventLogStorageTable
from dagster._core.storage.runs.schema import RunsTable, RunTagsTable

from ray_platform.config.partitions import INFRA_VERSION_TAG
from ray_platform.lineage.trace import describe, explain
from ray_platform.records.records_store import Records
from ray_platform.run_history.run_history_store import (
    BURST_ASSET,
    BurstRun,
    RunHistory,
    hold_connections,
)
from ray_platform.store.artifact_store import Artifacts, FileStore
from ray_platform.text.errors import NotFoundError
from tests.conftest import MakeInstance
from tests.support.burst_history import Run, Story, by_dagster, in_bulk

pytestmark = pytest.mark.real

#: The sample is told through Dagster's own methods too; `SMALL` is for right answers, `LENGTHS` for time.
SAMPLE = Story(bursts=2, versions=2, picture_bytes=200)
SMALL = Story(bursts=21, versions=4, picture_bytes=200)
LENGTHS = {
    "short": Story(bursts=100, versions=5, picture_bytes=5_000),
    "long": Story(bursts=1000, versions=50, picture_bytes=5_000),
}
#: A history ten times as long may take this many times as long.
GROWTH = 3.0


@pytest.fixture
def told(storage: MakeInstance) -> dg.DagsterInstance:
    """The small story in a storage."""
    instance = storage()
    in_bulk(instance, SMALL)
    return instance


@pytest.fixture
def history(told: dg.DagsterInstance, tmp_path: Path) -> RunHistory:
    return RunHistory(told, tmp_path / "lineage")


def truth(instance: dg.DagsterInstance) -> list[tuple[str, str, str, float | None]]:
    """Id, infra version, status, loss of each burst run, newest first: all of Dagster's rows anew."""
    events = instance.fetch_materializations(BURST_ASSET, limit=1000).records
    losses = {
        event.run_id: event.asset_materialization.metadata["loss"].value
        for event in events
        if event.asset_materialization
    }
    return [
        (run.run_id, run.tags[INFRA_VERSION_TAG], run.status.value, losses.get(run.run_id))
        for run in instance.get_runs()
        if INFRA_VERSION_TAG in run.tags
    ]


def answered(history: RunHistory) -> list[tuple[str, str, str, float | None]]:
    return [plain(run) for run in history.bursts(limit=10_000)]


def plain(run: BurstRun) -> tuple[str, str, str, float | None]:
    return run.run_id, run.infra_version, run.status, run.facts.get("loss")


def now_run(at: float, **changes: Any) -> Run:
    """A good burst run of the newest version, ``at`` seconds from now."""
    import uuid

    run = next(islice(SMALL.runs(), 40, None))
    return replace(run, run_id=str(uuid.uuid4()), started=time.time() + at, good=True, **changes)


def rows(connection: db.Connection, table: db.Table) -> list[str]:
    """All rows without the ids, which depend on the order of writing."""
    columns = [column for column in table.c if column.name not in ("id", "event_id")]
    return sorted(map(repr, connection.execute(db.select(*columns)).fetchall()))


def test_the_history_in_bulk_is_what_dagster_itself_writes(storage: MakeInstance) -> None:
    told, bulk = storage(), storage()
    for run in SAMPLE.runs():
        by_dagster(told, SAMPLE, run)
    in_bulk(bulk, SAMPLE)
    for table in (RunsTable, RunTagsTable):
        with told.run_storage.connect() as one, bulk.run_storage.connect() as other:  # type: ignore[attr-defined]
            assert rows(one, table) == rows(other, table), table.name
    for table in (SqlEventLogStorageTable, AssetEventTagsTable):
        with (
            told.event_log_storage.index_connection() as one,  # type: ignore[attr-defined]
            bulk.event_log_storage.index_connection() as other,  # type: ignore[attr-defined]
        ):
            assert rows(one, table) == rows(other, table), table.name


def test_every_answer_is_what_dagster_says_run_by_run(history: RunHistory) -> None:
    expected = truth(history.instance)
    assert len(expected) == SMALL.bursts
    assert answered(history) == expected
    assert [plain(run) for run in history.bursts(limit=5)] == expected[:5]
    for version in SMALL.names:
        on_it = [item for item in expected if item[1] == version]
        assert [plain(run) for run in history.bursts(version[:8], limit=10_000)] == on_it
    for item in expected:
        assert plain(history.burst(item[0])) == plain(history.burst(item[0][:8])) == item
    other = next(run for run in SMALL.runs() if not run.version)
    with pytest.raises(NotFoundError, match="not a burst run"):
        history.burst(other.run_id)
    with pytest.raises(NotFoundError, match="no burst run"):
        history.burst("123456")
    with pytest.raises(NotFoundError):
        history.bursts("0000000")


def test_a_run_is_seen_from_its_infra_version_to_its_end(history: RunHistory) -> None:
    instance = history.instance
    answered(history)
    run = now_run(0)
    instance.add_run(dg.DagsterRun("burst", run_id=run.run_id, tags={"dagster/partition": "local"}))
    assert run.run_id not in [item[0] for item in answered(history)]
    for at in range(2):  # later runs of other jobs, so that it is not the newest any more
        by_dagster(instance, SMALL, now_run(at, version=""))
    answered(history)
    instance.add_run_tags(run.run_id, {INFRA_VERSION_TAG: run.version})
    assert answered(history) == truth(instance)
    assert plain(history.burst(run.run_id))[2] == "NOT_STARTED"
    instance.report_run_failed(instance.get_run_by_id(run.run_id))  # type: ignore[arg-type]
    assert answered(history) == truth(instance)
    assert plain(history.burst(run.run_id))[2] == "FAILURE"


def test_wiped_runs_vanish_also_when_their_ids_are_given_out_again(history: RunHistory) -> None:
    instance = history.instance
    assert answered(history) == truth(instance)
    for run in list(islice(SMALL.runs(), 38, None)):
        instance.delete_run(run.run_id)
    for at in range(2):
        by_dagster(instance, SMALL, replace(now_run(-3600.0), started=1.8e9 + at))
    assert answered(history) == truth(instance)
    instance.run_storage.wipe()
    instance.event_log_storage.wipe()
    assert answered(history) == truth(instance) == []


def test_facts_vanish_with_a_wipe_of_the_asset(history: RunHistory) -> None:
    instance = history.instance
    assert any(item[3] for item in answered(history))
    instance.wipe_assets([BURST_ASSET])
    assert answered(history) == truth(instance)
    by_dagster(instance, SMALL, now_run(1))
    assert answered(history) == truth(instance)
    assert [bool(item[3]) for item in answered(history)].count(True) == 1


def test_what_is_written_out_of_order_is_not_missed(history: RunHistory) -> None:
    """PostgreSQL hands out ids before it commits: a lower one may appear after a higher one."""
    instance = history.instance
    answered(history)
    early, late = now_run(-1), now_run(0)
    by_dagster(instance, SMALL, late)
    with instance.run_storage.connect() as connection:  # type: ignore[attr-defined]
        move = "UPDATE runs SET id = id + 10 WHERE run_id = :run"
        connection.execute(db.text(move), {"run": late.run_id})
    with instance.event_log_storage.index_connection() as connection:  # type: ignore[attr-defined]
        move = "UPDATE event_logs SET id = id + 100 WHERE run_id = :run"
        connection.execute(db.text(move), {"run": late.run_id})
    assert answered(history) == truth(instance)
    by_dagster(instance, SMALL, early)
    with instance.run_storage.connect() as connection:  # type: ignore[attr-defined]
        where = "(SELECT max(id) - 5 FROM runs WHERE run_id = :late)"
        move = f"UPDATE runs SET id = {where} WHERE run_id = :run"  # noqa: S608
        connection.execute(db.text(move), {"late": late.run_id, "run": early.run_id})
    with instance.event_log_storage.index_connection() as connection:  # type: ignore[attr-defined]
        move = (
            "UPDATE event_logs SET id = id - 90 WHERE run_id = :run AND id > "
            "(SELECT max(id) FROM event_logs WHERE run_id = :late)"
        )
        connection.execute(db.text(move), {"late": late.run_id, "run": early.run_id})
    assert answered(history) == truth(instance)


def test_a_missing_damaged_or_old_index_changes_no_answer(
    history: RunHistory, tmp_path: Path
) -> None:
    instance = history.instance
    expected = answered(history)
    assert expected == truth(instance)
    (file,) = (tmp_path / "lineage").glob("*.sqlite")
    old = file.read_bytes()

    def sql(statement: str) -> Callable[[], None]:
        def run() -> None:
            with sqlite3.connect(file) as connection:
                connection.execute(statement)
            connection.close()

        return run

    damages: dict[str, Callable[[], Any]] = {
        "deleted": file.unlink,
        "empty": lambda: file.write_bytes(b""),
        "no database": lambda: file.write_bytes(b"x" * 9000),
        "cut short": lambda: file.write_bytes(old[: len(old) // 2]),
        "bytes changed": lambda: file.write_bytes(old.replace(b'"loss": 0.1', b'"loss": 0.2')),
        "a run missing": sql("DELETE FROM bursts WHERE place = (SELECT min(place) FROM bursts)"),
        "facts missing": sql("DELETE FROM facts WHERE place = (SELECT min(place) FROM facts)"),
        "a version changed": sql("UPDATE bursts SET version = 'x' || version"),
        "facts of another run": sql("UPDATE facts SET facts = (SELECT max(facts) FROM facts)"),
        "a note changed": sql("UPDATE notes SET value = '[' WHERE name = 'run anchors'"),
        "anchors moved": sql("UPDATE notes SET value = '[[9,\"a\"]]' WHERE name LIKE '%anchors'"),
        "another schema": sql("UPDATE notes SET value = '\"0\"' WHERE name = 'schema'"),
        "a table dropped": sql("DROP TABLE facts"),
    }
    for name, damage in damages.items():
        damage()
        assert answered(history) == expected, name
        assert answered(history) == expected, name
    by_dagster(instance, SMALL, now_run(0))
    assert len(answered(history)) == len(expected) + 1
    file.write_bytes(old)  # a copy of before the last run
    assert answered(history) == truth(instance)
    assert history.rebuild() == (len(expected) + 1, len([e for e in expected if e[3]]) + 1)
    assert answered(history) == truth(instance)


def test_another_storage_in_the_old_place_is_another_history(
    history: RunHistory, storage: MakeInstance, tmp_path: Path
) -> None:
    assert answered(history)
    assert answered(RunHistory(storage(), tmp_path / "lineage")) == []


def test_a_question_asks_as_often_for_many_runs_as_for_few(history: RunHistory) -> None:
    asked: list[str] = []

    def count(*arguments: Any) -> None:
        asked.append(arguments[2])

    def queries(limit: int) -> int:
        asked.clear()
        assert len(history.bursts(limit=limit)) == limit
        return len([text for text in asked if "FROM runs" in text or "FROM event_logs" in text])

    answered(history)
    db.event.listen(db.engine.Engine, "before_cursor_execute", count)
    try:
        assert queries(2) == queries(20) <= 4
    finally:
        db.event.remove(db.engine.Engine, "before_cursor_execute", count)


def test_the_time_of_an_answer_does_not_grow_with_the_history(
    storage: MakeInstance, tmp_path: Path
) -> None:
    """Each question to both histories in turn, so that a busy machine slows the two alike.

    The milliseconds themselves are for bench/lineage.py: a test that counts them fails by its neighbours.
    """
    instances = [storage() for _ in LENGTHS]
    short, long = (
        asked_of(instance, story, tmp_path / name)
        for instance, (name, story) in zip(instances, LENGTHS.items(), strict=True)
    )
    for name in short:
        assert grown(short[name], long[name], times=31) < GROWTH, name
    # What the bound is there to notice: all of Dagster's rows, read anew.
    reads = [lambda at, instance=instance: truth(instance) for instance in instances]
    assert grown(*reads, times=5) > 1.5 * GROWTH


def asked_of(
    instance: dg.DagsterInstance, story: Story, folder: Path
) -> dict[str, Callable[[int], Any]]:
    """The questions to a history of a story; each takes the number of a run, not twice the same."""
    in_bulk(instance, story)
    records = Records(Artifacts(FileStore(folder / "artifacts")), "local")
    story.keep_artifacts(records.artifacts)
    hold_connections(instance)
    history = RunHistory(instance, folder / "lineage")
    history.bursts(limit=1)
    runs = [run for run in story.runs() if run.version and run.good]

    def diff(at: int) -> None:
        a, b = history.pair(runs[at].run_id, runs[-at - 1].run_id)
        assert explain(records, a.infra_version, b.infra_version)

    return {
        "lineage": lambda at: describe(records, history.burst(runs[at].run_id[:8])),
        "runs": lambda at: history.bursts(),
        "runs --infra-version": lambda at: history.bursts(runs[at].version[:12]),
        "diff": diff,
    }


def grown(short: Callable[[int], Any], long: Callable[[int], Any], *, times: int) -> float:
    """How many times as long as the short history the long one takes to answer, by their medians."""
    taken: tuple[list[float], list[float]] = ([], [])
    for at in range(times):
        for question, spent in zip((short, long), taken, strict=True):
            begun = time.perf_counter()
            question(at)
            spent.append((time.perf_counter() - begun) * 1000)
    one, other = map(median, taken)
    print(f"{one:.1f} ms, {other:.1f} ms: {other / one:.1f} times")
    return other / one
