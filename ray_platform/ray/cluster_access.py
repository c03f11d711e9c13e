"""The Kubernetes cluster of an environment, found by EKS or by a kubeconfig's context.

On one machine the emulator answers for EKS, and the API and the stand-in for KubeRay's operator are
started where they do not run; everything else is the same on both.
"""

import functools
import secrets
from collections.abc import Callable, Mapping
from typing import Any

from ray_platform.config.settings import Environment, Settings
from ray_platform.kubernetes.api_client import (
    NAMESPACES,
    RAY_CLUSTERS,
    SECRETS,
    SERVICES,
    KubernetesApi,
)
from ray_platform.kubernetes.eks_access_client import eks_access
from ray_platform.kubernetes.helm_release_client import HelmReleases
from ray_platform.kubernetes.kubeconfig_client import context_access
from ray_platform.ray.spec import ray_namespace
from ray_platform.ray.upgrade.switch import (
    BLUE,
    SERVICE,
    Switch,
    read_switch,
    service_of,
)
from ray_platform.session.adapters import LocalKubernetes
from ray_platform.text.errors import KubernetesError, NotFoundError

#: The release that manifests for people and for Argo CD are rendered for.
RELEASE = BLUE
#: Name and key of the secret that the chart's pods take their token from.
TOKEN_SECRET = ("ray-auth-token", "auth_token")
MANAGER = "ray-platform"


class KubernetesCluster:
    """The Kubernetes cluster of one environment, and what Ray's namespace on it has once.

    Args:
        settings: Where local state lies.
        environment: Its settings.
        eks: Makes a boto3 client of EKS.
        cluster: Gives the EKS cluster's name, from the outputs of the latest apply.
        local: The Kubernetes of this machine, where the environment uses that.
    """

    def __init__(
        self,
        settings: Settings,
        environment: Environment,
        eks: Callable[[], Any],
        cluster: Callable[[], str],
        local: LocalKubernetes | None,
    ) -> None:
        self.settings = settings
        self.environment = environment
        self._eks = eks
        self._cluster = cluster
        self.local = local
        self.namespace = ray_namespace(environment.variables, where=str(environment.variables_file))

    @functools.cached_property
    def api(self) -> KubernetesApi:
        """The API of the environment's cluster.

        Raises:
            NotFoundError: no cluster was applied.
            KubernetesError: neither EKS nor the kubeconfig tells where it is.
            LocalServiceError: the local API does not start.
        """
        if context := self.environment.kubernetes.context:
            access = context_access(self.settings.kubeconfig_files, context)
            return KubernetesApi(access, MANAGER)
        name = self._cluster()
        if not name:
            raise NotFoundError(
                f"no EKS cluster is applied in {self.environment.name}",
                fix=f"ray-platform up --env {self.environment.name}",
            )
        self.wake()
        access = eks_access(self._eks(), name, self.environment.region, self._credentials(name))
        return KubernetesApi(access, MANAGER)

    def api_now(self) -> KubernetesApi:
        """The API as it stands: nothing is started for it.

        Raises:
            KubernetesError: on this machine none runs; EKS does not tell where it is.
            NotFoundError: no cluster was applied.
        """
        if self.local is None:
            return self.api
        if self.local.address_now() is None:
            raise KubernetesError(
                "the Kubernetes API of this machine does not run",
                where=str(self.settings.home),
                fix=f"ray-platform up --env {self.environment.name}",
            )
        return KubernetesApi(self.local.access(), MANAGER)

    @property
    def releases(self) -> HelmReleases:
        """The Helm releases of Ray's namespace."""
        return HelmReleases(self.api, self.namespace)

    def wake(self) -> None:
        """Start what stands in for EKS and KubeRay where it does not run; elsewhere nothing.

        Raises:
            LocalServiceError: it does not start.
        """
        if self.local is not None:
            self.local.wake()

    def _credentials(self, cluster: str) -> Callable[[], Any]:
        if self.local is not None:
            from botocore.credentials import Credentials

            # The local API takes its own secret for an AWS key, and the cluster's name for its id.
            access = self.local.access()
            return lambda: Credentials(cluster, access.token(False))
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
                fix="install its operator (docs/how-to/install-cluster-add-ons.md), then run "
                f"`ray-platform up --env {self.environment.name}`",
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
