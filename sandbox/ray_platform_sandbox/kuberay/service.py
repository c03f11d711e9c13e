"""The stand-in for KubeRay's operator as a service of this machine."""

import sys
from pathlib import Path

from ray_platform.config.settings import Settings, child_environment
from ray_platform_sandbox.kubernetes.service import ensure_kubernetes, stop_kubernetes
from ray_platform_sandbox.ray.nodes import stop_ray
from ray_platform_sandbox.services import processes

NAME = "kuberay"
READY_SECONDS = 30.0


def ensure_kuberay(settings: Settings) -> processes.Service:
    """The running stand-in of this home, with its Kubernetes API; started if there is none.

    Raises:
        LocalServiceError: it or the API does not start.
    """
    ensure_kubernetes(settings)
    variables = {
        "RAY_PLATFORM_ROOT": str(settings.root),
        "RAY_PLATFORM_HOME": str(settings.home),
        "RAY_PLATFORM_PORT_BASE": str(settings.port_base),
    }
    return processes.start(
        settings.home,
        NAME,
        [sys.executable, "-m", "ray_platform_sandbox.kuberay.controller"],
        env=child_environment(variables),
        ports={},
        # It has no port to ask: what it does shows in the objects that it keeps.
        ready=lambda: True,
        timeout_seconds=READY_SECONDS,
        cwd=Path(__file__).resolve().parents[2],
    )


def find_kuberay(settings: Settings) -> processes.Service | None:
    """The running stand-in of this home, or None."""
    return processes.find(settings.home, NAME)


def stop_kuberay(settings: Settings) -> bool:
    """End the stand-in; whether it was running. The Ray nodes that it started run on.

    Raises:
        LocalServiceError: another process is starting or stopping it.
    """
    return processes.stop(settings.home, NAME)


def stop_all(settings: Settings) -> dict[str, bool]:
    """End the stand-in, the Ray nodes and the Kubernetes API of this home; which of them were running.

    Raises:
        LocalServiceError: another process is starting or stopping one of them.
    """
    # In this order: the stand-in would start the nodes again, and ask for the API.
    kuberay = stop_kuberay(settings)
    return {"kuberay": kuberay, "ray": stop_ray(settings), "kubernetes": stop_kubernetes(settings)}
