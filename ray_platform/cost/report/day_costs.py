"""What each day of a month cost, in parts that sum to the day to the cent.

A day's exact amount is a fraction; it is rounded once to whole cents, which are shared out to the
parts by largest remainder. So parts, days and the month to date agree, whatever their number.
"""

import datetime as dt
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from fractions import Fraction
from typing import Literal

from ray_platform.cost.estimate_lines import FixedCost
from ray_platform.cost.ledger.usage_interval import HOUR_MS, UsageTotal
from ray_platform.cost.money import USD, Currency, apportion
from ray_platform.cost.price_book import PriceBook

PartKind = Literal["run", "idle", "overhead", "fixed"]
_ORDER: Mapping[PartKind, int] = {"run": 0, "idle": 1, "overhead": 2, "fixed": 3}
_MICRO = Decimal("0.000001")


@dataclass(frozen=True)
class CostPart:
    """A part of a day. ``name`` is the node pool, or what a fixed part is; ``usd`` is in US dollars
    to the millionth, ``cents`` its share of the day's total in hundredths of the report's currency."""

    kind: PartKind
    name: str
    run_id: str
    team: str
    node_seconds: float
    usd: Decimal
    cents: int


@dataclass(frozen=True)
class DayCosts:
    """The parts of one day."""

    day: dt.date
    parts: tuple[CostPart, ...]

    @property
    def cents(self) -> int:
        return sum(part.cents for part in self.parts)


@dataclass(frozen=True)
class LedgerCosts:
    """The ledger as a source of costs, beside the bills (`reconciliation.CostSource`)."""

    days: Mapping[dt.date, DayCosts]
    name: str = "ledger"

    def daily(
        self, environment: str, first: dt.date, last: dt.date
    ) -> dict[dt.date, dict[str, Decimal]]:
        """US dollars by day and pool, fixed parts by their names; of the one environment that it is
        made from."""
        found: dict[dt.date, dict[str, Decimal]] = {}
        for day, costs in self.days.items():
            if first <= day <= last:
                groups = found.setdefault(day, {})
                for part in costs.parts:
                    groups[part.name] = groups.get(part.name, Decimal(0)) + part.usd
        return found


def node_hourly(total: UsageTotal, book: PriceBook, volumes: Mapping[str, int]) -> Fraction:
    """US dollars for an hour of such a node and its root volume.

    Raises:
        NotFoundError: the instance type has no price.
    """
    hourly = book.hourly(total.instance_type, total.spot)
    return Fraction(hourly + book.volume_hourly(volumes.get(total.pool, 0)))


def day_costs(
    totals: Sequence[UsageTotal],
    fixed: Sequence[FixedCost],
    fixed_ms: Mapping[dt.date, int],
    book: PriceBook,
    volumes: Mapping[str, int],
    *,
    run_teams: Mapping[str, str] | None = None,
    pool_teams: Mapping[str, str] | None = None,
    currency: Currency = USD,
) -> dict[dt.date, DayCosts]:
    """Each day of ``fixed_ms``, in its order.

    Args:
        totals: Node time by day and use.
        fixed: What is paid by the hour anyway.
        fixed_ms: For each day, milliseconds for which that stood.
        book: Prices.
        volumes: Root volume of a node in GB, by pool.
        run_teams: The team of each run that has one.
        pool_teams: The team of each pool that has one.
        currency: What the cents are hundredths of.

    Raises:
        NotFoundError: an instance type has no price.
    """
    by_day: dict[dt.date, list[UsageTotal]] = defaultdict(list)
    for total in totals:
        by_day[total.day].append(total)
    out = {}
    for day, standing_ms in fixed_ms.items():
        exact: dict[tuple[PartKind, str, str], Fraction] = defaultdict(Fraction)
        node_ms: dict[tuple[PartKind, str, str], Fraction] = defaultdict(Fraction)
        for total in by_day[day]:
            rate = node_hourly(total, book, volumes) / HOUR_MS
            share = Fraction(total.node_ms, len(total.runs) or 1)
            for run_id in total.runs or ("",):
                key = (total.kind, total.pool, run_id)
                exact[key] += rate * share
                node_ms[key] += share
        for cost in fixed:
            exact[("fixed", cost.what, "")] += Fraction(cost.hourly) * standing_ms / HOUR_MS
        keys = sorted(exact, key=lambda key: (_ORDER[key[0]], key[1:]))
        cents = apportion({key: currency.of_usd(exact[key]) for key in keys})
        out[day] = DayCosts(
            day,
            tuple(
                CostPart(
                    kind=key[0],
                    name=key[1],
                    run_id=key[2],
                    team=_team(key, run_teams or {}, pool_teams or {}),
                    node_seconds=round(float(node_ms[key] / 1000), 3),
                    usd=(Decimal(exact[key].numerator) / exact[key].denominator).quantize(_MICRO),
                    cents=cents[key],
                )
                for key in keys
            ),
        )
    return out


def _team(
    key: tuple[PartKind, str, str], run_teams: Mapping[str, str], pool_teams: Mapping[str, str]
) -> str:
    kind, name, run_id = key
    if kind == "run":
        return run_teams.get(run_id, "")
    return "" if kind == "fixed" else pool_teams.get(name, "")
