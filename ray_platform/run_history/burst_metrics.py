"""A burst run's metrics: read, checked, and put together from the messages that carried them."""

import base64
import json
import zlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from ray_platform.text.errors import ArtifactError

FORMAT_VERSION = 1
MESSAGE_KEY = "ray_platform"
_FIX = "run the burst again with the workload of this checkout"


@dataclass(frozen=True)
class Phase:
    """A phase as wanted: one task for each worker."""

    name: str
    workers: int


#: The pattern of ``workloads/bursty_training.py``.
PHASES = (
    Phase("warm-up", 2),
    Phase("small burst", 5),
    Phase("peak", 10),
    Phase("sustained", 8),
    Phase("decrease", 4),
    Phase("cool-down", 2),
)


@dataclass(frozen=True)
class PhaseResult:
    """A phase as it went.

    Times in seconds, ``started`` and ``ended`` since 1970; ``seconds_to_reach`` is None when not
    all workers came; ``node_seconds`` by worker group; ``failures`` counts lost attempts,
    ``retries`` those that were started again; ``error`` is empty when the phase is good.
    """

    name: str
    tasks: int
    workers_wanted: int
    workers_reached: int
    seconds_to_reach: float | None
    started: float
    ended: float
    queue_seconds_mean: float
    queue_seconds_max: float
    samples: int
    samples_per_second: float
    failures: int
    retries: int
    loss: float
    node_seconds: Mapping[str, float]
    error: str

    @property
    def seconds(self) -> float:
        return self.ended - self.started


@dataclass(frozen=True)
class NodeInterval:
    """A Ray node's life in seconds since 1970; ``end`` None: it was still up when the run ended."""

    node_id: str
    group: str
    instance_type: str
    start: float
    end: float | None

    def seconds_within(self, start: float, end: float) -> float:
        """Its node-seconds between two instants."""
        return max(0.0, min(end if self.end is None else self.end, end) - max(self.start, start))


@dataclass(frozen=True)
class BurstMetrics:
    """What a burst run measured. ``loss`` is the last phase's, and the same for the same seed and
    options; ``cpus_per_task`` is 1 where an older workload did not say."""

    run_id: str
    seed: int
    ray_version: str
    device: str
    started: float
    ended: float
    succeeded: bool
    loss: float
    phases: tuple[PhaseResult, ...]
    node_intervals: tuple[NodeInterval, ...]
    cpus_per_task: float = 1.0

    @property
    def seconds(self) -> float:
        return self.ended - self.started

    @property
    def peak_workers(self) -> int:
        return max((phase.workers_reached for phase in self.phases), default=0)

    @property
    def failures(self) -> int:
        return sum(phase.failures for phase in self.phases)

    @property
    def retries(self) -> int:
        return sum(phase.retries for phase in self.phases)

    @property
    def samples(self) -> int:
        return sum(phase.samples for phase in self.phases)

    def node_seconds(self) -> dict[str, float]:
        """Node-seconds of the worker nodes while the run lasted, by worker group."""
        totals: dict[str, float] = {}
        for node in self.node_intervals:
            seconds = node.seconds_within(self.started, self.ended)
            if node.group != "head" and seconds > 0:
                totals[node.group] = totals.get(node.group, 0.0) + seconds
        return dict(sorted(totals.items()))


def read_metrics(data: Any, *, where: str = "metrics.json") -> BurstMetrics:
    """Turn the content of ``metrics.json`` into `BurstMetrics`.

    Raises:
        ArtifactError: of another format, incomplete, or not consistent in itself.
    """
    if not isinstance(data, Mapping) or data.get("format_version") != FORMAT_VERSION:
        raise ArtifactError(
            f"these are no burst metrics of format version {FORMAT_VERSION}", where=where, fix=_FIX
        )
    try:
        metrics = BurstMetrics(
            run_id=str(data["run_id"]),
            seed=int(data["seed"]),
            ray_version=str(data["ray_version"]),
            device=str(data["device"]),
            started=float(data["started"]),
            ended=float(data["ended"]),
            succeeded=bool(data["succeeded"]),
            loss=float(data["loss"]),
            phases=tuple(_phase(item) for item in data["phases"]),
            node_intervals=tuple(_interval(item) for item in data["node_intervals"]),
            cpus_per_task=float(data.get("cpus_per_task", 1.0)),
        )
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise ArtifactError(
            f"the burst metrics cannot be read: {error!r}", where=where, fix=_FIX
        ) from error
    if problem := _inconsistent(metrics):
        raise ArtifactError(
            f"the burst metrics contradict themselves: {problem}", where=where, fix=_FIX
        )
    return metrics


