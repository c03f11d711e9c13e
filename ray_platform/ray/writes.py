"""Writing beside Ray's autoscaler, and through an API that goes away for a while.

Two owners write a RayCluster: Helm the whole, the autoscaler the replicas. Kubernetes knows one owner of
the list of worker groups as a whole, so an upgrade first takes the list over, with the replicas as they
stand; if the autoscaler writes in between, it begins again.
"""

import copy
import time
from collections.abc import Callable, Mapping
from typing import Any, TypeVar

from ray_platform.kubernetes.api_client import RAY_CLUSTERS, is_passing
from ray_platform.kubernetes.helm_release_client import MANAGER
from ray_platform.ray.clusters import RayOnKubernetes
from ray_platform.text.errors import KubernetesError

#: How long an API that went away in the middle is waited for.
AWAY_SECONDS = 120.0
TAKE_OVERS = 5
POLL_SECONDS = 0.5
#: What the autoscaler writes of a worker group.
SCALED = ("replicas", "scaleStrategy")
_GROUPS = "f:workerGroupSpecs"
#: KubeRay rewrites the whole object to add its finalizer, and then owns whatever its own types spell anew.
OPERATOR = "kuberay-operator"
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
            if not is_passing(error) or time.monotonic() >= deadline:
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
        if wanted is None:
            continue
        # As they are: whether they keep within new bounds is for the autoscaler to say, and KubeRay does.
        if group.get("replicas"):
            wanted["replicas"] = int(group["replicas"])
        if workers := (group.get("scaleStrategy") or {}).get("workersToDelete"):
            wanted["scaleStrategy"] = {"workersToDelete": list(workers)}
    entries = copy.deepcopy(content["metadata"].get("managedFields") or [])
    if not any(_is_in_the_way(entry) for entry in entries if entry["manager"] != MANAGER):
        return handed
    for entry in entries:
        spec = entry["fieldsV1"].setdefault("f:spec", {})
        if entry["manager"] == MANAGER:
            spec[_GROUPS] = {}
        elif entry["manager"] == OPERATOR:
            spec.clear()
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


def give_back_scaling(
    cluster: RayOnKubernetes, name: str, before: Mapping[str, Any] | None
) -> None:
    """Restore what the autoscaler owns of the worker groups where another write has reset it.

    Nothing where the autoscaler has written meanwhile: then what it wants now stands already. While it runs
    KubeRay deletes no pod for fewer replicas, so that none is lost in between.

    Args:
        cluster: Where it is.
        name: The RayCluster.
        before: The object before the write; None: there was none.

    Raises:
        KubernetesError: the API refuses or does not answer.
    """
    now = cluster.ray_cluster(name)
    if before is None or now is None:
        return
    kept = {g["groupName"]: g for g in before["spec"].get("workerGroupSpecs") or []}
    operations: list[dict[str, Any]] = []
    for place, group in enumerate(now["spec"].get("workerGroupSpecs") or []):
        was = kept.get(group["groupName"], {})
        at = f"/spec/workerGroupSpecs/{place}"
        for field in SCALED:
            if was.get(field) and was[field] != group.get(field):
                operations.append({"op": "add", "path": f"{at}/{field}", "value": was[field]})
    if not operations:
        return
    version = now["metadata"]["resourceVersion"]
    test = {"op": "test", "path": "/metadata/resourceVersion", "value": version}
    try:
        cluster.api.patch(
            RAY_CLUSTERS, name, cluster.namespace, [test, *operations], how="json", manager=MANAGER
        )
    except KubernetesError as error:
        if error.code not in (409, 422):
            raise


def _is_in_the_way(entry: Mapping[str, Any]) -> bool:
    """Whether a manager owns the worker groups, or is the operator and owns anything that Helm writes."""
    spec = (entry.get("fieldsV1") or {}).get("f:spec", {})
    return _GROUPS in spec or (entry["manager"] == OPERATOR and bool(spec))
