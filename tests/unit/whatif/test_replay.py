"""What-if without Ray: the replay's clock, its draws, its sums, and what the options mean."""

import json
from dataclasses import replace
from decimal import Decimal
from pathlib import Path

import pytest

from ray_platform.config.node_pools import NodePool
from ray_platform.run_history.burst_metrics import BurstMetrics, read_metrics
from ray_platform.text.errors import NotFoundError, SettingsError
from ray_platform.whatif.answer import Answer, change_pools, same_workers
from ray_platform.whatif.demand import (
    Burst,
    Group,
    Pace,
    ReplayOutcome,
    Task,
    Wave,
    measured_outcome,
    measured_pace,
    recorded_burst,
)
from ray_platform.whatif.replay import replay
from tests.support.one_group_scheduler import OneGroup

DATA = Path(__file__).resolve().parents[2] / "data"
CPU = Group("cpu", "m5.xlarge", 1, 0, min=2, max=10, usd_per_hour=Decimal("0.192"))
PACE = Pace(
    first_boot=(10.0,),
    next_boot=(),
    fresh_start=(1.0,),
    warm_start=(0.0,),
    beat_seconds=1,
    idle_timeout_seconds=6,
    reach_timeout_seconds=60,
)


def burst(*waves: tuple[int, float], nodes: int = 2) -> Burst:
    named = tuple(Wave(f"phase {at}", tasks, hold) for at, (tasks, hold) in enumerate(waves, 1))
    return Burst(named, Task(1), {"cpu": nodes})


def run(of: Burst, group: Group = CPU, pace: Pace = PACE) -> ReplayOutcome:
    return replay(of, (group,), pace, lambda: OneGroup(group, pace.idle_timeout_seconds))


def recorded(name: str) -> BurstMetrics:
    return read_metrics(json.loads((DATA / f"burst_local_{name}.json").read_text(encoding="utf-8")))


def test_a_phase_that_finds_its_workers_waits_for_their_tasks_alone() -> None:
    outcome = run(burst((2, 30)))
    assert outcome.phases[0].seconds_to_reach == 1.0
    assert outcome.seconds == 31.0
    assert outcome.node_hours == {"cpu": pytest.approx(2 * 31 / 3600)}
    assert outcome.usd == (Decimal("0.192") * Decimal(62) / 3600).quantize(Decimal("0.000001"))


def test_a_phase_that_grows_waits_for_the_beat_the_boot_and_the_task() -> None:
    reach = run(burst((5, 30))).phases[0]
    assert reach.low is not None and reach.high is not None
    assert 11 <= reach.low <= reach.high <= 12  # within one beat


def test_nodes_that_come_one_after_another_take_longer_than_nodes_that_come_by_themselves() -> None:
    serial = run(burst((5, 30)), pace=replace(PACE, next_boot=(3.0,)))
    together = run(burst((5, 30)))
    assert serial.seconds_to_reach == pytest.approx(together.seconds_to_reach + 2 * 3.0, abs=0.01)


def test_demand_above_the_maximum_is_never_met_and_the_next_phase_follows_the_timeout() -> None:
    outcome = run(burst((12, 30), (3, 5)))
    first, second = outcome.phases
    assert (first.seconds_to_reach, first.unmet, first.never) == (None, 2, 2)
    assert second.seconds_to_reach is not None
    assert outcome.never == 2
    assert outcome.seconds == pytest.approx(60 + second.seconds_to_reach + 5)


def test_demand_that_would_have_come_too_late_is_unmet_but_not_never() -> None:
    outcome = run(burst((5, 30)), pace=replace(PACE, first_boot=(90.0,)))
    assert (outcome.phases[0].unmet, outcome.phases[0].never) == (3, 0)


def test_a_higher_minimum_is_there_at_once_and_costs_while_nothing_runs() -> None:
    low, high = run(burst((8, 30))), run(burst((8, 30)), replace(CPU, min=8))
    assert high.seconds_to_reach == 1.0 < low.seconds_to_reach
    assert high.usd_per_hour_idle == 4 * low.usd_per_hour_idle == Decimal("1.536")


def test_nodes_that_idle_past_the_timeout_are_not_paid_any_longer() -> None:
    kept = run(burst((6, 10), (2, 60)), pace=replace(PACE, idle_timeout_seconds=1000))
    ended = run(burst((6, 10), (2, 60)))
    saved = (kept.node_hours["cpu"] - ended.node_hours["cpu"]) * 3600
    assert saved == pytest.approx(4 * (60 - 6), abs=8)  # four nodes, a beat or two each


def test_a_replay_is_the_same_each_time() -> None:
    pace = replace(PACE, first_boot=(8.0, 10.0, 15.0), fresh_start=(0.5, 1.5))
    assert run(burst((7, 3), (9, 4)), pace=pace) == run(burst((7, 3), (9, 4)), pace=pace)


