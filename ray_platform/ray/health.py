"""What a RayCluster object, its pods and its events say of its health, in words for people."""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from ray_platform.ray import pods_ready
from ray_platform.ray.container_ends import ContainerEnd, ends_in, ends_told, message_of, time_of
from ray_platform.ray.pods_ready import HEAD, conditions

READY = "ready"
_IMAGE_FIX = "name an image that the registry has (image.repository and image.tag)"
#: Reasons of a waiting container that waiting does not mend, and what does.
HOPELESS: Mapping[str, str] = {
    "ImagePullBackOff": _IMAGE_FIX,
    "ErrImagePull": _IMAGE_FIX,
    "ErrImageNeverPull": _IMAGE_FIX,
    "InvalidImageName": "mend the image's name (image.repository and image.tag)",
    "CreateContainerConfigError": "make the secret or config map that the pod names",
    "CreateContainerError": "read the pod's events",
}
#: Events by which the operator refuses the object as it is, and what helps.
_REFUSALS: Mapping[str, str] = {
    "InvalidRayClusterSpec": "mend what the operator refuses in the RayCluster",
    "InvalidRayClusterMetadata": "mend what the operator refuses in the RayCluster",
    "AutoscalerServiceAccountNotFound": "make the service account that the head's pod names",
}
#: What an API server says of a pod that it refuses, and what helps: none of it mends itself.
_ADMISSION = (
    (
        "exceeded quota",
        "raise the namespace's ResourceQuota (helm/ray: quota.hard), or ask for less",
    ),
    (
        "violates PodSecurity",
        "mend the pod's security context, or the namespace's Pod Security level",
    ),
    ("maximum", "keep within the namespace's LimitRange"),
    ("minimum", "keep within the namespace's LimitRange"),
    ("serviceaccount", "make the service account that the pods name"),
    ("denied request", "mend what the admission policy names"),
    ("is forbidden", "mend what the API server names"),
)
#: A head that is made again so often within one wait will not get ready by another time.
HEAD_TRIES = 3
_UNSCHEDULABLE = "Unschedulable"
_EVENTS_TOLD = 3
_LAST_LINES = 5
_TIME_LIMIT_FIX = "look at it: `ray-platform ray status`, `ray-platform ray logs`"
_SPACES = re.compile(r"\s+")


@dataclass(frozen=True)
class Diagnosis:
    """Why a cluster is not ready, in sentences, and what to do; ``is_hopeless``: waiting won't help.

    ``unread`` are containers that ended and still have a log which the pod itself does not tell.
    """

    reasons: tuple[str, ...]
    fix: str
    is_hopeless: bool
    unread: tuple[ContainerEnd, ...] = ()

    @property
    def text(self) -> str:
        return "; ".join(self.reasons) or "the operator has not looked at the latest change yet"


def is_ready(content: Mapping[str, Any], pods: Sequence[Mapping[str, Any]]) -> bool:
    """Whether head and workers are what the object asks for, and Ready; see `pods_ready.lacks`."""
    return not pods_ready.lacks(content, pods)


def is_up(content: Mapping[str, Any]) -> bool:
    """Whether all of it was ready once, and its head still is; it may be changing."""
    return (content.get("status") or {}).get("state") == READY and is_head_ready(content)


def is_head_ready(content: Mapping[str, Any]) -> bool:
    """Whether the operator says that the head's pod runs and is ready."""
    return any(c["type"] == "HeadPodReady" and c["status"] == "True" for c in conditions(content))


