"""How containers of a Ray cluster's pods ended, as the pods and the operator's events say.

A pod with restartPolicy Never is deleted by KubeRay as soon as its Ray container has ended. Its exit code
then stands in the *Normal* event ``DeletedHeadPod`` or ``DeletedWorkerPod`` and nowhere else.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ray_platform.ray.pods_ready import HEAD, WORKER, node_type, ray_container

#: Events that tell of a pod which the operator has deleted, by whether it was the head.
_DELETED = {"DeletedHeadPod": HEAD, "DeletedWorkerPod": WORKER}
_ENDED = re.compile(
    r"&ContainerStateTerminated\{ExitCode:(?P<code>-?\d+),Signal:\d+,Reason:(?P<reason>[^,]*),"
    r"Message:(?P<message>.*?),StartedAt:",
    re.DOTALL,
)
_POD = re.compile(r"Pod (?:\S+/)?(?P<name>[a-z0-9][-a-z0-9.]*)")
_OUT_OF_MEMORY = "OOMKilled"
#: Of the chart: what `ray-platform ray logs` shows unless it is told another.
_RAY_CONTAINERS = ("ray-head", "ray-worker")


@dataclass(frozen=True)
class ContainerEnd:
    """One container that ended other than well.

    ``kind`` is ``head`` or ``worker``; ``last_lines`` what it wrote last, where that is known (from
    terminationMessagePolicy FallbackToLogsOnError, or read from its log); ``restarts`` how often this
    container of this pod was started again; ``is_gone``: the pod is deleted, its log with it.
    """

    pod: str
    container: str
    kind: str
    exit_code: int
    reason: str
    last_lines: str
    restarts: int
    is_gone: bool

    @property
    def text(self) -> str:
        where = f"container {self.container} of pod {self.pod}" if self.container else self.pod
        said = f"{where} ended with exit code {self.exit_code}"
        if self.reason and self.reason != "Error":
            said += f" ({self.reason})"
        return said

    @property
    def fix(self) -> str:
        option = "" if self.kind == HEAD else f" --worker {self.pod}"
        if self.reason == _OUT_OF_MEMORY:
            part = "head.resources" if self.kind == HEAD else "workerGroups.NAME.resources"
            return f"give it more memory (helm/ray: {part}.memory), or use less of it"
        if self.container and self.container not in _RAY_CONTAINERS:
            option += f" --container {self.container}"
        previous = " --previous" if self.restarts else ""
        return f"read what it wrote: `ray-platform ray logs{option}{previous}`"


def ends_in(pods: Sequence[Mapping[str, Any]]) -> Iterator[ContainerEnd]:
    """The containers of pods, init containers first, that ended badly and run no more, or were restarted."""
    for pod in pods:
        status = pod.get("status") or {}
        for listed in ("initContainerStatuses", "containerStatuses"):
            for container in status.get(listed) or []:
                state, last = container.get("state") or {}, container.get("lastState") or {}
                ended = state.get("terminated")
                if not ended and "waiting" in state:
                    ended = last.get("terminated")
                if ended and int(ended.get("exitCode", 0)) != 0:
                    yield ContainerEnd(
                        pod=pod["metadata"]["name"],
                        container=str(container.get("name", "")),
                        kind=node_type(pod),
                        exit_code=int(ended["exitCode"]),
                        reason=str(ended.get("reason") or ""),
                        last_lines=str(ended.get("message") or ""),
                        restarts=int(container.get("restartCount") or 0),
                        is_gone=False,
                    )


def ends_told(
    events: Sequence[Mapping[str, Any]], pods: Sequence[Mapping[str, Any]]
) -> Iterator[ContainerEnd]:
    """Those of pods that the operator has deleted since, by its events, in their order.

    Args:
        events: Of the RayCluster itself.
        pods: Those that exist; the name of the Ray container is taken from one of the same kind.
    """
    containers = {node_type(pod): ray_container(pod) for pod in pods}
    for event in events:
        kind = _DELETED.get(str(event.get("reason", "")))
        ended = _ENDED.search(message_of(event))
        named = _POD.search(message_of(event))
        if kind and ended and named and int(ended["code"]) != 0:
            yield ContainerEnd(
                pod=named["name"],
                container=containers.get(kind, f"ray-{kind}"),
                kind=kind,
                exit_code=int(ended["code"]),
                reason=ended["reason"],
                last_lines=ended["message"],
                restarts=0,
                is_gone=True,
            )


def message_of(event: Mapping[str, Any]) -> str:
    """An event's text: ``note`` of events.k8s.io/v1, ``message`` of v1."""
    return str(event.get("note") or event.get("message") or "")


def time_of(event: Mapping[str, Any]) -> str:
    """When it happened last; a new event has its time in ``eventTime``, an old one in ``lastTimestamp``."""
    series = event.get("series") or {}
    metadata = event.get("metadata") or {}
    for value in (
        series.get("lastObservedTime"),
        event.get("lastTimestamp"),
        event.get("deprecatedLastTimestamp"),
        event.get("eventTime"),
        metadata.get("creationTimestamp"),
    ):
        if value:
            return str(value)
    return ""
