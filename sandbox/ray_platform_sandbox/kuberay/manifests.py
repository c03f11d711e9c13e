"""The objects that KubeRay makes for a RayCluster: pods, the head's service, events."""

import json
import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from ray_platform_sandbox.kuberay import labels as names
from ray_platform_sandbox.kuberay.pod_shapes import head_pod, worker_pod
from ray_platform_sandbox.kuberay.wanted import Wanted
from ray_platform_sandbox.kubernetes.port_forward import PORTS_ANNOTATION
from ray_platform_sandbox.kubernetes.store import now

#: The head's ports in its container, which the chart and KubeRay use.
DASHBOARD_PORT, GCS_PORT = 8265, 6379
#: Holds a deleted pod until its processes are gone, as a kubelet does.
FINALIZER = "ray-platform.local/processes"
NODE_ID = "ray-platform.local/ray-node-id"
COMPONENT = "raycluster-controller"
LOOPBACK = "127.0.0.1"
CLUSTER_LABEL, GROUP_LABEL, TYPE_LABEL = "ray.io/cluster", "ray.io/group", "ray.io/node-type"


@dataclass(frozen=True)
class PodState:
    """How a pod is: ``phase`` of the pod, ``waiting`` the reason that its container does not run."""

    phase: str
    ready: bool = False
    waiting: str = ""
    message: str = ""


RUNNING = PodState("Running", ready=True)
STARTING = PodState("Pending", waiting="ContainerCreating")


def owner(wanted: Wanted) -> dict[str, Any]:
    return {
        "apiVersion": "ray.io/v1",
        "kind": "RayCluster",
        "name": wanted.name,
        "uid": wanted.uid,
        "controller": True,
        "blockOwnerDeletion": True,
    }


def head_service_name(wanted: Wanted) -> str:
    return f"{wanted.name}-head-svc"


def pod(
    wanted: Wanted,
    group: str = "",
    node_id: str = "",
    ports: Mapping[int, int] | None = None,
    replica: int = 0,
) -> dict[str, Any]:
    """A pod of a group as KubeRay makes it; the head's without a group. ``ports``: those of this machine."""
    made = (
        worker_pod(wanted.content, wanted.group(group), replica=replica)
        if group
        else head_pod(wanted.content)
    )
    metadata = made["metadata"]
    metadata["name"] = metadata.pop("generateName") + secrets.token_hex(3)[:5]
    metadata["finalizers"] = [FINALIZER]
    if not group:
        metadata["annotations"] |= {names.HASH: wanted.hash, names.VERSION: names.KUBERAY}
    if node_id:
        metadata["annotations"][NODE_ID] = node_id
    if ports:
        metadata["annotations"][PORTS_ANNOTATION] = json.dumps(ports)
    made["spec"]["nodeName"] = "this-machine"
    return made


def pod_status(content: Mapping[str, Any], state: PodState) -> dict[str, Any]:
    """The status of a pod; times stay as they are while nothing changes."""
    old = content.get("status") or {}
    containers = [
        {
            "name": container["name"],
            "image": container.get("image", ""),
            "ready": state.ready,
            "restartCount": 0,
            "state": (
                {"waiting": {"reason": state.waiting, "message": state.message}}
                if state.waiting
                else {"running": {"startedAt": old.get("startTime") or now()}}
            ),
        }
        for container in content["spec"]["containers"]
    ]
    # Ray's nodes of this machine wait for their head by themselves: the init container has done so.
    done = {"exitCode": 0, "reason": "Completed", "startedAt": now(), "finishedAt": now()}
    earlier = {c["name"]: c for c in old.get("initContainerStatuses") or []}
    init = [
        earlier.get(container["name"])
        or {
            "name": container["name"],
            "image": container.get("image", ""),
            "ready": True,
            "restartCount": 0,
            "state": {"terminated": done},
        }
        for container in content["spec"].get("initContainers") or []
    ]
    flag = "True" if state.ready else "False"
    before = {c["type"]: c for c in old.get("conditions") or []}
    conditions = []
    for kind in ("Initialized", "ContainersReady", "Ready", "PodScheduled"):
        status = flag if kind in ("ContainersReady", "Ready") else "True"
        same = before.get(kind, {}).get("status") == status
        since = before[kind]["lastTransitionTime"] if same else now()
        conditions.append({"type": kind, "status": status, "lastTransitionTime": since})
    return {
        "phase": state.phase,
        "podIP": LOOPBACK,
        "hostIP": LOOPBACK,
        "startTime": old.get("startTime") or now(),
        "conditions": conditions,
        **({"initContainerStatuses": init} if init else {}),
        "containerStatuses": containers,
    }


def head_service(wanted: Wanted, ports: Mapping[str, int]) -> dict[str, Any]:
    """The head's service. Its address is loopback and its ports are this machine's own."""
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {
            "name": head_service_name(wanted),
            "namespace": wanted.namespace,
            "labels": {CLUSTER_LABEL: wanted.name, TYPE_LABEL: "head"},
            "ownerReferences": [owner(wanted)],
        },
        "spec": {
            "type": "ClusterIP",
            "clusterIP": LOOPBACK,
            "selector": {CLUSTER_LABEL: wanted.name, TYPE_LABEL: "head"},
            "ports": [
                {"name": name, "port": port, "targetPort": port, "protocol": "TCP"}
                for name, port in ports.items()
            ],
        },
    }


def event(wanted: Wanted, reason: str, message: str, *, kind: str = "Normal") -> dict[str, Any]:
    """An event on the RayCluster, as `kubectl describe` shows it."""
    about = {
        "apiVersion": "ray.io/v1",
        "kind": "RayCluster",
        "name": wanted.name,
        "namespace": wanted.namespace,
        "uid": wanted.uid,
    }
    return event_on(about, reason, message, kind=kind)


def event_on(
    about: Mapping[str, Any], reason: str, message: str, *, kind: str = "Normal"
) -> dict[str, Any]:
    """An event on any object."""
    return {
        "metadata": {
            "name": f"{about['name']}.{secrets.token_hex(8)}",
            "namespace": about["namespace"],
        },
        "involvedObject": dict(about),
        "reason": reason,
        "message": message,
        "type": kind,
        "action": action_of(reason),
        # As events.k8s.io writes them: with a time, and without counts.
        "eventTime": datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ"),
        "firstTimestamp": None,
        "lastTimestamp": None,
        "source": {},
        "reportingComponent": COMPONENT,
        "reportingInstance": f"{COMPONENT}-this-machine",
    }


def action_of(reason: str) -> str:
    """What the operator was doing, as its events name it."""
    if "Created" in reason or "Create" in reason:
        return "Create"
    return "Delete" if "Delete" in reason else "Validate"


def replicas_patch(
    content: Mapping[str, Any], counts: Mapping[str, int]
) -> Sequence[Mapping[str, Any]]:
    """The JSON patch by which Ray's autoscaler tells how many workers it wants of each group.

    Empty: they are what they are. Each write is bound to the group's name, since a group may have
    moved in the list meanwhile.
    """
    operations: list[Mapping[str, Any]] = []
    for place, group in enumerate(content["spec"].get("workerGroupSpecs") or []):
        wanted = counts.get(group["groupName"], 0)
        if group.get("replicas") != wanted:
            at = f"/spec/workerGroupSpecs/{place}"
            operations += [
                {"op": "test", "path": f"{at}/groupName", "value": group["groupName"]},
                {"op": "add", "path": f"{at}/replicas", "value": wanted},
            ]
    return operations
