"""What an environment runs on: its cloud, and a local Kubernetes if it uses one. Chosen here alone."""

import functools
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.metadata import entry_points
from typing import Any, Protocol

from ray_platform.config.settings import Environment, Settings
from ray_platform.kubernetes.api_access import ClusterAccess
from ray_platform.text.errors import SettingsError

#: Distributions that provide adapters of this machine register them under this entry point.
SANDBOX_GROUP = "ray_platform.sandbox"


class Cloud(Protocol):
    """The cloud of an environment."""

    @property
    def is_disposable(self) -> bool:
        """Whether nothing in it costs money, keeps a trail or belongs to other people."""

    def variables(self) -> Mapping[str, str]:
        """What a child process needs to reach it; empty where the usual credential chain applies."""

    def client(self, service: str) -> Any:
        """A boto3 client of one of its services."""

    def address_now(self) -> str | None:
        """Where it answers, if this machine runs it. Starts nothing."""


class LocalKubernetes(Protocol):
    """A Kubernetes API with a KubeRay operator, both on this machine."""

    def wake(self) -> None:
        """Start what does not run. Raises `LocalServiceError`."""

    def access(self) -> ClusterAccess:
        """How this machine's processes reach the API, running or not."""

    def address_now(self) -> str | None:
        """Where the API answers, or None where it does not run. Starts nothing."""

    def stop(self) -> dict[str, bool]:
        """Stop the API, the operator and the Ray nodes; which of them ran."""

    @property
    def autoscaler_seconds(self) -> float:
        """Seconds between two decisions of Ray's autoscaler."""

    @property
    def worker_cpus(self) -> int:
        """CPUs that each worker offers, whatever its instance type."""


class Port(Protocol):
    """A port of this machine that the sandbox needs."""

    @property
    def number(self) -> int: ...
    @property
    def purpose(self) -> str: ...
    @property
    def is_ours(self) -> bool:
        """Whether a service of this home listens there already."""


class Sandbox(Protocol):
    """Everything that runs on this machine in place of a cloud."""

    def cloud(self, settings: Settings) -> Cloud: ...
    def kubernetes(self, settings: Settings) -> LocalKubernetes: ...

    def ports(self, settings: Settings, *, kubernetes: bool) -> tuple[Port, ...]:
        """The ports that an environment needs, with those of its Kubernetes or without."""

    def postgres_programs(self, settings: Settings) -> str:
        """Where PostgreSQL's programs are. Raises `PlatformError` where they cannot be used."""

    def stop_all(self, settings: Settings) -> dict[str, bool]:
        """Stop every service that this home started; which of them ran."""


@dataclass(frozen=True)
class Adapters:
    """What one environment runs on. ``local_kubernetes`` is None where a real cluster is used."""

    cloud: Cloud
    local_kubernetes: LocalKubernetes | None


@functools.cache
def find_sandbox() -> Sandbox | None:
    """The sandbox that is installed, or None."""
    for entry in entry_points(group=SANDBOX_GROUP):
        make: Any = entry.load()
        found: Sandbox = make()
        return found
    return None


def require_sandbox() -> Sandbox:
    """The sandbox that is installed.

    Raises:
        SettingsError: none is installed.
    """
    if (found := find_sandbox()) is None:
        raise SettingsError(
            "this environment runs on the sandbox, which is not installed",
            where=f"Python entry point {SANDBOX_GROUP}",
            fix="install ray-platform-sandbox, as `make up` does, or use an environment on AWS",
        )
    return found


def choose_adapters(settings: Settings, environment: Environment) -> Adapters:
    """The adapters of an environment.

    Raises:
        SettingsError: it runs on the sandbox, which is not installed.
    """
    if not environment.uses_sandbox:
        return Adapters(Aws(environment, str(settings.root)), None)
    sandbox = require_sandbox()
    local = None if environment.kubernetes.context else sandbox.kubernetes(settings)
    return Adapters(sandbox.cloud(settings), local)


@dataclass(frozen=True)
class Aws:
    """AWS, by the usual chain of credentials (OIDC, Pod Identity, IRSA, SSO)."""

    environment: Environment
    root: str

    @property
    def is_disposable(self) -> bool:
        return False

    def variables(self) -> Mapping[str, str]:
        return {}

    def client(self, service: str) -> Any:
        """Raises `SettingsError` where the environment's files still hold placeholders."""
        if unset := self.environment.unset:
            raise SettingsError(
                f"the environment {self.environment.name} is not set up yet: {', '.join(unset)}",
                where=f"{self.root}/environments/{self.environment.name}.toml",
                fix="follow docs/how-to/set-up-aws.md and set the names of your own buckets",
            )
        import boto3

        make: Any = boto3.client  # its typed overloads want the service as a literal
        return make(service, region_name=self.environment.region)

    def address_now(self) -> str | None:
        return None
