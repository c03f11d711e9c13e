"""Usage: what was seen of nodes and runs goes into the ledger as it happens, and is priced from there.

A burst run's nodes are written when one comes or goes, and at least every `KEEP_SECONDS` while it runs:
a run that is killed keeps its usage up to then. When a run ends, what it saw itself is added.
"""

import threading
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from decimal import Decimal
from typing import Protocol

from ray_platform.config.node_pools import NodePool
from ray_platform.cost.ledger.usage_interval import (
    HOUR_MS,
    Kind,
    Mark,
    Usage,
    day_of,
    milliseconds,
    month_of,
)
from ray_platform.cost.session_parts import prices_of, usage_of
from ray_platform.ray.cluster_client import describe_cluster
from ray_platform.ray.endpoint import RayEndpoint, ray_endpoint, running_services
from ray_platform.ray.spec import HEAD_GROUP
from ray_platform.session.environment_session import EnvironmentSession
from ray_platform.text.errors import ArtifactError, RayError

#: How often the cluster is asked for its nodes during a run, and how long an unchanged answer is
#: not written again.
WATCH_SECONDS = 2.0
KEEP_SECONDS = 30.0
TEAM_LABEL = "team"


class _Node(Protocol):
    @property
    def node_id(self) -> str: ...
    @property
    def group(self) -> str: ...
    @property
    def start(self) -> float: ...
    @property
    def end(self) -> float | None: ...


def usages(
    session: EnvironmentSession,
    nodes: Iterable[_Node],
    *,
    seen: float,
    run_id: str = "",
    window: tuple[float, float] | None = None,
) -> list[Usage]:
    """What Ray says of its nodes as intervals; the head runs on a system node and is overhead.

    Args:
        session: The environment: its node pools say what a worker group's nodes are.
        nodes: Nodes with ``node_id``, ``group``, ``start`` and ``end`` (None: up).
        seen: When Ray said so, epoch seconds.
        run_id: A burst run, which holds every worker node for all of ``window``.
        window: When it began and ended or was last seen, epoch seconds.
    """
    pools = {pool.name: pool for pool in session.environment.node_pools}
    found = []
    for node in nodes:
        head = node.group == HEAD_GROUP
        pool = head_pool(pools.values()) if head else pools.get(node.group)
        if pool is None or node.start > seen:
            continue
        end = max(node.start, seen if node.end is None else node.end)
        team = (pool.labels or {}).get(TEAM_LABEL, "")
        found.append(
            _usage(session, node, pool, (node.start, end), "overhead" if head else "idle", "", team)
        )
        if window and not head:
            held = (max(node.start, window[0]), min(end, window[1]))
            if held[1] > held[0]:
                found.append(
                    _usage(session, node, pool, held, "run", run_id, session.environment.burst.team)
                )
    return found


def _usage(
    session: EnvironmentSession,
    node: _Node,
    pool: NodePool,
    span: tuple[float, float],
    kind: Kind,
    run_id: str,
    team: str,
) -> Usage:
    return Usage(
        environment=session.name,
        node=node.node_id,
        start_ms=milliseconds(span[0]),
        end_ms=milliseconds(span[1]),
        kind=kind,
        run_id=run_id,
        pool=pool.name,
        team=team,
        instance_type=pool.instance_type,
        spot=pool.spot,
    )


def head_pool(pools: Iterable[NodePool]) -> NodePool | None:
    """The pool whose nodes carry the Ray head: the first that carries no workers."""
    return next((pool for pool in pools if not pool.ray_workers), None)


def tasks_done(session: EnvironmentSession, run_id: str, count: int, ended: float) -> Mark:
    """How many tasks a run finished."""
    return Mark(session.name, milliseconds(ended), "tasks", run_id, "", "", False, count)


def look(session: EnvironmentSession) -> None:
    """Keep what the running cluster says of its nodes now; without one there is nothing to keep."""
    if running_services(session)["ray"] is not None:
        _Watch(session, ray_endpoint(session)).look()


@contextmanager
def watching(
    session: EnvironmentSession,
    endpoint: RayEndpoint,
    run_id: str,
    tell: Callable[[str], None],
    *,
    every: float = WATCH_SECONDS,
) -> Iterator[None]:
    """Write the cluster's nodes into the ledger, as they come and go, while a run holds them.

    A cluster that does not answer for a while is asked again: Ray remembers when its nodes began and
    ended. ``tell`` hears of it once. ``every`` is in seconds.
    """
    watch = _Watch(session, endpoint, run_id)
    ended = threading.Event()

    def work() -> None:
        told = False
        while not ended.wait(every):
            try:
                watch.look()
            except Exception as error:  # the run goes on; its own account is added at its end
                if not told:
                    tell(f"The run's usage cannot be written at the moment: {error}")
                    told = True

    thread = threading.Thread(target=work, daemon=True, name=f"usage of {run_id}")
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join(timeout=30)
        try:
            watch.kept = 0.0
            watch.look()
        except RayError as error:
            tell(f"The last look at the run's nodes failed: {error.what}")


class _Watch:
    """Looks at a cluster, and writes what is new; the workers are held by a run from its start on."""

    def __init__(
        self, session: EnvironmentSession, endpoint: RayEndpoint, run_id: str = ""
    ) -> None:
        self.session = session
        self.endpoint = endpoint
        self.run_id = run_id
        self.started = time.time()
        self.known: set[tuple[str, float | None]] | None = None
        self.kept = 0.0

    def look(self) -> None:
        endpoint = self.endpoint
        nodes = describe_cluster(endpoint.address, endpoint.token_path).nodes
        seen = time.time()
        found = {(node.node_id, node.end) for node in nodes}
        if found == self.known and seen - self.kept < KEEP_SECONDS:
            return
        window = (self.started, seen) if self.run_id else None
        pools = {pool.name: pool for pool in self.session.environment.node_pools}
        usage_of(self.session).append(
            usages(self.session, nodes, seen=seen, run_id=self.run_id, window=window),
            [
                Mark(
                    self.session.name,
                    milliseconds(node.end),
                    "lost",
                    "",
                    node.node_id,
                    node.group,
                    pools[node.group].spot,
                    1,
                )
                for node in nodes
                if node.lost and node.end is not None and node.group in pools
            ],
        )
        self.known, self.kept = found, seen


def compact(session: EnvironmentSession, time_: float, tell: Callable[[str], None]) -> None:
    """Join the month's files where they have become many.

    That saves time and changes no number, so that a store that refuses it fails nothing: ``tell`` hears.
    """
    try:
        usage_of(session).compact(session.name, month_of(milliseconds(time_)))
    except ArtifactError as error:
        tell(f"The files of the usage ledger were not joined: {error}")


def price_run(
    session: EnvironmentSession, run_id: str, start: float, end: float
) -> tuple[float, Decimal]:
    """(node-seconds, US dollars) that the ledger attributes to a run, instances alone."""
    first, last = day_of(milliseconds(start)), day_of(milliseconds(end))
    node_seconds, usd = Decimal(0), Decimal(0)
    for total in usage_of(session).read(session.name, first, last).totals:
        if run_id in total.runs:
            share = Decimal(total.node_ms) / len(total.runs)
            node_seconds += share / 1000
            usd += prices_of(session).hourly(total.instance_type, total.spot) * share / HOUR_MS
    return round(float(node_seconds), 3), usd.quantize(Decimal("0.000001"))
