"""What else is in the plan around a resource: its configuration, region, launch template, cluster, subnets.

Ids are known only after the first apply, so that the configuration's references say what belongs together.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from ray_platform.terraform.plan import Plan, ResourceChange

_INDEX = re.compile(r"\[[^\]]*\]")


class Surroundings:
    """A plan, looked up by address, type and reference; ``side`` is ``before`` or ``after``."""

    def __init__(self, plan: Plan, region: str) -> None:
        self._region = region
        self._variables = plan.variables
        self._providers: Mapping[str, Any] = plan.configuration.get("provider_config") or {}
        self._configured = dict(_configured(plan.configuration.get("root_module") or {}, ""))
        # A plan may hold ten thousand resources: what is looked up for each is indexed once.
        self._by_type: dict[str, list[ResourceChange]] = {}
        self._by_module: dict[tuple[str, str], list[ResourceChange]] = {}
        self._templates: dict[tuple[str, str, str], list[ResourceChange]] = {}
        for change in plan.changes:
            if change.mode == "managed" and not change.deposed:
                self._by_type.setdefault(change.type, []).append(change)
                self._by_module.setdefault((change.type, change.module), []).append(change)
                if change.type == "aws_launch_template":
                    self._index_template(change)

    def configured(self, change: ResourceChange) -> Mapping[str, Any] | None:
        """The expressions of the configuration by attribute; None where the plan does not have them."""
        found = self._configured.get(_plain(change.address))
        if found is None:
            return None
        expressions: Mapping[str, Any] = found.get("expressions") or {}
        return expressions

    def region(self, change: ResourceChange, values: Mapping[str, Any]) -> str | None:
        """Where it is: its own ``region``, its provider's, else the environment's; None: not known."""
        own = values.get("region")
        if isinstance(own, str) and own:
            return own
        found = self._configured.get(_plain(change.address)) or {}
        key = str(found.get("provider_config_key") or "").rpartition(":")[2]
        provider = self._providers.get(key) or {}
        expression = (provider.get("expressions") or {}).get("region")
        if not isinstance(expression, Mapping):
            return self._region
        if isinstance(constant := expression.get("constant_value"), str):
            return constant
        for reference in expression.get("references") or ():
            name = str(reference).removeprefix("var.")
            if isinstance(value := self._variables.get(name), str) and value:
                return value
        # The provider without an alias is the environment's own.
        return None if provider.get("alias") else self._region

    def of(
        self, resource_type: str, side: str
    ) -> Iterator[tuple[ResourceChange, Mapping[str, Any]]]:
        """The resources of a type on one side, with their attributes there."""
        for change in self._by_type.get(resource_type, ()):
            if values := getattr(change, side):
                yield change, values

    def _of_module(
        self, resource_type: str, module: str, side: str
    ) -> Iterator[tuple[ResourceChange, Mapping[str, Any]]]:
        for change in self._by_module.get((resource_type, module), ()):
            if values := getattr(change, side):
                yield change, values

    def _index_template(self, change: ResourceChange) -> None:
        for side in ("before", "after"):
            values: Mapping[str, Any] = getattr(change, side)
            for key in ("id", "name"):
                if value := values.get(key):
                    self._templates.setdefault((side, key, str(value)), []).append(change)

    def referenced(
        self, change: ResourceChange, attribute: str, resource_type: str, side: str
    ) -> list[tuple[ResourceChange, Mapping[str, Any]]]:
        """The resources of a type that an attribute of the configuration refers to, of the same module.

        Where both have an index, only those with the same index.
        """
        expression = (
            (self._configured.get(_plain(change.address)) or {}).get("expressions") or {}
        ).get(attribute)
        names = {
            ".".join(_INDEX.sub("", text).split(".")[:2])
            for text in _references(expression)
            if text.startswith(f"{resource_type}.")
        }
        found = [
            (other, values)
            for other, values in self._of_module(resource_type, change.module, side)
            if f"{other.type}.{other.name}" in names
        ]
        same = [item for item in found if index(item[0].address) == index(change.address)]
        return same or found

    def zones(self, module: str, vpc: Any, side: str) -> frozenset[str]:
        """The zones that the plan has subnets in: of the VPC where that is known, else of the module."""
        kinds = ("aws_subnet", "aws_default_subnet")
        everywhere = (values for kind in kinds for _, values in self.of(kind, side))
        chosen = [values for values in everywhere if values.get("vpc_id") == vpc] if vpc else []
        chosen = chosen or [v for kind in kinds for _, v in self._of_module(kind, module, side)]
        return frozenset(
            str(values["availability_zone"]) for values in chosen if values.get("availability_zone")
        )

    def launch_template(
        self, change: ResourceChange, block: Mapping[str, Any], side: str
    ) -> tuple[Mapping[str, Any] | None, str]:
        """(the attributes of the launch template that a block names, why there are none).

        Args:
            change: The resource with the block.
            block: ``{"id": ..., "name": ..., "version": ...}``.
            side: ``before`` or ``after``.
        """
        named = {
            key: block[name]
            for key in ("id", "name")
            for name in (key, f"launch_template_{key}")
            if block.get(name)
        }
        if named:
            matching = {
                other.address: other
                for key, value in named.items()
                for other in self._templates.get((side, key, str(value)), ())
            }
            found = [(other, getattr(other, side)) for other in matching.values()]
        else:
            found = [
                item
                for attribute in ("launch_template", "mixed_instances_policy")
                for item in self.referenced(change, attribute, "aws_launch_template", side)
            ] or [
                (other, values)
                for other, values in self._of_module("aws_launch_template", change.module, side)
                if index(other.address) and index(other.address) == index(change.address)
            ]
        if len(found) != 1:
            name = next(iter(named.values()), "its launch template")
            return None, f"{name} is not one of the launch templates of this plan"
        template, values = found[0]
        version, latest = block.get("version"), values.get("latest_version")
        changes = template.is_change and side == "after"
        if version == "$Default":
            version = values.get("default_version")
        if (
            isinstance(version, int | str)
            and str(version).isdigit()
            and latest
            and not changes
            and str(version) != str(latest)
        ):
            return None, f"version {version} of {template.address} is not the latest ({latest})"
        return values, ""


def index(address: str) -> str:
    """``cpu`` for ``module.node_pools.aws_eks_node_group.this["cpu"]``, ``0`` for ``...[0]``, else ``""``."""
    return address.rsplit("[", 1)[1].strip('[]"') if address.endswith("]") else ""


def _plain(address: str) -> str:
    """An address without indices."""
    return _INDEX.sub("", address)


def _configured(module: Mapping[str, Any], prefix: str) -> Iterator[tuple[str, Mapping[str, Any]]]:
    for resource in module.get("resources") or ():
        yield f"{prefix}{resource.get('address')}", resource
    for name, call in (module.get("module_calls") or {}).items():
        yield from _configured(call.get("module") or {}, f"{prefix}module.{name}.")


def _references(expression: Any) -> Iterator[str]:
    if isinstance(expression, Mapping):
        for key, item in expression.items():
            if key == "references" and isinstance(item, Sequence):
                yield from (str(text) for text in item)
            else:
                yield from _references(item)
    elif isinstance(expression, list):
        for item in expression:
            yield from _references(item)
