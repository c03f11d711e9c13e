"""The status of a RayCluster as KubeRay 1.7 writes it: what it says, and what it never takes back."""

import copy
from collections.abc import Mapping, Sequence
from typing import Any

from ray_platform_sandbox.kuberay import labels as names
from ray_platform_sandbox.kuberay.pod_shapes import requests_of
from ray_platform_sandbox.kubernetes.amounts import spelled

Content = dict[str, Any]
MOST_REPLICAS = 2**31 - 1
HEAD_READY, PROVISIONED = "HeadPodReady", "RayClusterProvisioned"
SUSPENDING, SUSPENDED, REFUSED = "RayClusterSuspending", "RayClusterSuspended", "ReplicaFailure"
#: A difference in these alone is no reason to write.
_UNWRITTEN = (
    *("lastUpdateTime", "observedGeneration", "stateTransitionTimes"),
    *("desiredCPU", "desiredMemory", "desiredGPU", "desiredTPU"),
)


def desired_replicas(group: Mapping[str, Any]) -> int:
    """The pods that a group is to have now, within its bounds."""
    if group.get("suspend"):
        return 0
    least = int(group.get("minReplicas") or 0)
    most = int(group["maxReplicas"]) if group.get("maxReplicas") is not None else MOST_REPLICAS
    asked = group.get("replicas")
    wanted = least if asked is None or int(asked) < least else min(int(asked), most)
    return wanted * int(group.get("numOfHosts") or 1)


def suspension(status: Mapping[str, Any]) -> str:
    """``RayClusterSuspending``, ``RayClusterSuspended`` or empty, as the conditions say."""
    for condition in status.get("conditions") or []:
        if condition["type"] in (SUSPENDING, SUSPENDED) and condition["status"] == "True":
            return str(condition["type"])
    return ""


def next_status(
    cluster: Mapping[str, Any],
    pods: Sequence[Mapping[str, Any]],
    services: Sequence[Mapping[str, Any]],
    *,
    failure: tuple[str, str] | None,
    failed: bool,
    now: str,
) -> Content:
    """The whole status, of what exists now.

    Args:
        cluster: The object.
        pods: All with its label, also those that are being deleted or of an earlier object of its name.
        services: Its head services.
        failure: Reason and message of pods that were refused.
        failed: Whether this round ended with any error.
        now: In RFC 3339.
    """
    spec, old = cluster["spec"], cluster.get("status") or {}
    status = copy.deepcopy(dict(old))
    conditions = _Conditions(status.get("conditions") or [], now)
    if failure:
        conditions.set(REFUSED, "True", failure[0], failure[1])
    elif not failed:
        conditions.remove(REFUSED)
    status["observedGeneration"] = cluster["metadata"].get("generation", 1)
    status |= _counts(spec, pods)
    status |= _resources(spec)
    all_ready = bool(pods) and all(map(is_running_and_ready, pods))
    if not failed and len(pods) == status["desiredWorkerReplicas"] + 1 and all_ready:
        status["state"] = "ready"
    head = next((p for p in pods if _type(p) == names.HEAD), None)
    _head_condition(conditions, head)
    suspended = suspension({"conditions": conditions.all})
    if not conditions.holds(PROVISIONED) and suspended != SUSPENDED:
        if all_ready:
            text = "All Ray Pods are ready for the first time"
            conditions.set(PROVISIONED, "True", "AllPodRunningAndReadyFirstTime", text)
        else:
            text = "RayCluster Pods are being provisioned for first time"
            conditions.set(PROVISIONED, "False", "RayClusterPodsProvisioning", text)
    _suspend_conditions(conditions, suspended, spec, pods)
    if spec.get("suspend") and not pods:
        status["state"] = "suspended"
    _endpoints(status, head, services)
    status["conditions"] = conditions.all
    status["lastUpdateTime"] = now
    if status.get("state", "") != old.get("state", ""):
        status["stateTransitionTimes"] = {
            **(old.get("stateTransitionTimes") or {}),
            status["state"]: now,
        }
    return {key: value for key, value in status.items() if value not in (0, "", None)}


def is_worth_writing(old: Mapping[str, Any], new: Mapping[str, Any]) -> bool:
    """Whether the operator writes it at all."""

    def seen(status: Mapping[str, Any]) -> dict[str, Any]:
        return {k: v for k, v in status.items() if k not in _UNWRITTEN and v not in (0, "", None)}

    return seen(old) != seen(new)


class _Conditions:
    def __init__(self, conditions: Sequence[Mapping[str, Any]], now: str) -> None:
        self.all = [copy.deepcopy(dict(condition)) for condition in conditions]
        self._now = now

    def holds(self, kind: str) -> bool:
        return any(c["type"] == kind and c["status"] == "True" for c in self.all)

    def set(self, kind: str, status: str, reason: str, message: str = "") -> None:
        """As Kubernetes' own helper: the time changes with the status alone."""
        made = {
            "type": kind,
            "status": status,
            "reason": reason,
            "message": message,
            "lastTransitionTime": self._now,
        }
        for place, condition in enumerate(self.all):
            if condition["type"] == kind:
                if condition["status"] == status:
                    made["lastTransitionTime"] = condition["lastTransitionTime"]
                self.all[place] = made
                return
        self.all.append(made)

    def remove(self, kind: str) -> None:
        self.all = [condition for condition in self.all if condition["type"] != kind]


