"""Usage: what was seen of nodes and runs, kept in the artifact store a month at a time, and priced.

::

    usage/ENV/YYYY-MM/run-RUN_ID.jsonl       what a burst run saw
    usage/ENV/YYYY-MM/cluster-SESSION.jsonl  what the cluster says of its nodes, at each look

An observation that spans two months is kept in both; each month's attribution cuts it at its bounds.
"""

from collections.abc import Iterable
from datetime import UTC, datetime
from decimal import Decimal
from typing import Protocol

from ray_platform.clients.ray_cluster import ClusterInfo
from ray_platform.core.attribution import attribute
from ray_platform.core.ledger import (
    Ledger,
    NodeInterval,
    RunWindow,
    merge,
    node_interval,
    read_ledger,
    write_ledger,
)
from ray_platform.core.node_pools import NodePool
from ray_platform.core.ray_spec import HEAD_GROUP
from ray_platform.stages.site import Site

_HOUR_MS = Decimal(3_600_000)


class _Node(Protocol):
    @property
    def node_id(self) -> str: ...
    @property
    def group(self) -> str: ...
    @property
    def start(self) -> float: ...
    @property
    def end(self) -> float | None: ...


def node_intervals(site: Site, nodes: Iterable[_Node], *, seen: float) -> tuple[NodeInterval, ...]:
    """What Ray says of its nodes as ledger entries; the head runs on a system node and is overhead.

    Args:
        site: The environment: its node pools say what a worker group's nodes are.
        nodes: Nodes with ``node_id``, ``group``, ``start`` and ``end`` (None: up).
        seen: When Ray said so, epoch seconds.
    """
    pools = {pool.name: pool for pool in site.environment.node_pools}
    found = []
    for node in nodes:
        pool = head_pool(pools.values()) if node.group == HEAD_GROUP else pools.get(node.group)
        if pool is None or node.start > seen:
            continue
        found.append(
            node_interval(
                site.name,
                node.node_id,
                pool.name,
                pool.instance_type,
                node.start,
                node.end,
                seen=seen,
                spot=pool.spot,
                overhead=node.group == HEAD_GROUP,
            )
        )
    return tuple(found)


def head_pool(pools: Iterable[NodePool]) -> NodePool | None:
    """The pool whose nodes carry the Ray head: the first that carries no workers."""
    return next((pool for pool in pools if not pool.ray_workers), None)


def run_window(site: Site, run_id: str, start: float, end: float) -> RunWindow:
    return RunWindow(site.name, run_id, start, end, closed=True)


def record(site: Site, name: str, ledger: Ledger) -> None:
    """Add observations to the ledger; the same ones again change nothing."""
    spans: list[NodeInterval | RunWindow] = [*ledger.nodes, *ledger.runs]
    times = [time for span in spans for time in (span.start, span.end)]
    for month in {_month(time) for time in times}:
        key = f"usage/{site.name}/{month}/{name}.jsonl"
        kept = _read(site, key)
        whole = merge(kept, ledger)
        if whole != kept:
            site.artifacts.store.put(key, write_ledger(whole).encode())


def look(site: Site) -> None:
    """Keep what the running cluster says of its nodes now; without one there is nothing to keep."""
    if site.services()["ray"] is None:
        return
    info: ClusterInfo = site.ray().info
    seen = datetime.now(UTC).timestamp()
    record(
        site,
        f"cluster-{info.session or 'unnamed'}",
        Ledger(nodes=node_intervals(site, info.nodes, seen=seen)),
    )


def month_ledger(site: Site, time: float) -> Ledger:
    """Every observation kept for the month of ``time`` (epoch seconds)."""
    keys = site.artifacts.store.keys(f"usage/{site.name}/{_month(time)}")
    return merge(*(_read(site, key) for key in keys))


def price_run(site: Site, run_id: str, start: float, end: float) -> tuple[float, Decimal]:
    """(node-seconds, US dollars) that the ledger attributes to a run, instances alone."""
    parts = [
        part
        for part in attribute(month_ledger(site, start), start, end, environment=site.name)
        if part.run_id == run_id
    ]
    usd = sum(
        (site.prices.hourly(p.instance_type, p.spot) * p.node_ms / _HOUR_MS for p in parts),
        Decimal(0),
    )
    return sum(part.node_ms for part in parts) / 1000, usd.quantize(Decimal("0.000001"))


def _read(site: Site, key: str) -> Ledger:
    content = site.artifacts.store.get(key)
    return (
        read_ledger(content.decode(), where=site.artifacts.store.url(key)) if content else Ledger()
    )


def _month(time: float) -> str:
    return datetime.fromtimestamp(time, UTC).strftime("%Y-%m")
