"""Sets of an object's fields, in memory and as ``managedFields`` spells them (FieldsV1).

A field is a path of elements: ``f:NAME`` of a map, ``k:{KEYS}`` of a keyed list, ``v:VALUE`` of a
set. A path that ends in an item of a list stands for the item itself; in FieldsV1 that is ``"."``.
"""

import json
from collections.abc import Iterable, Mapping
from typing import Any

from ray_platform_sandbox.kubernetes.schema.shapes import Shape

Path = tuple[str, ...]

#: Nobody owns these: the server writes them, or they name the object.
_UNOWNED: Mapping[Path, frozenset[str]] = {
    (): frozenset({"apiVersion", "kind"}),
    ("f:metadata",): frozenset(
        {
            "name",
            "namespace",
            "uid",
            "resourceVersion",
            "generation",
            "creationTimestamp",
            "deletionTimestamp",
            "deletionGracePeriodSeconds",
            "selfLink",
            "managedFields",
        }
    ),
}


def fields_of(content: Mapping[str, Any], shape: Shape) -> dict[Path, Any]:
    """Every owned field of an object with its value; the values of items with keys are True."""
    found: dict[Path, Any] = {}
    _walk(content, shape, (), found)
    return found


def _walk(value: Any, shape: Shape, path: Path, found: dict[Path, Any]) -> None:
    if isinstance(value, Mapping) and not (path and shape.is_whole_map):
        unowned = _UNOWNED.get(path, frozenset())
        below = {key: item for key, item in value.items() if key not in unowned}
        for key, item in below.items():
            _walk(item, shape.of(key), (*path, f"f:{key}"), found)
        if not below and path and path != ("f:metadata",):
            found[path] = {}
    elif isinstance(value, list) and shape.is_set:
        for item in value:
            found[(*path, "v:" + json.dumps(item))] = True
    elif isinstance(value, list) and value and (keys := shape.keys(value)):
        for item in value:
            place = (*path, shape.key_of(item, keys))
            found[place] = True
            _walk(item, shape.items, place, found)
    else:
        found[path] = value


def to_fields_v1(paths: Iterable[Path]) -> dict[str, Any]:
    tree: dict[str, Any] = {}
    listed = sorted(paths)
    for path in listed:
        node = tree
        for element in path:
            node = node.setdefault(element, {})
        if path[-1].startswith("k:"):
            node["."] = {}
    return tree


def from_fields_v1(tree: Mapping[str, Any], path: Path = ()) -> set[Path]:
    found: set[Path] = set()
    for element, below in tree.items():
        if element == ".":
            found.add(path)
        elif below:
            found |= from_fields_v1(below, (*path, element))
        else:
            found.add((*path, element))
    return found


def remove_field(content: Any, path: Path, shape: Shape) -> None:
    """Take one field out of an object, and the maps and lists that are empty without it."""
    element, *rest = path
    if isinstance(content, dict):
        key = element.removeprefix("f:")
        if key not in content:
            return
        if rest:
            remove_field(content[key], tuple(rest), shape.of(key))
        if not rest or content[key] in ({}, []):
            del content[key]
    elif isinstance(content, list):
        if element.startswith("v:"):
            value = json.loads(element[2:])
            content[:] = [item for item in content if item != value]
            return
        keys = shape.keys(content)
        for item in list(content):
            if shape.key_of(item, keys) == element:
                if rest:
                    remove_field(item, tuple(rest), shape.items)
                else:
                    content.remove(item)
