"""A Terraform plan as data: read from ``terraform show -json PLANFILE``.

Format: https://developer.hashicorp.com/terraform/internals/json-format (format version 1.x).
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from ray_platform.text.canonical import digest
from ray_platform.text.errors import PlanFormatError

Action = Literal["create", "update", "replace", "delete", "read", "no-op", "forget"]

#: Fields of the plan that say when and how it was made, not what it will do.
_NOT_CONTENT = ("timestamp", "checks", "relevant_attributes")

_FIX = "give the output of `terraform show -json PLANFILE` of Terraform 1.10 or newer"


@dataclass(frozen=True)
class ResourceChange:
    """What the plan does to one resource instance.

    ``before`` and ``after`` are attribute mappings (empty when there is none); ``after_unknown`` holds
    ``True`` at each place that is known only after apply, in the same nesting.
    """

    address: str
    module: str
    type: str
    name: str
    mode: str
    action: Action
    before: Mapping[str, Any]
    after: Mapping[str, Any]
    after_unknown: Mapping[str, Any]
    before_sensitive: Any
    after_sensitive: Any
    replace_paths: tuple[tuple[Any, ...], ...]

    @property
    def top_module(self) -> str:
        """The module of the root that it belongs to (``vpc`` for ``module.vpc.aws_subnet.x``), or ``""``."""
        return top_module(self.address)

    @property
    def is_change(self) -> bool:
        """Whether applying the plan touches it."""
        return self.action not in ("no-op", "read")


@dataclass(frozen=True)
class Counts:
    """How many resources a plan touches, by what it does to them."""

    create: int = 0
    update: int = 0
    replace: int = 0
    delete: int = 0

    @property
    def total(self) -> int:
        return self.create + self.update + self.replace + self.delete

    def __str__(self) -> str:
        return (
            f"{self.create} to create, {self.update} to update, "
            f"{self.replace} to replace, {self.delete} to delete"
        )


@dataclass(frozen=True)
class Plan:
    """A plan's content. ``changes`` holds every resource of the plan, also those that stay as they are."""

    format_version: str
    terraform_version: str
    variables: Mapping[str, Any]
    changes: tuple[ResourceChange, ...]
    drift: tuple[ResourceChange, ...]
    output_changes: Mapping[str, Any]
    digest: str

    @property
    def counts(self) -> Counts:
        seen = {"create": 0, "update": 0, "replace": 0, "delete": 0}
        for change in self.changes:
            if change.action in seen:
                seen[change.action] += 1
        return Counts(**seen)

    @property
    def is_empty(self) -> bool:
        """Whether applying it would change neither a resource nor an output."""
        return self.counts.total == 0 and all(
            output.get("actions", ["no-op"]) == ["no-op"] for output in self.output_changes.values()
        )

    def touched(self) -> tuple[ResourceChange, ...]:
        """What applying it touches: replaced and deleted first, since they can lose something."""
        order = {"delete": 0, "replace": 1, "update": 2, "create": 3}
        changed = [change for change in self.changes if change.is_change]
        return tuple(sorted(changed, key=lambda c: (order.get(c.action, 4), c.address)))


def top_module(address: str) -> str:
    """The module of the root that an address lies in, or ``""`` for the root itself."""
    parts = address.split(".")
    return parts[1].split("[")[0] if parts[0] == "module" and len(parts) > 1 else ""


def read_plan(data: Any, *, where: str = "plan") -> Plan:
    """Turn the JSON of ``terraform show -json`` into a `Plan`.

    Args:
        data: The parsed JSON.
        where: Names the file in error messages.

    Raises:
        PlanFormatError: not a plan, or of another major format version.
    """
    if not isinstance(data, Mapping):
        raise PlanFormatError("this is not a Terraform plan: no JSON object", where=where, fix=_FIX)
    version = str(data.get("format_version", ""))
    if not version:
        raise PlanFormatError(
            "this is not a Terraform plan: it has no format_version", where=where, fix=_FIX
        )
    if version.split(".")[0] != "1":
        raise PlanFormatError(
            f"the plan has format version {version}; versions 1.x can be read",
            where=where,
            fix=_FIX,
        )
    if "resource_changes" not in data and "planned_values" not in data:
        raise PlanFormatError(
            "this looks like a Terraform state or an empty document, not a plan",
            where=where,
            fix=_FIX,
        )
    try:
        changes = tuple(_read_change(item) for item in data.get("resource_changes", []))
        drift = tuple(_read_change(item) for item in data.get("resource_drift", []))
    except (KeyError, TypeError, AttributeError) as error:
        raise PlanFormatError(
            f"the plan's resource changes cannot be read: {error!r}", where=where, fix=_FIX
        ) from error
    return Plan(
        format_version=version,
        terraform_version=str(data.get("terraform_version", "")),
        variables={name: item.get("value") for name, item in (data.get("variables") or {}).items()},
        changes=changes,
        drift=drift,
        output_changes=data.get("output_changes") or {},
        digest=digest({key: value for key, value in data.items() if key not in _NOT_CONTENT}),
    )


def _read_change(item: Mapping[str, Any]) -> ResourceChange:
    change = item["change"]
    return ResourceChange(
        address=item["address"],
        module=item.get("module_address", ""),
        type=item["type"],
        name=item["name"],
        mode=item.get("mode", "managed"),
        action=_action(change["actions"]),
        before=change.get("before") or {},
        after=change.get("after") or {},
        after_unknown=change.get("after_unknown") or {},
        before_sensitive=change.get("before_sensitive"),
        after_sensitive=change.get("after_sensitive"),
        replace_paths=tuple(tuple(path) for path in change.get("replace_paths") or ()),
    )


def _action(actions: list[str]) -> Action:
    match actions:
        case ["create"]:
            return "create"
        case ["update"]:
            return "update"
        case ["delete", "create"] | ["create", "delete"]:
            return "replace"
        case ["delete"]:
            return "delete"
        case ["read"]:
            return "read"
        case ["forget"]:
            return "forget"
        case ["no-op"]:
            return "no-op"
    raise KeyError(f"unknown actions {actions}")
