"""The usage ledger in the artifact store: small Parquet files that are added and never changed.

::

    usage/ENV/YYYY-MM/usage-NAME.parquet   intervals of nodes (`Usage`)
    usage/ENV/YYYY-MM/marks-NAME.parquet   what takes no time (`Mark`)

NAME is a digest of the content, so that adding the same again changes nothing. An interval over the
end of a month is cut there. The ledger is the *union* of its files (``core/cost/ledger.py``), which is
what makes compaction safe against a process killed between any two steps: the joined file is
written whole before the first of its parts is removed, and while both are there nothing counts
twice.
"""

import datetime as dt
import io
import tempfile
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import fields
from pathlib import Path
from typing import Any

from ray_platform.cost.ledger import usage_query
from ray_platform.cost.ledger.usage_interval import (
    Mark,
    Reading,
    Usage,
    by_month,
    day_bounds,
    milliseconds,
    month_of,
)
from ray_platform.store.artifact_store import FileStore, Store
from ray_platform.text.canonical import digest, digest_bytes
from ray_platform.text.errors import ArtifactError

#: A month with more files than this is compacted when it is next added to.
COMPACT_FILES = 64
#: How often a read starts over because a compaction took the files away under it.
_ATTEMPTS = 5
_FOREVER_MS = 2**53
_JOINED = """
COPY (
  SELECT {keys}, max({last}) AS {last} FROM read_parquet($files) GROUP BY ALL ORDER BY ALL
) TO '{to}' (FORMAT parquet, COMPRESSION zstd)
"""


