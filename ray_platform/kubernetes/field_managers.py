"""Who wrote a field of a Kubernetes object last, as far as its ``managedFields`` tell.

They hold one entry a manager: its name, the time of its last write and the fields that it owns. Who
removed a field is not in them, only who wrote anything since.
"""

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from ray_platform.kubernetes.manifests import Element, FieldDifference, Path
from ray_platform.text.tree_differences import ABSENT

Owns = Literal["field", "list", "nothing"]
#: What Ray's autoscaler writes: the replicas and the workers to delete, for which the API notes the list of
#: worker groups as a whole. Its name there is that of its HTTP library (``python-requests`` in Ray 2.60),
#: which any program may have, and another one with the next release.
_SCALED: Mapping[str, Any] = {"f:spec": {"f:workerGroupSpecs": {}}}
#: Clients of people, whose single write of the list of worker groups looks the same.
_CLIENTS_OF_PEOPLE = ("kubectl", "k9s", "Mozilla", "lens", "headlamp", "helm", "argocd")


@dataclass(frozen=True)
class Writer:
    """A manager's last write; ``time`` is as Kubernetes spells it, in UTC.

    ``owns`` is ``field`` (this very one), ``list`` (a whole list or map that it is part of, so that whoever
    wrote it before is forgotten) or ``nothing`` (it is merely the latest other writer: what was removed has
    no owner).
    """

    name: str
    operation: str
    time: str
    owns: Owns
    may_be_scaler: bool

    def tell(self) -> str:
        did = {
            "field": "wrote it",
            "list": "wrote all of the list that it stands in",
            "nothing": "is the latest other writer of the object",
        }[self.owns]
        return f"field manager {self.name} {did} ({self.operation}, {self.time})"


def writer_of(
    live: Mapping[str, Any], difference: FieldDifference, *, ours: Iterable[str]
) -> Writer | None:
    """Who is most likely to have made a difference; None when nobody else has written.

    Args:
        live: The live object.
        difference: Where it differs.
        ours: The managers that write for the platform and for KubeRay.
    """
    entries = [
        entry
        for entry in (live.get("metadata") or {}).get("managedFields") or []
        if entry.get("manager") not in set(ours) and not entry.get("subresource")
    ]
    found = [
        _writer(entry, owns)
        for entry in entries
        if (owns := _owns(entry.get("fieldsV1") or {}, live, difference.path))
    ]
    if not found and difference.live is ABSENT:
        found = [_writer(entry, "nothing") for entry in entries]
    return max(found, key=lambda writer: (writer.owns == "field", writer.time), default=None)


def _writer(entry: Mapping[str, Any], owns: Owns) -> Writer:
    return Writer(
        str(entry.get("manager", "")),
        str(entry.get("operation", "Update")),
        str(entry.get("time", "")),
        owns,
        may_be_scaler(entry),
    )


def may_be_scaler(entry: Mapping[str, Any]) -> bool:
    """Whether an entry of a RayCluster's managedFields is what Ray's autoscaler leaves there.

    The service account that wrote is in the audit log alone, so that its fields must do: it updates the list
    of worker groups and nothing else. A program of another kind that writes just that looks the same, and is
    told from it by what differs then: the platform compares neither replicas nor the workers to delete.
    """
    name = str(entry.get("manager", ""))
    return (
        entry.get("operation") == "Update"
        and not entry.get("subresource")
        and entry.get("fieldsV1") == _SCALED
        and not name.startswith(_CLIENTS_OF_PEOPLE)
    )


def _owns(fields: Mapping[str, Any], live: Any, path: Path) -> Owns | None:
    for depth, step in enumerate(path):
        if depth and not fields:
            return "list"
        below: Mapping[str, Any] | None
        if isinstance(step, Element):
            live = live[step.index] if isinstance(live, list) and step.index is not None else None
            below = _element(fields, live, step)
        else:
            live = live.get(step) if isinstance(live, Mapping) else None
            below = fields.get(f"f:{step}")
        if below is None:
            return None
        fields = below
    return "field"


def _element(fields: Mapping[str, Any], live: Any, step: Element) -> Mapping[str, Any] | None:
    for key, below in fields.items():
        kind, _, rest = key.partition(":")
        if kind == "k" and isinstance(live, Mapping):
            named = json.loads(rest)
            if all(live.get(name) == value for name, value in named.items()):
                return dict(below)
        if (kind == "v" and json.loads(rest) == live) or key == f"i:{step.index}":
            return dict(below)
    return None
