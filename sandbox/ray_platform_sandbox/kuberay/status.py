"""The status of a RayCluster as KubeRay writes it."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from ray_platform_sandbox.kuberay.manifests import LOOPBACK, head_service_name
from ray_platform_sandbox.kuberay.wanted import GPU, Wanted, quantity
from ray_platform_sandbox.kubernetes.store import now

READY, FAILED, SUSPENDED = "ready", "failed", "suspended"


@dataclass(frozen=True)
class Seen:
    """What stands of a cluster: workers that are up by group, the head's pod and how it is.

    ``problem`` is a reason and a message when the head cannot run.
    """

    workers: Mapping[str, int]
    head_pod: str = ""
    head_ready: bool = False
    problem: tuple[str, str] | None = None
    ports: Mapping[str, int] | None = None


def ray_cluster_status(
    wanted: Wanted, seen: Seen, old: Mapping[str, Any], replicas: Mapping[str, int]
) -> dict[str, Any]:
    """The whole status.

    Args:
        wanted: What is asked for.
        seen: What stands.
        old: The status until now; times and what was once reached come from it.
        replicas: Workers that the autoscaler wants, by group.
    """
    up = sum(seen.workers.values())
    desired = {g.name: min(max(replicas.get(g.name, 0), g.min), g.max) for g in wanted.groups}
    if wanted.suspended:
        desired = dict.fromkeys(desired, 0)
    enough = all(seen.workers.get(g.name, 0) >= g.min for g in wanted.groups)
    whole = seen.head_ready and enough and not wanted.suspended
    state, reason = str(old.get("state", "")), ""
    if wanted.suspended:
        state = SUSPENDED if not (seen.head_pod or up) else state
    elif seen.problem:
        # KubeRay keeps `ready` through later trouble; a cluster that cannot run says so here.
        state, reason = FAILED, f"{seen.problem[0]}: {seen.problem[1]}"
    elif whole:
        state = READY
    elif state in (SUSPENDED, FAILED):
        state = ""
    times = dict(old.get("stateTransitionTimes") or {})
    if state and state != old.get("state"):
        times[state] = now()
    status: dict[str, Any] = {
        "desiredWorkerReplicas": sum(desired.values()),
        "availableWorkerReplicas": up,
        "readyWorkerReplicas": up,
        "minWorkerReplicas": sum(group.min for group in wanted.groups),
        "maxWorkerReplicas": sum(group.max for group in wanted.groups),
        "observedGeneration": wanted.generation,
        **_resources(wanted, desired),
        "conditions": _conditions(wanted, seen, whole, old),
    }
    if state:
        status["state"] = state
    if reason:
        status["reason"] = reason
    if times:
        status["stateTransitionTimes"] = times
    if seen.head_pod and seen.ports:
        status["head"] = {
            "podName": seen.head_pod,
            "podIP": LOOPBACK,
            "serviceName": head_service_name(wanted),
            "serviceIP": LOOPBACK,
        }
        status["endpoints"] = {name: str(port) for name, port in seen.ports.items()}
    return status


def _resources(wanted: Wanted, desired: Mapping[str, int]) -> dict[str, str]:
    totals = {"cpu": 0.0, "memory": 0.0, GPU: 0.0}
    counts = {"": 0 if wanted.suspended else 1, **desired}
    for group, template in wanted.pod_templates.items():
        for container in template["spec"]["containers"]:
            limits = (container.get("resources") or {}).get("limits") or {}
            for name in totals:
                totals[name] += counts.get(group, 0) * quantity(limits.get(name, 0))
    return {
        "desiredCPU": f"{totals['cpu']:g}",
        "desiredMemory": f"{totals['memory'] / 2**30:g}Gi",
        "desiredGPU": f"{totals[GPU]:g}",
    }


def _conditions(
    wanted: Wanted, seen: Seen, whole: bool, old: Mapping[str, Any]
) -> list[dict[str, Any]]:
    before = {condition["type"]: condition for condition in old.get("conditions") or []}
    was_whole = before.get("RayClusterProvisioned", {}).get("status") == "True"
    head = (
        ("True", "HeadPodRunningAndReady", "")
        if seen.head_ready
        else ("False", seen.problem[0], seen.problem[1])
        if seen.problem
        else ("False", "ContainersNotReady", "the head is starting")
        if seen.head_pod
        else ("False", "HeadPodNotFound", "Head Pod not found")
    )
    provisioned = (
        ("True", "AllPodRunningAndReadyFirstTime", "All Ray Pods are ready for the first time")
        if whole or (was_whole and not wanted.suspended)
        else (
            "False",
            "RayClusterPodsProvisioning",
            "RayCluster Pods are being provisioned for first time",
        )
    )
    gone = wanted.suspended and not seen.head_pod and not sum(seen.workers.values())
    wished = [
        ("HeadPodReady", *head),
        ("RayClusterProvisioned", *provisioned),
        (
            "RayClusterSuspending",
            "True" if wanted.suspended and not gone else "False",
            "RayClusterSuspending",
            "",
        ),
        (
            "RayClusterSuspended",
            "True" if gone else "False",
            "RayClusterSuspended",
            "",
        ),
    ]
    made = []
    for kind, status, reason, message in wished:
        earlier = before.get(kind, {})
        same = earlier.get("status") == status
        made.append(
            {
                "type": kind,
                "status": status,
                "reason": reason,
                "message": message,
                "observedGeneration": wanted.generation,
                "lastTransitionTime": earlier["lastTransitionTime"] if same else now(),
            }
        )
    return made
