"""What Argo CD says of an Application, in words: compared with which commit, applied or not, healthy or not.

The fields are those of ``argoproj.io/v1alpha1`` Application, ``status``:
https://argo-cd.readthedocs.io/en/stable/operator-manual/application.yaml
"""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

SYNCED, HEALTHY = "Synced", "Healthy"
_ENDED_BADLY = ("Failed", "Error")
_UNDER_WAY = ("Running", "Terminating")
#: Annotation that makes Argo CD look at Git now; it takes it away again.
REFRESH = "argocd.argoproj.io/refresh"
#: Objects that a sentence names.
_SHOWN = 5
_SHORT = 12
_SPACES = re.compile(r"\s+")


@dataclass(frozen=True)
class Sync:
    """An Application's status. Texts are empty where Argo CD says nothing yet.

    Args:
        status: ``Synced``, ``OutOfSync`` or ``Unknown``: the cluster against ``revision``.
        revision: The commit that Argo CD compared with.
        health: ``Healthy``, ``Progressing``, ``Degraded``, ``Suspended``, ``Missing`` or ``Unknown``.
        phase: Of the latest sync: ``Running``, ``Succeeded``, ``Failed``, ``Error``, ``Terminating``.
        message: Of the latest sync.
        applied: The commit of the latest sync.
        errors: Conditions that are errors, as in ``ComparisonError: ...``.
        out_of_sync: Objects that are not as in Git, as ``KIND NAMESPACE/NAME``.
        unhealthy: Objects that are not healthy, or whose sync failed, with their message.
        is_automatic: Argo CD starts syncs by itself.
        source: (Repository, branch, path) that it reads.
    """

    status: str
    revision: str
    health: str
    phase: str
    message: str
    applied: str
    errors: tuple[str, ...]
    out_of_sync: tuple[str, ...]
    unhealthy: tuple[str, ...]
    is_automatic: bool
    source: tuple[str, str, str]

    def is_done(self, reaches: Callable[[str], bool]) -> bool:
        """Whether the cluster is as in a commit, and well.

        Args:
            reaches: Whether a commit is the one that is waited for, or stands on it.
        """
        return (
            self.status == SYNCED
            and self.health == HEALTHY
            and reaches(self.revision)
            and self.phase not in _UNDER_WAY
            and not self.has_failed(reaches)
        )

    def has_failed(self, reaches: Callable[[str], bool]) -> bool:
        """Whether the sync of that commit ended badly; that of an earlier one says nothing of it."""
        return self.phase in _ENDED_BADLY and bool(self.applied) and reaches(self.applied)

    def words(self, reaches: Callable[[str], bool]) -> str:
        """Why it is not done, in one line."""
        said = list(self.errors)
        if self.has_failed(reaches):
            said.append(f"the sync ended as {self.phase}: {self.message or 'no reason given'}")
        elif self.phase in _UNDER_WAY:
            said.append(f"the sync is under way: {self.message or 'no message'}")
        if not self.status:
            said.append("Argo CD has not looked at it yet")
        elif not reaches(self.revision):
            seen = self.revision[:_SHORT] or "no commit"
            said.append(f"Argo CD has compared with {seen} and not with this commit yet")
        elif self.status != SYNCED:
            said.append(f"{self.status}: {_named(self.out_of_sync)}")
        if self.health and self.health != HEALTHY:
            said.append(f"health is {self.health}: {_named(self.unhealthy)}")
        return "; ".join(said) or "it is synced and healthy"


def read_application(content: Mapping[str, Any]) -> Sync:
    """The status of an Application object."""
    spec, status = content.get("spec") or {}, content.get("status") or {}
    source: Mapping[str, Any] = spec.get("source") or next(iter(spec.get("sources") or []), {})
    sync, operation = status.get("sync") or {}, status.get("operationState") or {}
    result = operation.get("syncResult") or {}
    asked = (operation.get("operation") or {}).get("sync") or {}
    resources = status.get("resources") or []
    automated = (spec.get("syncPolicy") or {}).get("automated")
    return Sync(
        status=str(sync.get("status", "")),
        revision=str(sync.get("revision", "")),
        health=str((status.get("health") or {}).get("status", "")),
        phase=str(operation.get("phase", "")),
        message=_one_line(operation.get("message", "")),
        applied=str(result.get("revision") or asked.get("revision") or ""),
        errors=tuple(
            f"{condition['type']}: {_one_line(condition.get('message', ''))}"
            for condition in status.get("conditions") or []
            if str(condition.get("type", "")).endswith("Error")
        ),
        out_of_sync=tuple(_object(one) for one in resources if one.get("status", SYNCED) != SYNCED),
        unhealthy=(
            *(
                f"{_object(one)} is {one['health']['status']}{_because(one['health'])}"
                for one in resources
                if (one.get("health") or {}).get("status", HEALTHY) != HEALTHY
            ),
            *(
                f"{_object(one)}: {_one_line(one.get('message', ''))}"
                for one in result.get("resources") or []
                if one.get("status") == "SyncFailed"
            ),
        ),
        # Argo CD 3.1 and later can keep the policy and switch it off.
        is_automatic=automated is not None and (automated or {}).get("enabled", True) is not False,
        source=(
            str(source.get("repoURL", "")),
            str(source.get("targetRevision", "")),
            str(source.get("path", "")),
        ),
    )


def _object(resource: Mapping[str, Any]) -> str:
    place = "/".join(filter(None, (resource.get("namespace"), str(resource.get("name", "")))))
    return f"{resource.get('kind', '')} {place}"


def _because(health: Mapping[str, Any]) -> str:
    message = _one_line(health.get("message", ""))
    return f" ({message})" if message else ""


def _named(objects: tuple[str, ...]) -> str:
    more = f" and {len(objects) - _SHOWN} more" if len(objects) > _SHOWN else ""
    return (", ".join(objects[:_SHOWN]) or "it names no object") + more


def _one_line(text: Any) -> str:
    return _SPACES.sub(" ", str(text or "")).strip()