def _phase(item: Mapping[str, Any]) -> PhaseResult:
    reach = item["seconds_to_reach"]
    return PhaseResult(
        name=str(item["name"]),
        tasks=int(item["tasks"]),
        workers_wanted=int(item["workers_wanted"]),
        workers_reached=int(item["workers_reached"]),
        seconds_to_reach=None if reach is None else float(reach),
        started=float(item["started"]),
        ended=float(item["ended"]),
        queue_seconds_mean=float(item["queue_seconds_mean"]),
        queue_seconds_max=float(item["queue_seconds_max"]),
        samples=int(item["samples"]),
        samples_per_second=float(item["samples_per_second"]),
        failures=int(item["failures"]),
        retries=int(item["retries"]),
        loss=float(item["loss"]),
        node_seconds={str(group): float(s) for group, s in item["node_seconds"].items()},
        error=str(item["error"]),
    )


def _interval(item: Mapping[str, Any]) -> NodeInterval:
    return NodeInterval(
        node_id=str(item["node_id"]),
        group=str(item["group"]),
        instance_type=str(item["instance_type"]),
        start=float(item["start"]),
        end=None if item["end"] is None else float(item["end"]),
    )


def _inconsistent(metrics: BurstMetrics) -> str:
    if not metrics.phases:
        return "there is no phase"
    if metrics.ended < metrics.started:
        return "the run ended before it started"
    for phase in metrics.phases:
        if phase.ended < phase.started:
            return f"phase {phase.name!r} ended before it started"
        if min(phase.workers_wanted, phase.workers_reached, phase.failures, phase.retries) < 0:
            return f"phase {phase.name!r} has a negative count"
    if metrics.succeeded and any(phase.error for phase in metrics.phases):
        return "it succeeded although a phase failed"
    return ""


def unreached(metrics: BurstMetrics, wanted: Iterable[Phase] = ()) -> list[str]:
    """Why the burst is not good, one sentence a phase; empty: every phase reached its workers.

    Args:
        metrics: What the run measured.
        wanted: The phases that there must be, by name; empty: those that the run itself wanted.
    """
    reasons = []
    results = {phase.name: phase for phase in metrics.phases}
    for phase in wanted:
        result = results.get(phase.name)
        if result is None:
            reasons.append(f"{phase.name}: it did not run")
        elif result.workers_wanted != phase.workers:
            reasons.append(
                f"{phase.name}: it wanted {result.workers_wanted} workers, not {phase.workers}"
            )
    for result in metrics.phases:
        if result.error:
            reasons.append(f"{result.name}: {result.error}")
        elif result.workers_reached < result.workers_wanted:
            reasons.append(
                f"{result.name}: it reached {result.workers_reached} of "
                f"{result.workers_wanted} workers"
            )
    return reasons


def join_messages(messages: Iterable[Any]) -> dict[str, Any]:
    """The files that the workload sent through Dagster Pipes, by name, as parsed JSON.

    Args:
        messages: The custom messages of the session; those of others are passed over.

    Raises:
        ArtifactError: a part is missing or damaged.
    """
    parts: dict[str, dict[int, str]] = {}
    counts: dict[str, int] = {}
    try:
        for message in messages:
            if not isinstance(message, Mapping) or MESSAGE_KEY not in message:
                continue
            part = message[MESSAGE_KEY]
            parts.setdefault(part["file"], {})[int(part["part"])] = part["data"]
            counts[part["file"]] = int(part["of"])
        files = {}
        for name, count in counts.items():
            packed = "".join(parts[name][number] for number in range(count))
            files[name] = json.loads(zlib.decompress(base64.b64decode(packed, validate=True)))
    except (KeyError, TypeError, ValueError, zlib.error) as error:
        raise ArtifactError(
            f"the workload's results arrived damaged or in part: {error!r}",
            where="the Ray job's log",
            fix=_FIX,
        ) from error
    return files
