"""What somebody changed of a release's objects is put back, and made Helm's own again.

Helm applies server-side: what another manager changed is a conflict for it, and what one added it leaves.
So both are taken away first; the upgrade after it writes the rest, and makes what was deleted.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import yaml

from ray_platform.kubernetes.api_client import KubernetesApi
from ray_platform.kubernetes.field_managers import may_be_scaler
from ray_platform.kubernetes.helm_release_client import MANAGER as HELM
from ray_platform.kubernetes.manifests import Compared, differences, identity, put_back
from ray_platform.ray.clusters import RayOnKubernetes
from ray_platform.ray.running_jobs import require_no_jobs
from ray_platform.ray.spec import pods_digest
from ray_platform.text.errors import KubernetesError

#: Their fields stay theirs: the stage takes the worker groups over with the replicas as they stand.
_STAY = (HELM, "ray-platform", "kuberay-operator")
Documents = Sequence[Mapping[str, Any]]


def documents(manifest: str) -> list[dict[str, Any]]:
    """The objects of a manifest, YAML."""
    return [doc for doc in yaml.load_all(manifest, Loader=yaml.CSafeLoader) if doc]


def compare(api: KubernetesApi, namespace: str, wanted: Documents) -> list[Compared]:
    """Each document beside the live object, by one list a kind.

    Raises:
        KubernetesError: the API refuses or does not answer.
    """
    collections = {
        (str(doc["apiVersion"]), plural(str(doc["kind"]))): str(doc["kind"]) for doc in wanted
    }
    live: dict[tuple[str, str], dict[str, Any]] = {}
    for of, kind in collections.items():
        try:
            items = api.list(of, namespace)["items"]
        except KubernetesError as error:
            # Without its definition none of the kind is there either.
            if error.code != 404:
                raise
            items = []
        live |= {(kind, item["metadata"]["name"]): item for item in items}
    return [Compared(doc, live.get(identity(doc)), asked=None) for doc in wanted]


def plural(kind: str) -> str:
    """A kind's collection, by the rule that kubectl guesses by; it holds for all kinds of the chart."""
    name = kind.lower()
    if name.endswith("s"):
        return f"{name}es"
    return f"{name[:-1]}ies" if name.endswith("y") else f"{name}s"


def differs(one: Compared) -> bool:
    """Whether an object is gone, or not as it is wanted."""
    return one.live is None or any(differences(one.wanted, one.live))


def clear_the_way(
    cluster: RayOnKubernetes,
    name: str,
    found: Sequence[Compared],
    was: Documents,
    tell: Callable[[str], None],
) -> None:
    """Make everything that exists as it is wanted where another process has written, and Helm's alone.

    Args:
        cluster: Where the release is.
        name: The release.
        found: What it is to be, and what exists.
        was: What the platform deployed last: only what differs from that was changed by another.
        tell: Hears what is put back.

    Raises:
        RayError: jobs run on pods that this would replace.
        KubernetesError: an object changed meanwhile (409), or the API refuses or does not answer.
    """
    deployed = {identity(document): document for document in was}
    for one in found:
        if one.live is None or not any(map(_is_other, _entries(one.live))):
            continue
        live, before = one.live, deployed.get(identity(one.wanted))
        foreign = list(differences(before, live)) if before is not None else []
        if foreign and any(differences(one.wanted, live)):
            kind, of = identity(one.wanted)
            mended = put_back(one.wanted, live)
            if kind == "RayCluster" and pods_digest(mended["spec"]) != pods_digest(live["spec"]):
                require_no_jobs(cluster, name, tell)
            places = ", ".join(difference.text for difference in foreign)
            tell(f"{kind} {of} was changed by another writer and is put back: {places}")
            live = _write(cluster, one.wanted, live, _fields(one.wanted, mended))
        elif not any(_is_other(e) and "f:spec" in e.get("fieldsV1", {}) for e in _entries(live)):
            continue
        ours = [entry for entry in _entries(live) if not _is_other(entry)]
        # An empty list would mean that none is given.
        _write(cluster, one.wanted, live, {"/metadata/managedFields": ours or [{}]})


def _entries(live: Mapping[str, Any]) -> Sequence[Mapping[str, Any]]:
    return live["metadata"].get("managedFields") or []


def _is_other(entry: Mapping[str, Any]) -> bool:
    """Whether a manager's fields are neither the platform's, nor KubeRay's, nor the autoscaler's."""
    is_own = entry.get("manager") in _STAY or may_be_scaler(entry)
    return not is_own and not entry.get("subresource")


def _fields(wanted: Mapping[str, Any], mended: Mapping[str, Any]) -> dict[str, Any]:
    fields = [key for key in wanted if key not in ("apiVersion", "kind", "metadata", "status")]
    metadata = [key for key in ("labels", "annotations") if mended["metadata"].get(key)]
    return {
        **{f"/{key}": mended[key] for key in fields},
        **{f"/metadata/{key}": mended["metadata"][key] for key in metadata},
    }


def _write(
    cluster: RayOnKubernetes,
    wanted: Mapping[str, Any],
    live: Mapping[str, Any],
    values: Mapping[str, Any],
) -> dict[str, Any]:
    of = (str(wanted["apiVersion"]), plural(str(wanted["kind"])))
    metadata = live["metadata"]
    version = {"path": "/metadata/resourceVersion", "value": metadata["resourceVersion"]}
    operations = [{"op": "test", **version}]
    operations += [{"op": "add", "path": path, "value": value} for path, value in values.items()]
    try:
        written: dict[str, Any] = cluster.api.patch(
            of, metadata["name"], cluster.namespace, operations, how="json"
        )
    except KubernetesError as error:
        if error.code == 422:
            error.code = 409  # somebody wrote in between: as any other conflict
        raise
    return written
