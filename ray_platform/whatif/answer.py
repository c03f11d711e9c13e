"""The answer to a what-if: measured, unchanged and proposed side by side, and how far to trust it."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from ray_platform.config.node_pools import NodePool
from ray_platform.text.errors import SettingsError
from ray_platform.text.markdown import code
from ray_platform.whatif.demand import Group, ReplayOutcome

_BOUNDS = re.compile(r"(\d+):(\d+)")


@dataclass(frozen=True)
class Answer:
    """A recorded burst as it went, replayed on what it ran on, and on what is proposed.

    ``before`` and ``after`` are the worker groups of the two replays; ``own_boots``: boot times were given,
    so that the unchanged replay is not meant to come out as it was measured.
    """

    environment: str
    run_id: str
    before: tuple[Group, ...]
    after: tuple[Group, ...]
    measured: ReplayOutcome
    unchanged: ReplayOutcome
    proposed: ReplayOutcome
    own_boots: bool = False

    @property
    def error_seconds_to_reach(self) -> float:
        """How far the unchanged replay is from what was measured, as a share of it: waiting for workers."""
        return _share(self.unchanged.seconds_to_reach, self.measured.seconds_to_reach)

    @property
    def error_seconds(self) -> float:
        """The same for the seconds of the whole burst."""
        return _share(self.unchanged.seconds, self.measured.seconds)

    @property
    def error_node_hours(self) -> float:
        """The same for node-hours."""
        return _share(_hours(self.unchanged), _hours(self.measured))

    def to_json(self) -> dict[str, Any]:
        """Times in seconds, money as strings in US dollars, errors as shares (0.05 is 5 %), or None."""
        return {
            "environment": self.environment,
            "run_id": self.run_id,
            "workers": {"unchanged": _bounds(self.before), "proposed": _bounds(self.after)},
            "measured": _json(self.measured),
            "unchanged": _json(self.unchanged),
            "proposed": _json(self.proposed),
            "error": None
            if self.own_boots
            else {
                "seconds_to_reach": round(self.error_seconds_to_reach, 4),
                "seconds": round(self.error_seconds, 4),
                "node_hours": round(self.error_node_hours, 4),
            },
        }

    def to_markdown(self) -> str:
        """A table of the phases, the sums below it, and what the replay is worth."""
        three = (self.measured, self.unchanged, self.proposed)
        out = [
            f"Burst run {code(self.run_id)} in {self.environment}, from {code(_text(self.before))} "
            f"to {code(_text(self.after))}",
            "",
            "| | measured | unchanged, replayed | proposed, replayed |",
            "|---|--:|--:|--:|",
        ]
        for number, phase in enumerate(self.measured.phases):
            cells = " | ".join(_reach(outcome, number) for outcome in three)
            out.append(f"| {phase.name}, {phase.tasks} workers: s to reach | {cells} |")
        rows = (
            ("all phases: s to reach", [_waiting(outcome) for outcome in three]),
            ("the whole burst: s", [f"{o.seconds:.1f}" for o in three]),
            ("node-hours", [f"{_hours(o):.4f}" for o in three]),
            ("US dollars", [f"{o.usd:.4f}" for o in three]),
            ("never met: tasks", [str(o.never) if o.never else "none" for o in three]),
            ("the minimum: US dollars an hour", [f"{o.usd_per_hour_idle:.4f}" for o in three]),
        )
        out += [f"| {name} | {' | '.join(cells)} |" for name, cells in rows]
        if self.measured.never == 0 and any(phase.unmet for phase in self.measured.phases):
            out += [
                "",
                "The measured run says how many workers did not come, not whether they could.",
            ]
        out += ["", self.trust()]
        return "\n".join(out) + "\n"

    def trust(self) -> str:
        """How close the replay of the unchanged groups comes to what was measured, in a sentence."""
        if self.own_boots:
            return (
                "Boot times were given: only the two replays compare, not with what was measured."
            )
        return (
            "Replayed unchanged, this run is off by "
            f"{self.error_seconds_to_reach:.0%} in seconds to reach, {self.error_seconds:.0%} in seconds "
            f"and {self.error_node_hours:.0%} in node-hours."
        )


def change_pools(
    pools: Sequence[NodePool], workers: str = "", spot: str = ""
) -> tuple[NodePool, ...]:
    """The pools with other bounds, or on spot capacity.

    Args:
        pools: As they are.
        workers: New bounds as in ``cpu=4:20,gpu=0:8``; pools that are not named stay.
        spot: Names of pools to put on spot, as in ``cpu,gpu``.

    Raises:
        SettingsError: a pool that is not there or carries no Ray workers, or malformed bounds.
    """
    changed = {pool.name: pool for pool in pools}
    for part in filter(None, (text.strip() for text in workers.split(","))):
        name, _, bounds = part.partition("=")
        found = _BOUNDS.fullmatch(bounds)
        if not found or int(found[1]) > int(found[2]):
            raise SettingsError(
                f"{part!r} names no bounds",
                where="--workers",
                fix="give NAME=MIN:MAX with MIN not above MAX, as in cpu=4:20,gpu=0:8",
            )
        pool = _worker_pool(changed, name, "--workers")
        changed[name] = replace(pool, min_size=int(found[1]), max_size=int(found[2]))
    for name in filter(None, (text.strip() for text in spot.split(","))):
        changed[name] = replace(_worker_pool(changed, name, "--spot"), spot=True)
    return tuple(changed.values())


def same_workers(old: Sequence[NodePool], new: Sequence[NodePool]) -> bool:
    """Whether two sets of pools carry the same Ray workers: groups, types, bounds, and kind of capacity."""

    def seen(pools: Sequence[NodePool]) -> set[tuple[Any, ...]]:
        return {
            (pool.name, pool.instance_types, pool.min_size, pool.max_size, pool.gpu, pool.spot)
            for pool in pools
            if pool.ray_workers
        }

    return seen(old) == seen(new)


def _worker_pool(pools: Mapping[str, NodePool], name: str, where: str) -> NodePool:
    pool = pools.get(name)
    if pool is None or not pool.ray_workers:
        able = ", ".join(sorted(pool.name for pool in pools.values() if pool.ray_workers))
        raise SettingsError(
            f"no node pool {name!r} carries Ray workers", where=where, fix=f"use one of: {able}"
        )
    return pool


def _hours(outcome: ReplayOutcome) -> float:
    return sum(outcome.node_hours.values())


def _share(value: float, truth: float) -> float:
    return abs(value - truth) / truth if truth else 0.0


def _bounds(groups: Sequence[Group]) -> dict[str, Any]:
    return {
        group.name: {
            "min": group.min,
            "max": group.max,
            "instance_type": group.instance_type,
            "spot": group.spot,
            "usd_per_hour": str(group.usd_per_hour),
        }
        for group in groups
    }


def _text(groups: Sequence[Group]) -> str:
    return ",".join(
        f"{group.name}={group.min}:{group.max}{' spot' if group.spot else ''}" for group in groups
    )


def _reach(outcome: ReplayOutcome, number: int) -> str:
    phase = outcome.phases[number]
    if phase.seconds_to_reach is not None:
        return f"{phase.seconds_to_reach:.1f}"
    return f"{phase.unmet} of {phase.tasks} did not come"


def _waiting(outcome: ReplayOutcome) -> str:
    reached = sum(phase.seconds_to_reach is not None for phase in outcome.phases)
    of = "" if reached == len(outcome.phases) else f" in {reached} of {len(outcome.phases)} phases"
    return f"{outcome.seconds_to_reach:.1f}{of}"


def _json(outcome: ReplayOutcome) -> dict[str, Any]:
    return {
        "phases": [
            {
                "name": phase.name,
                "tasks": phase.tasks,
                "seconds_to_reach": phase.seconds_to_reach,
                "low": phase.low,
                "high": phase.high,
                "unmet": phase.unmet,
                "never": phase.never,
            }
            for phase in outcome.phases
        ],
        "seconds_to_reach": round(outcome.seconds_to_reach, 3),
        "seconds": round(outcome.seconds, 3),
        "node_hours": {name: round(hours, 6) for name, hours in outcome.node_hours.items()},
        "usd": str(outcome.usd),
        "usd_per_hour_at_minimum": str(outcome.usd_per_hour_idle),
        "never_met": outcome.never,
    }
