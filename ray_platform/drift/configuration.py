"""What the Terraform configuration asks for, out of the same plan that shows the drift.

An ordinary plan (not ``-refresh-only``) holds three things at once: what differs from the state
(``resource_drift``), what applying would set (``resource_changes``), and which attributes the
configuration names (``configuration``). The last leaves out ``dynamic`` blocks and ``ignore_changes``,
so these are read from the files.
"""

import posixpath
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from ray_platform.terraform.plan import Plan, ResourceChange
from ray_platform.text.tree_differences import Path, is_sealed, leaves, plain

#: `terraform fmt` puts a block's end at the beginning of a line.
_RESOURCE = re.compile(r'^resource "(\w+)" "(\w+)" \{\n(.*?)^\}', re.MULTILINE | re.DOTALL)
_DYNAMIC = re.compile(r'^ {2}dynamic "(\w+)"', re.MULTILINE)
_IGNORED = re.compile(r"ignore_changes\s*=\s*\[(.*?)\]\s*$", re.MULTILINE | re.DOTALL)
_INDEX = re.compile(r'\[(?:\d+|"[^"]*")\]')


@dataclass(frozen=True)
class Asked:
    """One resource block of the configuration: expressions, dynamic blocks, ignored attributes."""

    expressions: Mapping[str, Any]
    dynamic: frozenset[str]
    ignored: frozenset[str]

    def names(self, keys: tuple[str, ...]) -> bool:
        """Whether the attribute at these keys is written in the configuration."""
        if keys[:1] == ("tags_all",):
            return True  # the provider's default tags and the resource's own
        if keys and keys[0] in self.dynamic:
            return True
        node: Any = self.expressions
        for key in keys:
            if isinstance(node, list):
                node = {name: item for block in node for name, item in block.items()}
            if not isinstance(node, Mapping) or key not in node:
                return False
            node = node[key]
            if isinstance(node, Mapping) and ("references" in node or "constant_value" in node):
                return True
        return True

    def ignores(self, keys: tuple[str, ...]) -> bool:
        dotted = ".".join(keys)
        return any(
            name == "all" or dotted == name or dotted.startswith(f"{name}.")
            for name in self.ignored
        )


@dataclass(frozen=True)
class Configuration:
    """What applying now would set, and what of it is written down."""

    changes: Mapping[str, ResourceChange]
    asked: Mapping[str, Asked]

    def keeps(self, address: str) -> bool:
        """Whether the configuration has this resource."""
        change = self.changes.get(address)
        return change is not None and change.action != "delete"

    def asked_of(self, address: str) -> Asked:
        """The resource's block; one that is not in the configuration names nothing."""
        return self.asked.get(_INDEX.sub("", address), Asked({}, frozenset(), frozenset()))

    def sets_back(self, address: str, keys: tuple[str, ...], before: Any, live: Any) -> bool:
        """Whether applying would change what lies at these keys, where ``live`` is now.

        Elements of sets have no place of their own: there the values decide which one is meant.
        """
        change = self.changes.get(address)
        if change is None or not change.after:
            return True
        for path, now, planned in _planned_changes(change):
            there = tuple(str(part) for part in path if isinstance(part, str))
            if there[: len(keys)] != keys and keys[: len(there)] != there:
                continue
            if len(there) != len(keys) or is_sealed(live) or is_sealed(before):
                return True
            if plain(now) == live and (live is not None or plain(planned) == before):
                return True
        return False


def read_configuration(
    plan: Plan, data: Mapping[str, Any], files: Mapping[str, str]
) -> Configuration:
    """What the configuration asks for.

    Args:
        plan: An ordinary plan.
        data: The JSON that it was read from.
        files: The text of each ``.tf`` file, by its path relative to the root.
    """
    blocks: dict[tuple[str, str, str], tuple[frozenset[str], frozenset[str]]] = {}
    for name, text in files.items():
        for type_, label, body in _RESOURCE.findall(text):
            ignored = [
                _INDEX.sub("", item.strip())
                for found in _IGNORED.findall(body)
                for item in found.split(",")
            ]
            blocks[posixpath.dirname(name), type_, label] = (
                frozenset(_DYNAMIC.findall(body)),
                frozenset(item for item in ignored if item),
            )
    asked = {}
    root = (data.get("configuration") or {}).get("root_module") or {}
    for address, folder, resource in _resources(root, "", ""):
        notes = blocks.get((folder, resource["type"], resource["name"]), (frozenset(), frozenset()))
        asked[address] = Asked(resource.get("expressions") or {}, *notes)
    return Configuration({c.address: c for c in plan.changes if c.mode == "managed"}, asked)


def _resources(
    module: Mapping[str, Any], prefix: str, folder: str
) -> Iterator[tuple[str, str, Mapping[str, Any]]]:
    for resource in module.get("resources", ()):
        if resource["mode"] == "managed":
            yield f"{prefix}{resource['address']}", folder, resource
    for name, call in module.get("module_calls", {}).items():
        source = posixpath.normpath(posixpath.join(folder, call.get("source", "")))
        yield from _resources(call["module"], f"{prefix}module.{name}.", source)


def _planned_changes(change: ResourceChange) -> Iterator[tuple[Path, Any, Any]]:
    """(path, live, planned) of what applying sets; a value that is known only then counts as set."""
    unknown = {key for key, is_unknown in change.after_unknown.items() if is_unknown is True}
    after = {key: change.before.get(key) for key in unknown} | dict(change.after)
    yield from leaves(dict(change.before), after)
    for key in unknown:
        yield (key,), change.before.get(key), None
