"""Who owns which field: server-side apply with its conflicts, and the trace that other writes leave.

The rules are those of structured-merge-diff, which Kubernetes uses
(https://kubernetes.io/docs/reference/using-api/server-side-apply/): an apply owns exactly what it
applied and takes away what it applied before and no more; to change what another manager owns is a
conflict, unless forced. Any other write takes what it changes from its owners.
"""

import copy
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from ray_platform_sandbox.kubernetes.failures import ApiFailure
from ray_platform_sandbox.kubernetes.fields.sets import (
    Path,
    fields_of,
    from_fields_v1,
    remove_field,
    to_fields_v1,
)
from ray_platform_sandbox.kubernetes.schema.shapes import Shape

APPLY, UPDATE = "Apply", "Update"


@dataclass(frozen=True)
class Manager:
    """Who writes, how, and through which subresource ("" for the object itself)."""

    name: str
    operation: str
    api_version: str
    subresource: str = ""


Owned = dict[Manager, set[Path]]


@dataclass(frozen=True)
class Write:
    """Who writes and when; ``now`` in Kubernetes' spelling of time."""

    manager: Manager
    now: str
    shape: Shape


def apply_configuration(
    live: Mapping[str, Any], configuration: Mapping[str, Any], write: Write, *, force: bool
) -> dict[str, Any]:
    """What a live object becomes by a server-side apply, with its ``managedFields``.

    Raises:
        ApiFailure: another manager owns a field that would change (409).
    """
    manager, shape = write.manager, write.shape
    owned = read_owned(live)
    before = owned.pop(manager, set())
    merged = _merge(live, configuration, shape)
    wanted = fields_of(configuration, shape)
    changed = _changed(fields_of(live, shape), fields_of(merged, shape))
    conflicts = {other: theirs & changed for other, theirs in owned.items() if theirs & changed}
    if conflicts and not force:
        raise _conflict(conflicts)
    for other, taken in conflicts.items():
        owned[other] -= taken
    kept = set(wanted).union(*owned.values())
    # The shallowest first: an item of a list is found by fields of its own.
    for path in sorted(before - kept, key=len):
        if not any(other[: len(path)] == path for other in kept):
            remove_field(merged, path, shape)
    owned[manager] = set(wanted)
    return _with_owned(merged, live, owned, write)


def record_update(
    live: Mapping[str, Any] | None, updated: Mapping[str, Any], write: Write
) -> dict[str, Any]:
    """An object after a write that is no apply, with its ``managedFields``."""
    base = updated if (updated.get("metadata") or {}).get("managedFields") is not None else live
    owned = read_owned(base or {})
    was = fields_of(live, write.shape) if live else {}
    now = fields_of(updated, write.shape)
    changed, gone = _changed(was, now), set(was) - set(now)
    for other in owned:
        if other != write.manager:
            owned[other] -= changed | gone
    mine = (owned.get(write.manager, set()) | changed) - gone
    owned[write.manager] = mine
    return _with_owned(copy.deepcopy(dict(updated)), base or {}, owned, write)


def read_owned(content: Mapping[str, Any]) -> Owned:
    """The owners of an object's fields, from its ``managedFields``."""
    return {
        Manager(
            entry.get("manager", ""),
            entry.get("operation", UPDATE),
            entry.get("apiVersion", ""),
            entry.get("subresource", ""),
        ): from_fields_v1(entry.get("fieldsV1") or {})
        for entry in (content.get("metadata") or {}).get("managedFields") or []
    }


def _changed(before: Mapping[Path, Any], after: Mapping[Path, Any]) -> set[Path]:
    return {path for path, value in after.items() if path not in before or before[path] != value}


def _merge(live: Any, configuration: Any, shape: Shape) -> Any:
    if isinstance(configuration, Mapping) and not (shape.field and shape.is_whole_map):
        merged = copy.deepcopy(dict(live)) if isinstance(live, Mapping) else {}
        for key, value in configuration.items():
            merged[key] = _merge(merged.get(key), value, shape.of(key))
        return merged
    if isinstance(configuration, list) and isinstance(live, list):
        if shape.is_set:
            return [*live, *(item for item in configuration if item not in live)]
        if keys := shape.keys([*live, *configuration]):
            items = {shape.key_of(item, keys): copy.deepcopy(item) for item in live}
            for item in configuration:
                key = shape.key_of(item, keys)
                items[key] = _merge(items.get(key), item, shape.items)
            return list(items.values())
    return copy.deepcopy(configuration)


def _with_owned(
    content: dict[str, Any], before: Mapping[str, Any], owned: Owned, write: Write
) -> dict[str, Any]:
    earlier = read_owned(before)
    times = {
        manager: entry.get("time", write.now)
        for manager, entry in zip(
            earlier, (before.get("metadata") or {}).get("managedFields") or [], strict=False
        )
    }
    entries = []
    for manager, paths in owned.items():
        if not paths:
            continue
        entry: dict[str, Any] = {
            "manager": manager.name,
            "operation": manager.operation,
            "apiVersion": manager.api_version,
            "time": times[manager] if earlier.get(manager) == paths else write.now,
            "fieldsType": "FieldsV1",
            "fieldsV1": to_fields_v1(paths),
        }
        if manager.subresource:
            entry["subresource"] = manager.subresource
        entries.append(entry)
    content.setdefault("metadata", {})["managedFields"] = entries
    return content


def _conflict(conflicts: Mapping[Manager, set[Path]]) -> ApiFailure:
    count = sum(len(paths) for paths in conflicts.values())
    lines: list[str] = []
    causes = []
    for manager, paths in sorted(conflicts.items(), key=lambda item: item[0].name):
        how = f" with subresource {manager.subresource!r}" if manager.subresource else ""
        using = f" using {manager.api_version}" if manager.operation == UPDATE else ""
        listed = sorted(map(_spell, paths))
        who = f'"{manager.name}"{how}{using}'
        if count == 1:
            lines.append(f"conflict with {who}: {listed[0]}")
        else:
            lines += [f"conflicts with {who}:", *(f"- {path}" for path in listed)]
        causes += [
            {
                "reason": "FieldManagerConflict",
                "message": f"conflict with {who}",
                "field": field,
            }
            for field in listed
        ]
    plural = "conflict" if count == 1 else "conflicts"
    return ApiFailure(
        409,
        "Conflict",
        f"Apply failed with {count} {plural}: " + "\n".join(lines),
        {"causes": causes},
    )


def _spell(path: Path) -> str:
    text = ""
    for element in path:
        kind, _, rest = element.partition(":")
        text += f".{rest}" if kind == "f" else f"[{rest.strip('{}')}]"
    return text
