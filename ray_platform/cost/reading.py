"""Attributes of a planned resource, read so that "not known" never becomes a number, and what they add up to.

A shape (`ray_platform.cost.shapes`) turns the attributes of one resource into parts: units of a SKU at the
minimum and at the maximum. What a unit costs is the price book's matter, not a shape's.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from typing import Any

#: Units of a SKU; None where the plan does not say how many.
Quantity = Decimal | None


@dataclass(frozen=True)
class Part:
    """Something that is paid for all the time.

    ``skus`` are alternatives: the cheapest counts at the minimum, the dearest at the maximum. ``low`` and
    ``high`` are units (of what the SKU's price is for); ``why`` says why one of them is not known.
    ``pool`` is the node pool that it belongs to, else empty; ``volume_gb`` the size of a node's disk.
    """

    what: str
    skus: tuple[str, ...]
    low: Quantity
    high: Quantity
    why: str = ""
    pool: str = ""
    volume_gb: Quantity = None


@dataclass(frozen=True)
class Use:
    """Something that is billed by use: what, and the SKU whose unit is paid for."""

    what: str
    sku: str


@dataclass(frozen=True)
class Free:
    """This resource, as it is set up, is not billed by itself."""

    why: str


@dataclass(frozen=True)
class Note:
    """An assumption that the estimate has to name."""

    text: str


Item = Part | Use | Free | Note
_MISSING = object()


class AttributeView:
    """The attributes of one side of a change.

    Args:
        values: The attributes.
        unknown: ``True`` at each place that is known only after apply, in the same nesting.
        configured: The expressions of the configuration by attribute, also nested; None where the plan has
            none for it. What the configuration does not set is AWS's own default, not "not known".

    What could not be read is collected in ``reasons``.
    """

    def __init__(
        self,
        values: Mapping[str, Any],
        unknown: Mapping[str, Any],
        configured: Mapping[str, Any] | None,
    ) -> None:
        self.values = values
        self.unknown = unknown
        self.configured = configured
        self.reasons: list[str] = []

    def raw(self, *path: str | int) -> Any:
        """The value there; None where there is none."""
        found = _walk(self.values, path)
        return None if found is _MISSING else found

    def is_unknown(self, *path: str | int) -> bool:
        """Whether the value is known only after apply, other than as the provider's own default."""
        node: Any = self.unknown
        for step in path:
            if node is True:
                break
            node = _step(node, step)
        if node is not True and not (isinstance(node, list | dict) and _all_true(node)):
            return False
        return self.configured is None or path[0] in self.configured

    def number(self, *path: str | int, default: Decimal | None = None) -> Quantity:
        """A number, also one written as text; None, with a reason, where it is not known.

        Args:
            path: Where it is.
            default: What AWS takes where nothing is set; without it, nothing set is not known.
        """
        value, name = self.raw(*path), _name(path)
        if self.is_unknown(*path):
            return self._open(f"{name} is known only after apply")
        if value is None or value == "":
            return default if default is not None else self._open(f"{name} is not set")
        try:
            number = Decimal(str(value)) if not isinstance(value, bool) else None
        except InvalidOperation:
            number = None
        if number is None or not number.is_finite() or number < 0:
            return self._open(f"{name} is no number")
        return number

    def text(self, *path: str | int, default: str | None = None) -> str | None:
        """A text; None, with a reason, where it is not known."""
        value, name = self.raw(*path), _name(path)
        if self.is_unknown(*path):
            self._not_known(f"{name} is known only after apply")
            return None
        if value is None or value == "":
            if default is None:
                self._open(f"{name} is not set")
            return default
        return str(value)

    def flag(self, *path: str | int, default: bool = False) -> bool | None:
        """A switch; None, with a reason, where it is not known."""
        if self.is_unknown(*path):
            self._not_known(f"{_name(path)} is known only after apply")
            return None
        value = self.raw(*path)
        return default if value is None or value == "" else value in (True, "true")

    def blocks(self, name: str) -> list["AttributeView"]:
        """The blocks of a kind, each as a look of its own that reports to this one."""
        values, unknown = self.values.get(name) or [], self.unknown.get(name)
        if isinstance(values, Mapping):
            values = [values]
        found = []
        for number, block in enumerate(values if isinstance(values, list) else []):
            hidden = _step(unknown, number)
            inner = AttributeView(
                block or {},
                hidden if isinstance(hidden, Mapping) else {},
                self._configured_block(name, number),
            )
            inner.reasons = self.reasons
            found.append(inner)
        return found

    def _configured_block(self, name: str, number: int) -> Mapping[str, Any] | None:
        """The expressions of one block; None where a dynamic block makes it."""
        found = (self.configured or {}).get(name)
        block = found[number] if isinstance(found, list) and number < len(found) else None
        return block if isinstance(block, Mapping) else None

    def _open(self, reason: str) -> Quantity:
        self._not_known(reason)
        return None

    def _not_known(self, reason: str) -> None:
        if reason not in self.reasons:
            self.reasons.append(reason)


def times(one: Quantity, other: Quantity) -> Quantity:
    """The product; not known where a factor is not."""
    return None if one is None or other is None else one * other


def plus(one: Quantity, other: Quantity) -> Quantity:
    """The sum; not known where a part is not."""
    return None if one is None or other is None else one + other


def above(quantity: Quantity, included: int) -> Quantity:
    """What is more than is included."""
    return None if quantity is None else max(Decimal(0), quantity - included)


def always(what: str, sku: str, quantity: Quantity = Decimal(1), why: str = "") -> Part:
    """A part of the same size at minimum and maximum."""
    return Part(what, (sku,), quantity, quantity, why)


def not_known(what: str, why: str) -> Part:
    """A part of which the plan does not even say the SKU."""
    return Part(what, (), Decimal(1), Decimal(1), why)


Shape = Callable[..., Iterator[Item]]


def _walk(node: Any, path: tuple[str | int, ...]) -> Any:
    for step in path:
        node = _step(node, step)
        if node is _MISSING:
            return _MISSING
    return node


def _step(node: Any, step: str | int) -> Any:
    if isinstance(node, Mapping):
        return node.get(step, _MISSING)
    if isinstance(node, list) and isinstance(step, int) and step < len(node):
        return node[step]
    return _MISSING


def _all_true(node: Any) -> bool:
    if isinstance(node, Mapping):
        return bool(node) and all(_all_true(item) for item in node.values())
    if isinstance(node, list):
        return bool(node) and all(_all_true(item) for item in node)
    return node is True


def _name(path: tuple[str | int, ...]) -> str:
    return ".".join(str(step) for step in path if isinstance(step, str))
