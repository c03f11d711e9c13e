"""The replay of a burst on worker groups: a simulation by events, in which time passes in an instant.

At each beat of the autoscaler a `Scheduler` (in use: Ray's own, ``clients/ray_scheduler.py``) sees nodes and
waiting tasks and decides. As in ``workloads/bursty_training.py``, a phase asks for its workers all at once,
starts when all of them are there, and holds them for as long as it did when it was recorded.

How long a node takes to come is drawn from the samples of the `Pace`. Several replays with different draws
are summed up by their medians.
"""

import random
import statistics
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from ray_platform.whatif.demand import (
    Burst,
    Group,
    NodeView,
    Pace,
    PhaseOutcome,
    ReplayOutcome,
    Scheduler,
    Task,
    Wave,
    cost,
    cost_of_minimum,
)

REPLAYS = 9


def replay(
    burst: Burst,
    groups: Sequence[Group],
    pace: Pace,
    scheduler: Callable[[], Scheduler],
    *,
    replays: int = REPLAYS,
) -> ReplayOutcome:
    """Replay a burst on worker groups, several times, and sum it up by the medians.

    Args:
        burst: The demand. Nodes that were up at its beginning are there again, within the groups' bounds.
        groups: The worker groups.
        pace: How fast nodes and tasks come.
        scheduler: Makes a scheduler for these groups; one for each replay.
        replays: How many; the draws of the n-th are the same whatever the groups are.
    """
    found = [_Replay(burst, groups, pace, scheduler(), seed).run() for seed in range(replays)]
    phases = []
    for number, wave in enumerate(burst.waves):
        each = [run.phases[number] for run in found]
        reached = sorted(p.seconds_to_reach for p in each if p.seconds_to_reach is not None)
        often = len(reached) * 2 > replays
        phases.append(
            PhaseOutcome(
                wave.name,
                wave.tasks,
                round(statistics.median(reached), 3) if often else None,
                unmet=0 if often else max(p.unmet for p in each),
                never=0 if often else max(p.never for p in each),
                low=round(reached[0], 3) if reached else None,
                high=round(reached[-1], 3) if reached else None,
            )
        )
    names = [group.name for group in groups]
    hours = {
        name: statistics.median(run.node_seconds.get(name, 0.0) for run in found) / 3600
        for name in names
    }
    return ReplayOutcome(
        phases=tuple(phases),
        seconds=round(statistics.median(run.seconds for run in found), 3),
        node_hours={name: value for name, value in hours.items() if value},
        usd=cost(hours, groups),
        usd_per_hour_idle=cost_of_minimum(groups),
    )


@dataclass
class _Node:
    node_id: str
    group: Group
    ready: float
    idle_since: float
    used: bool = False
    tasks: int = 0

    def free(self, task: Task) -> tuple[float, float]:
        return (
            self.group.cpus - task.cpus * self.tasks,
            self.group.gpus - task.gpus * self.tasks,
        )


@dataclass
class _Run:
    phases: list[PhaseOutcome] = field(default_factory=list)
    node_seconds: dict[str, float] = field(default_factory=dict)
    seconds: float = 0.0


