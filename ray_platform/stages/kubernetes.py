"""The Kubernetes cluster of an environment, found by EKS or by a kubeconfig's context, and the RayCluster
on it.

On one machine the emulator answers for EKS, and the API and the stand-in for KubeRay's operator are
started where they do not run; everything else is the same on both.
"""

import base64
import functools
import os
import secrets
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from ray_platform.clients.helm_release import HelmReleases
from ray_platform.clients.kubeconfig import eks_access
from ray_platform.clients.kubeconfig_context import context_access
from ray_platform.clients.kubernetes_api import (
    EVENTS,
    NAMESPACES,
    PODS,
    RAY_CLUSTERS,
    SECRETS,
    SERVICES,
    KubernetesApi,
)
from ray_platform.clients.port_forward import forwarded
from ray_platform.clients.ray_cluster import ClusterInfo, describe_cluster
from ray_platform.core.errors import KubernetesError, NotFoundError, RayError
from ray_platform.core.ray_health import Diagnosis, diagnose, is_up
from ray_platform.core.ray_spec import ray_namespace
from ray_platform.core.ray_switch import (
    BLUE,
    NAMES,
    SERVICE,
    Switch,
    read_switch,
    service_of,
)
from ray_platform.local.kubernetes.kuberay.service import ensure_kuberay, stop_all
from ray_platform.local.kubernetes.service import find_kubernetes, kubernetes_access
from ray_platform.settings import Environment, Settings

#: The release that manifests for people and for Argo CD are rendered for.
RELEASE = BLUE
#: Name and key of the secret that the chart's pods take their token from.
TOKEN_SECRET = ("ray-auth-token", "auth_token")
MANAGER = "ray-platform"
LOOPBACK = "127.0.0.1"
DASHBOARD_PORT = 8265


