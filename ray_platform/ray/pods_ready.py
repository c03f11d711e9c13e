"""Whether a RayCluster is ready, judged by its pods.

KubeRay's own word does not say: ``status.state`` stays ``ready`` once it was, ``observedGeneration`` is only
written together with something else, and a RayCluster that is made again counts the pods of the one before.
So each pod is looked at: whose it is, what it was made from, and whether it is Ready.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from ray_platform.ray.spec import PODS_DIGEST, wanted_digest

CLUSTER_LABEL = "ray.io/cluster"
GROUP_LABEL = "ray.io/group"
TYPE_LABEL = "ray.io/node-type"
HEAD, WORKER = "head", "worker"
Pod = Mapping[str, Any]


def lacks(content: Mapping[str, Any], pods: Sequence[Pod]) -> tuple[str, ...]:
    """What a RayCluster lacks to be ready, each in a few words; empty: it is ready.

    Ready means: the head and the minimum of every worker group run, are Ready and were made from what the
    object asks for now; no pod of the cluster is being deleted; no pod is refused; the object itself is
    neither suspended nor being deleted.

    Args:
        content: The RayCluster object.
        pods: All pods with its label, also those that are being deleted.
    """
    return tuple(_lacks(content, pods))


def _lacks(content: Mapping[str, Any], pods: Sequence[Pod]) -> Iterator[str]:
    metadata, spec = content["metadata"], content.get("spec") or {}
    if metadata.get("deletionTimestamp"):
        held = ", ".join(metadata.get("finalizers") or []) or "none"
        yield f"the RayCluster is being deleted (finalizers: {held})"
    if spec.get("suspend"):
        yield "it is suspended"
        return
    for condition in conditions(content):
        holds = condition["status"] == "True"
        if holds and condition["type"] == "ReplicaFailure":
            yield f"pods are refused: {condition.get('reason', '')}"
        if holds and condition["type"] in ("RayClusterSuspending", "RayClusterSuspended"):
            yield "it is still suspended"
    old = [pod for pod in ray_pods(pods) if not _is_of(pod, metadata.get("uid", ""))]
    if old:
        yield f"{_names(old)} of an earlier RayCluster of this name still exist"
    going = [pod for pod in ray_pods(pods) if is_going(pod) and pod not in old]
    if going:
        yield f"{_names(going)} is being deleted"
    standing = [pod for pod in ray_pods(pods) if not is_going(pod) and pod not in old]
    digest = wanted_digest(spec)
    heads = [pod for pod in standing if node_type(pod) == HEAD]
    if not any(is_running_and_ready(pod) and _is_made_from(pod, digest) for pod in heads):
        yield _why_none(heads, digest, "the head")
    elif not (content.get("status") or {}).get("head"):
        yield "the operator has not said yet where the head is"
    for group in spec.get("workerGroupSpecs") or []:
        yield from _of_group(group, standing, digest)


def _of_group(group: Mapping[str, Any], standing: Sequence[Pod], digest: str) -> Iterator[str]:
    name = group["groupName"]
    least = 0 if group.get("suspend") else int(group.get("minReplicas") or 0)
    least *= int(group.get("numOfHosts") or 1)
    pods = [pod for pod in standing if labels(pod).get(GROUP_LABEL) == name]
    ready = [pod for pod in pods if is_running_and_ready(pod) and _is_made_from(pod, digest)]
    if len(ready) < least:
        yield f"{len(ready)} of {least} workers of group {name} are ready"


def _why_none(heads: Sequence[Pod], digest: str, what: str) -> str:
    if not heads:
        return f"{what} does not exist"
    if all(not _is_made_from(pod, digest) for pod in heads):
        return f"{what} is not made from what is asked for now"
    return f"{what} is not ready"


def _is_made_from(pod: Pod, digest: str) -> bool:
    """Without a digest on the RayCluster (another chart made it) what its pods are made from is not known."""
    annotations = pod["metadata"].get("annotations") or {}
    return not digest or annotations.get(PODS_DIGEST) == digest


def _is_of(pod: Pod, uid: str) -> bool:
    owners = pod["metadata"].get("ownerReferences") or []
    return not uid or not owners or any(owner.get("uid") == uid for owner in owners)


def _names(pods: Sequence[Pod]) -> str:
    return ", ".join(f"pod {pod['metadata']['name']}" for pod in pods)


def conditions(content: Mapping[str, Any]) -> Sequence[Mapping[str, Any]]:
    return (content.get("status") or {}).get("conditions") or []


def labels(pod: Pod) -> Mapping[str, str]:
    return pod["metadata"].get("labels") or {}


def node_type(pod: Pod) -> str:
    return labels(pod).get(TYPE_LABEL, "")


def ray_pods(pods: Sequence[Pod]) -> list[Pod]:
    """Heads and workers: the pod that cleans up Redis has the cluster's label too."""
    return [pod for pod in pods if node_type(pod) in (HEAD, WORKER)]


def is_going(pod: Pod) -> bool:
    """Whether it is being deleted: it may still run, and it will not come back."""
    return bool(pod["metadata"].get("deletionTimestamp"))


def is_running_and_ready(pod: Pod) -> bool:
    """As KubeRay counts a pod."""
    status = pod.get("status") or {}
    return status.get("phase") == "Running" and any(
        condition["type"] == "Ready" and condition["status"] == "True"
        for condition in status.get("conditions") or []
    )


def running_head(pods: Sequence[Pod]) -> Pod | None:
    """The head whose Ray container runs, ready or not; None: there is none, so nothing runs jobs."""
    for pod in ray_pods(pods):
        if node_type(pod) == HEAD and not is_going(pod) and _ray_container_runs(pod):
            return pod
    return None


def _ray_container_runs(pod: Pod) -> bool:
    name = ray_container(pod)
    return any(
        status.get("name") == name and "running" in (status.get("state") or {})
        for status in (pod.get("status") or {}).get("containerStatuses") or []
    )


def ray_container(pod: Pod) -> str:
    """The name of a pod's Ray container: KubeRay takes the first; the autoscaler's comes after it."""
    containers = (pod.get("spec") or {}).get("containers") or [{}]
    return str(containers[0].get("name", ""))
