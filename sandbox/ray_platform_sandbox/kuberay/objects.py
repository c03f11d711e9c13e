"""What the operator's rules ask of a cluster's objects, and how a pod ended."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Protocol

Content = dict[str, Any]


class Refused(Exception):
    """The API server refuses a write; ``str`` is its message, ``is_missing``: there is no such object."""

    def __init__(self, message: str, *, is_missing: bool = False) -> None:
        super().__init__(message)
        self.is_missing = is_missing


class Objects(Protocol):
    """The objects of one namespace, by the plural of their kind."""

    def get(self, plural: str, name: str) -> Content | None: ...

    def list(self, plural: str, labels: Mapping[str, str]) -> list[Content]: ...

    def create(self, plural: str, content: Content) -> Content:
        """Raises `Refused`."""
        ...

    def update(self, plural: str, content: Content) -> Content:
        """Raises `Refused`."""
        ...

    def update_status(self, plural: str, content: Content) -> Content:
        """Raises `Refused`."""
        ...

    def delete(self, plural: str, name: str) -> None:
        """Raises `Refused`."""
        ...

    def tell(
        self, about: Mapping[str, Any], kind: str, reason: str, action: str, note: str
    ) -> None: ...


@dataclass(frozen=True)
class Outcome:
    """When the operator looks again, in seconds; ``failed``: as an error, with its back-off."""

    again: float | None
    failed: bool = False


def should_delete(pod: Mapping[str, Any]) -> bool:
    """Whether a pod has ended for good: a container that may be restarted is the kubelet's."""
    phase = (pod.get("status") or {}).get("phase")
    if phase in ("Failed", "Succeeded"):
        return True
    ended = phase == "Running" and terminated(pod) is not None
    return ended and pod["spec"].get("restartPolicy") == "Never"


def terminated(pod: Mapping[str, Any]) -> Mapping[str, Any] | None:
    name = pod["spec"]["containers"][0]["name"]
    for container in (pod.get("status") or {}).get("containerStatuses") or []:
        if container.get("name") == name:
            ended: Mapping[str, Any] | None = (container.get("state") or {}).get("terminated")
            return ended
    return None


def as_go(ended: Mapping[str, Any] | None) -> str:
    """As the operator's events print it."""
    if ended is None:
        return "nil"

    def time(field: str) -> str:
        at = datetime.fromisoformat(ended.get(field, "0001-01-01T00:00:00Z"))
        return at.astimezone(UTC).strftime("%Y-%m-%d %H:%M:%S +0000 UTC")

    return (
        f"&ContainerStateTerminated{{ExitCode:{ended.get('exitCode', 0)},"
        f"Signal:{ended.get('signal', 0)},Reason:{ended.get('reason', '')},"
        f"Message:{ended.get('message', '')},StartedAt:{time('startedAt')},"
        f"FinishedAt:{time('finishedAt')},ContainerID:{ended.get('containerID', '')},}}"
    )


def label(pod: Mapping[str, Any], key: str) -> str:
    return str((pod["metadata"].get("labels") or {}).get(key, ""))


def as_go_writes(spec: Content) -> None:
    """What a Go client adds when it updates the whole object: fields that are no pointers."""
    for group in spec.get("workerGroupSpecs") or []:
        group.setdefault("scaleStrategy", {})
        group.setdefault("rayStartParams", {})


class Failed(Exception):
    """This round ends here; ``reason`` is that of ReplicaFailure, empty for any other error."""

    def __init__(self, message: str, reason: str = "") -> None:
        super().__init__(message)
        self.reason = reason
