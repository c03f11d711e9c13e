"""The usage ledger: which node was up from when to when, and what for.

A `Usage` says: this node was up between two instants, and a burst run held it, or it carried the
head (overhead), or nothing more is known (idle). The ledger is a *set* of them: one that arrives
twice, late, out of order, cut short or overlapping another counts once, because the time of a node
is the union of its intervals and each millisecond of the union goes to one use:

1. overhead, where an interval of that use covers it;
2. else the runs that hold it, in equal shares;
3. else idle.

Where intervals disagree about the pool or type of a node, the one that started last is believed.
A node whose end nobody has seen counts until it was last seen: time that nobody observed is not
charged. Times are whole milliseconds since 1970, so that sums are exact.
"""

import datetime as dt
import functools
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Literal

Kind = Literal["run", "idle", "overhead"]
#: What takes no time: the tasks that a run finished, a node that was lost (not scaled down).
MarkKind = Literal["tasks", "lost"]

DAY_MS = 86_400_000
HOUR_MS = 3_600_000


@dataclass(frozen=True, order=True)
class Usage:
    """A node's time from ``start_ms`` (included) to ``end_ms``; ``run_id`` where ``kind`` is run.

    ``team`` is who pays: the run's team, or for idle and overhead the label ``team`` of the pool.
    """

    environment: str
    node: str
    start_ms: int
    end_ms: int
    kind: Kind
    run_id: str
    pool: str
    team: str
    instance_type: str
    spot: bool


@dataclass(frozen=True, order=True)
class Mark:
    """A count that belongs to an instant and takes no time.

    ``tasks``: ``count`` tasks were finished by ``run_id``. ``lost``: ``node`` ended although nobody
    had asked it to, as a spot node does that AWS takes back.
    """

    environment: str
    at_ms: int
    kind: MarkKind
    run_id: str
    node: str
    pool: str
    spot: bool
    count: int


@dataclass(frozen=True, order=True)
class UsageTotal:
    """Node-milliseconds of one day, pool and use, in equal shares to ``runs`` (none: no run)."""

    day: dt.date
    environment: str
    kind: Kind
    pool: str
    instance_type: str
    spot: bool
    runs: tuple[str, ...]
    node_ms: int


@dataclass(frozen=True, order=True)
class HourTotal:
    """Node-milliseconds of the hour that begins at ``start_ms``; ``held_ms`` of them by runs."""

    start_ms: int
    pool: str
    instance_type: str
    spot: bool
    overhead: bool
    held_ms: int
    node_ms: int


@dataclass(frozen=True)
class Reading:
    """What a ledger says of some days: ``totals`` by day, ``hours`` by hour; ``peaks`` are the most
    nodes of a pool that runs held at once; ``run_teams`` and
    ``pool_teams`` name teams where there are any; ``tasks`` counts what each run finished;
    ``lost`` the nodes that were lost, by (pool, whether spot).
    """

    totals: tuple[UsageTotal, ...] = ()
    hours: tuple[HourTotal, ...] = ()
    peaks: Mapping[str, int] = field(default_factory=dict)
    run_teams: Mapping[str, str] = field(default_factory=dict)
    pool_teams: Mapping[str, str] = field(default_factory=dict)
    tasks: Mapping[str, int] = field(default_factory=dict)
    lost: Mapping[tuple[str, bool], int] = field(default_factory=dict)


def milliseconds(seconds: float) -> int:
    """Epoch seconds as whole milliseconds: sums of these are exact."""
    return round(seconds * 1000)


def day_bounds(day: dt.date) -> tuple[float, float]:
    """The first second of a UTC day, and of the next one, in epoch seconds."""
    first = dt.datetime(day.year, day.month, day.day, tzinfo=dt.UTC).timestamp()
    return first, first + DAY_MS / 1000


def day_of(at_ms: int) -> dt.date:
    """The UTC day of an instant."""
    return dt.datetime.fromtimestamp(at_ms // 1000, dt.UTC).date()


def month_of(at_ms: int) -> str:
    """The UTC month of an instant, ``YYYY-MM``."""
    return _month(at_ms // DAY_MS)[0]


def by_month(usages: Iterable[Usage]) -> Iterator[tuple[str, Usage]]:
    """Each interval under its month, cut at the months' bounds; those of no length are left out."""
    for usage in usages:
        start = usage.start_ms
        while start < usage.end_ms:
            month, next_ms = _month(start // DAY_MS)
            if start == usage.start_ms and usage.end_ms <= next_ms:
                yield month, usage
                break
            end = min(usage.end_ms, next_ms)
            yield month, replace(usage, start_ms=start, end_ms=end)
            start = end


@functools.lru_cache(maxsize=512)
def _month(day: int) -> tuple[str, int]:
    """The month of a day since 1970, and the millisecond at which it ends."""
    first = day_of(day * DAY_MS).replace(day=1)
    following = (first + dt.timedelta(days=32)).replace(day=1)
    return first.strftime("%Y-%m"), milliseconds(day_bounds(following)[0])
