"""What a real API server's own admission decides of pods, as far as the charts use it: the service account
exists, LimitRange, ResourceQuota and Pod Security. What is not emulated is refused, not let through.

Held to recorded answers of kube-apiserver 1.36 (`replay`).
"""

import copy
from collections.abc import Iterator, Mapping
from typing import Any

from ray_platform_sandbox.kubernetes.amounts import amount, spelled
from ray_platform_sandbox.kubernetes.failures import ApiFailure
from ray_platform_sandbox.kubernetes.pod_security import violations
from ray_platform_sandbox.kubernetes.store import Store

Content = dict[str, Any]
LEVEL = "pod-security.kubernetes.io/enforce"
#: What a quota may count here; a quota of anything else is refused.
_COUNTED = {"pods": "pods", "count/pods": "pods"}
_RESOURCES = ("cpu", "memory", "ephemeral-storage")


class Admission:
    """The decisions on pods.

    Args:
        store: The objects of the API.
    """

    def __init__(self, store: Store) -> None:
        self._store = store

    def pod(self, pod: Content, namespace: str) -> Content:
        """The pod with the defaults of its namespace's limit ranges.

        Raises:
            ApiFailure: it is refused.
        """
        made = copy.deepcopy(pod)
        for container in _containers(made):
            # The API server itself asks for what is limited, before anything is admitted.
            resources = container.get("resources") or {}
            for resource, value in (resources.get("limits") or {}).items():
                resources.setdefault("requests", {}).setdefault(resource, value)
        name = str(made["metadata"].get("name") or made["metadata"].get("generateName", ""))
        self._account(made, name, namespace)
        self._limits(made, name, namespace)
        self._security(made, name, namespace)
        self._quota(made, name, namespace)
        return made

    def _account(self, pod: Content, name: str, namespace: str) -> None:
        account = pod["spec"].get("serviceAccountName") or "default"
        if self._store.get(("", "serviceaccounts", namespace, account)) is None:
            raise _forbidden(
                name,
                f"error looking up service account {namespace}/{account}: "
                f'serviceaccount "{account}" not found',
            )

    def _limits(self, pod: Content, name: str, namespace: str) -> None:
        for limit_range in self._store.of("", "limitranges", namespace):
            for limit in limit_range["spec"].get("limits") or []:
                if limit["type"] != "Container":
                    raise _forbidden(
                        name, f"limit ranges of type {limit['type']} are not emulated here"
                    )
                for container in _containers(pod):
                    _fill_in(container, limit)
                problems = [problem for c in _containers(pod) for problem in _outside(c, limit)]
                if problems:
                    raise _forbidden(name, _listed(problems))

    def _security(self, pod: Content, name: str, namespace: str) -> None:
        found = self._store.get(("", "namespaces", "", namespace)) or {"metadata": {}}
        level = (found["metadata"].get("labels") or {}).get(LEVEL, "privileged")
        if problems := violations(pod["spec"], level):
            said = ", ".join(problems)
            raise _forbidden(name, f'violates PodSecurity "{level}:latest": {said}')

    def _quota(self, pod: Content, name: str, namespace: str) -> None:
        for quota in self._store.of("", "resourcequotas", namespace):
            hard = quota["spec"].get("hard") or {}
            if quota["spec"].get("scopes") or quota["spec"].get("scopeSelector"):
                raise _forbidden(name, "quotas with scopes are not emulated here")
            asked = usage_of(pod)
            wanted = {key: asked.get(_COUNTED.get(key, key), amount(0)) for key in hard}
            missing = sorted(key for key in hard if _must_be_said(key) and not _says(pod, key))
            if missing:
                said = "; ".join(f"{key} for: {_unsaid(pod, key)}" for key in missing)
                raise _forbidden(
                    name, f"failed quota: {quota['metadata']['name']}: must specify {said}"
                )
            used = dict.fromkeys(hard, amount(0))
            for other in self._store.of("", "pods", namespace):
                if (other.get("status") or {}).get("phase") in ("Succeeded", "Failed"):
                    continue
                of_other = usage_of(other)
                for key in hard:
                    used[key] += of_other.get(_COUNTED.get(key, key), amount(0))
            over = sorted(
                key for key in hard if wanted[key] and used[key] + wanted[key] > amount(hard[key])
            )
            if over:
                parts = [
                    ",".join(
                        f"{key}={spelled(values[key], binary='memory' in key)}" for key in over
                    )
                    for values in (wanted, used, {k: amount(v) for k, v in hard.items()})
                ]
                raise _forbidden(
                    name,
                    f"exceeded quota: {quota['metadata']['name']}, requested: {parts[0]}, "
                    f"used: {parts[1]}, limited: {parts[2]}",
                )


