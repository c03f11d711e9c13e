"""What-if through Ray's real autoscaler, against bursts that really ran (tests/data/burst_local_*.json).

The two recordings are the metrics of two runs of `ray-platform up` in `local`, on 2 cores.
"""

import json
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from ray_platform.cli import cli
from ray_platform.config.settings import Settings
from ray_platform.records.infra_version import Applied
from ray_platform.run_history.burst_metrics import BurstMetrics, read_metrics
from ray_platform.session.environment_session import EnvironmentSession, open_session
from ray_platform.text.errors import SettingsError
from ray_platform.whatif import simulate
from ray_platform.whatif.answer import Answer, change_pools
from ray_platform.whatif.demand import (
    Group,
    ReplayOutcome,
    measured_outcome,
    measured_pace,
    recorded_burst,
)
from ray_platform.whatif.ray_scheduler_client import RayScheduler
from ray_platform.whatif.replay import replay
from tests.support.sessions import changed, environment_with

pytestmark = pytest.mark.real
ROOT = Path(__file__).resolve().parents[3]
PRICE = Decimal("0.192")


def recorded(name: str) -> Any:
    return json.loads((ROOT / f"tests/data/burst_local_{name}.json").read_text(encoding="utf-8"))


def groups(cpu: tuple[int, int] = (2, 10), gpu: tuple[int, int] = (0, 5)) -> tuple[Group, ...]:
    return (
        Group("cpu", "m5.xlarge", 1, 0, *cpu, usd_per_hour=PRICE),
        Group("gpu", "g4dn.xlarge", 1, 1, *gpu, usd_per_hour=Decimal("0.526")),
    )


def replayed(
    metrics: BurstMetrics, on: tuple[Group, ...], paced_by: BurstMetrics | None = None
) -> ReplayOutcome:
    pace = measured_pace(
        paced_by or metrics, beat_seconds=1, idle_timeout_seconds=6, reach_timeout_seconds=60
    )
    burst = recorded_burst(metrics, hold_seconds=6)
    return replay(burst, on, pace, lambda: RayScheduler(on, burst.task, 6), replays=5)


@pytest.mark.parametrize(("run", "paced_by"), [("a", "a"), ("b", "b"), ("a", "b"), ("b", "a")])
def test_an_unchanged_replay_comes_close_to_what_was_measured(run: str, paced_by: str) -> None:
    metrics, other = read_metrics(recorded(run)), read_metrics(recorded(paced_by))
    outcome, measured = replayed(metrics, groups(), other), measured_outcome(metrics, groups())
    answer = Answer("local", run, groups(), groups(), measured, outcome, outcome)
    print(f"\nrun {run} at the pace of run {paced_by}: {answer.trust()}")
    assert answer.error_seconds_to_reach < 0.2
    assert answer.error_seconds < 0.1
    assert answer.error_node_hours < 0.15
    assert all(phase.never == 0 for phase in outcome.phases)


def test_a_lower_maximum_leaves_demand_that_is_never_met() -> None:
    metrics = read_metrics(recorded("a"))
    outcome = replayed(metrics, groups((2, 6), (0, 0)))
    unmet = {phase.name: phase.never for phase in outcome.phases if phase.never}
    assert unmet == {"peak": 4, "sustained": 2}


def test_tasks_without_a_gpu_spill_over_to_gpu_nodes_once_the_cpu_group_is_full() -> None:
    metrics = read_metrics(recorded("a"))
    outcome = replayed(metrics, groups((2, 8), (0, 5)))
    assert outcome.never == 0
    assert 0 < outcome.node_hours["gpu"] < outcome.node_hours["cpu"]
    assert "gpu" not in replayed(metrics, groups((2, 10), (0, 5))).node_hours


def test_workers_that_always_stand_end_the_waiting_and_cost_more() -> None:
    metrics = read_metrics(recorded("a"))
    usual, standing = replayed(metrics, groups()), replayed(metrics, groups((10, 10)))
    assert standing.seconds_to_reach < usual.seconds_to_reach / 2
    assert standing.seconds < usual.seconds
    assert standing.usd > usual.usd
    assert standing.usd_per_hour_idle == 5 * usual.usd_per_hour_idle


# In the plan -----------------------------------------------------------------------------------


@pytest.fixture
def session(tmp_path: Path) -> EnvironmentSession:
    """`local`, applied as its variables file says, with nothing recorded yet."""
    made = open_session(Settings(ROOT, tmp_path, {}), "local")
    digest = made.artifacts.put_content("variables", dict(made.environment.variables))
    made.records.save_applied(
        Applied("c", "", "c", digest, "l", "p", "lineage", 1, {}, "policies", "prices")
    )
    return made


def resized(session: EnvironmentSession, size: int) -> EnvironmentSession:
    """The variables file asks for another maximum of the pool cpu than what is applied."""
    pools = change_pools(session.environment.node_pools, f"cpu=2:{size}")
    return changed(session, environment=environment_with(session.environment, node_pools=pools))


def record(session: EnvironmentSession, name: str) -> str:
    version = session.records.record_infra_version()
    assert version is not None
    metrics = recorded(name)
    session.artifacts.write(f"runs/{metrics['run_id']}/metrics.json", metrics)
    simulate.remember(session, metrics["run_id"], version)
    return str(metrics["run_id"])


def test_a_plan_that_changes_worker_groups_carries_the_numbers(session: EnvironmentSession) -> None:
    run_id = record(session, "a")
    assert simulate.for_plan(session) is None  # nothing changes yet
    session = resized(session, 6)
    made = simulate.for_plan(session)
    assert made is not None
    text, facts = made
    assert facts["run_id"] == run_id
    assert facts["workers"]["proposed"]["cpu"]["max"] == 6
    assert facts["workers"]["unchanged"]["cpu"]["max"] == 10
    assert facts["proposed"]["node_hours"]["gpu"] > 0 == facts["unchanged"]["never_met"]
    assert "| node-hours |" in text


def test_a_plan_without_a_recorded_burst_says_so_and_goes_on(session: EnvironmentSession) -> None:
    session = resized(session, 6)
    made = simulate.for_plan(session)
    assert made is not None
    assert "no burst run is recorded in local" in made[0]
    assert "no burst run is recorded in local" in made[1]["error"]


def test_a_plan_whose_recording_is_damaged_says_so_and_goes_on(session: EnvironmentSession) -> None:
    run_id = record(session, "b")
    session.artifacts.store.put(f"runs/{run_id}/metrics.json", b"{")
    session = resized(session, 6)
    made = simulate.for_plan(session)
    assert made is not None
    assert "is not JSON" in made[1]["error"]


# The command -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["--boot-seconds", "-3"], "'-3' are no boot times"),
        (["--boot-seconds", "fast"], "'fast' are no boot times"),
        (["--workers", "cpu=9:3"], "'cpu=9:3' names no bounds"),
        (["--spot", "system"], "no node pool 'system' carries Ray workers"),
        (["--env", "moon"], "there is no environment 'moon'"),
    ],
)
def test_a_mistyped_option_is_answered_before_anything_is_read(
    arguments: list[str], told: str
) -> None:
    done = CliRunner().invoke(cli, ["whatif", *arguments])
    assert isinstance(done.exception, SettingsError)
    assert told in str(done.exception)
    assert "what to do" in str(done.exception)
