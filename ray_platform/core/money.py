"""Dollars as whole cents, whose parts sum to their whole."""

from collections.abc import Hashable, Mapping
from fractions import Fraction
from typing import TypeVar

Key = TypeVar("Key", bound=Hashable)


def apportion(exact: Mapping[Key, Fraction]) -> dict[Key, int]:
    """Dollars as whole cents whose sum is the rounded sum: the largest remainders get the rest.

    Hamilton's method of apportionment, https://en.wikipedia.org/wiki/Quota_method. Equal
    remainders go by the order of the mapping.
    """
    cents = {key: usd * 100 for key, usd in exact.items()}
    total = int(sum(cents.values(), Fraction(0)) + Fraction(1, 2))
    out = {key: int(value) for key, value in cents.items()}
    by_remainder = sorted(cents, key=lambda key: out[key] - cents[key])
    for key in by_remainder[: total - sum(out.values())]:
        out[key] += 1
    return out


def usd_text(cents: int) -> str:
    """``$1,234.56``."""
    return f"{'-' if cents < 0 else ''}${abs(cents) // 100:,}.{abs(cents) % 100:02d}"
