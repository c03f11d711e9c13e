"""What a RayCluster object, its pods and its events say of its health, in words for people."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

READY = "ready"
#: Reasons of a waiting container that waiting does not mend, and what does.
HOPELESS: Mapping[str, str] = {
    "ImagePullBackOff": "name an image that the registry has (image.repository and image.tag)",
    "ErrImagePull": "name an image that the registry has (image.repository and image.tag)",
    "ErrImageNeverPull": "name an image that the registry has (image.repository and image.tag)",
    "InvalidImageName": "mend the image's name (image.repository and image.tag)",
    "CreateContainerConfigError": "make the secret or config map that the pod names",
    "CreateContainerError": "read the pod's events",
    "CrashLoopBackOff": "read the head's log: `ray-platform ray logs`",
}
_UNSCHEDULABLE = "Unschedulable"
_EVENTS_TOLD = 3
_TIME_LIMIT_FIX = "look at it: `ray-platform ray status`, `ray-platform ray logs`"
_SPACES = re.compile(r"\s+")


@dataclass(frozen=True)
class Diagnosis:
    """Why a cluster is not ready, in sentences, and what to do; ``is_hopeless``: waiting won't help."""

    reasons: tuple[str, ...]
    fix: str
    is_hopeless: bool

    @property
    def text(self) -> str:
        return "; ".join(self.reasons) or "the operator has not looked at the latest change yet"


def is_ready(content: Mapping[str, Any]) -> bool:
    """Whether the operator has seen the object as it is now and found all of it ready."""
    status = content.get("status") or {}
    seen = int(status.get("observedGeneration") or 0)
    return status.get("state") == READY and seen >= int(content["metadata"].get("generation", 1))


def is_up(content: Mapping[str, Any]) -> bool:
    """Whether all of it was ready once, and nothing failed since; it may be changing."""
    return (content.get("status") or {}).get("state") == READY


def is_head_ready(content: Mapping[str, Any]) -> bool:
    """Whether the operator says that the head's pod runs and is ready."""
    conditions = (content.get("status") or {}).get("conditions") or []
    return any(c["type"] == "HeadPodReady" and c["status"] == "True" for c in conditions)


def diagnose(
    content: Mapping[str, Any],
    pods: Sequence[Mapping[str, Any]],
    events: Sequence[Mapping[str, Any]],
) -> Diagnosis:
    """Why a RayCluster is not ready.

    Args:
        content: The object.
        pods: Its pods.
        events: Of its namespace; those of other objects are left out.
    """
    status = content.get("status") or {}
    waiting = [found for pod in pods for found in _waiting(pod)]
    if not status and not pods:
        return Diagnosis(
            ("no operator has looked at it yet",),
            "see that KubeRay's operator runs (`kubectl get pods --all-namespaces`)",
            False,
        )
    reasons = [
        f"pod {pod} waits: " + ": ".join(filter(None, (reason, message)))
        for pod, reason, message in waiting
    ]
    if not waiting:
        reasons += [
            f"{condition['type']} is {condition['status']}: {_told(condition)}"
            for condition in status.get("conditions") or []
            if condition["type"] in ("HeadPodReady", "RayClusterProvisioned")
            and condition["status"] != "True"
        ]
        lacking = int(status.get("minWorkerReplicas", 0)) - int(
            status.get("availableWorkerReplicas", 0)
        )
        if lacking > 0:
            reasons.append(f"{lacking} of {status['minWorkerReplicas']} workers are missing")
    known = " ".join(reasons)
    told = [
        f"event {reason}: {message}"
        for reason, message in _warnings(content, events)
        if message not in known
    ]
    reasons += told[-_EVENTS_TOLD:]
    hopeless = next((reason for _, reason, _ in waiting if reason in HOPELESS), "")
    return Diagnosis(tuple(reasons), _fix(hopeless, waiting), bool(hopeless))


def _waiting(pod: Mapping[str, Any]) -> list[tuple[str, str, str]]:
    """(pod, reason, message) of each container that waits, and of a pod that no node takes."""
    name, status = pod["metadata"]["name"], pod.get("status") or {}
    found = []
    for condition in status.get("conditions") or []:
        if condition["type"] == "PodScheduled" and condition["status"] == "False":
            found.append((name, _UNSCHEDULABLE, _one_line(condition.get("message", ""))))
    for container in status.get("containerStatuses") or []:
        state = (container.get("state") or {}).get("waiting") or {}
        if state.get("reason"):
            found.append((name, state["reason"], _one_line(state.get("message", ""))))
    return found


def _told(condition: Mapping[str, Any]) -> str:
    return ": ".join(filter(None, (condition.get("reason"), condition.get("message"))))


def _warnings(
    content: Mapping[str, Any], events: Sequence[Mapping[str, Any]]
) -> list[tuple[str, str]]:
    """The warnings on the object or its pods, each once, the latest last."""
    name = content["metadata"]["name"]
    mine = [
        event
        for event in events
        if event.get("type") == "Warning"
        and str((event.get("involvedObject") or {}).get("name", "")).startswith(name)
    ]
    mine.sort(key=lambda event: str(event.get("lastTimestamp") or ""))
    told = [(str(event.get("reason", "")), _one_line(event.get("message", ""))) for event in mine]
    return list(dict.fromkeys(told))


def _fix(hopeless: str, waiting: Sequence[tuple[str, str, str]]) -> str:
    if hopeless:
        return HOPELESS[hopeless]
    if any(reason == _UNSCHEDULABLE for _, reason, _ in waiting):
        return (
            "give the node pool room: its size, the pod's resources, labels and taints must agree"
        )
    return _TIME_LIMIT_FIX


def _one_line(text: str) -> str:
    return _SPACES.sub(" ", str(text)).strip()
