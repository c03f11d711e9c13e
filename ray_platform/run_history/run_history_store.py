"""Burst runs and their infra versions, as Dagster's storage knows them: also those that the UI started.

Each question is a few queries, however long the history is. Which runs there are and what they told of
themselves comes from `lineage_index`, caught up first; whether a run still exists, how it ended and on
which infra version it ran is read from Dagster's run storage for each answer, in one query.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import dagster as dg
from dagster import DagsterInstance, RunsFilter

from ray_platform.config.partitions import INFRA_VERSION_TAG
from ray_platform.config.settings import load_settings
from ray_platform.run_history.asset_facts import RayClusterFacts
from ray_platform.run_history.index_reader import BURST_ASSET as BURST_ASSET
from ray_platform.run_history.index_reader import catch_up
from ray_platform.run_history.index_store import (
    DamagedIndex,
    LineageIndex,
    lock,
    open_index,
    remove_index,
)
from ray_platform.run_history.live_runs import LiveRun
from ray_platform.text.canonical import digest
from ray_platform.text.errors import ArtifactError, NotFoundError

T = TypeVar("T")

_PARTITION_TAG = "dagster/partition"
MIN_PREFIX = 6
_PAGE = 1000
_STATEMENT_SECONDS = 60
_CLUSTER_ASSET = dg.AssetKey("ray_cluster")
_DEPLOYMENTS_PAGE = 200
_END = 1 << 62


@dataclass(frozen=True)
class BurstRun:
    """One training run as Dagster's storage tells it.

    ``started`` and ``ended`` are epoch seconds, None while unknown; ``facts`` are the scalar fields of
    its `BurstFacts` (``loss``, ``node_seconds``, ``usd`` ...), empty for a run that did not end well;
    ``phases`` are its `PhaseFacts` as dictionaries. ``unreadable`` says why the facts of its
    materialization cannot be read, empty when they can or when there is none.
    """

    run_id: str
    environment: str
    infra_version: str
    status: str
    started: float | None
    ended: float | None
    facts: Mapping[str, Any]
    phases: Sequence[Mapping[str, Any]]
    unreadable: str


def hold_connections(instance: DagsterInstance) -> None:
    """Let the instance keep its connections open between queries, as Dagster's webserver does.

    Otherwise each query to PostgreSQL opens one of its own, which takes longer than the query. SQLite has
    none. For a process that answers questions; a query is given up after `_STATEMENT_SECONDS`.
    """
    instance.optimize_for_webserver(
        statement_timeout=_STATEMENT_SECONDS * 1000, pool_recycle=3600, max_overflow=4
    )


def live_bursts(
    instance: DagsterInstance, environment: str, *, besides: str = ""
) -> tuple[LiveRun, ...]:
    """The burst runs of an environment that have their infra version and have not ended.

    Args:
        instance: Whose storage is asked.
        environment: Where they run.
        besides: The id of a run that does not count: the one that asks.
    """
    live = [dg.DagsterRunStatus.STARTED, dg.DagsterRunStatus.CANCELING]
    return tuple(
        LiveRun(
            record.dagster_run.run_id,
            environment,
            record.dagster_run.tags[INFRA_VERSION_TAG],
            record.start_time,
        )
        for record in instance.get_run_records(RunsFilter(statuses=live))
        if record.dagster_run.tags.get(_PARTITION_TAG) == environment
        and INFRA_VERSION_TAG in record.dagster_run.tags
        and record.dagster_run.run_id != besides
    )


class RunHistory:
    """Burst runs and their infra versions.

    Args:
        instance: Whose storage is asked.
        folder: Where the index lies; below the home folder unless named.
        tell: Is told when there is much to read, as at the first question to a long history.
    """

    def __init__(
        self,
        instance: DagsterInstance,
        folder: Path | None = None,
        tell: Callable[[str], None] = lambda line: None,
    ) -> None:
        self.instance = instance
        self.tell = tell
        self._folder = folder

    def burst(self, run_id: str) -> BurstRun:
        """One burst run by its id or a unique beginning of it.

        Raises:
            NotFoundError: no such run, or one that trained nothing.
        """
        return self._ask(lambda index: self._named(index, [run_id]))[0]

    def pair(self, run_a: str, run_b: str) -> tuple[BurstRun, BurstRun]:
        """Two burst runs, each by its id or a unique beginning of it.

        Raises:
            NotFoundError: no such run, or one that trained nothing.
        """
        a, b = self._ask(lambda index: self._named(index, [run_a, run_b]))
        return a, b

    def bursts(self, infra_version: str | None = None, *, limit: int = 50) -> tuple[BurstRun, ...]:
        """Burst runs, newest first: all, or those that ran on an infra version.

        Args:
            infra_version: A version or a unique beginning of one.
            limit: How many at the most.

        Raises:
            NotFoundError: no run ran on such a version, or several versions begin like it.
        """
        return self._ask(
            lambda index: self._newest(
                index,
                None if infra_version is None else self._version(index, infra_version),
                limit,
            )
        )

    def on_versions(self, versions: Sequence[str], environment: str) -> tuple[BurstRun, ...]:
        """Every burst run of an environment on some infra versions, oldest first."""
        found = self._ask(lambda index: self._standing(index, index.bursts_on(versions)))
        return tuple(
            run
            for run in found
            if run.environment == environment and run.infra_version in set(versions)
        )

    def firsts_between(self, one: BurstRun, other: BurstRun) -> tuple[BurstRun, ...]:
        """The first burst run on each infra version from one run to another of an environment."""
        found = self._ask(
            lambda index: self._standing(index, index.firsts_between(one.run_id, other.run_id))
        )
        return tuple(run for run in found if run.environment == one.environment)

    def deployments(self, environment: str, *, before: float) -> Iterator[tuple[float, str]]:
        """When a Ray cluster was deployed on which infra version, newest first, before an epoch second.

        Raises:
            FactsError: a deployment's facts cannot be read, so that the order would have a gap.
        """
        cursor: str | None = None
        while True:
            page = self.instance.fetch_materializations(
                dg.AssetRecordsFilter(
                    asset_key=_CLUSTER_ASSET,
                    asset_partitions=[environment],
                    before_timestamp=before,
                ),
                limit=_DEPLOYMENTS_PAGE,
                cursor=cursor,
            )
            for record in page.records:
                made = record.asset_materialization
                # An event that a person reported in the UI has no facts, and deployed nothing.
                if made is not None and RayClusterFacts.are_in(made.metadata):
                    where = f"ray_cluster of {environment}, run {record.run_id}"
                    facts = RayClusterFacts.from_metadata(made.metadata, where=where)
                    yield record.timestamp, facts.infra_version
            if not page.has_more:
                return
            cursor = page.cursor

    def rebuild(self) -> tuple[int, int]:
        """Throw the index away and fill it again from Dagster's storage.

        Returns:
            The burst runs that it holds, and how many of them told what they came to.
        """
        path = self._path()
        with lock(path):
            remove_index(path)
        return self._ask(lambda index: index.rows())

    def _named(self, index: LineageIndex, names: Sequence[str]) -> list[BurstRun]:
        whole = []
        for name in names:
            like = index.runs_like(name, 2) if len(name) >= MIN_PREFIX else []
            if len(like) > 1 and name not in like:
                # Runs that Dagster no longer has do not make a beginning ambiguous.
                like = [run.run_id for run in self._standing(index, index.runs_like(name, _PAGE))]
            if len(like) > 1 and name not in like:
                raise _no_such(f"{len(like)} burst runs begin with {name!r}")
            whole.append(like[0] if len(like) == 1 else name)
        found = {run.run_id: run for run in self._standing(index, whole)}
        for name, run_id in zip(names, whole, strict=True):
            if run_id not in found:
                if self.instance.get_run_by_id(run_id):
                    raise _no_such(f"run {run_id} is not a burst run: it has no infra version")
                raise _no_such(f"no burst run has the id {name!r}")
        return [found[run_id] for run_id in whole]

    def _version(self, index: LineageIndex, prefix: str) -> str:
        like = index.versions_like(prefix, 1000)
        if len(like) > 1:  # those of runs that Dagster no longer has do not count
            like = [version for version in like if self._newest(index, version, 1)]
        if len(like) != 1 or len(prefix) < MIN_PREFIX:
            raise NotFoundError(
                f"{len(like)} infra versions that runs ran on begin with {prefix!r}",
                where="Dagster's run storage",
                fix=f"give at least {MIN_PREFIX} characters of one that `ray-platform runs` shows",
            )
        return like[0]

    def _newest(self, index: LineageIndex, version: str | None, limit: int) -> tuple[BurstRun, ...]:
        found: list[BurstRun] = []
        before = _END
        ask = limit
        while len(found) < limit:
            places = index.bursts(version, before, ask)
            standing = self._standing(index, [run_id for _, run_id in places])
            found += [run for run in standing if version in (None, run.infra_version)]
            if len(places) < ask:
                break
            before = places[-1][0]
            ask = _PAGE  # only where runs were wiped: those are forgotten, and asked for once
        return tuple(found[:limit])

    def _standing(self, index: LineageIndex, run_ids: Sequence[str]) -> list[BurstRun]:
        """Those of the runs that Dagster has, in the order asked for; the others are forgotten."""
        records: dict[str, dg.RunRecord] = {}
        for at in range(0, len(run_ids), _PAGE):
            asked = RunsFilter(run_ids=list(run_ids[at : at + _PAGE]))
            for record in self.instance.get_run_records(asked):
                records[record.dagster_run.run_id] = record
        gone = [run_id for run_id in run_ids if run_id not in records]
        if gone:
            with index.change():
                index.forget(gone)
                index.count_rows()
        told = index.facts([run_id for run_id in run_ids if run_id in records])
        return [
            _burst(records[run_id], told.get(run_id, {}))
            for run_id in run_ids
            if run_id in records and INFRA_VERSION_TAG in records[run_id].dagster_run.tags
        ]

    def _ask(self, question: Callable[[LineageIndex], T]) -> T:
        """The answer from the index, caught up; a damaged index is thrown away and filled again."""
        path = self._path()
        with lock(path):
            for _ in range(2):
                try:
                    with open_index(path) as index:
                        catch_up(self.instance, index, self.tell)
                        return question(index)
                except DamagedIndex as error:
                    self.tell(f"The lineage index is filled again: {error}")
                    why = error
                    remove_index(path)
        raise ArtifactError(
            f"the lineage index does not keep what is written into it: {why}",
            where=str(path),
            fix="check the disk that it lies on",
        )

    def _path(self) -> Path:
        """One file for each storage: a new storage in an old place is another history."""
        from dagster._core.storage.runs.sql_run_storage import SqlRunStorage

        storage = self.instance.run_storage
        name = (
            storage.get_run_storage_id()
            if isinstance(storage, SqlRunStorage)
            else digest(self.instance.get_ref().to_dict())
        )
        return (self._folder or load_settings().home / "lineage") / f"{name}.sqlite"


def _burst(record: dg.RunRecord, told: Mapping[str, Any]) -> BurstRun:
    run = record.dagster_run
    return BurstRun(
        run_id=run.run_id,
        environment=run.tags.get(_PARTITION_TAG, ""),
        infra_version=run.tags[INFRA_VERSION_TAG],
        status=run.status.value,
        started=record.start_time,
        ended=record.end_time,
        facts=told.get("facts", {}),
        phases=told.get("phases", ()),
        unreadable=told.get("unreadable", ""),
    )


def _no_such(what: str) -> NotFoundError:
    return NotFoundError(
        what, where="Dagster's run storage", fix="ray-platform runs lists the burst runs"
    )
