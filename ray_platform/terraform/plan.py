"""A Terraform plan as data: read from ``terraform show -json PLANFILE``.

Format: https://developer.hashicorp.com/terraform/internals/json-format (format version 1.x).
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from ray_platform.text.canonical import digest
from ray_platform.text.errors import PlanFormatError
from ray_platform.terraform.computed import without_computed
from ray_platform.terraform.plan_format import require_known

#: ``replace-and-forget`` makes a new object and leaves the old one where it is (``destroy = false``).
Action = Literal[
    "create", "update", "replace", "replace-and-forget", "delete", "read", "no-op", "forget"
]

#: Fields of the plan that say when and how it was made, not what it will do; the values of the state and
#: of the state to be repeat what ``resource_changes`` has.
_NOT_CONTENT = ("timestamp", "checks", "relevant_attributes", "prior_state", "planned_values")
_CHANGES = ("resource_changes", "resource_drift")

#: Data sources whose values the policies read.
_READ_DATA = ("aws_caller_identity", "aws_iam_policy_document")

_FIX = "give the output of `terraform show -json PLANFILE` of Terraform 1.10 or newer"


@dataclass(frozen=True)
class ResourceChange:
    """What the plan does to one resource instance.

    ``before`` and ``after`` are attribute mappings (empty when there is none); ``after_unknown`` holds
    ``True`` at each place that is known only after apply, in the same nesting. ``previous_address`` is where
    a moved resource was, else empty; ``importing``: it is taken into the state; ``deposed`` is the key of
    an object that a replacement left behind, empty for the live one; ``provider`` is the provider's
    source address, empty where the plan does not say.
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
    previous_address: str
    importing: bool
    deposed: str
    provider: str

    @property
    def top_module(self) -> str:
        """The module of the root that it belongs to (``vpc`` for ``module.vpc.aws_subnet.x``), or ``""``."""
        return top_module(self.address)

    @property
    def exists_before(self) -> bool:
        """Whether there is such an object now."""
        return self.action not in ("create", "read")

    @property
    def exists_after(self) -> bool:
        """Whether the state has it after the apply; of a planned one all attributes may be unknown yet."""
        return self.action not in ("delete", "forget")

    @property
    def is_moved(self) -> bool:
        """Whether the state will have it at another address."""
        return self.previous_address not in ("", self.address)

    @property
    def is_change(self) -> bool:
        """Whether applying the plan touches it, in the cloud or in the state alone."""
        return self.action not in ("no-op", "read") or self.is_moved or self.importing

    @property
    def shown_action(self) -> str:
        """For people: what is done to the state and in the cloud (``move``, ``import and update``)."""
        done = [name for name, on in (("move", self.is_moved), ("import", self.importing)) if on]
        done += [self.action] if self.action != "no-op" or not done else []
        return " and ".join(done)

    @property
    def shown_address(self) -> str:
        """The address; of a moved resource also the old one, of a deposed object its key."""
        if self.is_moved:
            return f"{self.previous_address} -> {self.address}"
        return f"{self.address} (deposed {self.deposed})" if self.deposed else self.address


@dataclass(frozen=True)
class Counts:
    """How many resources a plan touches, by what it does to them.

    A moved or imported resource that is updated too counts in both; ``replace-and-forget`` is one to create
    and one to forget; ``read`` is a data source that is read during the apply.
    """

    create: int
    update: int
    replace: int
    delete: int
    move: int
    import_: int
    forget: int
    read: int

    @property
    def total(self) -> int:
        """Without what is only read."""
        return sum(self.to_json().values()) - self.read

    def to_json(self) -> dict[str, int]:
        """By name: create, update, replace, delete, move, import, forget, read."""
        return {name.rstrip("_"): count for name, count in vars(self).items()}

    def __str__(self) -> str:
        return counts_text(self.to_json())


#: Which counts are shown also where they are zero.
_ALWAYS_SHOWN = ("create", "update", "replace", "delete")


def counts_text(counts: Mapping[str, int], *, always: tuple[str, ...] = _ALWAYS_SHOWN) -> str:
    """``2 to create, 0 to update, 0 to replace, 0 to delete, 1 to move``.

    Args:
        counts: `Counts.to_json`, also of a plan that an earlier version stored.
        always: Which are shown also where they are zero.
    """
    names = (*_ALWAYS_SHOWN, "move", "import", "forget")
    shown = [name for name in names if name in always or counts.get(name)]
    return ", ".join(f"{counts.get(name, 0)} to {name}" for name in shown)


@dataclass(frozen=True)
class Deferred:
    """A change that Terraform puts off to a later plan, and why (``instance_count_unknown``)."""

    change: ResourceChange
    reason: str


