"""The ledger's question in SQL: node time by day, pool and use, each millisecond of a node once.

DuckDB reads the Parquet files as a stream and spills to disk beyond its memory limit, so a month of
ten million intervals needs no more memory than a day of ten. The rule is that of ``core/cost/ledger.py``:

1. an interval seen again with a later end is one interval (the same start, the longest end);
2. what a run, or idle, or overhead has of a node is cut to pieces that do not overlap (`claims`);
3. the node's time is cut where any piece starts or ends, running counts say which uses cover each
   segment, and the first of overhead, run, idle gets it (`segments`);
4. a segment that several runs hold goes to the list of them.
"""

import datetime as dt
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from ray_platform.cost.ledger.usage_interval import DAY_MS, HOUR_MS, HourTotal, UsageTotal

#: Of DuckDB's own buffers; beyond them it writes to its temporary folder.
MEMORY_MB = 1024
THREADS = 2

_LABELS = """
CREATE TEMP TABLE labels AS
SELECT row_number() OVER (ORDER BY environment, pool, instance_type, spot) AS label, *
FROM (SELECT DISTINCT environment, pool, instance_type, spot FROM read_parquet($files))
"""
_RUNS = """
CREATE TEMP TABLE runs AS
SELECT row_number() OVER (ORDER BY run_id) AS run, run_id
FROM (SELECT DISTINCT run_id FROM read_parquet($files) WHERE kind = 'run')
"""
_TEAMS = """
SELECT {column}, min(team) FROM teams WHERE (kind = 'run') = $runs AND team <> '' GROUP BY 1
"""
_TEAM_NAMES = """
CREATE TEMP TABLE teams AS SELECT DISTINCT kind, run_id, pool, team FROM read_parquet($files)
"""
# A node is known by a 128-bit digest of its name: half the memory of the name.
_CLAIMS = """
CREATE TEMP TABLE claims AS
WITH seen AS (
  SELECT md5_number(environment || chr(10) || node) AS node,
         CASE kind WHEN 'overhead' THEN 0 WHEN 'run' THEN 1 ELSE 2 END AS use,
         coalesce(run, 0) AS run, label, start_ms AS s, max(least(end_ms, $until)) AS e
  FROM read_parquet($files)
  JOIN labels USING (environment, pool, instance_type, spot)
  LEFT JOIN runs USING (run_id)
  WHERE least(end_ms, $until) > start_ms
  GROUP BY ALL
)
SELECT node, use, run, label, s, e, greatest(s, coalesce(max(e) OVER earlier, s)) AS since
FROM seen
WINDOW earlier AS (
  PARTITION BY node, use, run ORDER BY s, e, label
  ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING
)
"""
_SEGMENTS = """
CREATE TEMP TABLE segments AS
WITH changes AS (
  SELECT node, s AS moment, label, use, run, CAST(since = s AND e > s AS TINYINT) AS step FROM claims
  UNION ALL
  SELECT node, since, NULL, use, run, 1 FROM claims WHERE since > s AND e > since
  UNION ALL
  SELECT node, e, NULL, use, run, -1 FROM claims WHERE e > since
), points AS (
  SELECT node, moment, min(label) AS label,
         CAST(sum(step) FILTER (use = 0) AS BIGINT) AS overhead,
         CAST(sum(step) FILTER (use = 1) AS BIGINT) AS held,
         CAST(sum(step * run) AS BIGINT) AS run,
         CAST(sum(step) AS BIGINT) AS anything
  FROM changes GROUP BY node, moment
), covered AS (
  SELECT node, moment AS s, lead(moment) OVER w AS e,
         last_value(label IGNORE NULLS) OVER w AS label,
         coalesce(CAST(sum(overhead) OVER w AS BIGINT), 0) AS overhead,
         coalesce(CAST(sum(held) OVER w AS BIGINT), 0) AS held,
         CAST(sum(run) OVER w AS BIGINT) AS run,
         CAST(sum(anything) OVER w AS BIGINT) AS anything
  FROM points
  WINDOW w AS (PARTITION BY node ORDER BY moment ROWS BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW)
)
SELECT node, s, e, label, overhead > 0 AS overhead, CASE WHEN overhead > 0 THEN 0 ELSE held END AS held,
       CASE WHEN overhead = 0 AND held = 1 THEN run ELSE 0 END AS run
FROM covered WHERE anything > 0 AND e IS NOT NULL
"""
_TOTALS = """
WITH alone AS (
  SELECT label, overhead, CASE WHEN held = 1 THEN [run] ELSE [] END AS owners, s, e
  FROM segments WHERE held < 2
), together AS (
  SELECT any_value(g.label) AS label, false AS overhead, list_sort(list(c.run)) AS owners, g.s, g.e
  FROM segments g JOIN claims c
    ON c.node = g.node AND c.use = 1 AND c.since <= g.s AND c.e >= g.e AND c.e > c.since
  WHERE g.held >= 2
  GROUP BY g.node, g.s, g.e
), cut AS (
  SELECT label, overhead, owners, s, e, unnest(range(s // $width, (e - 1) // $width + 1)) AS bucket
  FROM (FROM alone UNION ALL FROM together)
  WHERE e > $first AND s < $last
), summed AS (
  SELECT bucket, label, overhead, owners,
         CAST(sum(least(e, (bucket + 1) * $width) - greatest(s, bucket * $width)) AS BIGINT) AS node_ms
  FROM cut WHERE bucket * $width >= $first AND bucket * $width < $last
  GROUP BY ALL
)
SELECT bucket, environment, pool, instance_type, spot, overhead,
       owners, node_ms
FROM summed JOIN labels USING (label)
"""


