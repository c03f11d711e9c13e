"""Waits for the Ray cluster of an environment, and says why it is not ready when it is not."""

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from ray_platform.kubernetes.api_client import is_passing
from ray_platform.ray.cluster_client import ClusterInfo, wait_ready
from ray_platform.ray.clusters import RayOnKubernetes
from ray_platform.text.errors import KubernetesError, RayError

POLL_SECONDS = 0.5
#: How long a pod may wait with a reason that waiting does not mend: a registry may only be slow.
HOPELESS_SECONDS = 10.0


def wait(
    cluster: RayOnKubernetes, progress: Callable[[str], None], name: str = ""
) -> dict[str, Any]:
    """The RayCluster object, once head and workers are what it asks for, and Ready.

    Args:
        cluster: Where it is.
        progress: Hears what is waited for, each time that it changes.
        name: Which RayCluster; by default the one that takes new work.

    Raises:
        RayError: there is none, or it is not ready in time, or waiting will not help; says why.
        KubernetesError: the API refuses, or stays away for as long.
    """
    seconds = cluster.environment.ray.ready_timeout_seconds
    where = f"RayCluster {name} in namespace {cluster.namespace}".replace("  ", " ")
    deadline = time.monotonic() + seconds
    hopeless_since: float | None = None
    told = ""
    since: str | None = None
    while True:
        try:
            if since is None:
                since = cluster.latest_event()
            content = cluster.ray_cluster(name)
            if content is None:
                raise RayError(
                    f"there is no Ray cluster in {cluster.environment.name}: it was never "
                    "deployed, or somebody deleted it",
                    where=where,
                    fix=f"ray-platform up --env {cluster.environment.name}",
                )
            if cluster.is_ready(content):
                return content
            found = cluster.diagnosis(content, since=since)
        except KubernetesError as error:
            if not is_passing(error) or time.monotonic() >= deadline:
                raise
            # It went away meanwhile; on one machine it is started again.
            cluster.wake()
            time.sleep(POLL_SECONDS)
            continue
        if found.text != told:
            told = found.text
            progress(f"Waiting for the Ray cluster: {told}")
        hopeless_since = (hopeless_since or time.monotonic()) if found.is_hopeless else None
        is_hopeless = (
            hopeless_since is not None and time.monotonic() - hopeless_since > HOPELESS_SECONDS
        )
        if is_hopeless or time.monotonic() >= deadline:
            why = "cannot get ready" if is_hopeless else f"was not ready within {seconds:.0f} s"
            raise RayError(f"the Ray cluster {why}: {found.text}", where=where, fix=found.fix)
        time.sleep(POLL_SECONDS)


def endpoint(
    cluster: RayOnKubernetes, progress: Callable[[str], None], name: str = ""
) -> tuple[str, Path, ClusterInfo]:
    """Address, token file and nodes of a Ray cluster, once it answers; by default of the active one.

    Raises:
        RayError: as `wait`, or its head does not answer in time.
        KubernetesError: as `wait`.
    """
    cluster.wake()
    content = wait(cluster, progress, name)
    address, token_path = cluster.address(content), cluster.token_file()
    seconds = cluster.environment.ray.ready_timeout_seconds
    return address, token_path, wait_ready(address, token_path, timeout_seconds=seconds)