@dataclass(frozen=True)
class Plan:
    """A plan's content. ``changes`` holds every resource of the plan, also those that stay as they are.

    ``applyable``, ``complete`` and ``errored`` are Terraform's own words. ``configuration`` has
    references in place of the values that are not known before the apply; ``read_data`` has the identities
    and policy documents that were read for the plan, by address.
    """

    format_version: str
    terraform_version: str
    variables: Mapping[str, Any]
    changes: tuple[ResourceChange, ...]
    drift: tuple[ResourceChange, ...]
    deferred: tuple[Deferred, ...]
    output_changes: Mapping[str, Any]
    configuration: Mapping[str, Any]
    applyable: bool
    complete: bool
    errored: bool
    read_data: Mapping[str, Mapping[str, Any]]
    digest: str

    @property
    def counts(self) -> Counts:
        seen = dict.fromkeys(("create", "update", "replace", "delete", "forget", "read"), 0)
        moved = imported = 0
        for change in self.changes:
            moved += change.is_moved
            imported += change.importing
            if change.action == "replace-and-forget":
                seen["create"] += 1
                seen["forget"] += 1
            elif change.action in seen:
                seen[change.action] += 1
        return Counts(**seen, move=moved, import_=imported)

    @property
    def is_empty(self) -> bool:
        """Whether there is nothing to apply: Terraform says so, of a plan that is whole.

        A plan that was cut short is not empty, whatever it holds.
        """
        return not self.applyable and self.is_whole

    @property
    def is_whole(self) -> bool:
        """Whether the plan is all that Terraform would do: neither errored, partial nor deferred."""
        return self.complete and not self.errored and not self.deferred

    @property
    def unfinished(self) -> tuple[str, ...]:
        """Why the plan is not whole, a clause each; none for a whole plan."""
        why = ["Terraform stopped with an error while it planned"] if self.errored else []
        if self.deferred:
            named = ", ".join(f"{d.change.address} ({d.reason})" for d in self.deferred[:5])
            more = f" and {len(self.deferred) - 5} more" if len(self.deferred) > 5 else ""
            why.append(f"changes are deferred to a later plan: {named}{more}")
        if not self.complete and not why:
            why.append("Terraform calls it not complete: it was targeted, or changes were left out")
        return tuple(why)

    def touched(self) -> tuple[ResourceChange, ...]:
        """What applying it touches: replaced and deleted first, since they can lose something."""
        order = ("delete", "replace", "forget", "replace-and-forget", "update", "create", "no-op")
        changed = [change for change in self.changes if change.is_change]
        return tuple(sorted(changed, key=lambda c: (order.index(c.action), c.address)))


def type_of(address: str) -> str:
    """The resource type of an address: ``aws_subnet`` for ``module.vpc["a"].aws_subnet.x["b"]``."""
    parts = re.sub(r"\[[^\]]*\]", "", address).split(".")
    return parts[-2] if len(parts) > 1 else ""


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
    if not data.keys() & {"resource_changes", "planned_values", "deferred_changes", "errored"}:
        raise PlanFormatError(
            "this looks like a Terraform state or an empty document, not a plan",
            where=where,
            fix=_FIX,
        )
    try:
        require_known(data, where=where)
        changes = tuple(_read_change(item) for item in data.get("resource_changes") or [])
        drift = tuple(_read_change(item) for item in data.get("resource_drift") or [])
        deferred = tuple(
            Deferred(_read_change(item["resource_change"]), str(item.get("reason", "unknown")))
            for item in data.get("deferred_changes") or []
        )
    except (KeyError, TypeError, AttributeError) as error:
        raise PlanFormatError(
            f"the plan's resource changes cannot be read: {error!r}", where=where, fix=_FIX
        ) from error
    output_changes = data.get("output_changes") or {}
    errored = data.get("errored") is True
    return Plan(
        format_version=version,
        terraform_version=str(data.get("terraform_version", "")),
        variables={name: item.get("value") for name, item in (data.get("variables") or {}).items()},
        changes=changes,
        drift=drift,
        deferred=deferred,
        output_changes=output_changes,
        configuration=data.get("configuration") or {},
        read_data=_read_data(data),
        # Terraform below 1.8 does not say: then what is in the plan decides.
        applyable=bool(data.get("applyable", _does_something(changes, output_changes))),
        complete=bool(data.get("complete", not (errored or deferred))),
        errored=errored,
        digest=digest(_content(data)),
    )


def _does_something(changes: tuple[ResourceChange, ...], outputs: Mapping[str, Any]) -> bool:
    return any(change.is_change or change.action == "read" for change in changes) or any(
        output.get("actions", ["no-op"]) != ["no-op"] for output in outputs.values()
    )


def _content(data: Mapping[str, Any]) -> dict[str, Any]:
    """What the plan will do, without what AWS computes by itself: equal for plans that do the same."""
    content = {key: value for key, value in data.items() if key not in _NOT_CONTENT}
    for part in _CHANGES:
        if part in content:
            kept = [_without_computed(item) for item in content[part] or ()]
            # What drifted in computed attributes alone has not drifted.
            content[part] = [
                item
                for item in kept
                if part != "resource_drift"
                or item["change"].get("before") != item["change"].get("after")
                or item.get("previous_address")
            ]
    if content.get("resource_drift") == []:
        del content["resource_drift"]
    return content


def _without_computed(item: Mapping[str, Any]) -> dict[str, Any]:
    change = item["change"]
    sides = {
        side: without_computed(item["type"], change[side])
        for side in ("before", "after")
        if side in change
    }
    return {**item, "change": {**change, **sides}}


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
        previous_address=str(item.get("previous_address") or ""),
        importing=bool(change.get("importing")),
        deposed=str(item.get("deposed") or ""),
        provider=str(item.get("provider_name") or ""),
    )


def _read_data(data: Mapping[str, Any]) -> dict[str, Mapping[str, Any]]:
    found: dict[str, Mapping[str, Any]] = {}
    modules = [((data.get("prior_state") or {}).get("values") or {}).get("root_module") or {}]
    while modules:
        module = modules.pop()
        modules += module.get("child_modules") or []
        for item in module.get("resources") or []:
            if item.get("mode") == "data" and item.get("type") in _READ_DATA:
                found[item["address"]] = item.get("values") or {}
    return found


def _action(actions: list[str]) -> Action:
    match actions:
        case ["create"]:
            return "create"
        case ["update"]:
            return "update"
        case ["delete", "create"] | ["create", "delete"]:
            return "replace"
        case ["create", "forget"] | ["forget", "create"]:
            return "replace-and-forget"
        case ["delete"]:
            return "delete"
        case ["read"]:
            return "read"
        case ["forget"]:
            return "forget"
        case ["no-op"]:
            return "no-op"
    raise KeyError(f"unknown actions {actions}")
