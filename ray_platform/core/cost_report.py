"""The daily cost report: what a day cost, by burst run, idle, overhead and fixed infrastructure.

Every part is rounded to whole cents by largest remainder, so the parts sum to the day's total to
the cent, and the month to date is the sum of its days' totals.
"""

import datetime as dt
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from fractions import Fraction
from typing import Any, Literal

from ray_platform.core.attribution import UsageInterval, attribute, day_bounds
from ray_platform.core.cost_advice import Advice, advise
from ray_platform.core.estimate import FixedCost
from ray_platform.core.ledger import Ledger, merge
from ray_platform.core.money import apportion, usd_text
from ray_platform.core.price_book import PriceBook

PartKind = Literal["run", "idle", "overhead", "fixed"]

ALERT_PERCENTS = (80, 90, 100)
_HOUR_MS = 3_600_000
_MICRO = Decimal("0.000001")


@dataclass(frozen=True)
class CostPart:
    """A part of the day. ``name`` is the node pool, or what a fixed part is; ``usd`` is to the
    millionth of a dollar, ``cents`` its share of the day's total."""

    kind: PartKind
    name: str
    run_id: str
    node_seconds: float
    usd: Decimal
    cents: int


@dataclass(frozen=True)
class RunCost:
    """One burst run on this day: the unit cost."""

    run_id: str
    node_seconds: float
    usd: Decimal
    cents: int


@dataclass(frozen=True)
class BudgetAlert:
    """A share of the monthly budget in percent, in US dollars, and whether it is reached."""

    percent: int
    usd: Decimal
    reached: bool


@dataclass(frozen=True)
class CostReport:
    """A day of one environment. Money: whole cents, or US dollars as `Decimal`.

    ``hourly`` has node-seconds by node pool for each of the 24 UTC hours; ``actuals`` is the bill
    by group where there is an AWS account, else None.
    """

    day: dt.date
    environment: str
    region: str
    book_version: str
    book_date: dt.date
    complete: bool
    parts: tuple[CostPart, ...]
    month_to_date_cents: int
    budget_usd: Decimal
    alerts: tuple[BudgetAlert, ...]
    advice: tuple[Advice, ...]
    hourly: tuple[Mapping[str, float], ...]
    actuals: Mapping[str, Decimal] | None = None

    @property
    def total_cents(self) -> int:
        return sum(part.cents for part in self.parts)

    def cents_by_kind(self) -> dict[PartKind, int]:
        """All four kinds, also those of zero."""
        out: dict[PartKind, int] = {"run": 0, "idle": 0, "overhead": 0, "fixed": 0}
        for part in self.parts:
            out[part.kind] += part.cents
        return out

    def cents_by_pool(self) -> dict[str, int]:
        """By node pool, without the fixed parts."""
        out: dict[str, int] = {}
        for part in self.parts:
            if part.kind != "fixed":
                out[part.name] = out.get(part.name, 0) + part.cents
        return out

    @property
    def runs(self) -> tuple[RunCost, ...]:
        """The day's burst runs, the dearest first."""
        groups: dict[str, list[CostPart]] = defaultdict(list)
        for part in self.parts:
            if part.kind == "run":
                groups[part.run_id].append(part)
        costs = [
            RunCost(
                run_id,
                round(sum(p.node_seconds for p in parts), 3),
                sum((p.usd for p in parts), Decimal(0)),
                sum(p.cents for p in parts),
            )
            for run_id, parts in groups.items()
        ]
        return tuple(sorted(costs, key=lambda run: (-run.usd, run.run_id)))

    @property
    def budget_used_percent(self) -> Decimal:
        return (Decimal(self.month_to_date_cents) / self.budget_usd).quantize(Decimal("0.1"))

    def to_json(self) -> dict[str, Any]:
        """Whole cents as numbers, US dollars as strings."""
        return {
            "day": self.day.isoformat(),
            "environment": self.environment,
            "region": self.region,
            "complete": self.complete,
            "price_book": {"version": self.book_version, "date": self.book_date.isoformat()},
            "currency": "USD",
            "total_cents": self.total_cents,
            "cents_by_kind": self.cents_by_kind(),
            "cents_by_pool": self.cents_by_pool(),
            "parts": [{**vars(part), "usd": str(part.usd)} for part in self.parts],
            "runs": [{**vars(run), "usd": str(run.usd)} for run in self.runs],
            "month_to_date_cents": self.month_to_date_cents,
            "budget": {
                "monthly_usd": str(self.budget_usd),
                "used_percent": str(self.budget_used_percent),
                "alerts": [{**vars(alert), "usd": str(alert.usd)} for alert in self.alerts],
            },
            "advice": [{**vars(item), "usd": str(item.usd)} for item in self.advice],
            "hourly_node_seconds": [dict(hour) for hour in self.hourly],
            "actuals": None
            if self.actuals is None
            else {group: str(usd) for group, usd in sorted(self.actuals.items())},
        }

    def to_markdown(self) -> str:
        """For Dagster's metadata and for pull requests."""
        out = [
            f"**{usd_text(self.total_cents)}** on {self.day} in `{self.environment}`"
            + ("" if self.complete else " (the day is not over)"),
            "",
            f"Month to date {usd_text(self.month_to_date_cents)} of ${self.budget_usd:,.2f} "
            f"({self.budget_used_percent} %)",
            "",
            "| part | pool or service | run | node-seconds | cost |",
            "|---|---|---|--:|--:|",
        ]
        for part in self.parts:
            run = f"`{part.run_id}`" if part.run_id else ""
            seconds = f"{part.node_seconds:,.0f}" if part.kind != "fixed" else ""
            out.append(
                f"| {part.kind} | {part.name} | {run} | {seconds} | {usd_text(part.cents)} |"
            )
        out.append(f"| **total** | | | | **{usd_text(self.total_cents)}** |")
        reached = [alert for alert in self.alerts if alert.reached]
        if reached:
            out += ["", f"**The month has reached {reached[-1].percent} % of its budget.**"]
        out += ["", *(f"- {item.title}: ${item.usd:,.2f}. {item.evidence}" for item in self.advice)]
        return "\n".join(out).rstrip() + "\n"


