"""The Ray cluster of a session's environment: where it answers, and what it reports now."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from ray_platform.ray import readiness
from ray_platform.ray.cluster_client import ClusterInfo, describe_cluster, wait_ready
from ray_platform.ray.clusters import ray_clusters
from ray_platform.session.environment_session import EnvironmentSession
from ray_platform.text.errors import KubernetesError


@dataclass(frozen=True)
class RayEndpoint:
    """A Ray cluster that answers: its job server's address, the file of its token, and its nodes."""

    address: str
    token_path: Path | None
    info: ClusterInfo


def is_ray_ours(session: EnvironmentSession) -> bool:
    """Whether the platform deploys the Ray cluster, and does not only connect to it."""
    return session.environment.ray.runtime == "kubernetes"


def ray_endpoint(
    session: EnvironmentSession, progress: Callable[[str], None] | None = None
) -> RayEndpoint:
    """The Ray cluster of an environment, once it answers.

    Raises:
        RayError: there is none, or it does not get ready in time; says why.
        KubernetesError: the Kubernetes API refuses or does not answer.
        LocalServiceError: what stands in for Kubernetes on this machine does not start.
    """
    report = progress or (lambda _line: None)
    if is_ray_ours(session):
        return RayEndpoint(*readiness.endpoint(ray_clusters(session), report))
    choice = session.environment.ray
    token_path = Path(choice.token_path) if choice.token_path else None
    report(f"Waiting for Ray at {choice.address}")
    info = wait_ready(choice.address, token_path, timeout_seconds=choice.ready_timeout_seconds)
    return RayEndpoint(choice.address, token_path, info)


def ray_info_now(session: EnvironmentSession) -> ClusterInfo | None:
    """What the running Ray cluster reports; None where none runs. Waits for nothing.

    Raises:
        RayError: it does not answer.
    """
    if is_ray_ours(session):
        return ray_clusters(session).now()
    choice = session.environment.ray
    token_path = Path(choice.token_path) if choice.token_path else None
    return describe_cluster(choice.address, token_path)


def stop_ray_cluster(session: EnvironmentSession) -> None:
    """Remove the Ray cluster that the platform deployed; one that is only used stays."""
    if is_ray_ours(session):
        ray_clusters(session).stop()


def running_services(session: EnvironmentSession) -> dict[str, str | None]:
    """The addresses of what runs for this environment; None where nothing does. Starts nothing."""
    ours = is_ray_ours(session)
    ray = ray_clusters(session).address_now() if ours else session.environment.ray.address
    return {
        "emulator": session.cloud.address_now(),
        "kubernetes": _kubernetes_now(session),
        "ray": ray,
    }


def _kubernetes_now(session: EnvironmentSession) -> str | None:
    """The address of a Kubernetes API that this machine reaches as it is: the local one, a context's."""
    if local := session.adapters.local_kubernetes:
        return local.address_now()
    if not session.environment.kubernetes.context:
        return None
    try:
        api = ray_clusters(session).api
        api.version()
        return api.access.endpoint
    except KubernetesError:
        return None
