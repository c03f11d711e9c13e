"""The log of one container of a Ray cluster's pod: a head has two, Ray and its autoscaler."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from ray_platform.kubernetes.api_client import KubernetesApi
from ray_platform.ray.pods_ready import HEAD, is_going, node_type, ray_container, ray_pods
from ray_platform.text.errors import NotFoundError, SettingsError


def find_pod(
    pods: Sequence[Mapping[str, Any]], worker: str, *, where: str, fix: str
) -> Mapping[str, Any]:
    """The head's pod, or the worker's of that name; of two heads the one that is not being deleted.

    Args:
        pods: The cluster's.
        worker: A pod's name; empty: the head.
        where: For the error.
        fix: For the error where there is no head.

    Raises:
        NotFoundError: there is none; names the workers that exist.
    """
    found = ray_pods(pods)
    if worker:
        for pod in found:
            if pod["metadata"]["name"] == worker:
                return pod
        names = sorted(p["metadata"]["name"] for p in found if node_type(p) != HEAD)
        raise NotFoundError(
            f"there is no worker {worker!r}",
            where=where,
            fix="name one of: " + (", ".join(names) or "(no worker exists)"),
        )
    heads = sorted((p for p in found if node_type(p) == HEAD), key=is_going)
    if not heads:
        raise NotFoundError("no head of a Ray cluster exists", where=where, fix=fix)
    return heads[0]


class PodLog:
    """One container's log.

    Args:
        api: Where its pod is.
        namespace: The pod's.
        pod: The pod.
        container: Its container; empty: the one that runs Ray.

    Raises:
        NotFoundError: the pod has no such container; names those that it has.
    """

    def __init__(
        self, api: KubernetesApi, namespace: str, pod: Mapping[str, Any], container: str = ""
    ) -> None:
        self._api = api
        self._namespace = namespace
        self.pod_name = str(pod["metadata"]["name"])
        self.container = container or ray_container(pod)
        spec = pod.get("spec") or {}
        names = [
            c["name"]
            for c in (*(spec.get("initContainers") or []), *(spec.get("containers") or []))
        ]
        if self.container not in names:
            raise NotFoundError(
                f"pod {self.pod_name} has no container {self.container!r}",
                where=f"namespace {namespace}",
                fix="name one of: " + ", ".join(names),
            )

    def read(self, lines: int, *, previous: bool = False) -> str:
        """The last lines.

        Args:
            lines: How many.
            previous: Of the container before its last restart.

        Raises:
            KubernetesError: there is no log yet, or no container before, or the API refuses or is silent.
        """
        return self._api.log(
            self.pod_name,
            self._namespace,
            lines=lines,
            container=self.container,
            previous=previous,
        )

    def follow(self, lines: int, *, previous: bool = False) -> Iterator[str]:
        """The last lines and each new one, until the container ends.

        Raises:
            SettingsError: ``previous``: a container that has ended writes nothing new.
            KubernetesError: as `read`, or the API goes away.
        """
        if previous:
            raise SettingsError(
                "a container that has ended writes nothing new",
                where=f"pod {self.pod_name}",
                fix="leave --follow or --previous out",
            )
        return self._api.follow_log(
            self.pod_name, self._namespace, lines=lines, container=self.container
        )
