"""What the resources of a plan cost a month: their shapes, by the prices of the book of their region."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from ray_platform.cost.price_book import CONTROL_PLANE, CONTROL_PLANE_EXTENDED, PriceBook, UnitPrice
from ray_platform.cost.reading import AttributeView, Free, Item, Note, Part, Use
from ray_platform.cost.shapes import SHAPES, free_types
from ray_platform.cost.surroundings import Surroundings
from ray_platform.terraform.plan import Plan, ResourceChange
from ray_platform.text.errors import NotFoundError

#: The price book of a region.
Books = Callable[[str], PriceBook]


@dataclass(frozen=True)
class UsePrice:
    """A resource that is billed by use: what one ``unit`` costs in US dollars.

    ``assumed`` is how many units a month the environment's file assumes; None where it assumes none.
    """

    address: str
    what: str
    unit_usd: Decimal
    unit: str
    assumed: Decimal | None


@dataclass(frozen=True)
class PricedPart:
    """One part of one side: US dollars a month at minimum and maximum size, unrounded.

    An amount is None where the plan does not say how much there is (``is_open``) or where the book has no
    price; ``why`` says which. ``service`` is the price book's name of the control plane, else empty.
    """

    what: str
    low: Decimal | None
    high: Decimal | None
    pool: str
    why: str
    is_open: bool
    service: str


@dataclass(frozen=True)
class Side:
    """A resource before or after: its parts, what is billed by use, and why something has no price.

    ``items`` is its shape: equal shapes cost the same, also where nobody knows how much.
    """

    parts: tuple[PricedPart, ...]
    uses: tuple[UsePrice, ...]
    free: bool
    why: tuple[str, ...]
    items: tuple[Item, ...]


class ResourcePrices:
    """Prices the resources of one plan, remembering what it had to assume.

    Args:
        plan: The plan.
        book: The prices of the environment's region.
        books: The prices of other regions.
        use: Units a month that are assumed of each resource billed by use, by SKU.
    """

    def __init__(
        self, plan: Plan, book: PriceBook, books: Books, use: Mapping[str, Decimal]
    ) -> None:
        self._book = book
        self._books = books
        self._use = use
        self._around = Surroundings(plan, book.region)
        self._notes: set[str] = set()
        self.volumes: dict[str, int] = {}

    def notes(self) -> list[str]:
        book = self._book
        source = f"List prices of {book.region}, {book.date}"
        if not book.services:
            source = f"The price book of {book.date} has no prices of {book.region}"
        return [
            f"{source}; {book.hours_per_month} hours a month.",
            *sorted(self._notes),
        ]

    def side(self, change: ResourceChange, side: str) -> Side:
        """What a resource costs ``before`` or ``after``."""
        values: Mapping[str, Any] = getattr(change, side)
        shape = SHAPES.get(change.type)
        if shape is None:
            free = change.type in free_types()
            why = () if free else (f"there is no price rule for {change.type}",)
            return Side((), (), free, why, ())
        unknown = change.after_unknown if side == "after" else {}
        look = AttributeView(values, unknown, self._around.configured(change))
        items: Sequence[Item] = list(shape(look, change, self._around, side))
        self._notes |= {item.text for item in items if isinstance(item, Note)}
        if all(isinstance(item, Free | Note) for item in items):
            return Side((), (), True, (), tuple(items))
        book, why_region = self._book_of(change, values)
        parts = [
            self._priced(book, why_region, item, look) for item in items if isinstance(item, Part)
        ]
        if side == "after":
            self._remember_volumes(items)
        uses: list[UsePrice] = []
        lacking = [part.why for part in parts if part.why]
        for item in items:
            if isinstance(item, Use):
                price = book.price(item.sku) if book else None
                if price is None:
                    lacking.append(why_region or f"no unit price of {item.what} ({item.sku})")
                    continue
                assumed = self._use.get(item.sku)
                uses.append(UsePrice(change.address, item.what, price.usd, price.unit, assumed))
                if assumed is not None:
                    parts.append(self._assumed(item, price, assumed))
        # What is always paid and has a price is priced, whatever its use is worth.
        if parts and all(not part.why for part in parts):
            self._notes |= {f"Not counted: {reason}." for reason in lacking}
            lacking = []
        return Side(tuple(parts), tuple(uses), False, tuple(dict.fromkeys(lacking)), tuple(items))

    def _book_of(
        self, change: ResourceChange, values: Mapping[str, Any]
    ) -> tuple[PriceBook | None, str]:
        region = self._around.region(change, values)
        if region is None:
            return None, "the region of its provider is not known"
        if region == self._book.region:
            return self._book, ""
        try:
            return self._books(region), ""
        except NotFoundError:
            return None, f"the price book has no prices for the region {region!r}"

    def _priced(
        self, book: PriceBook | None, why: str, part: Part, look: AttributeView
    ) -> PricedPart:
        if book is None:
            return PricedPart(part.what, None, None, part.pool, why, False, _service(part))
        prices: list[UnitPrice] = []
        for sku in part.skus:
            price = book.price(sku)
            if price is None:
                why = f"no price for {sku} in {book.region}"
                return PricedPart(part.what, None, None, part.pool, why, False, _service(part))
            if sku.startswith("ec2-spot/"):
                self._notes.add(book.spot_assumption)
            if sku.startswith("eks_control_plane/") and price is book.services.get(
                "eks_control_plane_extended"
            ):
                self._notes.add(
                    f"Kubernetes {sku.partition('/')[2]} is past its standard support: the control plane "
                    f"costs ${price.usd} an hour until it is upgraded."
                )
            prices.append(price)
        if not prices:
            reason = part.why or "; ".join(look.reasons) or "the plan does not say what it is"
            is_open = part.low is None or part.high is None
            return PricedPart(part.what, None, None, part.pool, reason, is_open, _service(part))
        monthly = sorted(
            price.usd * (book.hours_per_month if price.is_hourly else 1) for price in prices
        )
        low = None if part.low is None else monthly[0] * part.low
        high = None if part.high is None else monthly[-1] * part.high
        reason = ""
        if low is None or high is None:
            reason = part.why or "; ".join(look.reasons) or "the plan does not say how much"
        return PricedPart(part.what, low, high, part.pool, reason, bool(reason), _service(part))

    def _assumed(self, use: Use, price: UnitPrice, units: Decimal) -> PricedPart:
        hours = self._book.hours_per_month if price.is_hourly else 1
        usd = price.usd * hours * units
        what = f"{use.what}, assumed {units.normalize():f} x {price.unit}"
        self._notes.add(f"{use.sku}: {units.normalize():f} x {price.unit} is assumed by cost.use.")
        return PricedPart(what, usd, usd, "", "", False, "")

    def _remember_volumes(self, items: Sequence[Item]) -> None:
        sizes: dict[str, Decimal] = {}
        for item in items:
            if isinstance(item, Part) and item.pool and item.volume_gb is not None:
                sizes[item.pool] = sizes.get(item.pool, Decimal(0)) + item.volume_gb
        self.volumes |= {pool: int(size) for pool, size in sizes.items()}


def _service(part: Part) -> str:
    """The control plane's name in the price book, by which advice finds it; empty for other parts."""
    names = {sku.partition("/")[0] for sku in part.skus}
    return CONTROL_PLANE if names & {CONTROL_PLANE, CONTROL_PLANE_EXTENDED} else ""
