"""An index of burst runs beside Dagster's storage: which there are, and what each one told of itself.

A burst run's materialization carries its plot and manifest (about 50 KB), and Dagster answers for one run
at a time; the index holds the few facts that the questions ask for. It holds nothing that Dagster's
storage does not say, and is a file that may be deleted at any time: `lineage_reader` fills it.

Every row carries a checksum and the number of rows is kept, so that a damaged file is noticed.
"""

import contextlib
import fcntl
import hashlib
import json
import sqlite3
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from ray_platform.text.errors import ArtifactError, BusyError

#: 3: facts by machine keys. A file of another schema is filled again.
SCHEMA = "3"
#: How long a question waits for another process that fills the index.
WAIT_SECONDS = 600
_POLL_SECONDS = 0.05

#: A place in Dagster's storage: a storage id, and the run that stands there.
Place = tuple[int, str]

_TABLES = """
CREATE TABLE bursts (place INTEGER PRIMARY KEY, run_id TEXT NOT NULL UNIQUE, version TEXT NOT NULL,
                     seal TEXT NOT NULL);
CREATE INDEX bursts_by_version ON bursts (version, place);
CREATE TABLE facts (place INTEGER PRIMARY KEY, run_id TEXT NOT NULL, facts TEXT NOT NULL,
                    seal TEXT NOT NULL);
CREATE INDEX facts_by_run ON facts (run_id);
CREATE TABLE open_runs (run_id TEXT PRIMARY KEY);
CREATE TABLE notes (name TEXT PRIMARY KEY, value TEXT NOT NULL);
"""


class DamagedIndex(Exception):
    """The index is not what was written: it is thrown away and filled again."""


