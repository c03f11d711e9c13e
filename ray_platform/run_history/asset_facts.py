"""What lineage reads back of materializations: of the Ray cluster, and of the runs that trained on it."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Self

from ray_platform.run_history.burst_metrics import PhaseResult
from ray_platform.store.typed_facts import Facts


@dataclass(frozen=True)
class RayClusterFacts(Facts):
    """A Ray cluster that answered. ``address`` is its job server's URL.

    ``release`` and ``release_revision`` are None where the platform connects to a cluster that it does
    not deploy; ``git_commit`` is None unless Argo CD deployed it.
    """

    SUBJECT: ClassVar[str] = "ray_cluster"
    FIRST_KEYS: ClassVar[Mapping[str, str]] = {
        "address": "address",
        "ray_version": "ray version",
        "image": "image",
        "release": "release",
        "release_revision": "release revision",
        "git_commit": "Git commit",
        "manifest_digest": "manifest digest",
        "chart_digest": "chart digest",
        "values_digest": "values digest",
        "infra_version": "infra version",
    }

    address: str
    ray_version: str
    image: str
    release: str | None
    release_revision: int | None
    git_commit: str | None
    manifest_digest: str
    chart_digest: str
    values_digest: str
    infra_version: str


@dataclass(frozen=True)
class PhaseFacts:
    """One phase of a burst run.

    Times are in seconds. ``seconds_to_reach`` is None when not all workers came. ``node_seconds`` is by
    worker group. ``error`` is empty when the phase finished.
    """

    name: str
    tasks: int
    workers_wanted: int
    workers_reached: int
    seconds_to_reach: float | None
    seconds: float
    samples_per_second: float
    failures: int
    retries: int
    loss: float
    node_seconds: Mapping[str, float]
    error: str

    @classmethod
    def of(cls, phase: PhaseResult) -> Self:
        return cls(
            name=phase.name,
            tasks=phase.tasks,
            workers_wanted=phase.workers_wanted,
            workers_reached=phase.workers_reached,
            seconds_to_reach=phase.seconds_to_reach,
            seconds=round(phase.seconds, 3),
            samples_per_second=phase.samples_per_second,
            failures=phase.failures,
            retries=phase.retries,
            loss=phase.loss,
            node_seconds=dict(phase.node_seconds),
            error=phase.error,
        )

    @property
    def shortfall(self) -> str:
        """Why the phase is not good; empty when it reached its workers and finished."""
        if self.error:
            return self.error
        if self.workers_reached < self.workers_wanted:
            return f"it reached {self.workers_reached} of {self.workers_wanted} workers"
        return ""


@dataclass(frozen=True)
class BurstFacts(Facts):
    """A burst run that ended. ``usd`` is at list prices, ``node_seconds`` the sum of its workers."""

    SUBJECT: ClassVar[str] = "burst_run"
    FIRST_KEYS: ClassVar[Mapping[str, str]] = {
        "infra_version": "infra version",
        "commit": "commit",
        "loss": "loss",
        "seconds": "seconds",
        "node_seconds": "node-seconds",
        "usd": "US dollars",
        "failures": "failures",
        "retries": "retries",
        "phases": "phases",
    }

    infra_version: str
    commit: str
    loss: float
    seconds: float
    node_seconds: float
    usd: float
    failures: int
    retries: int
    phases: tuple[PhaseFacts, ...]

    def scalars(self) -> dict[str, Any]:
        """The facts without the phases, by name."""
        plain = self.to_metadata()
        return {name: plain[name] for name in self.FIRST_KEYS if name != "phases"}

    def plain_phases(self) -> list[dict[str, Any]]:
        """The phases as JSON takes them."""
        phases: list[dict[str, Any]] = self.to_metadata()["phases"]
        return phases