class RayOnKubernetes:
    """The RayCluster of one environment.

    Args:
        settings: Where local state lies.
        environment: Its settings.
        eks: Makes a boto3 client of EKS.
        cluster: Tells the EKS cluster's name, from the outputs of the latest apply.
    """

    def __init__(
        self,
        settings: Settings,
        environment: Environment,
        eks: Callable[[], Any],
        cluster: Callable[[], str],
    ) -> None:
        self._settings = settings
        self._environment = environment
        self._eks = eks
        self._cluster = cluster
        self.namespace = ray_namespace(environment.variables, where=str(environment.variables_file))

    @property
    def environment(self) -> Environment:
        return self._environment

    @functools.cached_property
    def api(self) -> KubernetesApi:
        """The API of the environment's cluster.

        Raises:
            NotFoundError: no cluster was applied.
            KubernetesError: neither EKS nor the kubeconfig tells where it is.
            LocalServiceError: the local API does not start.
        """
        if context := self._environment.kubernetes.context:
            access = context_access(self._settings.kubeconfig_files, context)
            return KubernetesApi(access, MANAGER)
        name = self._cluster()
        if not name:
            raise NotFoundError(
                f"no EKS cluster is applied in {self._environment.name}",
                fix=f"ray-platform up --env {self._environment.name}",
            )
        self.wake()
        access = eks_access(self._eks(), name, self._environment.region, self._credentials(name))
        return KubernetesApi(access, MANAGER)

    def api_now(self) -> KubernetesApi:
        """The API as it stands: nothing is started for it.

        Raises:
            KubernetesError: on this machine none runs; EKS does not tell where it is.
            NotFoundError: no cluster was applied.
        """
        if not self._environment.has_local_kubernetes:
            return self.api
        if find_kubernetes(self._settings) is None:
            raise KubernetesError(
                "the Kubernetes API of this machine does not run",
                where=str(self._settings.home),
                fix=f"ray-platform up --env {self._environment.name}",
            )
        return KubernetesApi(kubernetes_access(self._settings), MANAGER)

    @property
    def releases(self) -> HelmReleases:
        """The Helm releases of Ray's namespace."""
        return HelmReleases(self.api, self.namespace)

    def wake(self) -> None:
        """Start what stands in for EKS and KubeRay where it does not run; elsewhere nothing.

        Raises:
            LocalServiceError: it does not start.
        """
        if self._environment.has_local_kubernetes:
            ensure_kuberay(self._settings)

    def _credentials(self, cluster: str) -> Callable[[], Any]:
        if self._environment.has_local_kubernetes:
            from botocore.credentials import Credentials

            # The local API takes its own secret for an AWS key, and the cluster's name for its id.
            local = kubernetes_access(self._settings)
            return lambda: Credentials(cluster, local.token(False))
        import boto3

        session: Any = boto3.Session()
        return lambda: session.get_credentials()

    def require_kuberay(self) -> None:
        """Make sure that the cluster knows RayClusters.

        Raises:
            KubernetesError: it does not, or the API refuses or does not answer.
        """
        try:
            self.api.list(RAY_CLUSTERS, self.namespace)
        except KubernetesError as error:
            if error.code != 404:
                raise
            raise KubernetesError(
                "KubeRay is not installed: the API serves no rayclusters.ray.io/v1",
                where=self.api.access.endpoint,
                fix="install its operator, as docs/kubernetes-manifests.md says under `The platform around "
                f"it`; then `ray-platform up --env {self._environment.name}` goes on from here",
                code=404,
            ) from error

    def prepare(self) -> None:
        """The namespace, the secret of the token and the switch, made where they are missing.

        Raises:
            KubernetesError: the API refuses or does not answer.
        """
        name, key = TOKEN_SECRET
        if self.api.get(NAMESPACES, self.namespace) is None:
            self._made(NAMESPACES, {"metadata": {"name": self.namespace}}, "")
        if self.api.get(SECRETS, name, self.namespace) is None:
            content = {"metadata": {"name": name}, "stringData": {key: secrets.token_hex(32)}}
            self._made(SECRETS, content, self.namespace)
        if self.api.get(SERVICES, SERVICE, self.namespace) is None:
            self._made(SERVICES, service_of(Switch(), self.namespace), self.namespace)

    def _made(self, of: tuple[str, str], content: Mapping[str, Any], namespace: str) -> None:
        try:
            self.api.create(of, content, namespace)
        except KubernetesError as error:
            # Somebody else made it meanwhile: theirs holds.
            if error.code != 409:
                raise

    def switch(self) -> Switch:
        """Which RayCluster takes new work, and the upgrade that is under way.

        Raises:
            RayError: the object that says so was changed by somebody else.
            KubernetesError: the API refuses or does not answer.
        """
        return read_switch(self.api.get(SERVICES, SERVICE, self.namespace))

    def write_switch(self, switch: Switch) -> Switch:
        """Say so, unless somebody has written since it was read; what stands then.

        Raises:
            KubernetesError: somebody has (code 409), or the API refuses or does not answer.
        """
        content = service_of(switch, self.namespace)
        if switch.version:
            return read_switch(self.api.patch(SERVICES, SERVICE, self.namespace, content))
        return read_switch(self.api.create(SERVICES, content, self.namespace))

    def ray_cluster(self, name: str = "") -> dict[str, Any] | None:
        """The RayCluster object, or None; by default the one that takes new work.

        Raises:
            RayError: as `switch`.
            KubernetesError: the API refuses or does not answer.
        """
        return self.api.get(RAY_CLUSTERS, name or self.switch().active, self.namespace)

    def diagnosis(self, content: Mapping[str, Any]) -> Diagnosis:
        """Why a RayCluster is not ready.

        Raises:
            KubernetesError: the API refuses or does not answer.
        """
        selector = f"ray.io/cluster={content['metadata']['name']}"
        pods = self.api.list(PODS, self.namespace, labelSelector=selector)["items"]
        return diagnose(content, pods, self.api.list(EVENTS, self.namespace)["items"])

    def address(self, content: Mapping[str, Any]) -> str:
        """Where the head's dashboard answers from here.

        From outside the cluster, unless the settings say where: a port of this machine that is forwarded
        to the head for as long as this process lives.

        Raises:
            KubernetesError: it cannot be forwarded: no head runs, or the API refuses or does not answer.
        """
        own = self._environment
        if own.has_local_kubernetes or self._settings.is_in_cluster or self._is_set(content):
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
        if self._environment.has_local_kubernetes:
            port = (status.get("endpoints") or {}).get("dashboard", DASHBOARD_PORT)
            return f"http://{head.get('serviceIP', LOOPBACK)}:{port}"
        if not self._settings.is_in_cluster and self._is_set(content):
            return self._environment.ray.address
        service = head.get("serviceName") or f"{content['metadata']['name']}-head-svc"
        return f"http://{service}.{self.namespace}.svc.cluster.local:{DASHBOARD_PORT}"

    def _is_set(self, content: Mapping[str, Any]) -> bool:
        """Whether the settings say where: of the cluster that takes new work, not of the other one."""
        set_by_hand = bool(self._environment.ray.address)
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

    def stop(self) -> None:
        """Take the Ray cluster away with its release; on one machine the API and the nodes end too.

        Raises:
            KubernetesError: the API refuses or does not answer.
        """
        if self._environment.has_local_kubernetes:
            stop_all(self._settings)
        else:
            for name in reversed(NAMES):
                self.releases.uninstall(name)
                # One that Argo CD made has no release, and whoever removes it has taken the Application away.
                self.api.delete(RAY_CLUSTERS, name, self.namespace)
            self.api.delete(SERVICES, SERVICE, self.namespace)

    def log(self, lines: int) -> str:
        """The last lines of the head's log.

        Raises:
            RayError: no head runs.
            KubernetesError: the API refuses or does not answer.
        """
        content = self.ray_cluster()
        pod = ((content or {}).get("status") or {}).get("head", {}).get("podName")
        if not pod:
            raise RayError(
                "no head of a Ray cluster runs",
                where=f"namespace {self.namespace}",
                fix=f"ray-platform ray status --env {self._environment.name}",
            )
        return self.api.log(pod, self.namespace, lines=lines)

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
                fix=f"ray-platform up --env {self._environment.name}",
            )
        path = self._settings.home / "ray-tokens" / self._environment.name
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        if not path.exists() or path.read_bytes() != token:
            beside = path.with_name(f"{path.name}.{os.getpid()}")
            beside.unlink(missing_ok=True)
            flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL
            with os.fdopen(os.open(beside, flags, 0o600), "wb") as file:
                file.write(token)
            beside.replace(path)
        return path
