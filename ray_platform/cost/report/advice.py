"""Advice on a month so far: what to change, the dollars that it is about, and the evidence for it.

Every figure is what the days looked at would have cost less, at the most. None is a promise: spot
nodes may be lost, Graviton needs images for arm64, a commitment is paid whether or not it is used.
"""

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal

from ray_platform.config.node_pools import INSTANCE_TYPES, NodePool
from ray_platform.cost.estimate_lines import FixedCost
from ray_platform.cost.ledger.usage_interval import HOUR_MS, HourTotal, Reading, UsageTotal
from ray_platform.cost.price_book import CONTROL_PLANE, PriceBook

#: Above this share of a pool's node time, idle nodes are worth a word.
IDLE_SHARE = Decimal("0.3")
#: A pool that was watched for less says nothing about its minimum.
WATCH_HOURS = 24
#: With fewer whole hours observed than this, a commitment is not worth a thought.
COMMIT_HOURS = 72
#: A head that schedules no tasks and serves no more workers than this does with a `large` node.
#: A rule of thumb, not a measurement: memory of the head's own process decides.
SMALL_CLUSTER = 20
#: Instance families and those with the same sizes on Graviton.
#: Source: https://aws.amazon.com/ec2/instance-types/ (2026-11).
GRAVITON: Mapping[str, str] = {"m5": "m6g", "m6i": "m6g", "c6i": "c6g"}
_CENT = Decimal("0.01")


@dataclass(frozen=True)
class Advice:
    """``usd`` is what the days looked at would have cost less, at most, in US dollars."""

    title: str
    usd: Decimal
    evidence: str


def advise(
    reading: Reading,
    fixed: Sequence[FixedCost],
    fixed_ms: int,
    book: PriceBook,
    pools: Sequence[NodePool],
) -> tuple[Advice, ...]:
    """Advice on the days of a reading, the most dollars first; nothing below one cent.

    Args:
        reading: The ledger's, of the month so far.
        fixed: What is paid by the hour anyway.
        fixed_ms: Milliseconds for which that stood.
        book: Prices.
        pools: The node pools as they are set up.

    Raises:
        NotFoundError: an instance type has no price.
    """
    found = [
        *_idle(reading.totals, book),
        *_below_minimum(reading, pools, book),
        *_spot(reading, book),
        *_graviton(reading.totals, book),
        *_heads(reading.hours, book),
        *_commitment(reading.hours, book),
        *_control_plane(fixed, fixed_ms, book),
    ]
    return tuple(sorted((a for a in found if a.usd >= _CENT), key=lambda a: (-a.usd, a.title)))


def _dollars(total: UsageTotal, book: PriceBook) -> Decimal:
    return book.hourly(total.instance_type, total.spot) * total.node_ms / HOUR_MS


def _hours(node_ms: int) -> str:
    return f"{Decimal(node_ms) / HOUR_MS:,.2f}"


def _idle(totals: Sequence[UsageTotal], book: PriceBook) -> Iterator[Advice]:
    whole: dict[str, int] = defaultdict(int)
    idle: dict[str, int] = defaultdict(int)
    cost: dict[str, Decimal] = defaultdict(Decimal)
    gpu: set[str] = set()
    for total in totals:
        if total.kind == "overhead":
            continue
        whole[total.pool] += total.node_ms
        if INSTANCE_TYPES.get(total.instance_type, (0, 0, 0))[2]:
            gpu.add(total.pool)
        if total.kind == "idle":
            idle[total.pool] += total.node_ms
            cost[total.pool] += _dollars(total, book)
    for pool, node_ms in idle.items():
        share = Decimal(node_ms) / whole[pool]
        if pool in gpu or share > IDLE_SHARE:
            kind = "GPU nodes" if pool in gpu else "nodes"
            yield Advice(
                f"Let idle {kind} of {pool} go sooner: lower min_size or the idle timeout",
                cost[pool].quantize(_CENT),
                f"{_hours(node_ms)} of {_hours(whole[pool])} node-hours ({share:.0%}) were up "
                "without a run.",
            )


def _below_minimum(
    reading: Reading, pools: Sequence[NodePool], book: PriceBook
) -> Iterator[Advice]:
    node_ms: dict[str, int] = defaultdict(int)
    for hour in reading.hours:
        if not hour.overhead:
            node_ms[hour.pool] += hour.node_ms
    for pool in pools:
        peak = reading.peaks.get(pool.name, 0)
        # The minimum is always up: so long was it paid.
        hours = Decimal(node_ms[pool.name]) / HOUR_MS / max(pool.min_size, 1)
        if pool.ray_workers and peak < pool.min_size and hours >= WATCH_HOURS:
            rate = book.hourly(pool.instance_type, pool.spot)
            yield Advice(
                f"Lower min_size of {pool.name} from {pool.min_size} to {peak}",
                (rate * (pool.min_size - peak) * hours).quantize(_CENT),
                f"Runs never held more than {peak} of its nodes at once in {hours:,.0f} hours; "
                f"{pool.min_size} are always up.",
            )


