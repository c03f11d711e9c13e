"""What an estimate is made of: lines, fixed costs, totals, and what has no price."""

from dataclasses import dataclass
from decimal import Decimal

CENT = Decimal("0.01")


ZERO = Decimal("0.00")


@dataclass(frozen=True)
class EstimateLine:
    """A resource's part: US dollars a month, rounded to the cent; ``fixed`` does not scale.

    An amount is None where it is not known.
    """

    address: str
    what: str
    pool: str
    fixed: bool
    before_min: Decimal | None
    before_max: Decimal | None
    after_min: Decimal | None
    after_max: Decimal | None


@dataclass(frozen=True)
class Unpriced:
    """A resource that has no price, or of which a part has none.

    ``side`` is ``before`` or ``after``. ``changes`` says whether the plan changes what is billed: a resource
    that only stays, moves or goes never stops a plan.
    """

    address: str
    type: str
    why: str
    side: str
    changes: bool


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
    """US dollars a month of what is known; what is not is in `Estimate.unpriced`."""

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
