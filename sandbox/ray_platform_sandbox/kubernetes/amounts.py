"""Kubernetes' amounts (``500m``, ``2Gi``, ``1e3``) as exact numbers, and back in its own spelling."""

import re
from fractions import Fraction

_BINARY = {
    suffix: 2 ** (10 * power)
    for power, suffix in enumerate(("Ki", "Mi", "Gi", "Ti", "Pi", "Ei"), 1)
}
_DECIMAL = {"n": -9, "u": -6, "m": -3, "": 0, "k": 3, "M": 6, "G": 9, "T": 12, "P": 15, "E": 18}
_AMOUNT = re.compile(r"(?P<number>[+-]?[0-9.]+)(?P<suffix>[KMGTPE]i|[numkMGTPE]?|[eE][+-]?[0-9]+)")


def amount(text: object) -> Fraction:
    """The number of an amount.

    Raises:
        ValueError: it is none.
    """
    found = _AMOUNT.fullmatch(str(text))
    if isinstance(text, bool) or found is None:
        raise ValueError(f"{text!r} is no amount")
    number, suffix = Fraction(found["number"]), found["suffix"]
    if suffix in _BINARY:
        return number * Fraction(_BINARY[suffix])
    if suffix in _DECIMAL:
        return number * Fraction(f"1e{_DECIMAL[suffix]}")
    return number * Fraction(f"1e{int(suffix[1:])}")


def spelled(value: Fraction, *, binary: bool = False) -> str:
    """As Kubernetes spells it: the largest suffix that leaves a whole number.

    Args:
        value: Not negative, a multiple of a thousandth.
        binary: Whether its parts were spelled in powers of two.
    """
    if binary and value.denominator == 1:
        for suffix, factor in reversed(_BINARY.items()):
            if value and value % factor == 0:
                return f"{value // factor}{suffix}"
    if value.denominator != 1:
        return f"{int(value * 1000)}m"
    return str(int(value))
