"""Waits until a RayCluster that was deleted is gone: an object that is being deleted still exists."""

import time
from collections.abc import Callable

from ray_platform.kubernetes.api_client import PODS, RAY_CLUSTERS, KubernetesApi, is_passing
from ray_platform.ray.pods_ready import CLUSTER_LABEL, ray_pods
from ray_platform.text.errors import KubernetesError, RayError

POLL_SECONDS = 0.5
#: KubeRay itself gives its clean-up of Redis five minutes, and then takes its finalizer away.
GONE_SECONDS = 360.0


def wait_gone(
    api: KubernetesApi,
    namespace: str,
    name: str,
    tell: Callable[[str], None],
    *,
    seconds: float = GONE_SECONDS,
) -> None:
    """Wait until neither the RayCluster nor a pod of it exists; nothing where there is none.

    Args:
        api: Where it is.
        namespace: Its namespace.
        name: Its name.
        tell: Hears once what is waited for.
        seconds: For how long.

    Raises:
        RayError: it is not gone in time; says what holds it.
        KubernetesError: the API refuses, or stays away for as long.
    """
    deadline = time.monotonic() + seconds
    told = ""
    while True:
        try:
            left = _left(api, namespace, name)
        except KubernetesError as error:
            if not is_passing(error) or time.monotonic() >= deadline:
                raise
            left = told or "the Kubernetes API"
        if not left:
            return
        if time.monotonic() >= deadline:
            raise RayError(
                f"the RayCluster {name} is not gone after {seconds:.0f} s: {left}",
                where=f"namespace {namespace}",
                fix=f"see what holds it: `kubectl --namespace {namespace} describe raycluster {name}` and "
                f"`kubectl --namespace {namespace} get pods,jobs`; then run it again",
            )
        if left != told:
            told = left
            tell(f"Waiting until the RayCluster {name} is gone: {left}")
        time.sleep(POLL_SECONDS)


def _left(api: KubernetesApi, namespace: str, name: str) -> str:
    """What still exists of it, in words; empty: nothing."""
    found = []
    content = api.get(RAY_CLUSTERS, name, namespace)
    if content is not None:
        held = ", ".join(content["metadata"].get("finalizers") or [])
        found.append("the object" + (f", held by {held}" if held else ""))
    pods = api.list(PODS, namespace, labelSelector=f"{CLUSTER_LABEL}={name}")["items"]
    if running := ray_pods(pods):
        found.append("pods " + ", ".join(pod["metadata"]["name"] for pod in running))
    return "; ".join(found)