def _counts(spec: Mapping[str, Any], pods: Sequence[Mapping[str, Any]]) -> Content:
    groups = spec.get("workerGroupSpecs") or []
    running = [g for g in groups if not g.get("suspend")]
    workers = [p for p in pods if _type(p) == names.WORKER]
    most = sum(
        (int(g["maxReplicas"]) if g.get("maxReplicas") is not None else MOST_REPLICAS)
        * int(g.get("numOfHosts") or 1)
        for g in running
    )
    return {
        "readyWorkerReplicas": sum(map(is_running_and_ready, workers)),
        "availableWorkerReplicas": sum(_phase(p) == "Running" for p in workers),
        "desiredWorkerReplicas": sum(map(desired_replicas, groups)),
        "minWorkerReplicas": sum(
            int(g.get("minReplicas") or 0) * int(g.get("numOfHosts") or 1) for g in running
        ),
        "maxWorkerReplicas": min(most, MOST_REPLICAS),
    }


def _resources(spec: Mapping[str, Any]) -> Content:
    """Of the templates, without what the operator adds; workers by ``replicas``, whatever the bounds say."""
    total = dict(requests_of(spec["headGroupSpec"]["template"]))
    for group in spec.get("workerGroupSpecs") or []:
        if group.get("suspend"):
            continue
        times = int(group.get("replicas") or 0) * int(group.get("numOfHosts") or 1)
        for name, value in requests_of(group["template"]).items():
            total[name] = total.get(name, 0) + times * value
    gpus = sum(value for name, value in total.items() if name.lower().endswith("gpu"))
    return {
        "desiredCPU": spelled(total["cpu"]) if "cpu" in total else "0",
        "desiredMemory": spelled(total["memory"], binary=True) if "memory" in total else "0",
        "desiredGPU": spelled(gpus) if gpus else "0",
        "desiredTPU": spelled(total["google.com/tpu"]) if "google.com/tpu" in total else "0",
    }


def _head_condition(conditions: _Conditions, head: Mapping[str, Any] | None) -> None:
    if head is None:
        conditions.set(HEAD_READY, "False", "HeadPodNotFound", "Head Pod not found")
        return
    status = head.get("status") or {}
    ready = next((c for c in status.get("conditions") or [] if c["type"] == "Ready"), None)
    if ready is None:
        conditions.set(HEAD_READY, "False", "Unknown")
        return
    reason, message = str(ready.get("reason") or ""), str(ready.get("message") or "")
    if ready["status"] == "True":
        reason = reason or "HeadPodRunningAndReady"
    if reason == "ContainersNotReady":
        for container in status.get("containerStatuses") or []:
            state = container.get("state") or {}
            held = state.get("waiting") or state.get("terminated")
            if held is not None:
                reason = str(held.get("reason") or "")
                said = f"{container['name']}: {held.get('message') or ''}"
                message = f"{message}; {said}" if message else said
                break
    conditions.set(HEAD_READY, ready["status"], reason or "Unknown", message)


def _suspend_conditions(
    conditions: _Conditions,
    suspended: str,
    spec: Mapping[str, Any],
    pods: Sequence[Mapping[str, Any]],
) -> None:
    """A suspension once begun runs to its end; it is taken back by an explicit ``false`` alone."""
    asked = spec.get("suspend")
    if suspended == SUSPENDING:
        if not pods:
            text = "RayCluster has been suspended"
            conditions.set(PROVISIONED, "False", "RayClusterPodsProvisioning", text)
            conditions.set(SUSPENDING, "False", SUSPENDING)
            conditions.set(SUSPENDED, "True", SUSPENDED)
    elif suspended == SUSPENDED:
        if asked is False:
            conditions.set(SUSPENDED, "False", SUSPENDED)
    else:
        conditions.set(SUSPENDED, "False", SUSPENDED)
        conditions.set(SUSPENDING, "True" if asked else "False", SUSPENDING)


def _endpoints(
    status: Content, head: Mapping[str, Any] | None, services: Sequence[Mapping[str, Any]]
) -> None:
    at: Content = {}
    if head is not None:
        at["podName"] = head["metadata"]["name"]
        at["podIP"] = (head.get("status") or {}).get("podIP", "")
    if services:
        service = services[0]
        spec = service["spec"]
        endpoints = {
            port["name"]: str(port.get("nodePort") or port.get("targetPort") or port["port"])
            for port in spec.get("ports") or []
            if port.get("name")
        }
        if endpoints:
            status["endpoints"] = {**(status.get("endpoints") or {}), **endpoints}
        headless = spec.get("clusterIP") == "None"
        at["serviceIP"] = at.get("podIP", "") if headless else spec.get("clusterIP", "")
        at["serviceName"] = service["metadata"]["name"]
    status["head"] = {key: value for key, value in at.items() if value}


def is_running_and_ready(pod: Mapping[str, Any]) -> bool:
    conditions = (pod.get("status") or {}).get("conditions") or []
    ready = any(c["type"] == "Ready" and c["status"] == "True" for c in conditions)
    return _phase(pod) == "Running" and ready


def _phase(pod: Mapping[str, Any]) -> str:
    return str((pod.get("status") or {}).get("phase", ""))


def _type(pod: Mapping[str, Any]) -> str:
    return str((pod["metadata"].get("labels") or {}).get(names.NODE_TYPE, ""))