def daily_report(
    day: dt.date,
    environment: str,
    ledger: Ledger,
    book: PriceBook,
    budget: Decimal | float,
    actuals: Mapping[str, Decimal] | None = None,
    *,
    fixed: Sequence[FixedCost] = (),
    volume_gb: Mapping[str, int] | None = None,
    fixed_since: float | None = None,
    until: float | None = None,
) -> CostReport:
    """What a UTC day cost.

    Args:
        day: The day.
        environment: Its name; other environments' observations are left out.
        ledger: Usage from the first of the month on, at least.
        book: Prices.
        budget: US dollars a month.
        actuals: The bill of the day in US dollars by group, from Cost Explorer.
        fixed: What is paid by the hour anyway (`Estimate.fixed_costs`).
        volume_gb: Root volume of a node in GB by pool (`Estimate.volume_gb`).
        fixed_since: Epoch seconds since when the fixed infrastructure stands; always when left out.
        until: Epoch seconds up to which the day is counted (now, for a day that is not over).

    Raises:
        NotFoundError: an instance type of the ledger has no price.
    """
    whole = merge(ledger)
    volumes = volume_gb or {}

    def parts_of(date: dt.date) -> tuple[tuple[CostPart, ...], tuple[UsageInterval, ...]]:
        start, end = day_bounds(date)
        end = end if until is None else max(start, min(end, until))
        usage = attribute(whole, start, end, environment=environment)
        fixed_ms = round((end - min(end, max(start, fixed_since or start))) * 1000)
        return _parts(usage, fixed, fixed_ms, book, volumes), usage

    parts, usage = parts_of(day)
    earlier = (day.replace(day=number) for number in range(1, day.day))
    month = sum(p.cents for p in parts) + sum(p.cents for d in earlier for p in parts_of(d)[0])
    limit = Decimal(str(budget))
    return CostReport(
        day=day,
        environment=environment,
        region=book.region,
        book_version=book.version,
        book_date=book.date,
        complete=until is None or until >= day_bounds(day)[1],
        parts=parts,
        month_to_date_cents=month,
        budget_usd=limit,
        alerts=tuple(
            BudgetAlert(percent, limit * percent / 100, month >= limit * percent)
            for percent in ALERT_PERCENTS
        ),
        advice=advise(usage, fixed, book),
        hourly=_hourly(usage, day),
        actuals=actuals,
    )


def _parts(
    usage: Sequence[UsageInterval],
    fixed: Sequence[FixedCost],
    fixed_ms: int,
    book: PriceBook,
    volumes: Mapping[str, int],
) -> tuple[CostPart, ...]:
    exact: dict[tuple[PartKind, str, str], Fraction] = defaultdict(Fraction)
    node_ms: dict[tuple[PartKind, str, str], int] = defaultdict(int)
    for piece in usage:
        key = (piece.kind, piece.pool, piece.run_id)
        hourly = book.hourly(piece.instance_type, piece.spot)
        hourly += book.volume_hourly(volumes.get(piece.pool, 0))
        exact[key] += Fraction(hourly) * piece.node_ms / _HOUR_MS
        node_ms[key] += piece.node_ms
    for cost in fixed:
        exact[("fixed", cost.what, "")] += Fraction(cost.hourly) * fixed_ms / _HOUR_MS
    order = {"run": 0, "idle": 1, "overhead": 2, "fixed": 3}
    keys = sorted(exact, key=lambda key: (order[key[0]], key[1:]))
    cents = apportion({key: exact[key] for key in keys})
    return tuple(
        CostPart(
            kind=key[0],
            name=key[1],
            run_id=key[2],
            node_seconds=node_ms[key] / 1000,
            usd=(Decimal(exact[key].numerator) / exact[key].denominator).quantize(_MICRO),
            cents=cents[key],
        )
        for key in keys
    )


def _hourly(usage: Sequence[UsageInterval], day: dt.date) -> tuple[Mapping[str, float], ...]:
    first, _ = day_bounds(day)
    hours: list[dict[str, float]] = [{} for _ in range(24)]
    for piece in usage:
        share = piece.node_ms / 1000 / (piece.end - piece.start)
        for hour in range(24):
            left, right = first + hour * 3600, first + (hour + 1) * 3600
            seconds = min(right, piece.end) - max(left, piece.start)
            if seconds > 0:
                so_far = hours[hour].get(piece.pool, 0.0)
                hours[hour][piece.pool] = so_far + seconds * share
    return tuple({pool: round(n, 3) for pool, n in sorted(hour.items())} for hour in hours)
