"""Node pools: the one description that Terraform, Helm, the policies and Ray all derive from."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from ray_platform.text.errors import SettingsError

#: Instance type -> (vCPUs, memory in GiB, GPUs).
#: Source: https://aws.amazon.com/ec2/instance-types/ (2026-11).
INSTANCE_TYPES: Mapping[str, tuple[int, float, int]] = {
    "m5.large": (2, 8, 0),
    "m5.xlarge": (4, 16, 0),
    "m5.2xlarge": (8, 32, 0),
    "m6i.large": (2, 8, 0),
    "m6i.xlarge": (4, 16, 0),
    "m6i.2xlarge": (8, 32, 0),
    "c6i.large": (2, 4, 0),
    "c6i.xlarge": (4, 8, 0),
    "c6i.2xlarge": (8, 16, 0),
    "m6g.large": (2, 8, 0),
    "m6g.xlarge": (4, 16, 0),
    "m6g.2xlarge": (8, 32, 0),
    "c6g.large": (2, 4, 0),
    "c6g.xlarge": (4, 8, 0),
    "c6g.2xlarge": (8, 16, 0),
    "g4dn.xlarge": (4, 16, 1),
    "p3.2xlarge": (8, 61, 1),
}


@dataclass(frozen=True)
class NodePool:
    """One EKS node group, and (with ``ray_workers``) one Ray worker group of the same name and bounds."""

    name: str
    instance_types: tuple[str, ...]
    min_size: int
    max_size: int
    gpu: bool = False
    spot: bool = False
    ray_workers: bool = True
    taints: tuple[Mapping[str, str], ...] = ()
    labels: Mapping[str, str] | None = None

    @property
    def instance_type(self) -> str:
        """The first choice among its instance types: the one that it is sized and priced by."""
        return self.instance_types[0]


def read_node_pools(variables: Mapping[str, Any], *, where: str) -> tuple[NodePool, ...]:
    """The ``node_pools`` of a variables file, sorted by name.

    Args:
        variables: The parsed file.
        where: Names the file in error messages.

    Raises:
        SettingsError: a pool lacks a value or has one of a wrong type.
    """
    raw = variables.get("node_pools")
    if not isinstance(raw, Mapping) or not raw:
        raise SettingsError("no node_pools are set", where=where, fix="add a map node_pools")
    return tuple(_read_pool(name, raw[name], where) for name in sorted(raw))


def _read_pool(name: str, raw: Any, where: str) -> NodePool:
    try:
        instance_types = raw["instance_types"]
        sizes = raw["min_size"], raw["max_size"]
        if not isinstance(instance_types, list) or not instance_types:
            raise TypeError("instance_types must be a list with at least one type")
        if not all(isinstance(size, int) and not isinstance(size, bool) for size in sizes):
            raise TypeError("min_size and max_size must be whole numbers")
        if not 0 <= sizes[0] <= sizes[1]:
            raise ValueError(f"min_size {sizes[0]} and max_size {sizes[1]} are not in order")
        return NodePool(
            name=name,
            instance_types=tuple(instance_types),
            min_size=sizes[0],
            max_size=sizes[1],
            gpu=bool(raw.get("gpu", False)),
            spot=raw.get("capacity_type", "ON_DEMAND") == "SPOT",
            ray_workers=bool(raw.get("ray_workers", True)),
            taints=tuple(raw.get("taints", ())),
            labels=dict(raw.get("labels", {})),
        )
    except KeyError as error:
        raise SettingsError(
            f"node pool {name!r} has no {error.args[0]}", where=where, fix="add it to the pool"
        ) from error
    except (TypeError, ValueError) as error:
        raise SettingsError(
            f"node pool {name!r}: {error}", where=where, fix="mend the pool's values"
        ) from error
