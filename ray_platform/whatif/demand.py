"""What if: the demand of a recorded burst run, and what it takes on some worker groups.

Here stand the words: demand (`Burst`), worker groups with their prices (`Group`), how fast nodes and tasks
come (`Pace`), what an autoscaler sees and decides (`Scheduler`), and what a burst took (`Outcome`).
``whatif_replay.py`` replays one.

All times are seconds, money is US dollars. Node time is counted while the burst lasts, from the moment
that a node is up.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from itertools import pairwise
from typing import Protocol

from ray_platform.run_history.burst_metrics import BurstMetrics
from ray_platform.text.errors import NotFoundError

HEAD = "head"
_NO_BOOTS = "the recorded run started no node, so it says nothing of how long one takes"


@dataclass(frozen=True)
class Group:
    """A worker group: what one of its nodes offers to tasks, its bounds, and a node's price an hour."""

    name: str
    instance_type: str
    cpus: float
    gpus: float
    min: int
    max: int
    usd_per_hour: Decimal
    spot: bool = False


@dataclass(frozen=True)
class Task:
    """What one task asks for."""

    cpus: float
    gpus: float = 0


@dataclass(frozen=True)
class NodeView:
    """A node as the scheduler sees it; one that is not ``up`` is on its way."""

    node_id: str
    group: str
    up: bool
    free_cpus: float
    free_gpus: float
    idle_seconds: float


@dataclass(frozen=True)
class ScalingDecision:
    """Nodes to launch by group, ids of nodes to end, and tasks that fit on no node there may be."""

    launch: Mapping[str, int]
    terminate: tuple[str, ...]
    infeasible: int


class Scheduler(Protocol):
    """Decides as an autoscaler does, from the nodes and the number of waiting tasks."""

    def decide(self, nodes: Sequence[NodeView], pending: int) -> ScalingDecision: ...


@dataclass(frozen=True)
class Pace:
    """How fast things happen: samples to draw from, and the settings of the cluster.

    Args:
        first_boot: From the autoscaler's decision until the first node of a launch is up.
        next_boot: From one node of a launch to the next; empty: every node boots by itself, and takes
            a ``first_boot``.
        fresh_start: Until a task runs on a node that has run none before.
        warm_start: The same on one that has.
        beat_seconds: Between two decisions of the autoscaler.
        idle_timeout_seconds: Of a node.
        reach_timeout_seconds: How long a phase waits for its workers before it gives up.
    """

    first_boot: tuple[float, ...]
    next_boot: tuple[float, ...]
    fresh_start: tuple[float, ...]
    warm_start: tuple[float, ...]
    beat_seconds: float
    idle_timeout_seconds: float
    reach_timeout_seconds: float


@dataclass(frozen=True)
class Wave:
    """The demand of one phase: its tasks, and how long they train once all of them run."""

    name: str
    tasks: int
    hold_seconds: float


@dataclass(frozen=True)
class Burst:
    """The demand of a burst run, and the nodes by group that were up when it began."""

    waves: tuple[Wave, ...]
    task: Task
    nodes: Mapping[str, int]


@dataclass(frozen=True)
class PhaseOutcome:
    """One phase: seconds until all its tasks ran (None: never), and tasks that found no worker.

    ``never`` of them fit on no node that the groups allow; the others would have come later.
    """

    name: str
    tasks: int
    seconds_to_reach: float | None
    unmet: int = 0
    never: int = 0
    low: float | None = None
    high: float | None = None


@dataclass(frozen=True)
class ReplayOutcome:
    """A burst on some worker groups. ``low`` and ``high`` of a phase are the fastest and the slowest replay.

    ``usd`` is the price of the node-hours; ``usd_per_hour_idle`` that of the groups' minimum, burst or not.
    """

    phases: tuple[PhaseOutcome, ...]
    seconds: float
    node_hours: Mapping[str, float]
    usd: Decimal
    usd_per_hour_idle: Decimal

    @property
    def never(self) -> int:
        """The most tasks of one phase that no node could ever take."""
        return max((phase.never for phase in self.phases), default=0)

    @property
    def seconds_to_reach(self) -> float:
        """Waiting for workers, over all phases that got them."""
        return sum(phase.seconds_to_reach or 0.0 for phase in self.phases)


