"""Simple advice on a day's cost: what to change, the dollars that it is about, and the evidence."""

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from decimal import Decimal

from ray_platform.core.attribution import UsageInterval
from ray_platform.core.estimate import FixedCost
from ray_platform.core.node_pools import INSTANCE_TYPES
from ray_platform.core.price_book import PriceBook

#: Above this share of a pool's node time, idle nodes are worth a word.
IDLE_SHARE = Decimal("0.3")
_CENT = Decimal("0.01")
_HOUR_MS = 3_600_000


@dataclass(frozen=True)
class Advice:
    """``usd`` is what the day would have cost less, at most, in US dollars."""

    title: str
    usd: Decimal
    evidence: str


def advise(
    usage: Sequence[UsageInterval], fixed: Sequence[FixedCost], book: PriceBook
) -> tuple[Advice, ...]:
    """Advice on one day, the most dollars first; nothing below one cent.

    Raises:
        NotFoundError: an instance type has no price.
    """
    found = [*_idle(usage, book), *_spot(usage, book), *_control_plane(fixed, book)]
    return tuple(sorted((a for a in found if a.usd >= _CENT), key=lambda a: (-a.usd, a.title)))


def _dollars(piece: UsageInterval, book: PriceBook) -> Decimal:
    return book.hourly(piece.instance_type, piece.spot) * piece.node_ms / _HOUR_MS


def _idle(usage: Sequence[UsageInterval], book: PriceBook) -> Iterator[Advice]:
    total: dict[str, int] = defaultdict(int)
    idle: dict[str, int] = defaultdict(int)
    cost: dict[str, Decimal] = defaultdict(Decimal)
    gpu: set[str] = set()
    for piece in usage:
        if piece.kind == "overhead":
            continue
        total[piece.pool] += piece.node_ms
        if INSTANCE_TYPES.get(piece.instance_type, (0, 0, 0))[2]:
            gpu.add(piece.pool)
        if piece.kind == "idle":
            idle[piece.pool] += piece.node_ms
            cost[piece.pool] += _dollars(piece, book)
    for pool, node_ms in idle.items():
        share = Decimal(node_ms) / total[pool]
        if pool in gpu or share > IDLE_SHARE:
            kind = "GPU nodes" if pool in gpu else "nodes"
            yield Advice(
                f"Let idle {kind} of {pool} go sooner: lower min_size or the idle timeout",
                cost[pool].quantize(_CENT),
                f"{Decimal(node_ms) / _HOUR_MS:.2f} of {Decimal(total[pool]) / _HOUR_MS:.2f} "
                f"node-hours ({share:.0%}) were up without a run.",
            )


def _spot(usage: Sequence[UsageInterval], book: PriceBook) -> Iterator[Advice]:
    cost: dict[str, Decimal] = defaultdict(Decimal)
    for piece in usage:
        if piece.kind == "run" and not piece.spot:
            cost[piece.pool] += _dollars(piece, book)
    for pool, usd in cost.items():
        saving = (usd * (1 - book.spot_factor)).quantize(_CENT)
        yield Advice(
            f"Try spot nodes for {pool}: its runs survive the loss of a node",
            saving,
            f"Runs used ${usd:.2f} of on-demand nodes; spot is taken to cost "
            f"{book.spot_factor:.0%} of that, an assumption of the price book.",
        )


def _control_plane(fixed: Sequence[FixedCost], book: PriceBook) -> Iterator[Advice]:
    standard = book.service("eks_control_plane").usd
    for cost in fixed:
        if cost.what == "EKS control plane" and cost.hourly > standard:
            yield Advice(
                "Upgrade Kubernetes: its version is past standard support",
                ((cost.hourly - standard) * 24).quantize(_CENT),
                f"The control plane costs ${cost.hourly} an hour instead of ${standard}.",
            )
