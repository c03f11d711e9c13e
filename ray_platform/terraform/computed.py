"""Which attributes the provider alone sets: "computed" and not "optional" in its schema.

AWS moves them by itself (a database's `latest_restorable_time` every five minutes), so that they change
neither drift, plan digest, approvals nor infra version. The list is data: ``computed_attributes.json`` has one
line for each resource type of the pinned provider. ``python -m tests.support.provider_schema`` regenerates it
from ``terraform providers schema -json``. An attribute that a configuration may also set (`engine_version`) is
not on it.
"""

import functools
import json
from collections.abc import Mapping
from importlib import resources
from typing import Any

#: Nested: an attribute's name -> None where it is computed, else the same for the block below it.
Tree = Mapping[str, Any]


@functools.cache
def _data() -> Mapping[str, list[str]]:
    text = resources.files("ray_platform.terraform").joinpath("computed_attributes.json")
    data: Mapping[str, list[str]] = json.loads(text.read_text("utf-8"))
    return data


@functools.cache
def _tree(resource_type: str) -> Tree:
    tree: dict[str, Any] = {}
    for path in _data().get(resource_type, ()):
        *blocks, name = path.split(".")
        node = tree
        for block in blocks:
            node = node.setdefault(block, {})
        node[name] = None
    return tree


def is_computed(resource_type: str, keys: tuple[str, ...]) -> bool:
    """Whether the provider alone sets the attribute with this path (without list indices), or what holds it.

    A type that the pinned provider does not have has no such attributes.
    """
    node: Tree | None = _tree(resource_type)
    for key in keys:
        if node is None or key not in node:
            return False
        node = node[key]
        if node is None:
            return True
    return False


def without_computed(resource_type: str, attributes: Any) -> Any:
    """The attributes of a resource without those that the provider alone sets; the input is not changed."""
    tree = _tree(resource_type)
    return _without(tree, attributes) if tree else attributes


def _without(tree: Tree, value: Any) -> Any:
    if isinstance(value, list):
        return [_without(tree, item) for item in value]
    if not isinstance(value, Mapping):
        return value
    out = {}
    for key, item in value.items():
        if key not in tree:
            out[key] = item
        elif tree[key] is not None:
            out[key] = _without(tree[key], item)
    return out
