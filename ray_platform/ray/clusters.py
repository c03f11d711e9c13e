"""The RayClusters of an environment: how they are, where their heads answer from here, and their token."""

import base64
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from ray_platform.kubernetes.api_client import (
    EVENTS,
    PODS,
    RAY_CLUSTERS,
    SECRETS,
    SERVICE_ACCOUNTS,
    SERVICES,
    KubernetesApi,
)
from ray_platform.kubernetes.port_forward_client import forwarded
from ray_platform.ray.cluster_access import TOKEN_SECRET, KubernetesCluster
from ray_platform.ray.cluster_client import ClusterInfo, describe_cluster
from ray_platform.ray.container_ends import ContainerEnd, time_of
from ray_platform.ray.gone_client import wait_gone
from ray_platform.ray.health import Diagnosis, diagnose, is_ready, is_up
from ray_platform.ray.pod_log_client import PodLog, find_pod
from ray_platform.ray.pods_ready import CLUSTER_LABEL
from ray_platform.ray.upgrade.switch import BLUE, NAMES, SERVICE, read_switch
from ray_platform.session.environment_session import EnvironmentSession
from ray_platform.text.errors import KubernetesError, NotFoundError, RayError

LOOPBACK = "127.0.0.1"
DASHBOARD_PORT = 8265
#: Lines of a container that ended, in a diagnosis.
LAST_LINES = 20