def recorded_burst(metrics: BurstMetrics, *, hold_seconds: float) -> Burst:
    """The demand of a recorded run.

    Args:
        metrics: What the run measured.
        hold_seconds: Of a phase that never trained, so that nothing was measured.
    """
    waves = []
    for phase in metrics.phases:
        held = phase.seconds - (phase.seconds_to_reach or 0.0)
        waves.append(
            Wave(
                phase.name,
                phase.workers_wanted,
                held if phase.seconds_to_reach is not None else hold_seconds,
            )
        )
    nodes: dict[str, int] = {}
    for node in metrics.node_intervals:
        stood = node.start <= metrics.started and (node.end is None or node.end > metrics.started)
        if node.group != HEAD and stood:
            nodes[node.group] = nodes.get(node.group, 0) + 1
    task = Task(metrics.cpus_per_task, 1 if metrics.device == "cuda" else 0)
    return Burst(tuple(waves), task, nodes)


def measured_pace(
    metrics: BurstMetrics,
    *,
    beat_seconds: float,
    idle_timeout_seconds: float,
    reach_timeout_seconds: float,
    boot_seconds: Sequence[float] = (),
) -> Pace:
    """How fast nodes and tasks came in a recorded run.

    A phase that grew tells when its nodes came. Its first one also waited for the autoscaler's next
    beat, half of one on average, which the replay adds by itself.

    Args:
        metrics: What the run measured.
        beat_seconds: Between two decisions of the autoscaler.
        idle_timeout_seconds: Of a node.
        reach_timeout_seconds: How long a phase waits for its workers.
        boot_seconds: Take these for the boot of a node instead of what was measured.

    Raises:
        NotFoundError: no node came while the run lasted, and no boot times are given.
    """
    first: list[float] = []
    gaps: list[float] = []
    fresh: list[float] = []
    warm: list[float] = []
    for number, phase in enumerate(metrics.phases):
        if phase.seconds_to_reach is None:
            continue
        reached = phase.started + phase.seconds_to_reach
        came = sorted(
            node.start
            for node in metrics.node_intervals
            if node.group != HEAD and phase.started < node.start <= reached
        )
        if came:
            first.append(max(0.0, came[0] - phase.started - beat_seconds / 2))
            gaps.extend(later - earlier for earlier, later in pairwise(came))
            fresh.append(reached - came[-1])
        elif number == 0:
            fresh.append(phase.seconds_to_reach)
        else:
            warm.append(phase.seconds_to_reach)
    if not first and not boot_seconds:
        raise NotFoundError(
            _NO_BOOTS, where=f"run {metrics.run_id}", fix="give --boot-seconds, or another --run"
        )
    return Pace(
        first_boot=tuple(boot_seconds) or tuple(first),
        next_boot=() if boot_seconds else tuple(gaps),
        fresh_start=tuple(fresh) or (0.0,),
        warm_start=tuple(warm) or (0.0,),
        beat_seconds=beat_seconds,
        idle_timeout_seconds=idle_timeout_seconds,
        reach_timeout_seconds=reach_timeout_seconds,
    )


def measured_outcome(metrics: BurstMetrics, groups: Sequence[Group]) -> ReplayOutcome:
    """What a recorded run itself took, priced like a replay; nodes of unknown groups cost nothing."""
    return ReplayOutcome(
        phases=tuple(
            PhaseOutcome(
                phase.name,
                phase.workers_wanted,
                phase.seconds_to_reach,
                unmet=max(0, phase.workers_wanted - phase.workers_reached),
            )
            for phase in metrics.phases
        ),
        seconds=metrics.seconds,
        node_hours=(hours := {name: secs / 3600 for name, secs in metrics.node_seconds().items()}),
        usd=cost(hours, groups),
        usd_per_hour_idle=cost_of_minimum(groups),
    )


def cost(hours: Mapping[str, float], groups: Sequence[Group]) -> Decimal:
    """US dollars for node-hours by group; those of a group that is not named cost nothing here."""
    prices = {group.name: group.usd_per_hour for group in groups}
    parts = (prices[name] * Decimal(value) for name, value in hours.items() if name in prices)
    return sum(parts, Decimal(0)).quantize(Decimal("0.000001"))


def cost_of_minimum(groups: Sequence[Group]) -> Decimal:
    """US dollars an hour for the nodes that always stand."""
    return sum((group.usd_per_hour * group.min for group in groups), Decimal(0))