_HOURS = """
WITH cut AS (
  SELECT label, overhead, held, s, e, unnest(range(s // $width, (e - 1) // $width + 1)) AS bucket
  FROM segments WHERE e > $first AND s < $last
), measured AS (
  SELECT label, overhead, held, bucket,
         least(e, (bucket + 1) * $width) - greatest(s, bucket * $width) AS ms
  FROM cut WHERE bucket * $width >= $first AND bucket * $width < $last
)
SELECT bucket, pool, instance_type, spot, overhead,
       CAST(coalesce(sum(ms) FILTER (held > 0), 0) AS BIGINT), CAST(sum(ms) AS BIGINT)
FROM measured JOIN labels USING (label) GROUP BY ALL
"""
# A node that one run hands to the next leaves and comes at the same moment: the sum is taken first.
_PEAKS = """
WITH held AS (
  SELECT label, greatest(s, $first) AS s, least(e, $last) AS e
  FROM segments WHERE held > 0 AND e > $first AND s < $last
), changes AS (
  SELECT pool, moment, sum(step) AS step
  FROM (SELECT label, s AS moment, 1 AS step FROM held UNION ALL SELECT label, e, -1 FROM held)
  JOIN labels USING (label) GROUP BY pool, moment
), counted AS (
  SELECT pool, sum(step) OVER (PARTITION BY pool ORDER BY moment) AS nodes FROM changes
)
SELECT pool, CAST(max(nodes) AS BIGINT) FROM counted GROUP BY pool
"""
_MARKS = """
SELECT kind, run_id, pool, spot, CAST(sum(count) AS BIGINT) FROM (
  SELECT kind, run_id, node, pool, spot, max(count) AS count FROM read_parquet($files) GROUP BY ALL
) GROUP BY ALL
"""


def connect(temporary: Path) -> Any:
    """A DuckDB connection with bounded memory that spills to a folder and fetches nothing."""
    import duckdb

    return duckdb.connect(
        config={
            "memory_limit": f"{MEMORY_MB}MB",
            "threads": THREADS,
            "temp_directory": str(temporary / "spill"),
            "preserve_insertion_order": False,
            "autoinstall_known_extensions": False,
            "autoload_known_extensions": False,
        }
    )


def open_ledger(files: Sequence[Path], temporary: Path, *, until_ms: int) -> Any:
    """A DuckDB connection in which the ledger's segments are worked out, for `totals` and `hours`.

    Args:
        files: Parquet files of usage; at least one.
        temporary: A folder that DuckDB may spill to.
        until_ms: What lies later does not count (now, for a day that is not over).

    Raises:
        duckdb.Error: a file is missing or is not such a file.
    """
    connection = connect(temporary)
    names = [str(file) for file in files]
    connection.execute(_LABELS, {"files": names})
    connection.execute(_RUNS, {"files": names})
    connection.execute(_TEAM_NAMES, {"files": names})
    connection.execute(_CLAIMS, {"files": names, "until": until_ms})
    connection.execute(_SEGMENTS)
    return connection


def totals(connection: Any, first_ms: int, last_ms: int) -> tuple[UsageTotal, ...]:
    """Node time by day and use, of the whole UTC days from ``first_ms`` to ``last_ms`` (not included)."""
    return tuple(
        sorted(
            UsageTotal(
                _day(bucket), environment, _kind(overhead, runs), pool, type_, spot, runs, ms
            )
            for bucket, environment, pool, type_, spot, overhead, runs, ms in _rows(
                connection, first_ms, last_ms
            )
        )
    )


def hours(connection: Any, first_ms: int, last_ms: int) -> tuple[HourTotal, ...]:
    """Node time by hour, pool and type, of the whole hours from ``first_ms`` to ``last_ms``."""
    found = connection.execute(_HOURS, {"width": HOUR_MS, "first": first_ms, "last": last_ms})
    return tuple(sorted(HourTotal(row[0] * HOUR_MS, *row[1:]) for row in found.fetchall()))


def peaks(connection: Any, first_ms: int, last_ms: int) -> dict[str, int]:
    """The most nodes of each pool that runs held at once."""
    found = connection.execute(_PEAKS, {"first": first_ms, "last": last_ms})
    return dict(found.fetchall())


def teams(connection: Any) -> tuple[dict[str, str], dict[str, str]]:
    """(team of each run, team of each pool), where there is one."""
    found: tuple[dict[str, str], dict[str, str]] = ({}, {})
    for place, column in enumerate(("run_id", "pool")):
        rows = connection.execute(_TEAMS.format(column=column), {"runs": place == 0})
        found[place].update(rows.fetchall())
    return found


def marks(files: Sequence[Path]) -> dict[tuple[str, str, str, bool], int]:
    """Counts by (kind, run, pool, spot); a run's tasks and a lost node count once each.

    Raises:
        duckdb.Error: a file is missing or is not such a file.
    """
    import duckdb

    rows = duckdb.connect().execute(_MARKS, {"files": [str(file) for file in files]}).fetchall()
    return {(kind, run, pool, spot): count for kind, run, pool, spot, count in rows}


def _rows(connection: Any, first_ms: int, last_ms: int) -> Iterator[tuple[Any, ...]]:
    names = dict(connection.execute("SELECT run, run_id FROM runs").fetchall())
    result = connection.execute(_TOTALS, {"width": DAY_MS, "first": first_ms, "last": last_ms})
    while batch := result.fetchmany(10_000):
        for *row, owners, node_ms in batch:
            yield (*row, tuple(names[run] for run in owners), node_ms)


def _day(bucket: int) -> dt.date:
    return dt.date(1970, 1, 1) + dt.timedelta(days=bucket)


def _kind(overhead: bool, runs: tuple[str, ...]) -> Any:
    return "overhead" if overhead else "run" if runs else "idle"
