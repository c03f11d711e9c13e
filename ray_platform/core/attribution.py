"""Attribution: to which burst run, to idle or to overhead each node-millisecond belongs.

The rule of attribution, for each millisecond that a node is up:

1. The head and the system nodes (``overhead``) belong to overhead.
2. While tasks run on the node, it belongs to their runs, in equal shares, however many tasks
   each has there.
3. Otherwise it belongs, in equal shares, to the runs that hold it. A run holds a node from its
   first to its last task there; from the node's start when the node came up within the run's
   window; and for its whole window when the run has reported no tasks on any node at all.
4. Otherwise it is idle.

Days are UTC days.
"""

import datetime as dt
import itertools
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal

from ray_platform.core.ledger import Ledger, NodeInterval, Span, merge
from ray_platform.core.ledger import milliseconds as _ms

Kind = Literal["run", "idle", "overhead"]

DAY_SECONDS = 86_400


@dataclass(frozen=True, order=True)
class UsageInterval:
    """A part of a node's time that belongs to one run, to idle or to overhead.

    ``node_ms`` is its node-milliseconds: the length, or a share of it when runs share the node.
    """

    environment: str
    pool: str
    node_id: str
    instance_type: str
    spot: bool
    start: float
    end: float
    kind: Kind
    run_id: str
    node_ms: int


def attribute(
    ledger: Ledger, start: float, end: float, *, environment: str | None = None
) -> tuple[UsageInterval, ...]:
    """Every node-millisecond of ``[start, end)``, in exactly one usage interval each.

    Args:
        ledger: Any ledger; it is merged with nothing first, so doubled entries count once.
        start: Epoch seconds, included.
        end: Epoch seconds, not included.
        environment: Only this one; all when left out.
    """
    whole = merge(ledger)
    bounds = (_ms(start), _ms(end))
    out: list[UsageInterval] = []
    by_node: dict[tuple[str, str], list[NodeInterval]] = defaultdict(list)
    for node in whole.nodes:
        if environment in (None, node.environment):
            by_node[(node.environment, node.node_id)].append(node)
    claims = _Claims(whole)
    for (name, node_id), seen in sorted(by_node.items()):
        for node in _one_at_a_time(seen):
            if _ms(node.end) <= bounds[0] or _ms(node.start) >= bounds[1]:
                continue
            out.extend(_split_node(node, claims.of(name, node_id, node), bounds))
    return tuple(out)


def day_bounds(day: dt.date) -> tuple[float, float]:
    """The first second of a UTC day, and of the next one, in epoch seconds."""
    first = dt.datetime(day.year, day.month, day.day, tzinfo=dt.UTC).timestamp()
    return first, first + DAY_SECONDS


def _one_at_a_time(seen: Sequence[NodeInterval]) -> Iterator[NodeInterval]:
    """A node reported with different types or pools at once counts once: the earliest wins."""
    until = 0.0
    for node in sorted(seen, key=lambda n: (n.start, n.end, n)):
        if node.end > until:
            yield replace(node, start=max(node.start, until))
            until = node.end


class _Claims:
    """Which runs claim a node when: by tasks (`busy`) or by holding it (`held`)."""

    def __init__(self, ledger: Ledger) -> None:
        self._windows = {(run.environment, run.run_id): run for run in ledger.runs}
        self._busy: dict[tuple[str, str], dict[str, list[Span]]] = defaultdict(
            lambda: defaultdict(list)
        )
        with_tasks = set()
        for task in ledger.tasks:
            spans = self._busy[(task.environment, task.node_id)]
            spans[task.run_id].append((_ms(task.start), _ms(task.end)))
            with_tasks.add((task.environment, task.run_id))
        self._without_tasks = [
            run for run in ledger.runs if (run.environment, run.run_id) not in with_tasks
        ]

    def of(
        self, environment: str, node_id: str, node: NodeInterval
    ) -> tuple[dict[str, list[Span]], dict[str, list[Span]]]:
        life = (_ms(node.start), _ms(node.end))
        busy: dict[str, list[Span]] = {}
        held: dict[str, list[Span]] = {}
        for run_id, spans in self._busy.get((environment, node_id), {}).items():
            here = [span for span in spans if span[0] < life[1] and span[1] > life[0]]
            if not here:
                continue
            busy[run_id] = here
            first, last = min(s for s, _ in here), max(e for _, e in here)
            window = self._windows.get((environment, run_id))
            if window is not None and _ms(window.start) <= life[0] <= _ms(window.end):
                first = min(first, life[0])
            held[run_id] = [(first, last)]
        for run in self._without_tasks:
            if run.environment == environment:
                held[run.run_id] = [(_ms(run.start), _ms(run.end))]
        return busy, held


def _split_node(
    node: NodeInterval, claims: Sequence[Mapping[str, list[Span]]], bounds: Span
) -> Iterator[UsageInterval]:
    start, end = max(_ms(node.start), bounds[0]), min(_ms(node.end), bounds[1])
    pieces: list[tuple[int, int, Kind, tuple[str, ...]]] = []
    for left, right, owners in _owned(() if node.overhead else claims, start, end):
        kind: Kind = "overhead" if node.overhead else ("run" if owners else "idle")
        if pieces and pieces[-1][2:] == (kind, owners):
            pieces[-1] = (pieces[-1][0], right, kind, owners)
        else:
            pieces.append((left, right, kind, owners))
    for left, right, kind, owners in pieces:
        base, extra = divmod(right - left, len(owners) or 1)
        for place, run_id in enumerate(owners or ("",)):
            yield UsageInterval(
                environment=node.environment,
                pool=node.pool,
                node_id=node.node_id,
                instance_type=node.instance_type,
                spot=node.spot,
                start=left / 1000,
                end=right / 1000,
                kind=kind,
                run_id=run_id,
                # Milliseconds that do not divide go to the first runs by id: none is lost.
                node_ms=base + (place < extra),
            )


def _owned(
    layers: Sequence[Mapping[str, list[Span]]], start: int, end: int
) -> Iterator[tuple[int, int, tuple[str, ...]]]:
    """``[start, end)`` cut where the owners change; the first layer that has any owner counts."""
    changes: dict[int, list[tuple[int, str, int]]] = defaultdict(list)
    for layer, claims in enumerate(layers):
        for run_id, spans in claims.items():
            for left, right in spans:
                if left < end and right > start and left < right:
                    changes[max(left, start)].append((layer, run_id, 1))
                    changes[min(right, end)].append((layer, run_id, -1))
    active = [Counter[str]() for _ in layers]
    for left, right in itertools.pairwise(sorted({start, end, *changes})):
        for layer, run_id, step in changes.get(left, ()):
            active[layer][run_id] += step
        owners = (tuple(sorted(r for r, n in runs.items() if n > 0)) for runs in active)
        yield left, right, next((some for some in owners if some), ())