class LineageIndex:
    """The file's content. Made by `open_index`; every change is made inside `change`."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._db = connection

    @contextmanager
    def change(self) -> Iterator[None]:
        """One transaction, for this process alone; rolled back when it fails."""
        self._db.execute("BEGIN IMMEDIATE")
        try:
            yield
        except BaseException:
            with contextlib.suppress(sqlite3.Error):
                self._db.execute("ROLLBACK")
            raise
        self._db.execute("COMMIT")

    # Notes ---------------------------------------------------------------------------------------

    def note(self, name: str, default: Any = None) -> Any:
        found = self._db.execute("SELECT value FROM notes WHERE name = ?", (name,)).fetchone()
        try:
            return json.loads(found[0]) if found else default
        except ValueError as error:
            raise DamagedIndex(f"note {name}") from error

    def write_note(self, name: str, value: Any) -> None:
        """Write a note; the same one again is no change."""
        text = json.dumps(value)
        found = self._db.execute("SELECT value FROM notes WHERE name = ?", (name,)).fetchone()
        if found and found[0] == text:
            return
        self._db.execute("INSERT OR REPLACE INTO notes VALUES (?, ?)", (name, text))

    # Rows ----------------------------------------------------------------------------------------

    def require_whole(self) -> None:
        """Raises `DamagedIndex` when rows are missing or too many."""
        for table in ("bursts", "facts"):
            (rows,) = self._db.execute(f"SELECT count(*) FROM {table}").fetchone()  # noqa: S608
            if rows != self.note(f"{table} rows", 0):
                raise DamagedIndex(f"{table}: {rows} rows")

    def count_rows(self) -> None:
        """Note the number of rows: the last thing in a change."""
        for table in ("bursts", "facts"):
            (rows,) = self._db.execute(f"SELECT count(*) FROM {table}").fetchone()  # noqa: S608
            self.write_note(f"{table} rows", rows)

    def add_bursts(self, rows: Iterable[tuple[int, str, str]]) -> None:
        """Add runs: their place in the run storage, id, infra version."""
        self._db.executemany(
            "INSERT OR REPLACE INTO bursts VALUES (?, ?, ?, ?)",
            ((*row, _seal(*row)) for row in rows),
        )

    def add_facts(self, rows: Iterable[tuple[int, str, Mapping[str, Any]]]) -> None:
        """Add what runs told of themselves: the event's place in the event log, run id, facts."""
        texts = ((place, run_id, json.dumps(facts)) for place, run_id, facts in rows)
        self._db.executemany(
            "INSERT OR REPLACE INTO facts VALUES (?, ?, ?, ?)",
            ((*row, _seal(*row)) for row in texts),
        )

    def drop_after(self, table: str, place: int) -> None:
        """Remove the rows of ``bursts`` or ``facts`` beyond a place."""
        self._db.execute(f"DELETE FROM {table} WHERE place > ?", (place,))  # noqa: S608

    def open_runs(self) -> list[str]:
        """Runs that had not ended when they were last seen: they may yet become burst runs."""
        return [run_id for (run_id,) in self._db.execute("SELECT run_id FROM open_runs")]

    def set_open(self, run_ids: Sequence[str]) -> None:
        if sorted(run_ids) == sorted(self.open_runs()):
            return
        self._db.execute("DELETE FROM open_runs")
        self._db.executemany("INSERT INTO open_runs VALUES (?)", ((name,) for name in run_ids))

    def forget(self, run_ids: Sequence[str]) -> None:
        """Remove runs that Dagster no longer has."""
        for table in ("bursts", "facts"):
            self._db.executemany(
                f"DELETE FROM {table} WHERE run_id = ?",  # noqa: S608
                ((name,) for name in run_ids),
            )

    def rows(self) -> tuple[int, int]:
        """Burst runs, and those that told what they came to."""
        return self.note("bursts rows", 0), self.note("facts rows", 0)

    # Questions -----------------------------------------------------------------------------------

    def runs_like(self, prefix: str, limit: int) -> list[str]:
        """Ids of burst runs that begin with ``prefix``."""
        return self._strings(
            "SELECT run_id FROM bursts WHERE run_id >= ? AND run_id < ? LIMIT ?",
            (prefix, _after(prefix), limit),
        )

    def versions_like(self, prefix: str, limit: int) -> list[str]:
        """Infra versions that burst runs ran on and that begin with ``prefix``."""
        return self._strings(
            "SELECT DISTINCT version FROM bursts WHERE version >= ? AND version < ? LIMIT ?",
            (prefix, _after(prefix), limit),
        )

    def bursts(self, version: str | None, before: int, limit: int) -> list[Place]:
        """Burst runs below a place, newest first: all, or those of an infra version."""
        if version is None:
            query = "SELECT * FROM bursts WHERE place < ? ORDER BY place DESC LIMIT ?"
            rows = self._db.execute(query, (before, limit)).fetchall()
        else:
            query = (
                "SELECT * FROM bursts WHERE version = ? AND place < ? ORDER BY place DESC LIMIT ?"
            )
            rows = self._db.execute(query, (version, before, limit)).fetchall()
        return [(row[0], row[1]) for row in _sealed(rows)]

    def bursts_on(self, versions: Sequence[str]) -> list[str]:
        """Ids of the burst runs on some infra versions, oldest first."""
        places: list[Place] = []
        for at in range(0, len(versions), 500):
            some = versions[at : at + 500]
            marks = ",".join("?" * len(some))
            query = f"SELECT * FROM bursts WHERE version IN ({marks})"  # noqa: S608
            rows = _sealed(self._db.execute(query, some).fetchall())
            places += [(row[0], row[1]) for row in rows]
        return [run_id for _, run_id in sorted(places)]

    def firsts_between(self, one: str, other: str) -> list[str]:
        """Of the burst runs from one to another, both included, the first on each infra version."""
        query = (
            "SELECT min(place), run_id, version, seal FROM bursts WHERE place BETWEEN"
            " (SELECT min(place) FROM bursts WHERE run_id IN (?, ?)) AND"
            " (SELECT max(place) FROM bursts WHERE run_id IN (?, ?)) GROUP BY version"
        )
        rows = _sealed(self._db.execute(query, (one, other, one, other)).fetchall())
        return [row[1] for row in rows]

    def facts(self, run_ids: Sequence[str]) -> dict[str, dict[str, Any]]:
        """What runs told of themselves, by run id; a run that told nothing is absent."""
        found: dict[str, dict[str, Any]] = {}
        for at in range(0, len(run_ids), 500):
            some = run_ids[at : at + 500]
            marks = ",".join("?" * len(some))
            query = f"SELECT * FROM facts WHERE run_id IN ({marks}) ORDER BY place"  # noqa: S608
            for _, run_id, text, _ in _sealed(self._db.execute(query, some).fetchall()):
                found[run_id] = json.loads(text)
        return found

    def _strings(self, query: str, values: tuple[Any, ...]) -> list[str]:
        return [text for (text,) in self._db.execute(query, values)]


