"""What fills the lineage index: Dagster's run storage and event log, read on from where it was left.

Two readings, each in pages from an *anchor*, a place that was read before and whose row still stands:

- runs, by their storage id. A run that has not ended may yet get its infra version, so it is *open* and
  asked for again at each question, all open ones in one query;
- materializations of ``burst_run``, by their storage id.

A place is an anchor only once it is older than `SETTLE_SECONDS`: PostgreSQL hands out ids before it
commits, so a lower id may appear after a higher one; what is younger is read again. An anchor whose row
is gone or is another's (SQLite hands out the ids of deleted rows again; a wipe removes them) is no
anchor: reading goes on from an older one, at last from the beginning.
"""

import time
from collections.abc import Callable, Sequence
from itertools import takewhile
from typing import Any

import dagster as dg
from dagster import DagsterInstance, RunsFilter

from ray_platform.config.partitions import INFRA_VERSION_TAG
from ray_platform.run_history.asset_facts import BurstFacts
from ray_platform.run_history.index_store import LineageIndex, Place
from ray_platform.text.errors import FactsError

BURST_ASSET = dg.AssetKey("burst_run")
SETTLE_SECONDS = 120
_RUN_PAGE = 2000
_EVENT_PAGE = 200
#: The newest places are kept as anchors, and of older ones one in so many ids.
_NEWEST, _APART = 8, 5000
_ENDED = frozenset(
    {dg.DagsterRunStatus.SUCCESS, dg.DagsterRunStatus.FAILURE, dg.DagsterRunStatus.CANCELED}
)


def catch_up(instance: DagsterInstance, index: LineageIndex, tell: Callable[[str], None]) -> None:
    """Read what Dagster's storage has and the index has not. The caller holds the index's lock.

    Each page is one transaction: cut short, the next question goes on from there.

    Args:
        instance: Whose storage is read.
        index: What is filled.
        tell: Is told how far a long reading is.

    Raises:
        DamagedIndex: rows of the index are missing.
    """
    index.require_whole()
    _read_runs(instance, index, tell)
    _read_events(instance, index, tell)


def _read_runs(instance: DagsterInstance, index: LineageIndex, tell: Callable[[str], None]) -> None:
    anchors: list[Place] = [(place, run_id) for place, run_id in index.note("run anchors", [])]
    were_open = index.open_runs()
    known: dict[str, dg.RunRecord] = {}
    if anchors or were_open:
        asked = [*were_open, *(run_id for _, run_id in anchors)]
        records = instance.get_run_records(RunsFilter(run_ids=asked))
        known = {record.dagster_run.run_id: record for record in records}
    standing = [
        (place, run_id)
        for place, run_id in anchors
        if run_id in known and known[run_id].storage_id == place
    ]
    at, cursor = standing[0] if standing else (0, None)
    records = [known[name] for name in were_open if name in known and known[name].storage_id <= at]
    still_open: list[str] = []
    first, done = True, 0
    while True:
        page = instance.get_run_records(cursor=cursor, limit=_RUN_PAGE, ascending=True)
        records += page
        still_open += [
            record.dagster_run.run_id
            for record in records
            if record.dagster_run.status not in _ENDED
        ]
        settled = takewhile(lambda record: _is_settled(record.create_timestamp.timestamp()), page)
        places = [(record.storage_id, record.dagster_run.run_id) for record in settled]
        standing = _thinned([*reversed(places), *standing])
        with index.change():
            if first:
                index.drop_after("bursts", at)
            index.add_bursts(
                (record.storage_id, record.dagster_run.run_id, version)
                for record in records
                if (version := record.dagster_run.tags.get(INFRA_VERSION_TAG))
            )
            index.set_open(still_open)
            index.write_note("run anchors", standing)
            index.count_rows()
        if len(page) < _RUN_PAGE:
            return
        done += len(page)
        tell(f"Reading Dagster's history: {done} runs")
        cursor, records, first = page[-1].dagster_run.run_id, [], False


def _read_events(
    instance: DagsterInstance, index: LineageIndex, tell: Callable[[str], None]
) -> None:
    anchors: list[Place] = [(place, run_id) for place, run_id in index.note("event anchors", [])]
    standing = list(anchors)
    page: list[dg.EventLogRecord] = []
    while standing:
        page = _events(instance, standing[0][0] - 1)
        if page and (page[0].storage_id, page[0].run_id) == standing[0]:
            break
        del standing[: max(1, len(anchors) - len(standing))]  # 1, 1, 2, 4 ... places back
    if not standing:
        page = _events(instance, 0)
    at = standing[0][0] if standing else 0
    first, done = True, 0
    while True:
        records = [record for record in page if record.storage_id > at]
        settled = takewhile(lambda record: _is_settled(record.timestamp), records)
        places = [(record.storage_id, record.run_id) for record in settled]
        standing = _thinned([*reversed(places), *standing])
        with index.change():
            if first:
                index.drop_after("facts", at)
            index.add_facts((record.storage_id, record.run_id, _told(record)) for record in records)
            index.write_note("event anchors", standing)
            index.count_rows()
        if len(page) < _EVENT_PAGE:
            return
        done += len(records)
        if done % 2000 < _EVENT_PAGE:
            tell(f"Reading Dagster's history: {done} results of burst runs")
        page, first = _events(instance, page[-1].storage_id), False


def _events(instance: DagsterInstance, after: int) -> list[dg.EventLogRecord]:
    found = instance.fetch_materializations(
        dg.AssetRecordsFilter(asset_key=BURST_ASSET, after_storage_id=after),
        limit=_EVENT_PAGE,
        ascending=True,
    )
    return list(found.records)


def _told(record: dg.EventLogRecord) -> dict[str, Any]:
    """What a burst run's materialization says: the scalar facts and the phases, or why they cannot be read.

    One materialization that this version cannot read does not keep the others from being answered.
    """
    made = record.asset_materialization
    metadata = made.metadata if made else {}
    try:
        facts = BurstFacts.from_metadata(metadata, where=f"burst_run, run {record.run_id}")
    except FactsError as error:
        return {"facts": {}, "phases": [], "unreadable": error.what}
    return {"facts": facts.scalars(), "phases": facts.plain_phases(), "unreadable": ""}


def _is_settled(timestamp: float) -> bool:
    return time.time() - timestamp > SETTLE_SECONDS


def _thinned(places: Sequence[Place]) -> list[Place]:
    """The newest places, and of the older ones some, far apart; newest first."""
    kept = list(places[:_NEWEST])
    for place in places[_NEWEST:]:
        if kept[-1][0] - place[0] >= _APART:
            kept.append(place)
    return kept
