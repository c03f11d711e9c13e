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
from ray_platform.text.canonical import digest
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
            except KubernetesError:
                self.over.wait(0.2)  # it is killed, or ended

    def _see(self, content: Mapping[str, Any]) -> None:
        metadata, spec = content["metadata"], content["spec"]
        if metadata.get("deletionTimestamp"):
            return
        if (content.get("status") or {}).get("observedGeneration") == metadata["generation"]:
            return
        name, namespace = metadata["name"], metadata["namespace"]
        groups = spec.get("workerGroupSpecs") or []
        wanted = {f"{name}-head-0": ("head", "headgroup", spec["headGroupSpec"]["template"])}
        for group in groups:
            for number in range(int(group["minReplicas"])):
                pod = f"{name}-{group['groupName']}-worker-{number}"
                wanted[pod] = ("worker", group["groupName"], group["template"])
        selector = f"ray.io/cluster={name}"
        there = self._api.list(PODS, namespace, labelSelector=selector)["items"]
        for pod in there:
            found = wanted.get(pod["metadata"]["name"])
            made_from = pod["metadata"]["annotations"]["test/template"]
            if found is None or made_from != digest([metadata["uid"], found[2]]):
                self._api.delete(PODS, pod["metadata"]["name"], namespace)
        images = [t["spec"]["containers"][0]["image"] for _, _, t in wanted.values()]
        problem = MISSING in images
        status = {
            "state": "" if problem else "ready",
            "head": {"serviceIP": "127.0.0.1", "podName": f"{name}-head-0"},
            "endpoints": {"dashboard": self.dashboard(name)},
            "conditions": [
                {
                    "type": "HeadPodReady",
                    "status": "False" if problem else "True",
                    "reason": "Test",
                    "message": "",
                    "lastTransitionTime": "2026-11-30T00:00:00Z",
                }
            ],
        }
        self._api.patch(RAY_CLUSTERS, name, namespace, {"status": status}, subresource="status")
        for pod_name, (kind, of_group, template) in wanted.items():
            self._run(content, pod_name, kind, of_group, template)
        # Last: a step that was cut short is done again.
        seen = {"status": {"observedGeneration": metadata["generation"]}}
        self._api.patch(RAY_CLUSTERS, name, namespace, seen, subresource="status")

    def _run(
        self,
        content: Mapping[str, Any],
        name: str,
        kind: str,
        group: str,
        template: Mapping[str, Any],
    ) -> None:
        """A pod that is ready at once, unless its image is missing."""
        namespace = content["metadata"]["namespace"]
        container = template["spec"]["containers"][0]
        missing = container["image"] == MISSING
        labels = {
            "ray.io/cluster": content["metadata"]["name"],
            "ray.io/node-type": kind,
            "ray.io/group": group,
        }
        annotations = dict((template.get("metadata") or {}).get("annotations") or {})
        annotations["test/template"] = digest([content["metadata"]["uid"], template])
        owner = {
            "apiVersion": "ray.io/v1",
            "kind": "RayCluster",
            "name": content["metadata"]["name"],
            "uid": content["metadata"]["uid"],
        }
        metadata = {"name": name, "labels": labels, "annotations": annotations}
        pod = {"metadata": {**metadata, "ownerReferences": [owner]}, "spec": template["spec"]}
        if self._api.get(PODS, name, namespace) is None:
            self._api.create(PODS, pod, namespace)
        waiting = {"reason": "ImagePullBackOff", "message": f"no {container['image']}"}
        state = {"waiting": waiting} if missing else {"running": {}}
        status = {
            "phase": "Pending" if missing else "Running",
            "containerStatuses": [{"name": container["name"], "state": state}],
            "conditions": [{"type": "Ready", "status": "False" if missing else "True"}],
        }
        self._api.patch(PODS, name, namespace, {"status": status}, subresource="status")
