"""What AWS changes by itself, within what its owner allowed: a larger volume, a minor version, a count.

Each is told from the resource's own settings (`max_allocated_storage`, `auto_minor_version_upgrade`, the
bounds of a group), never from the attribute's name alone.
"""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from ray_platform.drift.conditions import Fact

#: Engines whose minor versions AWS upgrades: resource types with an ``engine_version``.
_ENGINES = (
    *("aws_db_instance", "aws_rds_cluster", "aws_rds_cluster_instance"),
    *("aws_elasticache_cluster", "aws_elasticache_replication_group"),
)
#: Of these engines a major version has two parts (``8.0`` of MySQL), of the others one.
_TWO_PARTS = ("mysql", "mariadb", "aurora", "aurora-mysql", "sqlserver", "oracle")


@dataclass(frozen=True)
class ByAws:
    """What AWS did. ``is_expected``: it is within bounds, and nothing is to be done about it."""

    evidence: str
    is_expected: bool


def by_aws(fact: Fact, cluster_members: Iterable[Mapping[str, Any]] = ()) -> ByAws | None:
    """What AWS did by itself to one attribute; None where that does not explain the difference.

    Args:
        fact: The difference.
        cluster_members: The instances of the database cluster that it is about, which carry the setting.
    """
    if fact.removed:
        return None
    if fact.type == "aws_db_instance" and fact.keys == ("allocated_storage",):
        return _grown(fact)
    if fact.type in _ENGINES and fact.keys == ("engine_version",):
        return _upgraded(fact, list(cluster_members))
    if fact.type == "aws_autoscaling_group" and fact.keys == ("desired_capacity",):
        low, high = (_number(fact.resource_before.get(name)) for name in ("min_size", "max_size"))
        count = _number(fact.after)
        if low is not None and high is not None and count is not None and low <= count <= high:
            return ByAws(f"the count is within the group's bounds, {low:g} to {high:g}", True)
    return None


def _grown(fact: Fact) -> ByAws | None:
    old, new = _number(fact.before), _number(fact.after)
    limit = _number(fact.resource_before.get("max_allocated_storage"))
    if old is None or new is None or not limit or not old < new <= limit:
        return None
    return ByAws(
        f"RDS made the volume larger by itself: max_allocated_storage allows {limit:g} GB", True
    )


def _upgraded(fact: Fact, members: list[Mapping[str, Any]]) -> ByAws | None:
    holders = members if fact.type == "aws_rds_cluster" else [fact.resource_before]
    allowed = bool(holders) and all(
        holder.get("auto_minor_version_upgrade") in (True, "true") for holder in holders
    )
    engine = str(fact.resource_before.get("engine") or "")
    old, new = _version(fact.before), _version(fact.after)
    parts = 2 if engine.startswith(_TWO_PARTS) and engine != "aurora-postgresql" else 1
    if not allowed or not old or not new or old[:parts] != new[:parts] or new <= old:
        return None
    return ByAws(
        "AWS upgraded the minor version by itself: auto_minor_version_upgrade is on", False
    )


def _number(value: Any) -> float | None:
    try:
        return None if value is None or isinstance(value, bool) else float(value)
    except (TypeError, ValueError):
        return None


def _version(value: Any) -> tuple[int, ...]:
    return tuple(int(part) for part in re.findall(r"\d+", str(value or "")))
