"""The cost report of a day and of its month so far: by pool, team and burst run, against the budget.

Money is whole hundredths of the report's currency (`cents`) that sum to the cent, beside exact US
dollars (`usd`). The month to date is the sum of its days' totals.
"""

import calendar
import datetime as dt
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal

from ray_platform.config.node_pools import NodePool
from ray_platform.cost.estimate_lines import FixedCost
from ray_platform.cost.ledger.usage_interval import DAY_MS, Reading, day_bounds, milliseconds
from ray_platform.cost.money import USD, Currency
from ray_platform.cost.price_book import PriceBook
from ray_platform.cost.report.advice import Advice, advise
from ray_platform.cost.report.day_costs import CostPart, DayCosts, LedgerCosts, PartKind, day_costs
from ray_platform.cost.report.forecast import WINDOW_DAYS, Forecast, forecast
from ray_platform.cost.report.reconciliation import (
    AppliedEstimate,
    CostSource,
    EstimateError,
    Reconciliation,
    day_usd,
    estimate_errors,
    reconcile,
)
from ray_platform.cost.report.unit_costs import UnitCosts, unit_costs

ALERT_PERCENTS = (80, 90, 100)
NO_TEAM = "(no team)"
_HOUR_SECONDS = 3600


@dataclass(frozen=True)
class RunCost:
    """One burst run on this day."""

    run_id: str
    team: str
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
    """A day of one environment, and the month that it is in up to its end.

    ``days`` are the month's so far, the last one the report's own. ``hourly`` has node-seconds by
    node pool for each of its 24 UTC hours. ``forecast`` is None without a complete day to go by,
    ``reconciliation`` without a bill. ``unpriced`` are the resources that have no price: what they cost is
    in none of the amounts.
    """

    environment: str
    region: str
    book_version: str
    book_date: dt.date
    currency: Currency
    complete: bool
    days: tuple[DayCosts, ...]
    budget_usd: Decimal
    alerts: tuple[BudgetAlert, ...]
    forecast: Forecast | None
    units_day: UnitCosts
    units_month: UnitCosts
    advice: tuple[Advice, ...]
    hourly: tuple[Mapping[str, float], ...]
    reconciliation: Reconciliation | None
    estimate_errors: tuple[EstimateError, ...]
    unpriced: tuple[str, ...]

    @property
    def day(self) -> dt.date:
        return self.days[-1].day

    @property
    def parts(self) -> tuple[CostPart, ...]:
        """The day's."""
        return self.days[-1].parts

    @property
    def total_cents(self) -> int:
        return self.days[-1].cents

    @property
    def month_to_date_cents(self) -> int:
        return sum(day.cents for day in self.days)

    def month_parts(self) -> Iterable[CostPart]:
        return (part for day in self.days for part in day.parts)

    def cents_by_kind(self) -> dict[PartKind, int]:
        """The day's four kinds, also those of zero."""
        out: dict[PartKind, int] = {"run": 0, "idle": 0, "overhead": 0, "fixed": 0}
        for part in self.parts:
            out[part.kind] += part.cents
        return out

    def cents_by_pool(self, month: bool = False) -> dict[str, int]:
        """By node pool, without the fixed parts."""
        parts = self.month_parts() if month else self.parts
        return _summed((part.name, part.cents) for part in parts if part.kind != "fixed")

    def cents_by_team(self, month: bool = False) -> dict[str, int]:
        """By team; what has none (the fixed parts, too) is under `NO_TEAM`."""
        parts = self.month_parts() if month else self.parts
        return _summed((part.team or NO_TEAM, part.cents) for part in parts)

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
                parts[0].team,
                round(sum(p.node_seconds for p in parts), 3),
                sum((p.usd for p in parts), Decimal(0)),
                sum(p.cents for p in parts),
            )
            for run_id, parts in groups.items()
        ]
        return tuple(sorted(costs, key=lambda run: (-run.usd, run.run_id)))

    @property
    def budget_cents(self) -> int:
        return self.currency.cents(self.budget_usd)

    @property
    def budget_used_percent(self) -> Decimal:
        return (Decimal(self.month_to_date_cents) * 100 / self.budget_cents).quantize(
            Decimal("0.1")
        )


