"""The patches that change an object in place: JSON patch, merge patch and strategic merge patch."""

import copy
from collections.abc import Mapping
from typing import Any

import jsonpatch
import jsonpointer

from ray_platform_sandbox.kubernetes.failures import ApiFailure, bad_request
from ray_platform_sandbox.kubernetes.schema.shapes import Shape

_FROM_LIST = "$deleteFromPrimitiveList/"


def json_patch(content: Mapping[str, Any], operations: Any) -> dict[str, Any]:
    """RFC 6902, with one liberty of the real API server: ``replace`` makes a member that is missing.

    Ray's autoscaler counts on it, which replaces a ``scaleStrategy`` that is not there.

    Raises:
        ApiFailure: an operation is malformed, does not apply, or a ``test`` does not hold.
    """
    try:
        patched: dict[str, Any] = copy.deepcopy(dict(content))
        for operation in operations:
            patched = jsonpatch.apply_patch(patched, [_made(patched, operation)], in_place=True)
    except (jsonpatch.InvalidJsonPatch, TypeError) as error:
        raise bad_request(f"the JSON patch is malformed: {error}") from error
    except (jsonpatch.JsonPatchException, jsonpatch.JsonPointerException) as error:
        raise ApiFailure(422, "Invalid", f"the JSON patch does not apply: {error}") from error
    return patched


def _made(content: Any, operation: Any) -> Any:
    """A ``replace`` of a member that is missing, as the ``add`` that the real API server makes of it."""
    if not isinstance(operation, Mapping) or operation.get("op") != "replace":
        return operation
    parent, _, member = str(operation.get("path", "")).rpartition("/")
    try:
        holder = jsonpointer.resolve_pointer(content, parent)
    except jsonpointer.JsonPointerException:
        return operation
    name = jsonpointer.unescape(member)
    is_missing = isinstance(holder, Mapping) and name not in holder
    return {**operation, "op": "add"} if is_missing else operation


def merge_patch(content: Any, patch: Any) -> Any:
    """RFC 7386: null removes, maps merge, everything else replaces."""
    if not isinstance(patch, Mapping):
        return copy.deepcopy(patch)
    merged = dict(content) if isinstance(content, Mapping) else {}
    for key, value in patch.items():
        if value is None:
            merged.pop(key, None)
        else:
            merged[key] = merge_patch(merged.get(key), value)
    return merged


def strategic_merge_patch(content: Any, patch: Any, shape: Shape | None = None) -> Any:
    """Kubernetes' own patch: lists of the types that have a key merge item by item.

    Knows ``$patch`` (``replace``, ``delete``), ``$retainKeys`` and ``$deleteFromPrimitiveList``;
    leaves the order of items as it is (``$setElementOrder`` is taken off).
    """
    shape = shape or Shape()
    if isinstance(patch, list):
        return _merge_list(content if isinstance(content, list) else [], patch, shape)
    if not isinstance(patch, Mapping):
        return copy.deepcopy(patch)
    if patch.get("$patch") == "replace":
        return {key: value for key, value in patch.items() if key != "$patch"}
    merged = dict(content) if isinstance(content, Mapping) else {}
    if "$retainKeys" in patch:
        merged = {key: value for key, value in merged.items() if key in patch["$retainKeys"]}
    for key, value in patch.items():
        if key.startswith(_FROM_LIST):
            field = key.removeprefix(_FROM_LIST)
            merged[field] = [item for item in merged.get(field, []) if item not in value]
        elif key.startswith("$"):
            continue
        elif value is None or (isinstance(value, Mapping) and value.get("$patch") == "delete"):
            merged.pop(key, None)
        else:
            merged[key] = strategic_merge_patch(merged.get(key), value, shape.of(key))
    return merged


def _merge_list(content: list[Any], patch: list[Any], shape: Shape) -> list[Any]:
    if {"$patch": "replace"} in patch:
        return [item for item in patch if item != {"$patch": "replace"}]
    if shape.is_set:
        return [*content, *(item for item in patch if item not in content)]
    keys = shape.keys([*content, *patch])
    if not keys:
        return copy.deepcopy(patch)
    merged = {shape.key_of(item, keys): item for item in content}
    for item in patch:
        key = shape.key_of(item, keys)
        if item.get("$patch") == "delete":
            merged.pop(key, None)
        else:
            merged[key] = strategic_merge_patch(merged.get(key), item, shape.items)
    return list(merged.values())
