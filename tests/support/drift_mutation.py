"""One mutation of the live infrastructure or of the state, with what a person would say of it.

The labels are written with each mutation, from what it does, and know nothing of the classifier's rules.
"""

import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from ray_platform.drift.items import DriftItem
from tests.integration.conftest import AppliedLocal

Attributes = dict[str, Any]

HAND = "by_hand"


@dataclass(frozen=True)
class Mutation:
    """What is done, how it is undone, and how it should be judged.

    ``attribute`` is the beginning of the dotted path that differs; ``holds`` a text that the item's values
    must hold, where several mutations touch the same attribute at once. ``also`` are places where the same
    change shows a second time. ``severity`` None: it is no drift and must not be reported.
    """

    name: str
    address: str
    attribute: str
    cause: str | None
    severity: str | None
    do: Callable[[], Any]
    undo: Callable[[], Any] = lambda: None
    holds: str = ""
    also: tuple[tuple[str, str], ...] = ()

    @property
    def type(self) -> str:
        return type_of(self.address)

    @property
    def places(self) -> set[tuple[str, str]]:
        return {(self.address, self.attribute), *self.also}

    def is_told_by(self, item: DriftItem) -> bool:
        values = json.dumps([item.before, item.after], sort_keys=True, default=str)
        return (
            item.address == self.address
            and _begins(item.attribute, self.attribute)
            and self.holds in values
        )

    def repeats_in(self, item: DriftItem) -> bool:
        return any(
            item.address == address and _begins(item.attribute, attribute)
            for address, attribute in self.also
        )

    def clashes_with(self, other: "Mutation") -> bool:
        if (
            self.holds
            and other.holds
            and self.holds != other.holds
            and not (self.also or other.also)
        ):
            return False
        return any(
            a == b and (not p or not q or _begins(p, q) or _begins(q, p))
            for a, p in self.places
            for b, q in other.places
        )


def type_of(address: str) -> str:
    parts = address.split("[")[0].split(".")
    return parts[-2]


def batches(mutations: Iterable[Mutation]) -> list[list[Mutation]]:
    """As few as possible, none with two mutations that touch the same place."""
    found: list[list[Mutation]] = []
    for mutation in mutations:
        for batch in found:
            if not any(mutation.clashes_with(other) for other in batch):
                batch.append(mutation)
                break
        else:
            found.append([mutation])
    return found


@dataclass
class Lab:
    """The applied environment, its clients and its state."""

    applied: AppliedLocal
    clients: dict[str, Any] = field(default_factory=dict)
    edits: list[tuple[str, Callable[[Attributes], Any]]] = field(default_factory=list)

    def __getattr__(self, service: str) -> Any:
        if service not in self.clients:
            self.clients[service] = self.applied.emulator.client(service)
        return self.clients[service]

    @cached_property
    def state(self) -> Mapping[str, Mapping[str, Any]]:
        return self.applied.terraform.state().resources

    def of_type(self, *types: str) -> list[tuple[str, Mapping[str, Any]]]:
        return [(a, v) for a, v in sorted(self.state.items()) if type_of(a) in types]

    def edit(self, address: str, change: Callable[[Attributes], Any]) -> Callable[[], None]:
        """A change of the state, written together with the batch's others by `write_state`."""
        return lambda: self.edits.append((address, change))

    def settle(self, address: str, **attributes: Any) -> None:
        """Put into the state what an undone mutation left different: a new id, a time of change."""
        self.edit(address, lambda found: found.update(attributes))()
        self.write_state()

    def write_state(self) -> Callable[[], None]:
        """Put the edited state into its bucket; returns what puts the first one back."""
        place = self.applied.terraform.environment.state
        content = self.applied.terraform.raw_state()
        data = json.loads(content)
        for address, change in self.edits:
            for resource in data["resources"]:
                for instance in resource["instances"]:
                    if resource["mode"] == "managed" and _address(resource, instance) == address:
                        change(instance["attributes"])
        self.edits.clear()
        target = {"Bucket": place.bucket, "Key": place.key}
        self.s3.put_object(**target, Body=json.dumps(data).encode())
        return lambda: self.s3.put_object(**target, Body=content)


def _address(resource: Mapping[str, Any], instance: Mapping[str, Any]) -> str:
    module = f"{resource['module']}." if resource.get("module") else ""
    key = instance.get("index_key")
    index = "" if key is None else f"[{json.dumps(key)}]"
    return f"{module}{resource['type']}.{resource['name']}{index}"


def _begins(path: str, head: str) -> bool:
    dotted = "".join(
        part.partition("]")[2] if i else part for i, part in enumerate(path.split("["))
    )
    if not head:
        return not path
    return dotted == head or dotted.startswith((f"{head}.", f"{head}["))


def pair(
    lab: Lab,
    name: str,
    address: str,
    attribute: str,
    severity: str,
    service: str,
    call: str,
    there: dict[str, Any],
    back: dict[str, Any],
    *,
    back_call: str = "",
    cause: str = HAND,
    also: tuple[tuple[str, str], ...] = (),
    holds: str = "",
) -> Mutation:
    return Mutation(
        name,
        address,
        attribute,
        cause,
        severity,
        lambda: getattr(getattr(lab, service), call)(**there),
        lambda: getattr(getattr(lab, service), back_call or call)(**back),
        also=also,
        holds=holds,
    )


def permission(low: int, high: int | None = None, **more: Any) -> dict[str, Any]:
    return {"IpProtocol": "tcp", "FromPort": low, "ToPort": high or low, **more}


def tagged(kind: str, tags: dict[str, str]) -> dict[str, Any]:
    return {"TagSpecifications": [{"ResourceType": kind, "Tags": tag_list(tags)}]} if tags else {}


def tag_list(tags: dict[str, str]) -> list[dict[str, str]]:
    return [{"Key": key, "Value": value} for key, value in tags.items()]
