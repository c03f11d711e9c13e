"""What a plan will cost a month, before and after, at the node pools' minimum and maximum size.

A month has 730 hours (the price book says whose convention that is). Each resource is priced, billed by use
(listed with its unit price, and in the totals only with an amount that the environment's file assumes), free
by an exact list, or named as not priced wherever a total is shown. Each line is rounded to the cent, and
totals are the sums of lines, so they agree to the cent.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from decimal import ROUND_HALF_UP, Decimal
from typing import Any

from ray_platform.cost.estimate_lines import CENT, ZERO, EstimateLine, FixedCost, Totals, Unpriced
from ray_platform.cost.price_book import PriceBook, load_price_book
from ray_platform.cost.resource_prices import (
    Books,
    PricedPart,
    ResourcePrices,
    Side,
    UsePrice,
)
from ray_platform.terraform.computed import without_computed
from ray_platform.terraform.plan import Plan, ResourceChange

BOUNDS = ("before_min", "before_max", "after_min", "after_max")
#: Attributes that nothing is billed by.
_NOT_BILLED = ("tags", "tags_all", "tag_specifications")


@dataclass(frozen=True)
class Estimate:
    """A plan's monthly cost.

    ``types`` has the type of each address. ``open_bounds`` are the totals of which the plan leaves a part
    open (a size that is known only after apply). ``increase_min`` is how much more a month costs at minimum
    size, without the resources whose cost before is not known.
    """

    region: str
    book_version: str
    book_date: str
    hours: Decimal
    lines: tuple[EstimateLine, ...]
    by_use: tuple[UsePrice, ...]
    free: tuple[str, ...]
    unpriced: tuple[Unpriced, ...]
    unpriced_before: tuple[Unpriced, ...]
    notes: tuple[str, ...]
    types: Mapping[str, str]
    open_bounds: frozenset[str]
    increase_min: Decimal
    _fixed: tuple[tuple[str, str, str, Decimal], ...]
    _volumes: tuple[tuple[str, int], ...]

    @property
    def totals(self) -> Totals:
        return Totals(*(_sum(getattr(line, name) for line in self.lines) for name in BOUNDS))

    @property
    def unpriced_changes(self) -> tuple[Unpriced, ...]:
        """The resources without a price whose cost the plan changes."""
        return tuple(item for item in self.unpriced if item.changes)

    def total_text(self, bound: str) -> str:
        """``$73.00 + 2 not priced``: one of the totals, with how many resources it lacks."""
        lacks = self.unpriced_before if bound.startswith("before") else self.unpriced
        return money_text(getattr(self.totals, bound), len(lacks))

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

    def monthly(self) -> dict[str, float | None]:
        """The four totals as numbers; None where the plan leaves a size open.

        A total counts as known where a resource only lacks a price: that is named in ``unpriced``.
        """
        totals = self.totals
        return {
            name: None if name in self.open_bounds else float(getattr(totals, name))
            for name in BOUNDS
        }

    def monthly_by_address(self) -> dict[str, dict[str, float | None]]:
        """The four amounts of each resource with a price, as numbers; None where one is not known."""
        found: dict[str, list[EstimateLine]] = {}
        for line in self.lines:
            found.setdefault(line.address, []).append(line)
        return {
            address: {
                name: None
                if any(getattr(line, name) is None for line in lines)
                else float(_sum(getattr(line, name) for line in lines))
                for name in BOUNDS
            }
            for address, lines in found.items()
        }

    def to_json(self) -> dict[str, Any]:
        """Money as strings with two decimals, unit prices as the book has them; null where not known."""
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
            "not_known": sorted(self.open_bounds),
            "lines": [
                {k: str(v) if isinstance(v, Decimal) else v for k, v in vars(line).items()}
                for line in self.lines
            ],
            "depends_on_use": [
                {k: str(v) if isinstance(v, Decimal) else v for k, v in vars(use).items()}
                for use in self.by_use
            ],
            "free": list(self.free),
            "unpriced": [vars(item) for item in (*self.unpriced, *self.unpriced_before)],
            "notes": list(self.notes),
        }

    def to_markdown(self) -> str:
        """Totals first, then a table by resource, then what depends on use."""
        t = self.totals
        out = [
            f"**{money_text(t.after_min, 0)} to {self.total_text('after_max')} a month** after this plan "
            f"({_signed(t.difference_min)} at minimum size, "
            f"{_signed(t.difference_max)} at maximum)",
            "",
            "| resource | what | before (min) | after (min) | before (max) | after (max) |",
            "|---|---|--:|--:|--:|--:|",
        ]
        for line in self.lines:
            money = (line.before_min, line.after_min, line.before_max, line.after_max)
            cells = " | ".join("not known" if usd is None else f"{usd:,.2f}" for usd in money)
            out.append(f"| `{line.address}` | {line.what} | {cells} |")
        before, after = (
            f" + {len(lacks)} not priced" if lacks else ""
            for lacks in (self.unpriced_before, self.unpriced)
        )
        out.append(
            f"| **total** | | **{t.before_min:,.2f}{before}** | **{t.after_min:,.2f}{after}** "
            f"| **{t.before_max:,.2f}{before}** | **{t.after_max:,.2f}{after}** |"
        )
        if self.by_use:
            out += ["", "Depends on use, in the totals only with an assumed amount:", ""]
            out += [f"- `{u.address}`: {u.what}, ${u.unit_usd} a {u.unit}" for u in self.by_use]
        if self.unpriced:
            out += ["", "Not priced:", ""]
            out += [f"- `{item.address}`: {item.why}" for item in self.unpriced]
        out += ["", *(f"- {note}" for note in self.notes)]
        return "\n".join(out) + "\n"


def money_text(usd: Decimal, unpriced: int) -> str:
    """``$73.00 + 2 not priced``: an amount, and how many resources it lacks."""
    return f"${usd:,.2f}" + (f" + {unpriced} not priced" if unpriced else "")


def estimate(
    plan: Plan,
    book: PriceBook,
    *,
    books: Books = load_price_book,
    use: Mapping[str, float] | None = None,
) -> Estimate:
    """The monthly cost before and after a plan, over every resource in it, changed or not.

    A deposed object is left out: it is a second one next to the live one, and its end is the plan's first
    step. What Terraform forgets goes on costing.

    Args:
        plan: The plan.
        book: The prices of the environment's region.
        books: The prices of other regions, for resources that are elsewhere.
        use: Units a month that are assumed of each resource billed by use, by SKU.
    """
    amounts = {sku: Decimal(str(units)) for sku, units in (use or {}).items()}
    reader = ResourcePrices(plan, book, books, amounts)
    lines: list[EstimateLine] = []
    fixed: list[tuple[str, str, str, Decimal]] = []
    by_use: list[UsePrice] = []
    free: list[str] = []
    unpriced: list[Unpriced] = []
    unpriced_before: list[Unpriced] = []
    open_bounds: set[str] = set()
    increase = ZERO
    managed = [change for change in plan.changes if change.mode == "managed"]
    for change in sorted(managed, key=lambda c: c.address):
        if change.deposed:
            continue
        old = reader.side(change, "before") if change.exists_before else None
        new = reader.side(change, "after") if change.exists_after else None
        pairs = _pairs(change, old, new)
        mine = [
            line
            for before, after in pairs
            for line in _lines(change.address, _parts(before), _parts(after))
        ]
        lines += mine
        open_bounds.update(_open(pairs))
        befores = [before for before, _ in pairs if before]
        afters = [after for _, after in pairs if after]
        unpriced_before += _lacking(change, "before", befores, old, new)
        unpriced += _lacking(change, "after", afters, old, new)
        if not any(side.why for side in befores):
            increase += _sum(x.after_min for x in mine) - _sum(x.before_min for x in mine)
        for side in afters:
            by_use += side.uses
            hours = book.hours_per_month
            fixed += [
                (p.what, p.service, p.pool, p.low / hours) for p in side.parts if p.low is not None
            ]
        sides = afters or befores
        if sides and all(side.free for side in sides):
            free.append(change.address)
    unpriced += [
        Unpriced(item.change.address, item.change.type, f"deferred: {item.reason}", "after", True)
        for item in plan.deferred
    ]
    return Estimate(
        region=book.region,
        book_version=book.version,
        book_date=book.date.isoformat(),
        hours=book.hours_per_month,
        lines=tuple(lines),
        by_use=tuple(by_use),
        free=tuple(free),
        unpriced=tuple(unpriced),
        unpriced_before=tuple(unpriced_before),
        notes=(*reader.notes(), *_plan_notes(plan)),
        types={
            change.address: change.type
            for change in (*managed, *(item.change for item in plan.deferred))
        },
        open_bounds=frozenset(open_bounds),
        increase_min=increase,
        _fixed=tuple(fixed),
        _volumes=tuple(sorted(reader.volumes.items())),
    )


def _pairs(
    change: ResourceChange, old: Side | None, new: Side | None
) -> list[tuple[Side | None, Side | None]]:
    """(before, after) of each object: what is forgotten stays, next to what replaces it."""
    if change.action == "forget":
        return [(old, old)]
    if change.action == "replace-and-forget":
        return [(old, old), (None, new)]
    return [(old, new)]


def _lacking(
    change: ResourceChange, side: str, sides: Sequence[Side], old: Side | None, new: Side | None
) -> Iterator[Unpriced]:
    why = "; ".join(dict.fromkeys(reason for item in sides for reason in item.why))
    if why:
        changes = side == "after" and _changes_cost(change, old, new)
        yield Unpriced(change.address, change.type, why, side, changes)


def _changes_cost(change: ResourceChange, old: Side | None, new: Side | None) -> bool:
    if change.action in ("create", "replace", "replace-and-forget"):
        return True
    if change.action != "update":
        return False
    if old and new and old.items:
        return old.items != new.items or any(part.is_open for part in new.parts)
    return _billed(change, change.before) != _billed(change, change.after)


def _billed(change: ResourceChange, values: Mapping[str, Any]) -> dict[str, Any]:
    clean = without_computed(change.type, values)
    return {key: value for key, value in clean.items() if key not in _NOT_BILLED}


def _open(pairs: Iterable[tuple[Side | None, Side | None]]) -> Iterator[str]:
    for pair in pairs:
        for name, side in zip(("before", "after"), pair, strict=True):
            for part in side.parts if side else ():
                if part.is_open:
                    yield from [f"{name}_min"] if part.low is None else []
                    yield from [f"{name}_max"] if part.high is None else []


def _plan_notes(plan: Plan) -> Iterator[str]:
    gone = [change.shown_address for change in plan.changes if change.deposed]
    if gone:
        yield f"Deposed objects are not counted, and are billed until they are deleted: {', '.join(gone)}."
    forgotten = [c.address for c in plan.changes if c.action in ("forget", "replace-and-forget")]
    if forgotten:
        yield f"Forgotten, and billed as before: {', '.join(forgotten)}."
    if plan.unfinished:
        yield f"The plan is not whole, so that this is a part of the cost: {'; '.join(plan.unfinished)}."


def _parts(side: Side | None) -> Sequence[PricedPart]:
    return side.parts if side else ()


def _lines(
    address: str, before: Sequence[PricedPart], after: Sequence[PricedPart]
) -> Iterator[EstimateLine]:
    for index in range(max(len(before), len(after))):
        old = before[index] if index < len(before) else None
        new = after[index] if index < len(after) else None
        shown = new or old
        if shown is not None:
            money = [
                None if usd is None else usd.quantize(CENT, ROUND_HALF_UP)
                for side in (old, new)
                for usd in ((side.low, side.high) if side else (ZERO, ZERO))
            ]
            yield EstimateLine(address, shown.what, shown.pool, not shown.pool, *money)


def _sum(amounts: Iterable[Decimal | None]) -> Decimal:
    return sum((usd for usd in amounts if usd is not None), ZERO)


def _signed(usd: Decimal) -> str:
    return f"{'-' if usd < 0 else '+'}${abs(usd):,.2f}"
