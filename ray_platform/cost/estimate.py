"""What a plan will cost a month, before and after, at the node pools' minimum and maximum size.

A month has 730 hours (the price book says whose convention that is). What is billed by use (GB
stored or moved) is listed with its unit price and never guessed into the totals. Each line is
rounded to the cent, and totals are the sums of lines, so they agree to the cent.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from decimal import ROUND_HALF_UP, Decimal
from typing import Any

from ray_platform.cost.price_book import PriceBook
from ray_platform.cost.resource_prices import HourlyPart, ResourcePrices, UsePrice, is_free
from ray_platform.terraform.plan import Plan

CENT = Decimal("0.01")
ZERO = Decimal("0.00")


@dataclass(frozen=True)
class EstimateLine:
    """A resource's part: US dollars a month, rounded to the cent; ``fixed`` does not scale."""

    address: str
    what: str
    pool: str
    fixed: bool
    before_min: Decimal
    before_max: Decimal
    after_min: Decimal
    after_max: Decimal


@dataclass(frozen=True)
class FixedCost:
    """What is paid by the hour whether or not anything runs: US dollars an hour, unrounded.

    ``what`` is for people. ``service`` is the price book's name of the service, empty where no advice
    asks for it.
    """

    what: str
    hourly: Decimal
    service: str = ""


@dataclass(frozen=True)
class Totals:
    """US dollars a month."""

    before_min: Decimal
    before_max: Decimal
    after_min: Decimal
    after_max: Decimal

    @property
    def difference_min(self) -> Decimal:
        return self.after_min - self.before_min

    @property
    def difference_max(self) -> Decimal:
        return self.after_max - self.before_max


@dataclass(frozen=True)
class Estimate:
    """A plan's monthly cost. ``unpriced`` names resources that the price book knows nothing of."""

    region: str
    book_version: str
    book_date: str
    hours: Decimal
    lines: tuple[EstimateLine, ...]
    by_use: tuple[UsePrice, ...]
    unpriced: tuple[str, ...]
    notes: tuple[str, ...]
    _fixed: tuple[tuple[str, str, str, Decimal], ...]
    _volumes: tuple[tuple[str, int], ...]

    @property
    def totals(self) -> Totals:
        def total(name: str) -> Decimal:
            return sum((getattr(line, name) for line in self.lines), ZERO)

        return Totals(*(total(n) for n in ("before_min", "before_max", "after_min", "after_max")))

    def fixed_costs(self, *, observed_pools: Sequence[str]) -> tuple[FixedCost, ...]:
        """What the daily report adds to the observed nodes, after the plan is applied.

        Args:
            observed_pools: Pools whose nodes the usage ledger sees. The nodes of the others (the
                system pool) count here, at the pools' minimum size.
        """
        sums: dict[tuple[str, str], Decimal] = {}
        for what, service, pool, hourly in self._fixed:
            if pool not in observed_pools:
                sums[what, service] = sums.get((what, service), Decimal(0)) + hourly
        return tuple(FixedCost(what, usd, service) for (what, service), usd in sorted(sums.items()))

    @property
    def volume_gb(self) -> Mapping[str, int]:
        """Root volume of a node in GB, by node pool."""
        return dict(self._volumes)

    def to_json(self) -> dict[str, Any]:
        """Money as strings with two decimals, unit prices as the book has them."""
        totals = self.totals
        return {
            "region": self.region,
            "price_book": {"version": self.book_version, "date": self.book_date},
            "hours_per_month": str(self.hours),
            "currency": "USD",
            "totals": {
                **{name: str(getattr(totals, name)) for name in vars(totals)},
                "difference_min": str(totals.difference_min),
                "difference_max": str(totals.difference_max),
            },
            "lines": [
                {k: str(v) if isinstance(v, Decimal) else v for k, v in vars(line).items()}
                for line in self.lines
            ],
            "depends_on_use": [{**vars(use), "unit_usd": str(use.unit_usd)} for use in self.by_use],
            "unpriced": list(self.unpriced),
            "notes": list(self.notes),
        }

    def to_markdown(self) -> str:
        """Totals first, then a table by resource, then what depends on use."""
        t = self.totals
        out = [
            f"**${t.after_min:,.2f} to ${t.after_max:,.2f} a month** after this plan "
            f"({_signed(t.difference_min)} at minimum size, "
            f"{_signed(t.difference_max)} at maximum)",
            "",
            "| resource | what | before (min) | after (min) | before (max) | after (max) |",
            "|---|---|--:|--:|--:|--:|",
        ]
        for line in self.lines:
            money = (line.before_min, line.after_min, line.before_max, line.after_max)
            cells = " | ".join(f"{usd:,.2f}" for usd in money)
            out.append(f"| `{line.address}` | {line.what} | {cells} |")
        out.append(
            f"| **total** | | **{t.before_min:,.2f}** | **{t.after_min:,.2f}** "
            f"| **{t.before_max:,.2f}** | **{t.after_max:,.2f}** |"
        )
        if self.by_use:
            out += ["", "Depends on use, not in the totals:", ""]
            out += [f"- `{u.address}`: {u.what}, ${u.unit_usd} a {u.unit}" for u in self.by_use]
        if self.unpriced:
            out += ["", "Not in the price book: " + ", ".join(f"`{a}`" for a in self.unpriced)]
        out += ["", *(f"- {note}" for note in self.notes)]
        return "\n".join(out) + "\n"


def estimate(plan: Plan, book: PriceBook) -> Estimate:
    """The monthly cost before and after a plan, over every resource in it, changed or not.

    Raises:
        NotFoundError: a node pool's instance type is not in the book.
    """
    reader = ResourcePrices(plan, book)
    lines: list[EstimateLine] = []
    fixed: list[tuple[str, str, str, Decimal]] = []
    by_use: list[UsePrice] = []
    unpriced: list[str] = []
    for change in sorted(plan.changes, key=lambda c: c.address):
        if change.mode != "managed":
            continue
        before = list(reader.parts(change, change.before)) if change.before else []
        after = list(reader.parts(change, change.after)) if change.after else []
        lines.extend(_lines(change.address, before, after, book.hours_per_month))
        fixed.extend((part.what, part.service, part.pool, part.low) for part in after)
        if change.after:
            uses = list(reader.by_use(change))
            by_use.extend(uses)
            if not (before or after or uses or is_free(change.type)):
                unpriced.append(change.address)
    return Estimate(
        region=book.region,
        book_version=book.version,
        book_date=book.date.isoformat(),
        hours=book.hours_per_month,
        lines=tuple(lines),
        by_use=tuple(by_use),
        unpriced=tuple(unpriced),
        notes=tuple(reader.notes()),
        _fixed=tuple(fixed),
        _volumes=tuple(sorted(reader.volumes.items())),
    )


def _lines(
    address: str, before: Sequence[HourlyPart], after: Sequence[HourlyPart], hours: Decimal
) -> Iterator[EstimateLine]:
    for index in range(max(len(before), len(after))):
        old = before[index] if index < len(before) else None
        new = after[index] if index < len(after) else None
        shown = new or old
        if shown is not None:
            money = [
                (part_hourly * hours).quantize(CENT, ROUND_HALF_UP)
                for side in (old, new)
                for part_hourly in ((side.low, side.high) if side else (ZERO, ZERO))
            ]
            yield EstimateLine(address, shown.what, shown.pool, not shown.pool, *money)


def _signed(usd: Decimal) -> str:
    return f"{'-' if usd < 0 else '+'}${abs(usd):,.2f}"
