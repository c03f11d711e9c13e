"""A Kubernetes API without Ray: EKS that knows it, and an operator that finds every RayCluster ready."""

import base64
import threading
from collections.abc import Callable, Mapping
from typing import Any

from ray_platform_sandbox.adapters import KubernetesOnThisMachine
from ray_platform_sandbox.kubernetes.service import ensure_kubernetes, kubernetes_access

from ray_platform.config.settings import Environment, Settings
from ray_platform.kubernetes.api_client import PODS, RAY_CLUSTERS, KubernetesApi
from ray_platform.kubernetes.helm_chart_process import RenderedChart
from ray_platform.kubernetes.helm_release_client import HelmReleases
from ray_platform.ray.clusters import RayOnKubernetes
from ray_platform.text.errors import KubernetesError

MISSING = "rayproject/ray:9.9.9"


class Eks:
    """EKS that knows one cluster."""

    def __init__(self, settings: Settings) -> None:
        self._access = kubernetes_access(settings)

    def describe_cluster(self, name: str) -> dict[str, Any]:
        data = base64.b64encode(self._access.authority.encode()).decode()
        return {
            "cluster": {"endpoint": self._access.endpoint, "certificateAuthority": {"data": data}}
        }


class Cluster(RayOnKubernetes):
    """Without the stand-in for the operator: `Operator` says what is ready."""

    rendered: tuple[Mapping[str, Any], RenderedChart]

    @classmethod
    def of(cls, settings: Settings, environment: Environment) -> "Cluster":
        """The Kubernetes of this machine, which EKS knows as `local`."""
        return cls(
            settings,
            environment,
            eks=lambda: Eks(settings),
            cluster=lambda: "local",
            local=KubernetesOnThisMachine(settings),
        )

    def wake(self) -> None:
        ensure_kubernetes(self.settings)

    @property
    def releases(self) -> HelmReleases:
        return HelmReleases(self.api, self.namespace, stuck_seconds=3)


class Operator(threading.Thread):
    """Finds every RayCluster ready at once, unless its head's image is the missing one."""

    def __init__(self, settings: Settings) -> None:
        super().__init__(daemon=True)
        self._api = KubernetesApi(kubernetes_access(settings), "operator")
        self.over = threading.Event()
        #: Where the dashboard of a cluster's head is said to be, by the cluster; nothing listens there.
        self.dashboard: Callable[[str], str] = lambda name: "9"

    def run(self) -> None:
        while not self.over.is_set():
            try:
                listed = self._api.list(RAY_CLUSTERS)
                for content in listed["items"]:
                    self._see(content)
                version = listed["metadata"]["resourceVersion"]
                for kind, content in self._api.watch(RAY_CLUSTERS, version, seconds=600):
                    if kind != "DELETED":
                        self._see(content)
                    else:
                        name = content["metadata"]["name"]
                        self._api.delete(PODS, f"{name}-head-0", content["metadata"]["namespace"])
            except KubernetesError:
                self.over.wait(0.2)  # it is killed, or ended

    def _see(self, content: Mapping[str, Any]) -> None:
        metadata, spec = content["metadata"], content["spec"]
        if (content.get("status") or {}).get("observedGeneration") == metadata["generation"]:
            return
        container = spec["headGroupSpec"]["template"]["spec"]["containers"][0]
        state = "failed" if container["image"] == MISSING else "ready"
        head = f"{metadata['name']}-head-0"
        pod = {
            "metadata": {"name": head, "labels": {"ray.io/cluster": metadata["name"]}},
            "spec": {"containers": [{"name": "ray", "image": container["image"]}]},
        }
        waiting = {"reason": "ImagePullBackOff", "message": f"no {container['image']}"}
        states = [{"state": {"waiting": waiting} if state == "failed" else {"running": {}}}]
        namespace = metadata["namespace"]
        if self._api.get(PODS, head, namespace) is None:
            self._api.create(PODS, pod, namespace)
        of_pod = {"status": {"containerStatuses": states}}
        self._api.patch(PODS, head, namespace, of_pod, subresource="status")
        status = {
            "state": state,
            "observedGeneration": metadata["generation"],
            "head": {"serviceIP": "127.0.0.1"},
            "endpoints": {"dashboard": self.dashboard(metadata["name"])},
        }
        self._api.patch(
            RAY_CLUSTERS, metadata["name"], namespace, {"status": status}, subresource="status"
        )
