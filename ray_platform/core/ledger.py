"""The usage ledger: which node was up when, and to which burst run each node-second belongs.

A ledger holds observations, never conclusions: node intervals, run windows, task intervals. `merge`
is a union (commutative, associative, idempotent), so an observation that arrives twice, late or out
of order counts once. Attribution (``attribution.py``) is computed from them when asked for.

A node whose end nobody has seen counts until it was last seen: time that nobody observed is not
charged. All times are epoch seconds, kept to the millisecond.
"""

import itertools
import json
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

from ray_platform.core.errors import ArtifactError

Span = tuple[int, int]


@dataclass(frozen=True, order=True)
class NodeInterval:
    """A node that was seen up from ``start`` to ``end``; ``closed`` when its end was seen."""

    environment: str
    node_id: str
    start: float
    end: float
    pool: str
    instance_type: str
    spot: bool = False
    overhead: bool = False
    closed: bool = False


@dataclass(frozen=True, order=True)
class RunWindow:
    """A burst run from ``start`` to ``end``, or to when it was last seen if not ``closed``."""

    environment: str
    run_id: str
    start: float
    end: float
    closed: bool = False


@dataclass(frozen=True, order=True)
class TaskInterval:
    """Time in which a task of a run occupied a node."""

    environment: str
    run_id: str
    node_id: str
    start: float
    end: float


@dataclass(frozen=True)
class Ledger:
    """Observations, in canonical order: what `merge` and `read_ledger` return."""

    nodes: tuple[NodeInterval, ...] = ()
    runs: tuple[RunWindow, ...] = ()
    tasks: tuple[TaskInterval, ...] = ()


def node_interval(
    environment: str,
    node_id: str,
    pool: str,
    instance_type: str,
    start: float,
    end: float | None,
    *,
    seen: float,
    spot: bool = False,
    overhead: bool = False,
) -> NodeInterval:
    """A node as Ray reports it: ``end`` is None while it is up, and ``seen`` is now."""
    last = max(start, seen if end is None else end)
    return NodeInterval(
        environment, node_id, start, last, pool, instance_type, spot, overhead, end is not None
    )


def merge(*ledgers: Ledger) -> Ledger:
    """All observations of all ledgers, each counted once."""
    nodes: dict[tuple[Any, ...], list[NodeInterval]] = defaultdict(list)
    runs: dict[tuple[str, str], list[RunWindow]] = defaultdict(list)
    tasks: dict[tuple[str, str, str], list[TaskInterval]] = defaultdict(list)
    for ledger in ledgers:
        for node in ledger.nodes:
            key = (node.environment, node.node_id, node.pool, node.instance_type)
            nodes[(*key, node.spot, node.overhead)].append(node)
        for run in ledger.runs:
            runs[(run.environment, run.run_id)].append(run)
        for task in ledger.tasks:
            tasks[(task.environment, task.run_id, task.node_id)].append(task)
    return Ledger(
        nodes=tuple(sorted(n for group in nodes.values() for n in _join_nodes(group))),
        runs=tuple(sorted(_join_runs(group) for group in runs.values())),
        tasks=tuple(sorted(t for group in tasks.values() for t in _join_tasks(group))),
    )


def write_ledger(ledger: Ledger) -> str:
    """One JSON object a line, in canonical order: equal ledgers are equal bytes."""
    whole = merge(ledger)
    lines = itertools.chain(
        ({"kind": "node", **asdict(node)} for node in whole.nodes),
        ({"kind": "run", **asdict(run)} for run in whole.runs),
        ({"kind": "task", **asdict(task)} for task in whole.tasks),
    )
    return "".join(json.dumps(line, sort_keys=True, allow_nan=False) + "\n" for line in lines)


def read_ledger(text: str, *, where: str = "ledger") -> Ledger:
    """The ledger out of its lines. A last line without its end (a write cut short) is left out.

    Raises:
        ArtifactError: a whole line is malformed.
    """
    found: dict[str, list[Any]] = {"node": [], "run": [], "task": []}
    classes = {"node": NodeInterval, "run": RunWindow, "task": TaskInterval}
    for number, line in enumerate(text.split("\n")[:-1], start=1):
        try:
            fields = json.loads(line)
            kind = fields.pop("kind")
            item = classes[kind](**fields)
            if not 0 <= item.start <= item.end:
                raise ValueError(f"start {item.start} and end {item.end} are not in order")
            found[kind].append(item)
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise ArtifactError(
                f"line {number} of the usage ledger is malformed: {error!r}",
                where=f"{where}:{number}",
                fix="restore the file from the artifact store, or remove the line",
            ) from error
    return merge(Ledger(tuple(found["node"]), tuple(found["run"]), tuple(found["task"])))


def milliseconds(seconds: float) -> int:
    """Epoch seconds as whole milliseconds: sums of these are exact."""
    return round(seconds * 1000)


def _join_nodes(group: Sequence[NodeInterval]) -> Iterator[NodeInterval]:
    """Observations of one life of a node, joined where they touch; a gap is another life."""
    current: NodeInterval | None = None
    for node in sorted(group, key=lambda n: (n.start, n.end)):
        node = replace(
            node, start=milliseconds(node.start) / 1000, end=milliseconds(node.end) / 1000
        )
        if current is None or node.start > current.end:
            if current is not None:
                yield current
            current = node
        else:
            later = max(current, node, key=lambda n: (n.end, n.closed))
            current = replace(current, end=later.end, closed=later.closed)
    if current is not None:
        yield current


def _join_runs(group: Sequence[RunWindow]) -> RunWindow:
    last = max(group, key=lambda run: (milliseconds(run.end), run.closed))
    start = min(milliseconds(run.start) for run in group) / 1000
    return replace(last, start=start, end=milliseconds(last.end) / 1000)


def _join_tasks(group: Sequence[TaskInterval]) -> Iterator[TaskInterval]:
    for start, end in _union((milliseconds(task.start), milliseconds(task.end)) for task in group):
        yield replace(group[0], start=start / 1000, end=end / 1000)


def _union(spans: Iterable[Span]) -> list[Span]:
    out: list[Span] = []
    for start, end in sorted(spans):
        if out and start <= out[-1][1]:
            out[-1] = (out[-1][0], max(out[-1][1], end))
        else:
            out.append((start, end))
    return out
