"""Kubernetes' spelling of an amount: ``500m`` is a half, ``1Ki`` is 1024."""

import re
from decimal import Decimal

_TEXT = re.compile(
    r"(?P<number>[+-]?(\d+\.?\d*|\.\d+))(?P<unit>[num]|[kMGTPE]|[KMGTPE]i|[eE][+-]?\d+)?"
)
_SCALES = {
    **{unit: Decimal(10) ** (-3 * (3 - place)) for place, unit in enumerate("num")},
    **{unit: Decimal(1000) ** (place + 1) for place, unit in enumerate("kMGTPE")},
    **{f"{unit}i": Decimal(1024) ** (place + 1) for place, unit in enumerate("KMGTPE")},
}


def quantity(value: object) -> Decimal | None:
    """An amount as a number; None where it is none.

    Source: https://kubernetes.io/docs/reference/kubernetes-api/common-definitions/quantity/
    """
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        return None
    found = _TEXT.fullmatch(str(value))
    if not found:
        return None
    number, unit = Decimal(found["number"]), found["unit"] or ""
    if unit[:1] in ("e", "E") and len(unit) > 1 and unit != "Ei":
        return number * Decimal(10) ** int(unit[1:])
    return number * _SCALES.get(unit, Decimal(1))
