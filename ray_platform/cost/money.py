"""Money as whole hundredths (cents, paise), whose parts sum to their whole."""

import datetime as dt
from collections.abc import Hashable, Mapping
from dataclasses import dataclass
from decimal import Decimal
from fractions import Fraction
from typing import TypeVar

Key = TypeVar("Key", bound=Hashable)

SYMBOLS: Mapping[str, str] = {"USD": "$", "INR": "₹", "EUR": "€"}


@dataclass(frozen=True)
class Currency:
    """What a report is written in: ``rate`` units of it for one US dollar, as of ``date``."""

    code: str = "USD"
    rate: Decimal = Decimal(1)
    date: dt.date | None = None

    @property
    def symbol(self) -> str:
        return SYMBOLS.get(self.code, f"{self.code} ")

    def of_usd(self, usd: Decimal | Fraction) -> Fraction:
        """US dollars in this currency, exact."""
        return Fraction(usd) * Fraction(self.rate)

    def cents(self, usd: Decimal | Fraction) -> int:
        """US dollars as whole hundredths of this currency, halves away from zero."""
        exact = abs(self.of_usd(usd)) * 100
        whole = int(exact + Fraction(1, 2))
        return whole if usd >= 0 else -whole

    def text(self, cents: int) -> str:
        """``$1,234.56``; thousands by commas in every currency."""
        amount = f"{abs(cents) // 100:,}.{abs(cents) % 100:02d}"
        return f"{'-' if cents < 0 else ''}{self.symbol}{amount}"

    def text_of_usd(self, usd: Decimal | Fraction) -> str:
        """US dollars, shown in this currency."""
        return self.text(self.cents(usd))


USD = Currency()


def apportion(exact: Mapping[Key, Fraction]) -> dict[Key, int]:
    """Amounts as whole hundredths whose sum is the rounded sum: the largest remainders get the rest.

    Hamilton's method of apportionment, https://en.wikipedia.org/wiki/Quota_method. Equal
    remainders go by the order of the mapping.
    """
    cents = {key: amount * 100 for key, amount in exact.items()}
    total = int(sum(cents.values(), Fraction(0)) + Fraction(1, 2))
    out = {key: int(value) for key, value in cents.items()}
    by_remainder = sorted(cents, key=lambda key: out[key] - cents[key])
    for key in by_remainder[: total - sum(out.values())]:
        out[key] += 1
    return out


def usd_text(cents: int) -> str:
    """``$1,234.56``."""
    return USD.text(cents)