class RayOnKubernetes(KubernetesCluster):
    """The RayClusters of one environment; made as `KubernetesCluster`."""

    def ray_cluster(self, name: str = "") -> dict[str, Any] | None:
        """The RayCluster object, or None; by default the one that takes new work.

        Raises:
            RayError: as `switch`.
            KubernetesError: the API refuses or does not answer.
        """
        return self.api.get(RAY_CLUSTERS, name or self.switch().active, self.namespace)

    def pods(self, name: str) -> list[dict[str, Any]]:
        """The pods with a RayCluster's label, also those that are being deleted.

        Raises:
            KubernetesError: the API refuses or does not answer.
        """
        selector = f"{CLUSTER_LABEL}={name}"
        found: list[dict[str, Any]] = self.api.list(PODS, self.namespace, labelSelector=selector)[
            "items"
        ]
        return found

    def is_ready(self, content: Mapping[str, Any]) -> bool:
        """Whether head and workers of a RayCluster are what it asks for, and Ready.

        Raises:
            KubernetesError: the API refuses or does not answer.
        """
        return is_ready(content, self.pods(content["metadata"]["name"]))

    def diagnosis(self, content: Mapping[str, Any], *, since: str = "") -> Diagnosis:
        """Why a RayCluster is not ready, with the last lines of containers that ended.

        Args:
            content: The object.
            since: From when heads that ended count, in ISO 8601; empty: all do.

        Raises:
            KubernetesError: the API refuses or does not answer.
        """
        pods = self.pods(content["metadata"]["name"])
        events = self.api.list(EVENTS, self.namespace)["items"]
        found = diagnose(content, pods, events, since=since)
        logs = {(end.pod, end.container): self._last_lines(end) for end in found.unread}
        return diagnose(content, pods, events, since=since, logs=logs) if logs else found

    def latest_event(self) -> str:
        """When the latest event of the namespace happened, by the API's clock; empty: there is none.

        Raises:
            KubernetesError: the API refuses or does not answer.
        """
        events = self.api.list(EVENTS, self.namespace)["items"]
        return max(map(time_of, events), default="")

    def _last_lines(self, end: ContainerEnd) -> str:
        try:
            return self.api.log(
                end.pod,
                self.namespace,
                lines=LAST_LINES,
                container=end.container,
                previous=end.restarts > 0,
            )
        except KubernetesError as error:
            if not error.code:
                raise
            return f"(its log cannot be read: {error.what})"

    def address(self, content: Mapping[str, Any]) -> str:
        """Where the head's dashboard answers from here.

        From outside the cluster, unless the settings say where: a port of this machine that is forwarded
        to the head for as long as this process lives.

        Raises:
            KubernetesError: it cannot be forwarded: no head runs, or the API refuses or does not answer.
        """
        if self.local is not None or self.settings.is_in_cluster or self._is_set(content):
            return self.lasting_address(content)
        selector = f"ray.io/cluster={content['metadata']['name']},ray.io/node-type=head"
        return forwarded(self.api, self.namespace, selector, DASHBOARD_PORT)

    def lasting_address(self, content: Mapping[str, Any]) -> str:
        """The dashboard's address, for people and records: the loopback address of the status on one
        machine, what the settings say, or else the one in the cluster.

        Raises:
            RayError: as `switch`, where the settings say one.
            KubernetesError: likewise, where the API refuses or does not answer.
        """
        status = content.get("status") or {}
        head = status.get("head") or {}
        if self.local is not None:
            port = (status.get("endpoints") or {}).get("dashboard", DASHBOARD_PORT)
            return f"http://{head.get('serviceIP', LOOPBACK)}:{port}"
        if not self.settings.is_in_cluster and self._is_set(content):
            return self.environment.ray.address
        service = head.get("serviceName") or f"{content['metadata']['name']}-head-svc"
        return f"http://{service}.{self.namespace}.svc.cluster.local:{DASHBOARD_PORT}"

    def _is_set(self, content: Mapping[str, Any]) -> bool:
        """Whether the settings say where: of the cluster that takes new work, not of the other one."""
        set_by_hand = bool(self.environment.ray.address)
        return set_by_hand and content["metadata"]["name"] == self.switch().active

    def now(self) -> ClusterInfo | None:
        """What the Ray cluster says of itself; None where none runs. Starts and waits for nothing.

        Raises:
            RayError: it does not answer.
            KubernetesError: its head cannot be reached from here.
        """
        found = self._found()
        if found is None:
            return None
        api, content = found
        return describe_cluster(self.address(content), self.token_file(api))

    def address_now(self, name: str = "") -> str | None:
        """The lasting address of a Ray cluster that is up, or None. Starts and waits for nothing.

        Args:
            name: Which; by default the one that takes new work.
        """
        found = self._found(name)
        return self.lasting_address(found[1]) if found else None

    def _found(self, name: str = "") -> tuple[KubernetesApi, Mapping[str, Any]] | None:
        """The API and the object of a Ray cluster that is up, which may be scaling."""
        try:
            api = self.api_now()
            asked = name or read_switch(api.get(SERVICES, SERVICE, self.namespace)).active
            content = api.get(RAY_CLUSTERS, asked, self.namespace)
            return (api, content) if content and is_up(content) else None
        except (KubernetesError, NotFoundError, RayError):
            return None

    def image_digest(self, content: Mapping[str, Any]) -> str:
        """The digest of the image that the head runs, as its node says; empty where there are no images.

        Raises:
            KubernetesError: the API refuses or does not answer.
        """
        name = ((content.get("status") or {}).get("head") or {}).get("podName", "")
        pod = (self.api.get(PODS, name, self.namespace) if name else None) or {}
        containers = (pod.get("status") or {}).get("containerStatuses") or [{}]
        return str(containers[0].get("imageID", "")).rpartition("@")[2]

    def stop(self, tell: Callable[[str], None] = lambda said: None) -> None:
        """Take the Ray clusters away with their releases, and wait until they are gone; on one machine the
        API and the nodes end too.

        Args:
            tell: Hears what is waited for.

        Raises:
            RayError: a cluster does not go; says what holds it.
            KubernetesError: the API refuses or does not answer.
        """
        if self.local is not None:
            self.local.stop()
            return
        for name in reversed(NAMES):
            self.releases.uninstall(name)
            # One that Argo CD made has no release, and whoever removes it has taken the Application away.
            self.api.delete(RAY_CLUSTERS, name, self.namespace)
        for name in reversed(NAMES):
            wait_gone(self.api, self.namespace, name, tell)
        # Until here KubeRay's clean-up of Redis ran as this account, which the chart lets a release leave.
        self.api.delete(SERVICE_ACCOUNTS, BLUE, self.namespace)
        self.api.delete(SERVICES, SERVICE, self.namespace)

    def log_of(self, *, worker: str = "", container: str = "") -> PodLog:
        """The log of the head of the cluster that takes new work, or of one of its workers.

        Args:
            worker: A worker's pod; empty: the head.
            container: Empty: its Ray container.

        Raises:
            NotFoundError: there is no such pod or container; names those that exist.
            KubernetesError: the API refuses or does not answer.
            RayError: as `switch`.
        """
        name = self.switch().active
        fix = f"ray-platform ray status --env {self.environment.name}"
        pod = find_pod(
            self.pods(name), worker, where=f"RayCluster {self.namespace}/{name}", fix=fix
        )
        return PodLog(self.api, self.namespace, pod, container)

    def token_file(self, api: KubernetesApi | None = None) -> Path:
        """The file of the Ray cluster's token, as its secret says now.

        Raises:
            RayError: the secret is gone.
            KubernetesError: the API refuses or does not answer.
        """
        name, key = TOKEN_SECRET
        secret = (api or self.api).get(SECRETS, name, self.namespace) or {}
        token = base64.b64decode((secret.get("data") or {}).get(key, ""))
        if not token:
            raise RayError(
                f"the secret {name} with the Ray cluster's token is gone",
                where=f"namespace {self.namespace}",
                fix=f"ray-platform up --env {self.environment.name}",
            )
        path = self.settings.home / "ray-tokens" / self.environment.name
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        if not path.exists() or path.read_bytes() != token:
            beside = path.with_name(f"{path.name}.{os.getpid()}")
            beside.unlink(missing_ok=True)
            flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL
            with os.fdopen(os.open(beside, flags, 0o600), "wb") as file:
                file.write(token)
            beside.replace(path)
        return path


def ray_clusters(session: EnvironmentSession) -> RayOnKubernetes:
    """The Kubernetes cluster of a session's environment, and the RayClusters on it."""
    return session.part(make_clusters)


def make_clusters(session: EnvironmentSession) -> RayOnKubernetes:
    def cluster() -> str:
        outputs = session.artifacts.read(f"environments/{session.name}/outputs.json") or {}
        return str(outputs.get("cluster_name", ""))

    return RayOnKubernetes(
        session.settings,
        session.environment,
        eks=lambda: session.aws("eks"),
        cluster=cluster,
        local=session.adapters.local_kubernetes,
    )