class UsageLedger:
    """The ledger of all environments in one artifact store.

    Args:
        store: The artifact store.
        cache: A folder for copies of files that are not on this machine, and for DuckDB to spill to.
    """

    def __init__(self, store: Store, cache: Path) -> None:
        self.store = store
        self.cache = cache

    def append(self, usages: Iterable[Usage] = (), marks: Iterable[Mark] = ()) -> None:
        """Add observations; the same ones again change nothing.

        Raises:
            ArtifactError: the store cannot be written.
        """
        groups: dict[tuple[str, str], set[Usage | Mark]] = defaultdict(set)
        for month, usage in by_month(usages):
            groups[f"usage/{usage.environment}/{month}", "usage"].add(usage)
        for mark in marks:
            groups[f"usage/{mark.environment}/{month_of(mark.at_ms)}", "marks"].add(mark)
        for (folder, kind), rows in groups.items():
            ordered = sorted(rows, key=_values)
            name = digest([_values(row) for row in ordered])[:32]
            self.store.add(f"{folder}/{kind}-{name}.parquet", _parquet(ordered))

    def compact(self, environment: str, month: str, *, least: int = COMPACT_FILES) -> None:
        """Join a month's files into one of each kind, where there are more than ``least``.

        Raises:
            ArtifactError: the store cannot be read or written, or nothing may be removed from it; then
                nothing was changed.
        """
        for kind, cls, last in (("usage", Usage, "end_ms"), ("marks", Mark, "count")):
            parts = self._keys(environment, [month], kind)
            if len(parts) <= least:
                continue
            # Another process may be at it: what it has taken away stands in its joined file.
            found = [(key, path) for key in parts if (path := self._local(key)) is not None]
            if len(found) < 2:
                continue
            # Were nothing removable, each compaction would add one more file that holds everything.
            self.store.remove(f"usage/{environment}/{month}/may-remove")
            with tempfile.TemporaryDirectory(prefix="ray-platform-usage-") as folder:
                to = Path(folder) / "joined.parquet"
                names = ", ".join(f.name for f in fields(cls) if f.name != last)
                sql = _JOINED.format(keys=names, last=last, to=to)
                try:
                    self._run(sql, [path for _, path in found])
                except ArtifactError:
                    if all(path.exists() for _, path in found):
                        raise
                    continue  # another process has just joined them
                content = to.read_bytes()
            joined = f"usage/{environment}/{month}/{kind}-{digest_bytes(content)[:32]}.parquet"
            self.store.put(joined, content)
            for key, _ in found:
                if key != joined:
                    self.store.remove(key)

    def read(
        self, environment: str, first: dt.date, last: dt.date, *, until_ms: int = _FOREVER_MS
    ) -> Reading:
        """What the ledger says of the UTC days from ``first`` to ``last``, both included.

        Args:
            environment: Its name.
            first: The first day.
            last: The last day.
            until_ms: What lies later does not count: now, for a day that is not over.

        Raises:
            ArtifactError: a file is damaged, or the store cannot be read.
        """
        bounds = (milliseconds(day_bounds(first)[0]), milliseconds(day_bounds(last)[1]))
        months = _months(first, last)

        def answer(paths: Sequence[Path]) -> Reading:
            connection = usage_query.open_ledger(paths, self.cache, until_ms=until_ms)
            with connection:
                run_teams, pool_teams = usage_query.teams(connection)
                return Reading(
                    totals=usage_query.totals(connection, *bounds),
                    hours=usage_query.hours(connection, *bounds),
                    peaks=usage_query.peaks(connection, *bounds),
                    run_teams=run_teams,
                    pool_teams=pool_teams,
                )

        reading = self._over(environment, months, "usage", answer, Reading())
        marks = self._over(environment, months, "marks", usage_query.marks, {})
        return Reading(
            **{
                **vars(reading),
                "tasks": {run: n for (kind, run, _, _), n in marks.items() if kind == "tasks"},
                "lost": {
                    (pool, spot): n for (kind, _, pool, spot), n in marks.items() if kind == "lost"
                },
            }
        )

    def _over(
        self, environment: str, months: Sequence[str], kind: str, ask: Any, empty: Any
    ) -> Any:
        """The answer over a month's files; from the start again when a compaction took some away."""
        import duckdb

        self.cache.mkdir(parents=True, exist_ok=True, mode=0o700)
        for attempt in range(_ATTEMPTS):
            keys = self._keys(environment, months, kind)
            if not keys:
                return empty
            paths = [self._local(key) for key in keys]
            if any(path is None for path in paths):
                continue
            self._prune(environment, months, kind, keys)
            try:
                return ask(paths)
            except duckdb.Error as error:
                still = all(path is not None and path.exists() for path in paths)
                if still or attempt == _ATTEMPTS - 1:
                    raise _unreadable(self.store.url(f"usage/{environment}"), error) from error
        raise _unreadable(self.store.url(f"usage/{environment}"), "its files come and go")

    def _keys(self, environment: str, months: Sequence[str], kind: str) -> list[str]:
        return [
            key
            for month in months
            for key in self.store.keys(f"usage/{environment}/{month}")
            if key.rsplit("/", 1)[1].startswith(f"{kind}-") and key.endswith(".parquet")
        ]

    def _local(self, key: str) -> Path | None:
        """The file on this machine; content never changes under a key, so a copy stays good."""
        if isinstance(self.store, FileStore):
            path = self.store.folder / key
            return path if path.exists() else None
        copies = FileStore(self.cache)
        if not (self.cache / key).exists():
            content = self.store.get(key)
            if content is None:
                return None
            copies.put(key, content)
        return self.cache / key

    def _prune(
        self, environment: str, months: Sequence[str], kind: str, keys: Sequence[str]
    ) -> None:
        """Remove copies of files that have been compacted away."""
        if isinstance(self.store, FileStore):
            return  # read where they lie: there are no copies
        for month in months:
            for copy in (self.cache / "usage" / environment / month).glob(f"{kind}-*.parquet"):
                if f"usage/{environment}/{month}/{copy.name}" not in keys:
                    copy.unlink(missing_ok=True)

    def _run(self, sql: str, files: Sequence[Path]) -> None:
        import duckdb

        try:
            with usage_query.connect(self.cache) as connection:
                connection.execute(sql, {"files": [str(file) for file in files]})
        except duckdb.Error as error:
            raise _unreadable(str(files[0].parent), error) from error


def _values(row: Usage | Mark) -> tuple[Any, ...]:
    return tuple(vars(row).values())


def _parquet(rows: Sequence[Usage | Mark]) -> bytes:
    """Parquet bytes, a column for each field."""
    import pyarrow as pa  # type: ignore[import-untyped]
    import pyarrow.parquet as pq  # type: ignore[import-untyped]

    types = {str: pa.string(), int: pa.int64(), bool: pa.bool_()}
    columns = {
        field.name: pa.array(
            [getattr(row, field.name) for row in rows],
            types[type(getattr(rows[0], field.name))],
        )
        for field in fields(rows[0])
    }
    out = io.BytesIO()
    pq.write_table(pa.table(columns), out, compression="zstd")
    return out.getvalue()


def _months(first: dt.date, last: dt.date) -> list[str]:
    """The months that two days span, both included."""
    count = (last.year - first.year) * 12 + last.month - first.month + 1
    start = first.year * 12 + first.month - 1
    return [f"{month // 12:04d}-{month % 12 + 1:02d}" for month in range(start, start + count)]


def _unreadable(where: str, error: object) -> ArtifactError:
    return ArtifactError(
        f"the usage ledger cannot be read: {error}",
        where=where,
        fix="restore the file that it names from a backup, or remove it: its intervals are then lost",
    )
