"""What a RayCluster object asks for, as far as one machine can give it."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from ray_platform.kubernetes.quantity import quantity as amount
from ray_platform.ray.spec import INSTANCE_TYPE_LABEL, WorkerGroup
from ray_platform_sandbox.kuberay.cluster_status import suspension
from ray_platform_sandbox.kuberay.recreate_hash import recreate_hash

INSTANCE_TYPE_ANNOTATION = "ray-platform/instance-type"
GPU = "nvidia.com/gpu"
RECREATE = "Recreate"


@dataclass(frozen=True)
class Wanted:
    """One RayCluster object, read.

    ``image`` is the head's; ``token_secret`` name and key of the secret with the token, None: it
    asks for none; ``hash`` names what KubeRay makes pods of, so without bounds and replicas;
    ``recreates`` whether another hash replaces pods that run.
    """

    namespace: str
    name: str
    uid: str
    generation: int
    image: str
    ray_version: str
    groups: tuple[WorkerGroup, ...]
    idle_timeout_seconds: float
    token_secret: tuple[str, str] | None
    suspended: bool
    recreates: bool
    hash: str
    pod_templates: Mapping[str, Mapping[str, Any]]
    content: Mapping[str, Any]

    def group(self, name: str) -> Mapping[str, Any]:
        """The spec of a worker group."""
        return next(g for g in self.content["spec"]["workerGroupSpecs"] if g["groupName"] == name)

    @property
    def key(self) -> str:
        return f"{self.namespace}/{self.name}"


def read_ray_cluster(content: Mapping[str, Any]) -> Wanted:
    """A RayCluster object, with the CRD's defaults filled in."""
    metadata, spec = content["metadata"], content["spec"]
    head = spec["headGroupSpec"]["template"]
    container = head["spec"]["containers"][0]
    groups = spec.get("workerGroupSpecs") or []
    scales = bool(spec.get("enableInTreeAutoscaling"))
    templates = {group["groupName"]: group["template"] for group in groups}
    return Wanted(
        namespace=metadata["namespace"],
        name=metadata["name"],
        uid=metadata["uid"],
        generation=int(metadata.get("generation", 1)),
        image=str(container.get("image", "")),
        ray_version=str(spec.get("rayVersion", "")),
        groups=tuple(_group(group, scales) for group in groups),
        idle_timeout_seconds=float(
            (spec.get("autoscalerOptions") or {}).get("idleTimeoutSeconds") or 60
        ),
        token_secret=_token_secret(container),
        suspended=is_suspended(content),
        recreates=(spec.get("upgradeStrategy") or {}).get("type") == RECREATE,
        hash=recreate_hash(spec),
        pod_templates={"": head, **templates},
        content=content,
    )


def is_suspended(content: Mapping[str, Any]) -> bool:
    """Whether it is to run nothing: once suspended, until the object says ``false``; to say nothing resumes
    nothing."""
    asked = content["spec"].get("suspend")
    if asked is None:
        return suspension(content.get("status") or {}) != ""
    return bool(asked)


def _group(group: Mapping[str, Any], scales: bool) -> WorkerGroup:
    template = group["template"]
    resources = (template["spec"]["containers"][0].get("resources") or {}).get("limits") or {}
    annotations = (template.get("metadata") or {}).get("annotations") or {}
    least, most = int(group["minReplicas"]), int(group["maxReplicas"])
    if group.get("suspend"):
        least = most = 0
    elif not scales:
        least = most = min(max(int(group.get("replicas", 0)), least), most)
    return WorkerGroup(
        name=group["groupName"],
        instance_type=str(
            (group.get("labels") or {}).get(INSTANCE_TYPE_LABEL)
            or annotations.get(INSTANCE_TYPE_ANNOTATION, "")
        ),
        cpus=math.ceil(quantity(resources.get("cpu", 1))),
        memory_gib=math.ceil(quantity(resources.get("memory", 0)) / 2**30),
        gpus=int(quantity(resources.get(GPU, 0))),
        min=least,
        max=most,
    )


def quantity(text: str | int | float) -> float:
    """An amount as a number, 0 where it is none."""
    return float(amount(text) or 0)


def _token_secret(container: Mapping[str, Any]) -> tuple[str, str] | None:
    for variable in container.get("env") or []:
        source = (variable.get("valueFrom") or {}).get("secretKeyRef")
        if variable["name"] == "RAY_AUTH_TOKEN" and source:
            return str(source["name"]), str(source["key"])
    return None


def image_problem(image: str, ray_version: str, installed: str) -> str:
    """Why this machine cannot run an image; empty: it can.

    There are no containers here: an image is there when its tag, or for a digest the object's Ray
    version, names the Ray that is installed.
    """
    reference, _, by_digest = image.partition("@")
    _, _, tag = reference.rpartition("/")[2].partition(":")
    told = ray_version if by_digest or not tag else tag
    if told == installed or told.startswith(f"{installed}-"):
        return ""
    return (
        f'Failed to pull image "{image}": not found: this machine has Ray {installed} installed and '
        f"runs no containers; it takes an image of that version alone"
    )