def daily_report(
    day: dt.date,
    environment: str,
    reading: Reading,
    book: PriceBook,
    budget: Decimal | float,
    *,
    fixed: Sequence[FixedCost] = (),
    volume_gb: Mapping[str, int] | None = None,
    fixed_since: float | None = None,
    until: float | None = None,
    pools: Sequence[NodePool] = (),
    currency: Currency = USD,
    bill: Mapping[dt.date, Mapping[str, Decimal]] | None = None,
    bill_source: str = "",
    estimates: Sequence[AppliedEstimate] = (),
    unpriced: Sequence[str] = (),
) -> CostReport:
    """What a UTC day cost, and its month so far.

    Args:
        day: The day.
        environment: Its name.
        reading: The ledger's, of the month up to the day, at least; `first_needed` for a forecast.
        book: Prices.
        budget: US dollars a month.
        fixed: What is paid by the hour anyway (`Estimate.fixed_costs`).
        volume_gb: Root volume of a node in GB by pool (`Estimate.volume_gb`).
        fixed_since: Epoch seconds since when the fixed infrastructure stands; always when left out.
        until: Epoch seconds up to which the day is counted (now, for a day that is not over).
        pools: The node pools as they are set up.
        currency: What to report in.
        bill: US dollars by day and group, of the days that are billed; None without a bill.
        bill_source: Whose bill that is.
        estimates: What the applied plans were estimated to cost.
        unpriced: The applied resources that have no price.

    Raises:
        NotFoundError: an instance type of the ledger has no price.
    """
    first = day.replace(day=1)
    fixed_ms = {
        date: _standing_ms(date, fixed_since, until) for date in _dates(first_needed(day), day)
    }
    costs = day_costs(
        reading.totals,
        fixed,
        fixed_ms,
        book,
        volume_gb or {},
        run_teams=reading.run_teams,
        pool_teams=reading.pool_teams,
        currency=currency,
    )
    month = tuple(cost for date, cost in costs.items() if date >= first)
    spent = sum(cost.cents for cost in month)
    end = day_bounds(day)[1]
    complete = until is None or until >= end
    known_from = _first_seen(reading, fixed_since, bool(fixed))
    whole = {d: c for d, c in costs.items() if known_from <= d and (complete or d < day)}
    left = calendar.monthrange(day.year, day.month)[1] - day.day
    limit = Decimal(str(budget))
    limit_cents = currency.cents(limit)
    of_month = tuple(total for total in reading.totals if first <= total.day <= day)
    first_ms, end_ms = milliseconds(day_bounds(first)[0]), milliseconds(end)
    seen = Reading(
        totals=of_month,
        hours=tuple(hour for hour in reading.hours if first_ms <= hour.start_ms < end_ms),
        peaks=reading.peaks,
        lost=reading.lost,
    )
    source: CostSource = LedgerCosts(whole)
    ledger = source.daily(environment, dt.date.min, day)
    actual = bill or ledger
    return CostReport(
        environment=environment,
        region=book.region,
        book_version=book.version,
        book_date=book.date,
        currency=currency,
        complete=complete,
        days=month,
        budget_usd=limit,
        alerts=tuple(
            BudgetAlert(percent, limit * percent / 100, spent * 100 >= limit_cents * percent)
            for percent in ALERT_PERCENTS
        ),
        forecast=forecast(
            spent,
            [cost.cents for cost in whole.values()],
            left + (0 if complete or until is None else (end - until) * 1000 / DAY_MS),
        ),
        units_day=unit_costs(month[-1].parts, (t for t in of_month if t.day == day), reading.tasks),
        units_month=unit_costs((p for c in month for p in c.parts), of_month, reading.tasks),
        advice=advise(seen, fixed, sum(fixed_ms[c.day] for c in month), book, pools),
        hourly=_hourly(seen, day),
        reconciliation=None
        if bill is None
        else reconcile(bill_source, {d: g for d, g in ledger.items() if d >= first}, bill),
        estimate_errors=estimate_errors(
            estimates,
            {date: day_usd(actual[date]) for date in ledger if date in actual},
            bill_source if bill else "ledger",
            book.hours_per_month,
        ),
        unpriced=tuple(unpriced),
    )


def first_needed(day: dt.date) -> dt.date:
    """The first day that a report reads: of the month, or of the forecast's window."""
    return min(day.replace(day=1), day - dt.timedelta(days=WINDOW_DAYS - 1))


def _dates(first: dt.date, last: dt.date) -> list[dt.date]:
    return [first + dt.timedelta(days=n) for n in range((last - first).days + 1)]


def _standing_ms(date: dt.date, since: float | None, until: float | None) -> int:
    start, end = day_bounds(date)
    end = end if until is None else max(start, min(end, until))
    return milliseconds(end) - milliseconds(min(end, max(start, since or start)))


def _first_seen(reading: Reading, fixed_since: float | None, fixed: bool) -> dt.date:
    """The first day that was whole: one on which all began halfway says nothing of the others."""
    if fixed and fixed_since is None:
        return dt.date.min
    begun = [min(total.day for total in reading.totals)] if reading.totals else []
    if fixed and fixed_since is not None:
        begun.append(dt.datetime.fromtimestamp(fixed_since, dt.UTC).date())
    return min(begun) + dt.timedelta(days=1) if begun else dt.date.max


def _hourly(reading: Reading, day: dt.date) -> tuple[Mapping[str, float], ...]:
    first = milliseconds(day_bounds(day)[0])
    hours: list[dict[str, int]] = [{} for _ in range(24)]
    for hour in reading.hours:
        place = (hour.start_ms - first) // (_HOUR_SECONDS * 1000)
        if 0 <= place < 24:
            hours[place][hour.pool] = hours[place].get(hour.pool, 0) + hour.node_ms
    return tuple({pool: ms / 1000 for pool, ms in sorted(hour.items())} for hour in hours)


def _summed(items: Iterable[tuple[str, int]]) -> dict[str, int]:
    out: dict[str, int] = {}
    for name, cents in items:
        out[name] = out.get(name, 0) + cents
    return dict(sorted(out.items()))