def _spot(reading: Reading, book: PriceBook) -> Iterator[Advice]:
    cost: dict[str, Decimal] = defaultdict(Decimal)
    spot_ms = 0
    for total in reading.totals:
        spot_ms += total.node_ms if total.spot else 0
        if total.kind == "run" and not total.spot:
            cost[total.pool] += _dollars(total, book)
    lost = sum(count for (_, spot), count in reading.lost.items() if spot)
    if spot_ms:
        rate = Decimal(lost) / spot_ms * HOUR_MS * 100
        seen = f"{lost} nodes were lost in {_hours(spot_ms)} spot node-hours ({rate:.2f} in 100)"
    else:
        seen = "no spot node has run here yet, so that no interruption rate is known"
    for pool, usd in cost.items():
        yield Advice(
            f"Try spot nodes for {pool}: its runs survive the loss of a node",
            (usd * (1 - book.spot_factor)).quantize(_CENT),
            f"Runs used ${usd:,.2f} of on-demand nodes; spot is taken to cost "
            f"{book.spot_factor:.0%} of that, an assumption of the price book; {seen}.",
        )


def _graviton(totals: Sequence[UsageTotal], book: PriceBook) -> Iterator[Advice]:
    node_ms: dict[tuple[str, str, bool], int] = defaultdict(int)
    for total in totals:
        node_ms[total.pool, total.instance_type, total.spot] += total.node_ms
    for (pool, type_, spot), used in sorted(node_ms.items()):
        family, _, size = type_.partition(".")
        other = f"{GRAVITON.get(family, '')}.{size}"
        if other not in book.instances:
            continue
        now, then = book.hourly(type_, spot), book.hourly(other, spot)
        yield Advice(
            f"Try {other} (Graviton) for {pool} instead of {type_}: needs images for arm64",
            ((now - then) * used / HOUR_MS).quantize(_CENT),
            f"{_hours(used)} node-hours at ${now} an hour; {other} has as many vCPUs and as much "
            f"memory for ${then}.",
        )


def _heads(hours: Sequence[HourTotal], book: PriceBook) -> Iterator[Advice]:
    workers: dict[int, int] = defaultdict(int)
    heads: dict[tuple[str, str, bool], int] = defaultdict(int)
    for hour in hours:
        if hour.overhead:
            heads[hour.pool, hour.instance_type, hour.spot] += hour.node_ms
        else:
            workers[hour.start_ms] += hour.node_ms
    most = max(workers.values(), default=0)
    for (pool, type_, spot), used in sorted(heads.items()):
        family, _, size = type_.partition(".")
        small = f"{family}.large"
        if size == "large" or small not in book.instances or most > SMALL_CLUSTER * HOUR_MS:
            continue
        now, then = book.hourly(type_, spot), book.hourly(small, spot)
        yield Advice(
            f"Try {small} for the head's node of {pool} instead of {type_}",
            ((now - then) * used / HOUR_MS).quantize(_CENT),
            f"The head runs no tasks and served {_hours(most)} workers in its busiest hour; up to "
            f"{SMALL_CLUSTER} a large node is taken to do. Look at the head's memory first.",
        )


def _commitment(hours: Sequence[HourTotal], book: PriceBook) -> Iterator[Advice]:
    spent: dict[int, Decimal] = defaultdict(Decimal)
    for hour in hours:
        usd = book.hourly(hour.instance_type) * hour.node_ms / HOUR_MS
        spent[hour.start_ms] += Decimal(0) if hour.spot else usd
    if not spent:
        return
    first, last = min(spent), max(spent)
    # The last hour may not be over, and the first may have begun midway.
    whole = [spent.get(at, Decimal(0)) for at in range(first + HOUR_MS, last, HOUR_MS)]
    if len(whole) < COMMIT_HOURS:
        return
    baseline = min(whole)
    yield Advice(
        f"Commit to ${baseline * book.commitment_factor:.3f} an hour (Compute Savings Plan, one year)",
        (baseline * (1 - book.commitment_factor) * len(whole)).quantize(_CENT),
        f"On-demand nodes never cost less than ${baseline:.3f} an hour in {len(whole)} hours; a "
        f"commitment is taken to cost {book.commitment_factor:.0%} of that, an assumption of the "
        "price book.",
    )


def _control_plane(fixed: Sequence[FixedCost], fixed_ms: int, book: PriceBook) -> Iterator[Advice]:
    standard = book.service(CONTROL_PLANE).usd
    for cost in fixed:
        if cost.service == CONTROL_PLANE and cost.hourly > standard:
            yield Advice(
                "Upgrade Kubernetes: its version is past standard support",
                ((cost.hourly - standard) * fixed_ms / HOUR_MS).quantize(_CENT),
                f"The control plane costs ${cost.hourly} an hour instead of ${standard}.",
            )
