"""How far the ledger, and an estimate, were from the bill."""

import datetime as dt
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Protocol

_CENT = Decimal("0.01")
_TENTH = Decimal("0.1")


class CostSource(Protocol):
    """Where costs come from: the ledger (`day_costs.LedgerCosts`), Cost Explorer, a Cost and Usage
    Report."""

    @property
    def name(self) -> str: ...

    def daily(
        self, environment: str, first: dt.date, last: dt.date
    ) -> Mapping[dt.date, Mapping[str, Decimal]]:
        """US dollars by UTC day and group (the node pool; what belongs to none has a name of its
        own), of the days from ``first`` to ``last`` that the source knows."""
        ...


@dataclass(frozen=True)
class ReconciledDay:
    """One UTC day in US dollars: the ledger's total, the bill's, and ledger minus bill."""

    day: dt.date
    ledger_usd: Decimal
    bill_usd: Decimal

    @property
    def difference_usd(self) -> Decimal:
        return self.ledger_usd - self.bill_usd

    @property
    def percent(self) -> Decimal | None:
        """The difference in percent of the bill; None where the bill is nothing."""
        return _percent(self.difference_usd, self.bill_usd)


@dataclass(frozen=True)
class Reconciliation:
    """Days that both know. ``missing`` are days of the ledger that are not on the bill yet."""

    source: str
    days: tuple[ReconciledDay, ...]
    missing: tuple[dt.date, ...]

    @property
    def percent(self) -> Decimal | None:
        """Ledger minus bill over all its days, in percent of the bill."""
        bill = sum((day.bill_usd for day in self.days), Decimal(0))
        return _percent(sum((day.difference_usd for day in self.days), Decimal(0)), bill)

    @property
    def mean_absolute_percent(self) -> Decimal | None:
        """The mean of the days' differences in percent, signs left out."""
        found = [abs(day.percent) for day in self.days if day.percent is not None]
        return (sum(found, Decimal(0)) / len(found)).quantize(_TENTH) if found else None


def reconcile(
    source: str,
    ledger: Mapping[dt.date, Mapping[str, Decimal]],
    bill: Mapping[dt.date, Mapping[str, Decimal]],
) -> Reconciliation:
    """Ledger against bill, a day at a time.

    Args:
        source: Whose bill it is.
        ledger: US dollars of complete days, by day and group.
        bill: The same of the bill; a day that is not billed yet is not in it.
    """
    days = tuple(
        ReconciledDay(day, day_usd(groups), day_usd(bill[day]))
        for day, groups in sorted(ledger.items())
        if day in bill
    )
    return Reconciliation(source, days, tuple(sorted(day for day in ledger if day not in bill)))


@dataclass(frozen=True)
class AppliedEstimate:
    """A plan's estimate in US dollars a month, from pools' minimum to maximum size, and when it was
    applied (``since``, epoch seconds)."""

    plan_digest: str
    commit: str
    since: float
    low_usd: Decimal
    high_usd: Decimal


@dataclass(frozen=True)
class EstimateError:
    """An estimate against what its whole days cost, scaled to a month of 730 hours.

    ``error_percent`` is 0 between the estimate's ends; outside, how far the actual month lies above
    the upper (+) or below the lower (-) end, in percent of that end.
    """

    plan_digest: str
    commit: str
    days: int
    low_usd: Decimal
    high_usd: Decimal
    actual_usd: Decimal
    error_percent: Decimal | None
    source: str


def estimate_errors(
    estimates: Sequence[AppliedEstimate],
    actual: Mapping[dt.date, Decimal],
    source: str,
    hours_per_month: Decimal,
) -> tuple[EstimateError, ...]:
    """The error of each applied change whose infrastructure stood for at least one whole day.

    Args:
        estimates: In the order in which they were applied; each stands until the next.
        actual: US dollars of complete days, from the bill where there is one.
        source: Where ``actual`` is from.
        hours_per_month: The estimate's month.
    """
    out = []
    for place, item in enumerate(estimates):
        end = estimates[place + 1].since if place + 1 < len(estimates) else float("inf")
        found = [
            usd
            for day, usd in actual.items()
            if _start(day) >= item.since and _start(day, 1) <= end
        ]
        if not found:
            continue
        month = (sum(found, Decimal(0)) / len(found) / 24 * hours_per_month).quantize(_CENT)
        inside = item.low_usd <= month <= item.high_usd
        bound = item.high_usd if month > item.high_usd else item.low_usd
        out.append(
            EstimateError(
                plan_digest=item.plan_digest,
                commit=item.commit,
                days=len(found),
                low_usd=item.low_usd,
                high_usd=item.high_usd,
                actual_usd=month,
                error_percent=Decimal("0.0") if inside else _percent(month - bound, bound),
                source=source,
            )
        )
    return tuple(out)


def day_usd(groups: Mapping[str, Decimal]) -> Decimal:
    """A day's groups as one amount, to the cent."""
    return sum(groups.values(), Decimal(0)).quantize(_CENT)


def _start(day: dt.date, later: int = 0) -> float:
    moment = dt.datetime(day.year, day.month, day.day, tzinfo=dt.UTC)
    return (moment + dt.timedelta(days=later)).timestamp()


def _percent(part: Decimal, whole: Decimal) -> Decimal | None:
    return (part / whole * 100).quantize(_TENTH) if whole else None
