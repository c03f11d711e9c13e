"""Which drift a change of the variables file adopts, and that change as text.

Only what an environment's variables say can be adopted there: the bounds of node pools and the version of
Kubernetes. Everything else is written in modules that all environments share; a person has to decide that.
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass

from ray_platform.drift.items import DriftItem
from ray_platform.hcl.hcl_text import with_value

_POOL = re.compile(r'^module\.node_pools\.aws_eks_node_group\.\w+\["(?P<pool>[\w-]+)"\]$')
_BOUND = re.compile(r"^scaling_config(\[0\])?\.(?P<bound>min_size|max_size)$")
_CLUSTER = re.compile(r"^module\.eks_cluster\.aws_eks_cluster\.\w+$")
_VERSION = re.compile(r"^\d+\.\d+$")


@dataclass(frozen=True)
class Adoption:
    """One value of the variables file that would be what stands in the cloud.

    ``path`` leads to it: ``("node_pools", "cpu", "max_size")``. ``before`` and ``after`` are as HCL.
    """

    path: tuple[str, ...]
    before: str
    after: str
    item: DriftItem

    @property
    def name(self) -> str:
        return ".".join(self.path)


def adoptions(items: Iterable[DriftItem]) -> tuple[tuple[Adoption, ...], tuple[DriftItem, ...]]:
    """What can be adopted, and what was changed by hand and cannot.

    What the autoscaler or the provider did is nobody's wish, and what Git will change is on its way.
    """
    adopted, left = [], []
    for item in items:
        if item.cause != "by_hand":
            continue
        found = _adoption(item)
        if found is not None:
            adopted.append(found)
        elif item.severity != "none":
            left.append(item)
    return tuple(sorted(adopted, key=lambda one: one.path)), tuple(left)


def _adoption(item: DriftItem) -> Adoption | None:
    pool, bound = _POOL.match(item.address), _BOUND.match(item.attribute)
    if pool and bound and type(item.after) is int and item.after >= 0:
        path = ("node_pools", pool["pool"], bound["bound"])
        return Adoption(path, str(item.before), str(item.after), item)
    version = str(item.after)
    if _CLUSTER.match(item.address) and item.attribute == "version" and _VERSION.match(version):
        return Adoption(("kubernetes_version",), f'"{item.before}"', f'"{version}"', item)
    return None


def adopted_text(text: str, adoption: Adoption) -> str | None:
    """The variables file with one value changed, its layout and comments kept.

    Returns:
        None where the value does not stand there as it was applied: Git has moved on, or writes it in
        another way.
    """
    return with_value(text, adoption.path, adoption.before, adoption.after)


def branch_of(environment: str) -> str:
    """The branch that holds an environment's adoption: one at a time."""
    return f"ray-platform/adopt-{environment}"