def test_a_recorded_run_gives_its_demand_and_its_pace() -> None:
    metrics = recorded("a")
    demand = recorded_burst(metrics, hold_seconds=6)
    assert [wave.tasks for wave in demand.waves] == [2, 5, 10, 8, 4, 2]
    assert all(5.9 < wave.hold_seconds < 6.5 for wave in demand.waves)
    assert demand.nodes == {"cpu": 2}
    pace = pace_of(metrics)
    assert len(pace.first_boot) == 2  # the two phases that grew
    assert len(pace.next_boot) == (5 - 2 - 1) + (10 - 5 - 1)
    grown = [p for p in metrics.phases if p.name in ("small burst", "peak")]
    for phase, first in zip(grown, pace.first_boot, strict=True):
        assert phase.seconds_to_reach is not None
        assert 0 < first < phase.seconds_to_reach


def pace_of(metrics: BurstMetrics, *boots: float) -> Pace:
    return measured_pace(
        metrics,
        beat_seconds=1,
        idle_timeout_seconds=6,
        reach_timeout_seconds=180,
        boot_seconds=boots,
    )


def test_a_run_that_started_no_node_needs_boot_times() -> None:
    metrics = recorded("a")
    stood = tuple(replace(node, start=metrics.started) for node in metrics.node_intervals)
    still = replace(metrics, node_intervals=stood)
    with pytest.raises(NotFoundError, match="started no node"):
        pace_of(still)
    assert pace_of(still, 75.0, 90.0).first_boot == (75.0, 90.0)
    assert pace_of(still, 75.0).next_boot == ()  # each boots by itself


def test_bounds_and_spot_change_the_pools_that_are_named() -> None:
    pools = (NodePool("cpu", ("m5.xlarge",), 2, 10), NodePool("gpu", ("g4dn.xlarge",), 0, 5))
    cpu, gpu = change_pools(pools, "cpu=4:20, gpu=0:8", "cpu")
    assert (cpu.min_size, cpu.max_size, cpu.spot) == (4, 20, True)
    assert (gpu.min_size, gpu.max_size, gpu.spot) == (0, 8, False)
    assert change_pools(pools) == pools
    assert same_workers(pools, change_pools(pools, "cpu=2:10"))
    assert not same_workers(pools, change_pools(pools, "cpu=2:9"))
    assert not same_workers(pools, change_pools(pools, spot="gpu"))


@pytest.mark.parametrize(
    ("workers", "spot", "told"),
    [
        ("cpu", "", "names no bounds"),
        ("cpu=9:3", "", "names no bounds"),
        ("cpu=-1:3", "", "names no bounds"),
        ("tpu=1:2", "", "use one of: cpu"),
        ("system=1:2", "", "use one of: cpu"),
        ("", "tpu", "use one of: cpu"),
    ],
)
def test_a_mistyped_option_is_told_with_what_would_be_right(
    workers: str, spot: str, told: str
) -> None:
    pools = (
        NodePool("cpu", ("m5.xlarge",), 2, 10),
        NodePool("system", ("m6i.large",), 1, 3, ray_workers=False),
    )
    with pytest.raises(SettingsError, match=told):
        change_pools(pools, workers, spot)


def test_the_answer_says_how_far_the_unchanged_replay_is_from_what_was_measured() -> None:
    metrics = recorded("a")
    measured = measured_outcome(metrics, (CPU,))
    assert measured.seconds_to_reach == pytest.approx(
        sum(p.seconds_to_reach or 0 for p in metrics.phases)
    )
    twice = replace(measured, seconds=measured.seconds * 2)
    answer = Answer("local", metrics.run_id, (CPU,), (CPU,), measured, twice, twice)
    assert answer.error_seconds == pytest.approx(1.0)
    assert (answer.error_seconds_to_reach, answer.error_node_hours) == (0, 0)
    assert "off by 0% in seconds to reach, 100% in seconds" in answer.to_markdown()
    assert answer.to_json()["error"]["seconds"] == 1.0


def test_with_boot_times_of_ones_own_nothing_is_claimed_of_what_was_measured() -> None:
    metrics = recorded("a")
    measured = measured_outcome(metrics, (CPU,))
    answer = Answer("local", "r", (CPU,), (CPU,), measured, measured, measured, own_boots=True)
    assert answer.to_json()["error"] is None
    assert "off by" not in answer.to_markdown()


def test_phases_that_got_no_workers_are_not_hidden_in_the_sum() -> None:
    lacking = run(burst((12, 30), (2, 5)))
    answer = Answer("local", "r", (CPU,), (CPU,), lacking, lacking, lacking)
    assert "2 of 12 did not come" in answer.to_markdown()
    assert "in 1 of 2 phases" in answer.to_markdown()
