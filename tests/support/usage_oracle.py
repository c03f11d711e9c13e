"""The ledger's rule written a second time, to be read rather than to be fast: a millisecond at a time
where it matters, no SQL."""

import itertools
from collections import defaultdict
from collections.abc import Iterable

from ray_platform.cost.ledger.usage_interval import Usage, UsageTotal, day_of


def expected_totals(usages: Iterable[Usage]) -> tuple[UsageTotal, ...]:
    """Node time by day and use: each node is cut at every instant at which anything changes."""
    nodes: dict[tuple[str, str], list[Usage]] = defaultdict(list)
    for usage in usages:
        if usage.end_ms > usage.start_ms:
            nodes[usage.environment, usage.node].append(usage)
    sums: dict[UsageTotal, int] = defaultdict(int)
    for seen in nodes.values():
        cuts = {u.start_ms for u in seen} | {u.end_ms for u in seen}
        midnights = range(min(cuts) // 86_400_000, max(cuts) // 86_400_000 + 1)
        cuts |= {day * 86_400_000 for day in midnights if min(cuts) < day * 86_400_000 < max(cuts)}
        instants = sorted(cuts)
        for left, right in itertools.pairwise(instants):
            here = [u for u in seen if u.start_ms <= left < u.end_ms]
            if not here:
                continue
            overhead = any(u.kind == "overhead" for u in here)
            runs = tuple(sorted({u.run_id for u in here if u.kind == "run"}))
            latest = max(u.start_ms for u in seen if u.start_ms <= left)
            believed = min(
                (u.environment, u.pool, u.instance_type, u.spot)
                for u in seen
                if u.start_ms == latest
            )
            total = UsageTotal(
                day=day_of(left),
                environment=believed[0],
                kind="overhead" if overhead else "run" if runs else "idle",
                pool=believed[1],
                instance_type=believed[2],
                spot=believed[3],
                runs=() if overhead else runs,
                node_ms=0,
            )
            sums[total] += right - left
    return tuple(sorted(UsageTotal(**{**vars(total), "node_ms": ms}) for total, ms in sums.items()))


def node_ms_up(usages: Iterable[Usage]) -> int:
    """The length of the union of each node's intervals: what any split of them must sum to."""
    spans: dict[tuple[str, str], list[tuple[int, int]]] = defaultdict(list)
    for usage in usages:
        spans[usage.environment, usage.node].append((usage.start_ms, usage.end_ms))
    total = 0
    for found in spans.values():
        reached = -(2**62)
        for start, end in sorted(found):
            total += max(0, end - max(start, reached))
            reached = max(reached, end)
    return total
