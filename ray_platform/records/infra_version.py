"""The infra version: the content hash of a small manifest that says what a run ran on.

Two records make it: what Terraform applied, and the Ray cluster on top. The manifest is stored under
its hash and never changes.
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any

from ray_platform.text.canonical import digest

SCHEMA = 1

#: The assets that one apply makes, each from the Terraform module of the same name.
MODULES = ("vpc", "eks_cluster", "node_pools", "storage", "platform")

#: Attributes that move while the infrastructure stays the same: the autoscaler's node count, and the
#: commit tag, which says which commit made a resource and is never updated (terraform/README.md).
_VOLATILE = frozenset({"desired_size", "commit"})


@dataclass(frozen=True)
class Applied:
    """What the last apply left behind. Digests are hex SHA-256."""

    commit: str
    changes_digest: str
    configuration_digest: str
    variables_digest: str
    provider_lock_digest: str
    plan_digest: str
    state_lineage: str
    state_serial: int
    modules: Mapping[str, str]
    policy_bundle_digest: str
    price_book_version: str

    def to_json(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> "Applied":
        return cls(**data)


@dataclass(frozen=True)
class Ray:
    """The Ray cluster on top: chart and values digests, the rendered manifest's, image, version."""

    chart_digest: str
    values_digest: str
    manifest_digest: str
    image: str
    version: str

    def to_json(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> "Ray":
        return cls(**data)


def same_infrastructure(old: Applied, new: Applied) -> bool:
    """Whether two applies left the same infrastructure: all but the commit and the plan agree."""
    neutral = {"commit": "", "changes_digest": "", "plan_digest": ""}
    return replace(old, **neutral) == replace(new, **neutral)  # type: ignore[arg-type]


def manifest(environment: str, applied: Applied, ray: Ray | None) -> dict[str, Any]:
    """The manifest of an infra version, as stored."""
    return {
        "schema": SCHEMA,
        "environment": environment,
        **applied.to_json(),
        "dirty": bool(applied.changes_digest),
        "ray": ray.to_json() if ray else None,
    }


def infra_version(manifest: Mapping[str, Any]) -> str:
    """The hex SHA-256 that a manifest is named by."""
    return digest(manifest)


def stable(value: Any) -> Any:
    """A resource's attributes without those that move while the infrastructure stays the same."""
    if isinstance(value, Mapping):
        return {key: stable(item) for key, item in value.items() if key not in _VOLATILE}
    if isinstance(value, list):
        return [stable(item) for item in value]
    return value
