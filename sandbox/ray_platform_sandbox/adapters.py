"""The sandbox as the product sees it: the adapters behind the entry point ``ray_platform.sandbox``."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from ray_platform.config.settings import Settings
from ray_platform.kubernetes.api_access import ClusterAccess
from ray_platform.session.adapters import Cloud, LocalKubernetes, Port, Sandbox
from ray_platform_sandbox.aws.service import ensure_emulator, find_emulator, stop_emulator
from ray_platform_sandbox.github.service import stop_github
from ray_platform_sandbox.kuberay.service import ensure_kuberay, stop_all
from ray_platform_sandbox.kubernetes.service import find_kubernetes, kubernetes_access
from ray_platform_sandbox.postgres.service import (
    require_programs,
    require_reachable,
    stop_postgres,
)
from ray_platform_sandbox.ray.nodes import AUTOSCALER_SECONDS, place
from ray_platform_sandbox.services import processes

#: Services whose ports `doctor` may find in use.
_SERVICES = ("emulator", "ray", "ray-2", "kubernetes")


@dataclass(frozen=True)
class EmulatedCloud:
    """The AWS emulator of a home, started when it is first used."""

    settings: Settings

    @property
    def is_disposable(self) -> bool:
        return True

    def variables(self) -> Mapping[str, str]:
        return ensure_emulator(self.settings).env

    def client(self, service: str) -> Any:
        return ensure_emulator(self.settings).client(service)

    def address_now(self) -> str | None:
        found = find_emulator(self.settings)
        return found.url if found else None


@dataclass(frozen=True)
class KubernetesOnThisMachine:
    """The local Kubernetes API of a home with the KubeRay stand-in."""

    settings: Settings

    def wake(self) -> None:
        ensure_kuberay(self.settings)

    def access(self) -> ClusterAccess:
        return kubernetes_access(self.settings)

    def address_now(self) -> str | None:
        found = find_kubernetes(self.settings)
        return found.url if found else None

    def stop(self) -> dict[str, bool]:
        return stop_all(self.settings)

    @property
    def autoscaler_seconds(self) -> float:
        return AUTOSCALER_SECONDS

    @property
    def worker_cpus(self) -> int:
        return 1


@dataclass(frozen=True)
class NeededPort:
    """A port that a service of the sandbox listens on."""

    number: int
    purpose: str
    is_ours: bool


class LocalSandbox:
    """Emulators of AWS, Kubernetes, KubeRay and GitHub, and a PostgreSQL, on this machine."""

    def cloud(self, settings: Settings) -> Cloud:
        return EmulatedCloud(settings)

    def kubernetes(self, settings: Settings) -> LocalKubernetes:
        return KubernetesOnThisMachine(settings)

    def ports(self, settings: Settings, *, kubernetes: bool) -> tuple[Port, ...]:
        ours = {
            port
            for name in _SERVICES
            if (service := processes.find(settings.home, name))
            for port in service.ports.values()
        }
        purposes = {0: "emulator"}
        if kubernetes:
            purposes |= {1: "Ray control store", 2: "Ray dashboard", 3: "Kubernetes API"}
            second = place(settings, 1).gcs_port - settings.port_base
            purposes |= {second: "second Ray control store", second + 1: "second Ray dashboard"}
        return tuple(
            NeededPort(number, purpose, number in ours)
            for offset, purpose in purposes.items()
            for number in (settings.port_base + offset,)
        )

    def postgres_programs(self, settings: Settings) -> str:
        programs = require_programs(settings)
        require_reachable(settings.home / "postgres")
        return str(programs)

    def stop_all(self, settings: Settings) -> dict[str, bool]:
        return {
            **stop_all(settings),
            "emulator": stop_emulator(settings),
            "github": stop_github(settings),
            "postgres": stop_postgres(settings),
        }


def make_adapters() -> Sandbox:
    """What the entry point names."""
    return LocalSandbox()