def diagnose(
    content: Mapping[str, Any],
    pods: Sequence[Mapping[str, Any]],
    events: Sequence[Mapping[str, Any]],
    *,
    since: str = "",
    logs: Mapping[tuple[str, str], str] | None = None,
) -> Diagnosis:
    """Why a RayCluster is not ready; each reason once, the causes before the symptoms.

    Args:
        content: The object.
        pods: Its pods.
        events: Of its namespace, as v1 or events.k8s.io/v1 has them; those of other objects are left out.
        since: From when heads that ended count towards `HEAD_TRIES`, in ISO 8601; empty: all do.
        logs: What is known of the containers that ended, by pod and container.
    """
    status = content.get("status") or {}
    mine = sorted(_of_cluster(content, pods, events), key=time_of)
    if not status and not pods and not mine:
        return Diagnosis(
            ("no operator has looked at it yet",),
            "see that KubeRay's operator runs (`kubectl get pods --all-namespaces`)",
            False,
        )
    causes = [
        *_refused_object(content, mine),
        *_refused_pods(content, mine),
        *_waiting_pods(pods),
        *_ended(pods, mine, since, logs or {}),
    ]
    reasons = [cause.text for cause in causes]
    reasons += [lack for lack in _lacks(content, pods) if lack not in reasons]
    if not causes and not pods:
        reasons += _told_conditions(content)
    known = " ".join(reasons)
    told = [
        f"event {reason}: {message}"
        for reason, message in _warnings(mine)
        if message not in known and not any(reason in cause.events for cause in causes)
    ]
    reasons += told[-_EVENTS_TOLD:]
    hopeless = next((cause for cause in causes if cause.is_hopeless), None)
    first = hopeless or next(iter(causes), None)
    unread = tuple(cause.end for cause in causes if cause.end and not cause.end.last_lines)
    return Diagnosis(
        tuple(dict.fromkeys(reasons)),
        first.fix if first else _TIME_LIMIT_FIX,
        hopeless is not None,
        tuple(end for end in unread if not end.is_gone),
    )


@dataclass(frozen=True)
class _Cause:
    """One cause; ``events`` are the reasons of events that tell the same."""

    text: str
    fix: str
    is_hopeless: bool
    events: tuple[str, ...] = ()
    end: ContainerEnd | None = None


def _of_cluster(
    content: Mapping[str, Any],
    pods: Sequence[Mapping[str, Any]],
    events: Sequence[Mapping[str, Any]],
) -> Iterator[Mapping[str, Any]]:
    """The events on this very object and on its pods; an object of the same name before it had its own."""
    name, uid = content["metadata"]["name"], content["metadata"].get("uid")
    names = {pod["metadata"]["name"] for pod in pods}
    for event in events:
        about = event.get("regarding") or event.get("involvedObject") or {}
        if about.get("kind", "RayCluster") == "RayCluster" and about.get("name") == name:
            if uid in (None, about.get("uid", uid)):
                yield event
        elif about.get("kind", "Pod") == "Pod" and about.get("name") in names:
            yield event


def _refused_object(
    content: Mapping[str, Any], events: Sequence[Mapping[str, Any]]
) -> Iterator[_Cause]:
    """What the operator refuses in the object; it stands until it looks again, at the next change."""
    last = next(reversed(events), None)
    for event in events:
        reason = str(event.get("reason", ""))
        if reason in _REFUSALS and event is last:
            yield _Cause(
                f"the operator refuses it: {reason}: {_one_line(message_of(event))}",
                _REFUSALS[reason],
                is_hopeless=True,
                events=(reason,),
            )


def _refused_pods(
    content: Mapping[str, Any], events: Sequence[Mapping[str, Any]]
) -> Iterator[_Cause]:
    for condition in conditions(content):
        if condition["type"] == "ReplicaFailure" and condition["status"] == "True":
            message = _one_line(condition.get("message", ""))
            fix = next((fix for part, fix in _ADMISSION if part in message), None)
            yield _Cause(
                f"pods are refused: {message or condition.get('reason', '')}",
                fix or "read the events: `kubectl get events`",
                is_hopeless=fix is not None,
                events=("FailedToCreateHeadPod", "FailedToCreateWorkerPod"),
            )


