"""The conditions that a severity rule may name: each looks at one difference and says yes or no."""

import ipaddress
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from ray_platform.config.node_pools import NodePool

Network = ipaddress.IPv4Network | ipaddress.IPv6Network

#: The attribute of a resource that was made beside Terraform.
UNMANAGED = "(unmanaged)"
NODE_COUNT = "scaling_config.desired_size"
_NOTHING: tuple[Any, ...] = (
    None,
    False,
    "false",
    "",
    [],
    {},
    "Disabled",
    "DISABLED",
    "Suspended",
    "NONE",
)


@dataclass(frozen=True)
class Fact:
    """One difference and what is around it. ``keys`` is its path without list indices."""

    type: str
    attribute: str
    keys: tuple[str, ...]
    before: Any
    after: Any
    removed: bool
    resource_before: Mapping[str, Any]
    resource_after: Mapping[str, Any]
    pools: tuple[NodePool, ...]

    @property
    def dotted(self) -> str:
        return ".".join(self.keys)


def removed(fact: Fact, values: tuple[str, ...]) -> bool:
    """The whole resource is gone."""
    return fact.removed


def open_to_all(fact: Fact, values: tuple[str, ...]) -> bool:
    """A network of all addresses is there, and was not."""
    return any(n.prefixlen == 0 for n in networks(fact.after)) and not any(
        n.prefixlen == 0 for n in networks(fact.before)
    )


def wider(fact: Fact, values: tuple[str, ...]) -> bool:
    """Anything but a removal or a narrower network: a port range or a protocol may widen too."""
    if fact.after in (None, "", [], {}):
        return False
    old, new = networks(fact.before), networks(fact.after)
    if old and new and not isinstance(fact.after, Mapping):
        return not all(any(_within(inner, outer) for outer in old) for inner in new)
    if fact.keys[-1] in ("from_port", "to_port") and isinstance(fact.before, int | float):
        lower = fact.after < fact.before
        return bool(lower if fact.keys[-1] == "from_port" else fact.after > fact.before)
    if fact.keys[-1] in ("protocol", "ip_protocol"):
        return str(fact.before) not in ("-1", "all")
    return fact.keys[-1] != "description"


def off(fact: Fact, values: tuple[str, ...]) -> bool:
    """A protection that was there is gone: true to false, or a value to nothing."""
    return fact.after in _NOTHING


def added(fact: Fact, values: tuple[str, ...]) -> bool:
    """It is there, and was not."""
    return fact.before is None and fact.after is not None


def on(fact: Fact, values: tuple[str, ...]) -> bool:
    return fact.after is True


def becomes(fact: Fact, values: tuple[str, ...]) -> bool:
    """The live value is one of the rule's ``values``; ``(absent)`` is no value at all."""
    return ("(absent)" if fact.after is None else str(fact.after)) in values


def within_bounds(fact: Fact, values: tuple[str, ...] = ()) -> bool:
    """Whether the live node count lies within the pool's bounds."""
    name = str(fact.resource_before.get("node_group_name", ""))
    pool = pool_of(name, fact.pools)
    if pool is not None:
        low, high = pool.min_size, pool.max_size
    else:
        scaling = (fact.resource_before.get("scaling_config") or [{}])[0]
        low, high = scaling.get("min_size"), scaling.get("max_size")
    if not all(isinstance(n, int) for n in (low, high, fact.after)):
        return False
    return bool(low <= fact.after <= high)


def pool_of(group: str, pools: tuple[NodePool, ...]) -> NodePool | None:
    """The pool of a node group: of the same name, or the name behind a prefix."""
    return next((p for p in pools if group == p.name or group.endswith(f"-{p.name}")), None)


CONDITIONS: Mapping[str, Callable[[Fact, tuple[str, ...]], bool]] = {
    "removed": removed,
    "added": added,
    "open_to_all": open_to_all,
    "wider": wider,
    "off": off,
    "on": on,
    "becomes": becomes,
    "within_bounds": within_bounds,
}


def networks(value: Any) -> list[Network]:
    """Every CIDR below a value."""
    if isinstance(value, Mapping):
        return [net for item in value.values() for net in networks(item)]
    if isinstance(value, list | tuple):
        return [net for item in value for net in networks(item)]
    if isinstance(value, str) and "/" in value:
        try:
            return [ipaddress.ip_network(value, strict=False)]
        except ValueError:
            return []
    return []


def _within(inner: Network, outer: Network) -> bool:
    if isinstance(inner, ipaddress.IPv4Network) and isinstance(outer, ipaddress.IPv4Network):
        return inner.subnet_of(outer)
    if isinstance(inner, ipaddress.IPv6Network) and isinstance(outer, ipaddress.IPv6Network):
        return inner.subnet_of(outer)
    return False
