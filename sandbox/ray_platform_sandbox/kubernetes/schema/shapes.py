"""How lists and maps of an object merge: by key, as a set, or only as a whole.

A CRD says so in its schema (``x-kubernetes-list-type``); what says nothing is replaced as a whole.
For built-in kinds the rules of Kubernetes' own types that matter here stand in a table, by field name.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

_KEYS_OF_LISTS: Mapping[str, tuple[str, ...]] = {
    "containers": ("name",),
    "initContainers": ("name",),
    "ephemeralContainers": ("name",),
    "volumes": ("name",),
    "env": ("name",),
    "conditions": ("type",),
    "volumeMounts": ("mountPath",),
    "volumeDevices": ("devicePath",),
    "imagePullSecrets": ("name",),
    "hostAliases": ("ip",),
    "ownerReferences": ("uid",),
    "topologySpreadConstraints": ("topologyKey", "whenUnsatisfiable"),
}
_SETS = ("finalizers",)
_WHOLE_MAPS = ("selector", "nodeSelector", "labelSelector", "secretKeyRef", "configMapKeyRef")


@dataclass(frozen=True)
class Shape:
    """The shape at one place of an object. ``schema`` None: a built-in type, known by ``field``."""

    schema: Mapping[str, Any] | None = None
    field: str = ""

    def of(self, key: str) -> "Shape":
        """The shape of a map's value."""
        if self.schema is None or (key == "metadata" and not self.field):
            return Shape(None, key)
        properties = self.schema.get("properties") or {}
        if key in properties:
            return Shape(properties[key], key)
        rest = self.schema.get("additionalProperties")
        return Shape(rest if isinstance(rest, Mapping) else {}, key)

    @property
    def items(self) -> "Shape":
        """The shape of a list's items."""
        if self.schema is None:
            return Shape(None, f"{self.field}[]")
        return Shape(self.schema.get("items") or {}, f"{self.field}[]")

    @property
    def is_whole_map(self) -> bool:
        """Whether a map has one owner and is replaced as a whole."""
        if self.schema is None:
            return self.field in _WHOLE_MAPS
        return self.schema.get("x-kubernetes-map-type") == "atomic"

    @property
    def is_set(self) -> bool:
        if self.schema is None:
            return self.field in _SETS
        return self.schema.get("x-kubernetes-list-type") == "set"

    def keys(self, items: Sequence[Any]) -> tuple[str, ...]:
        """The keys by which a list's items merge; empty: they do not."""
        if not all(isinstance(item, Mapping) for item in items):
            return ()
        if self.schema is not None:
            if self.schema.get("x-kubernetes-list-type") != "map":
                return ()
            return tuple(self.schema.get("x-kubernetes-list-map-keys") or ())
        if self.field == "ports":
            by_container = any("containerPort" in item for item in items)
            return ("containerPort" if by_container else "port", "protocol")
        return _KEYS_OF_LISTS.get(self.field, ())

    def key_of(self, item: Mapping[str, Any], keys: Sequence[str]) -> str:
        """An item's key as ``managedFields`` spells it: ``k:{"name":"x"}``."""
        values = {}
        for key in sorted(keys):
            default = "TCP" if key == "protocol" else (self.of_items(key).get("default"))
            value = item.get(key, default)
            if value is not None:
                values[key] = value
        return "k:" + json.dumps(values, separators=(",", ":"))

    def of_items(self, key: str) -> Mapping[str, Any]:
        return self.items.of(key).schema or {}