def usage_of(pod: Mapping[str, Any]) -> dict[str, Any]:
    """What a pod counts for in a quota: its containers together, or its largest init container."""
    total: dict[str, Any] = {"pods": amount(1)}
    spec = pod["spec"]
    for part in ("requests", "limits"):
        running: dict[str, Any] = {}
        for container in spec.get("containers") or []:
            for resource, value in ((container.get("resources") or {}).get(part) or {}).items():
                running[resource] = running.get(resource, amount(0)) + amount(value)
        for container in spec.get("initContainers") or []:
            for resource, value in ((container.get("resources") or {}).get(part) or {}).items():
                running[resource] = max(running.get(resource, amount(0)), amount(value))
        for resource, value in running.items():
            total[f"{part}.{resource}"] = value
            if part == "requests" and resource in _RESOURCES:
                total[resource] = value
    return total


def _containers(pod: Mapping[str, Any]) -> Iterator[Content]:
    yield from pod["spec"].get("initContainers") or []
    yield from pod["spec"].get("containers") or []


def _fill_in(container: Content, limit: Mapping[str, Any]) -> None:
    resources = container.setdefault("resources", {})
    for resource, value in (limit.get("default") or {}).items():
        resources.setdefault("limits", {}).setdefault(resource, value)
    for resource, value in (limit.get("defaultRequest") or {}).items():
        resources.setdefault("requests", {}).setdefault(resource, value)
    for resource, value in (resources.get("limits") or {}).items():
        resources.setdefault("requests", {}).setdefault(resource, value)


def _outside(container: Mapping[str, Any], limit: Mapping[str, Any]) -> Iterator[str]:
    resources = container.get("resources") or {}
    requests, limits = resources.get("requests") or {}, resources.get("limits") or {}
    for resource, least in (limit.get("min") or {}).items():
        if resource not in requests:
            yield f"minimum {resource} usage per Container is {least}.  No request is specified"
        elif amount(requests[resource]) < amount(least):
            yield f"minimum {resource} usage per Container is {least}, but request is {requests[resource]}"
    for resource, most in (limit.get("max") or {}).items():
        if resource not in limits:
            yield f"maximum {resource} usage per Container is {most}.  No limit is specified"
        elif amount(limits[resource]) > amount(most):
            yield f"maximum {resource} usage per Container is {most}, but limit is {limits[resource]}"
    for resource, ratio in (limit.get("maxLimitRequestRatio") or {}).items():
        asked = amount(requests.get(resource, 0))
        if not asked or amount(limits.get(resource, 0)) / asked > amount(ratio):
            yield f"{resource} max limit to request ratio per Container is {ratio}"


def _listed(problems: list[str]) -> str:
    return problems[0] if len(problems) == 1 else "[" + ", ".join(problems) + "]"


def _must_be_said(key: str) -> bool:
    """A quota of these makes every container say them."""
    return key in _RESOURCES or key in tuple(
        f"{part}.{resource}" for part in ("limits", "requests") for resource in _RESOURCES
    )


def _says(pod: Mapping[str, Any], key: str) -> bool:
    return not _unsaid(pod, key)


def _unsaid(pod: Mapping[str, Any], key: str) -> str:
    part, _, resource = key.rpartition(".")
    return ",".join(
        sorted(
            container["name"]
            for container in _containers(pod)
            if resource not in ((container.get("resources") or {}).get(part or "requests") or {})
        )
    )


def _forbidden(name: str, why: str) -> ApiFailure:
    return ApiFailure(
        403, "Forbidden", f'pods "{name}" is forbidden: {why}', {"name": name, "kind": "pods"}
    )
