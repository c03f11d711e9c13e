"""What KubeRay 1.7 compares under the strategy ``Recreate``: written here from its own source, and held to
the recordings, not to the platform's digest.

The value is not KubeRay's: that is a hash of Go's encoding of its types. Which specs have the same is.
"""

import copy
import hashlib
import json
from collections.abc import Mapping
from typing import Any

#: Of Go's fields, those that are no pointers: absent and empty are the same for them.
_EMPTY_IS_ABSENT: tuple[Any, ...] = ({}, [], "", None)


def recreate_hash(spec: Mapping[str, Any]) -> str:
    """Names a RayCluster's spec but for what scaling, placement and the strategy itself write."""
    kept = copy.deepcopy(dict(spec))
    kept.pop("upgradeStrategy", None)
    _mute_placement(kept.get("headGroupSpec") or {})
    for group in kept.get("workerGroupSpecs") or []:
        for field in ("replicas", "minReplicas", "maxReplicas"):
            group.pop(field, None)
        (group.get("scaleStrategy") or {}).pop("workersToDelete", None)
        group.setdefault("numOfHosts", 1)
        _mute_placement(group)
    text = json.dumps(_without_empty(kept), sort_keys=True, separators=(",", ":"))
    return hashlib.sha1(text.encode(), usedforsecurity=False).hexdigest()


def _mute_placement(group: dict[str, Any]) -> None:
    pod = (group.get("template") or {}).get("spec") or {}
    pod.pop("tolerations", None)
    pod.pop("schedulingGates", None)


def _without_empty(value: Any) -> Any:
    if isinstance(value, Mapping):
        kept = {key: _without_empty(item) for key, item in value.items()}
        return {key: item for key, item in kept.items() if item not in _EMPTY_IS_ABSENT}
    if isinstance(value, list):
        return [_without_empty(item) for item in value]
    return value