def _waiting_pods(pods: Sequence[Mapping[str, Any]]) -> Iterator[_Cause]:
    for pod in pods:
        waiting = _waiting(pod)
        if waiting is None:
            continue
        container, reason, message = waiting
        where = f"pod {pod['metadata']['name']}" + (
            f", container {container}," if container else ""
        )
        yield _Cause(
            f"{where} waits: " + ": ".join(filter(None, (reason, message))),
            HOPELESS.get(reason)
            or (
                "give the node pool room: its size, the pod's resources, labels and taints must agree"
                if reason == _UNSCHEDULABLE
                else _TIME_LIMIT_FIX
            ),
            is_hopeless=reason in HOPELESS,
            events=("FailedScheduling",) if reason == _UNSCHEDULABLE else ("Failed", "BackOff"),
        )


def _waiting(pod: Mapping[str, Any]) -> tuple[str, str, str] | None:
    """Container, reason and message of what a pod waits for: the first container that says a reason.

    An init container holds all others up, and one image is often that of all.
    """
    status = pod.get("status") or {}
    for condition in status.get("conditions") or []:
        if condition["type"] == "PodScheduled" and condition["status"] == "False":
            return "", _UNSCHEDULABLE, _one_line(condition.get("message", ""))
    found = [
        (str(container.get("name", "")), state["reason"], _one_line(state.get("message", "")))
        for listed in ("initContainerStatuses", "containerStatuses")
        for container in status.get(listed) or []
        if (state := (container.get("state") or {}).get("waiting") or {}).get("reason")
    ]
    # A container that crashes is told with its exit code; one that merely has not been started yet, last.
    told = [one for one in found if one[1] != "CrashLoopBackOff"]
    hopeless = [one for one in told if one[1] in HOPELESS]
    return next(iter([*hopeless, *told]), None)


def _ended(
    pods: Sequence[Mapping[str, Any]],
    events: Sequence[Mapping[str, Any]],
    since: str,
    logs: Mapping[tuple[str, str], str],
) -> Iterator[_Cause]:
    """Containers that ended badly, the latest of each kind, with how often."""
    recent = [event for event in events if time_of(event) >= since]
    gone = list(ends_told(recent, pods))
    here = list(ends_in(pods))
    for kind in (HEAD, "worker", ""):
        of_kind = [end for end in (*gone, *here) if end.kind == kind]
        if not of_kind:
            continue
        last = of_kind[-1]
        lines = last.last_lines or logs.get((last.pod, last.container), "")
        last = replace(last, last_lines=lines)
        times = len({end.pod for end in of_kind}) + max(end.restarts for end in of_kind)
        text = last.text + (f", the latest of {times}" if times > 1 else "")
        if tail := [line for line in lines.splitlines() if line.strip()][-_LAST_LINES:]:
            text += ": " + " | ".join(line.strip()[:300] for line in tail)
        yield _Cause(
            text,
            last.fix,
            # A worker that fails may be one of many, and KubeRay makes another; a head is the only one.
            is_hopeless=times >= HEAD_TRIES and (kind == HEAD or last.restarts > 0),
            events=("DeletedHeadPod", "DeletedWorkerPod", "BackOff"),
            end=last,
        )


def _lacks(content: Mapping[str, Any], pods: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    if not pods and not (content.get("status") or {}):
        return
    yield from (
        lack for lack in pods_ready.lacks(content, pods) if not lack.startswith("pods are refused")
    )


def _told_conditions(content: Mapping[str, Any]) -> list[str]:
    return [
        f"{condition['type']} is {condition['status']}: "
        + ": ".join(filter(None, (condition.get("reason"), condition.get("message"))))
        for condition in conditions(content)
        if condition["type"] == "HeadPodReady" and condition["status"] != "True"
    ]


def _warnings(events: Sequence[Mapping[str, Any]]) -> list[tuple[str, str]]:
    """The warnings, each once, the latest last."""
    told = [
        (str(event.get("reason", "")), _one_line(message_of(event)))
        for event in events
        if event.get("type") == "Warning"
    ]
    return list(dict.fromkeys(told))


def _one_line(text: str) -> str:
    return _SPACES.sub(" ", str(text)).strip()