@contextmanager
def open_index(path: Path) -> Iterator[LineageIndex]:
    """The index in a file, made where there is none. The caller holds its `lock`.

    Raises:
        DamagedIndex: it cannot be read, or has another schema.
        ArtifactError: it cannot be written.
    """
    try:
        connection = sqlite3.connect(path, isolation_level=None)
    except sqlite3.OperationalError as error:
        raise _unwritable(path, error) from error
    try:
        connection.execute("PRAGMA journal_mode=WAL")
        connection.execute("PRAGMA synchronous=NORMAL")
        index = LineageIndex(connection)
        _require_schema(connection, index)
        yield index
    except sqlite3.OperationalError as error:
        if "readonly" in str(error) or "locked" in str(error):
            raise _unwritable(path, error) from error
        raise DamagedIndex(str(error)) from error
    except sqlite3.DatabaseError as error:
        raise DamagedIndex(str(error)) from error
    finally:
        connection.close()


@contextmanager
def lock(path: Path) -> Iterator[None]:
    """Hold the index in ``path`` for this process, from catching up to the answer.

    Another process may be filling it, which takes minutes for 100,000 runs: it is waited for. The kernel
    frees the lock with its process, so it is never stale.

    Raises:
        BusyError: it was not given free.
        ArtifactError: the folder cannot be written.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        file = path.with_suffix(".lock").open("a")
    except OSError as error:
        raise _unwritable(path, error) from error
    with file:
        deadline = time.monotonic() + WAIT_SECONDS
        while True:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError as error:
                if time.monotonic() > deadline:
                    raise BusyError(
                        f"another process has filled the lineage index for {WAIT_SECONDS} s",
                        where=str(path),
                        fix="wait until it has ended; the lock goes with its process",
                    ) from error
                time.sleep(_POLL_SECONDS)
        yield


def remove_index(path: Path) -> None:
    """Delete the index's files; it is filled again by the next question."""
    for name in (path.name, f"{path.name}-wal", f"{path.name}-shm"):
        path.with_name(name).unlink(missing_ok=True)


def _require_schema(connection: sqlite3.Connection, index: LineageIndex) -> None:
    with index.change():
        tables = connection.execute("SELECT count(*) FROM sqlite_master").fetchone()[0]
        if tables == 0:
            for statement in _TABLES.split(";"):
                connection.execute(statement)
            index.write_note("schema", SCHEMA)
        elif index.note("schema") != SCHEMA:
            raise DamagedIndex("another schema")


def _seal(*values: Any) -> str:
    return hashlib.blake2b(json.dumps(values).encode(), digest_size=8).hexdigest()


def _sealed(rows: list[Any]) -> list[Any]:
    for row in rows:
        if _seal(*row[:-1]) != row[-1]:
            raise DamagedIndex(f"row {row[0]}")
    return rows


def _after(prefix: str) -> str:
    """The least string above all that begin with ``prefix`` (ids and versions are ASCII)."""
    return prefix + "\x7f"


def _unwritable(path: Path, error: Exception) -> ArtifactError:
    return ArtifactError(
        f"the lineage index cannot be written: {error}",
        where=str(path),
        fix="free some disk space or mend the folder's rights; the file itself may be deleted",
    )