class _Replay:
    """One replay: a clock, the nodes, and the scheduler's beat."""

    def __init__(
        self,
        burst: Burst,
        groups: Sequence[Group],
        pace: Pace,
        scheduler: Scheduler,
        seed: int,
    ) -> None:
        self.burst, self.pace, self.scheduler = burst, pace, scheduler
        self.groups = {group.name: group for group in groups}
        self.random = random.Random(seed)  # noqa: S311  (a simulation, the same each time)
        self.now = 0.0
        self.nodes: dict[str, _Node] = {}
        self.count = 0
        self.last_ready = 0.0
        self.infeasible = 0
        self.result = _Run()
        self.next_beat = self.random.uniform(0, pace.beat_seconds)
        for group in groups:
            for _ in range(min(group.max, max(group.min, burst.nodes.get(group.name, 0)))):
                self._add(group, 0.0)

    def run(self) -> _Run:
        for wave in self.burst.waves:
            self._wave(wave)
        for node_id in list(self.nodes):
            self._end(node_id)
        self.result.seconds = self.now
        return self.result

    def _wave(self, wave: Wave) -> None:
        began, pending = self.now, wave.tasks
        arrivals: list[float] = []
        deadline = began + self.pace.reach_timeout_seconds
        while True:
            pending -= self._place(pending, arrivals)
            reached = max(arrivals, default=self.now) if not pending else None
            if reached is not None and reached <= deadline:
                self._pass(reached, pending=0)
                self._pass(reached + wave.hold_seconds, pending=0)
                self.result.phases.append(
                    PhaseOutcome(wave.name, wave.tasks, round(reached - began, 3))
                )
                break
            if self.now >= deadline:
                self.result.phases.append(
                    PhaseOutcome(
                        wave.name,
                        wave.tasks,
                        None,
                        unmet=pending,
                        never=min(pending, self.infeasible),
                    )
                )
                break
            self._step(deadline, pending)
        for node in self.nodes.values():
            if node.tasks:
                node.tasks, node.idle_since, node.used = 0, self.now, True

    def _place(self, pending: int, arrivals: list[float]) -> int:
        """Give waiting tasks to free nodes; returns how many."""
        task, placed = self.burst.task, 0
        while placed < pending:
            fitting = [
                node
                for node in self.nodes.values()
                if node.ready <= self.now and _fits(task, *node.free(task))
            ]
            if not fitting:
                break
            # Ray keeps tasks that need no GPU away from nodes that have one, while others are free.
            plain = [node for node in fitting if bool(node.group.gpus) == bool(task.gpus)]
            node = self.random.choice(plain or fitting)
            node.tasks += 1
            starts = self.pace.warm_start if node.used else self.pace.fresh_start
            arrivals.append(self.now + self.random.choice(starts))
            placed += 1
        return placed

    def _pass(self, until: float, *, pending: int) -> None:
        while self.now < until:
            self._step(until, pending)

    def _step(self, until: float, pending: int) -> None:
        """To the next thing that happens: a node comes up, or the autoscaler's beat."""
        coming = [node.ready for node in self.nodes.values() if node.ready > self.now]
        self.now = min([until, self.next_beat, *coming])
        if self.now >= self.next_beat:
            self.next_beat += self.pace.beat_seconds
            self._beat(pending)

    def _beat(self, pending: int) -> None:
        decision = self.scheduler.decide(
            [self._view(node) for node in self.nodes.values()], pending
        )
        self.infeasible = decision.infeasible
        for node_id in decision.terminate:
            self._end(node_id)
        lead = True
        for name in sorted(decision.launch):
            for _ in range(decision.launch[name]):
                self._add(self.groups[name], self._boot(lead))
                lead = False

    def _boot(self, lead: bool) -> float:
        """When the next node of a launch is up."""
        own = self.now + self.random.choice(self.pace.first_boot)
        if not self.pace.next_boot:
            return own
        after = self.last_ready + self.random.choice(self.pace.next_boot)
        self.last_ready = max(own, after) if lead else after
        return self.last_ready

    def _add(self, group: Group, ready: float) -> None:
        self.count += 1
        node_id = f"{group.name}-{self.count}"
        self.nodes[node_id] = _Node(node_id, group, ready, max(ready, self.now))

    def _end(self, node_id: str) -> None:
        node = self.nodes.pop(node_id)
        used = max(0.0, self.now - max(node.ready, 0.0))
        sums = self.result.node_seconds
        sums[node.group.name] = sums.get(node.group.name, 0.0) + used

    def _view(self, node: _Node) -> NodeView:
        up = node.ready <= self.now
        cpus, gpus = node.free(self.burst.task)
        idle = self.now - node.idle_since if up and not node.tasks else 0.0
        return NodeView(node.node_id, node.group.name, up, cpus, gpus, idle)


def _fits(task: Task, cpus: float, gpus: float) -> bool:
    return cpus >= task.cpus and gpus >= task.gpus
