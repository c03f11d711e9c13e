"""Writing beside Ray's autoscaler, and through an API that goes away for a while.

Two owners write a RayCluster: Helm the whole, the autoscaler the replicas. Kubernetes knows one owner of
the list of worker groups as a whole, so an upgrade first takes the list over, with the replicas as they
stand; if the autoscaler writes in between, it begins again.
"""

import copy
import time
from collections.abc import Callable, Mapping
from typing import Any, TypeVar

from ray_platform.kubernetes.api_client import RAY_CLUSTERS
from ray_platform.kubernetes.helm_release_client import MANAGER
from ray_platform.ray.clusters import RayOnKubernetes
from ray_platform.text.errors import KubernetesError

#: How long an API that went away in the middle is waited for.
AWAY_SECONDS = 120.0
TAKE_OVERS = 5
POLL_SECONDS = 0.5
_GROUPS = "f:workerGroupSpecs"
Tell = Callable[[str], None]
T = TypeVar("T")


def through_trouble(cluster: RayOnKubernetes, act: Callable[[], T], tell: Tell) -> T:
    """What an act comes to, tried again when the API went away or the autoscaler wrote in between."""
    deadline = time.monotonic() + AWAY_SECONDS
    conflicts, told = 0, False
    while True:
        try:
            return act()
        except KubernetesError as error:
            if error.code == 409 and conflicts < TAKE_OVERS:
                conflicts += 1
                continue
            if error.code or time.monotonic() >= deadline:
                raise
            if not told:
                told = True
                tell(f"{error.what}; going on as soon as it answers")
            cluster.wake()
            time.sleep(POLL_SECONDS)


def take_over(
    cluster: RayOnKubernetes, values: Mapping[str, Any], content: Mapping[str, Any] | None
) -> dict[str, Any]:
    """Make Helm the owner of the worker groups; the values with the replicas that stand.

    Raises:
        KubernetesError: the object changed meanwhile (422), or as the API says.
    """
    handed: dict[str, Any] = copy.deepcopy(dict(values))
    if content is None:
        return handed
    for group in content["spec"].get("workerGroupSpecs") or []:
        wanted = (handed.get("workerGroups") or {}).get(group["groupName"])
        if wanted is not None and group.get("replicas"):
            least, most = int(wanted["minReplicas"]), int(wanted["maxReplicas"])
            wanted["replicas"] = min(max(int(group["replicas"]), least), most)
    entries = copy.deepcopy(content["metadata"].get("managedFields") or [])
    if not any(_owns_groups(entry) for entry in entries if entry["manager"] != MANAGER):
        return handed
    for entry in entries:
        spec = entry["fieldsV1"].setdefault("f:spec", {})
        if entry["manager"] == MANAGER:
            spec[_GROUPS] = {}
        else:
            spec.pop(_GROUPS, None)
        if not spec:
            del entry["fieldsV1"]["f:spec"]
    version = content["metadata"]["resourceVersion"]
    operations = [
        {"op": "test", "path": "/metadata/resourceVersion", "value": version},
        {
            "op": "replace",
            "path": "/metadata/managedFields",
            "value": [entry for entry in entries if entry["fieldsV1"]],
        },
    ]
    name = content["metadata"]["name"]
    try:
        cluster.api.patch(RAY_CLUSTERS, name, cluster.namespace, operations, how="json")
    except KubernetesError as error:
        if error.code == 422:
            error.code = 409  # the autoscaler wrote in between: as any other conflict
        raise
    return handed


def _owns_groups(entry: Mapping[str, Any]) -> bool:
    return _GROUPS in (entry.get("fieldsV1") or {}).get("f:spec", {})
