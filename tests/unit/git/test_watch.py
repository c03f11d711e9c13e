"""Sensor and schedules as Dagster evaluates them, and the one message of a failed run."""

import shutil
import subprocess
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import dagster as dg
import pytest

from ray_platform.config.settings import load_settings
from ray_platform.definitions import defs
from ray_platform.defs.daily_cost_report import daily_costs
from ray_platform.defs.drift_report import hourly_drift
from ray_platform.defs.failed_runs import failed_runs, failure_message
from ray_platform.defs.git_pushes import git_pushes
from ray_platform.defs.resources import EnvironmentSessions
from ray_platform.records.records_store import Records
from ray_platform.store.artifact_store import Artifacts, FileStore
from ray_platform.text.errors import NotApproved
from tests.unit.records.test_records_store import APPLIED

ROOT = Path(__file__).resolve().parents[3]


@pytest.fixture
def checkout(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A committed checkout with `local` applied at its commit, as the settings of this process."""
    root = tmp_path / "checkout"
    root.mkdir()
    for part in ("environments", "terraform/environments"):
        shutil.copytree(ROOT / part, root / part)
    shutil.copy(ROOT / "workspace.yaml", root)
    git(root, "init", "--quiet", "--initial-branch=main")
    commit = committed(root)
    monkeypatch.setenv("RAY_PLATFORM_ROOT", str(root))
    monkeypatch.setenv("RAY_PLATFORM_HOME", str(tmp_path / "home"))
    load_settings.cache_clear()
    records = Records(Artifacts(FileStore(tmp_path / "home" / "artifacts")), "local")
    records.save_applied(APPLIED.__class__(**{**APPLIED.to_json(), "commit": commit}))
    yield root
    load_settings.cache_clear()


def git(root: Path, *arguments: str) -> str:
    identity = ["-c", "user.name=t", "-c", "user.email=t@example.invalid"]
    return subprocess.run(
        ["git", "-C", str(root), *identity, *arguments], capture_output=True, text=True, check=True
    ).stdout.strip()


def committed(root: Path) -> str:
    git(root, "add", "--all")
    git(root, "commit", "--quiet", "--message", "A change")
    return git(root, "rev-parse", "HEAD")


def tick(cursor: str | None = None) -> dg.SensorResult:
    with dg.instance_for_test() as instance:
        context = dg.build_sensor_context(instance=instance, cursor=cursor, definitions=defs())
        result = git_pushes(context)
    assert isinstance(result, dg.SensorResult)
    return result


def test_a_push_becomes_one_run_of_the_assets_that_it_touches(checkout: Path) -> None:
    first = tick()
    assert not first.run_requests
    chart = checkout / "helm" / "ray"
    chart.mkdir(parents=True)
    (chart / "values.yaml").write_text("x: 1", encoding="utf-8")
    commit = committed(checkout)
    second = tick(first.cursor)
    assert second.run_requests is not None
    (request,) = second.run_requests
    assert request.run_key == f"{commit}-local"
    assert request.partition_key == "local"
    assert request.asset_selection == [dg.AssetKey("ray_cluster")]
    assert request.tags["ray_platform/commit"] == commit
    assert request.tags["ray_platform/change"] == "local"
    assert not tick(second.cursor).run_requests


def test_where_people_must_approve_a_push_is_planned_and_waits(checkout: Path) -> None:
    file = checkout / "environments" / "local.toml"
    text = file.read_text(encoding="utf-8")
    file.write_text(text.replace("required = 0", "required = 1"), encoding="utf-8")
    committed(checkout)
    (request,) = tick().run_requests or []
    assert request.asset_selection == [dg.AssetKey("terraform_plan")]


def test_a_policy_change_asks_for_the_check_alone(checkout: Path) -> None:
    (checkout / "policies").mkdir()
    (checkout / "policies" / "data.json").write_text("{}", encoding="utf-8")
    committed(checkout)
    (request,) = tick().run_requests or []
    assert request.asset_selection == []
    assert [key.name for key in request.asset_check_keys or []] == ["policy"]


def test_the_daily_report_is_asked_for_once_a_day_for_the_day_before(checkout: Path) -> None:
    at = datetime(2026, 11, 21, 0, 30, tzinfo=UTC)
    requests = list(daily_costs(dg.build_schedule_context(scheduled_execution_time=at)))
    assert [(r.run_key, str(r.partition_key)) for r in requests] == [
        ("cost-2026-11-20-local", "2026-11-20|local")
    ]


def test_drift_is_looked_for_every_hour_where_it_is_switched_on(checkout: Path) -> None:
    at = datetime(2026, 11, 21, 13, 7, tzinfo=UTC)
    requests = list(hourly_drift(dg.build_schedule_context(scheduled_execution_time=at)))
    assert [(r.run_key, str(r.partition_key)) for r in requests] == [
        ("drift-2026-11-21T13-local", "local")
    ]


def test_nothing_is_scheduled_where_nothing_is_switched_on(checkout: Path) -> None:
    file = checkout / "environments" / "local.toml"
    text = file.read_text(encoding="utf-8")
    file.write_text(text.replace("hourly_drift = true", "hourly_drift = false"), encoding="utf-8")
    (answer,) = hourly_drift(
        dg.build_schedule_context(
            scheduled_execution_time=datetime(2026, 11, 21, 13, 7, tzinfo=UTC)
        )
    )
    assert isinstance(answer, dg.SkipReason)


def test_a_failed_run_is_told_in_one_message(
    checkout: Path, instance: dg.DagsterInstance, capsys: pytest.CaptureFixture[str]
) -> None:
    @dg.op
    def refuse(context: dg.OpExecutionContext, sessions: EnvironmentSessions) -> None:
        with sessions.open(context):
            raise NotApproved("the plan has 0 of 2 approvals", where="prod", fix="ask two people")

    @dg.job(
        partitions_def=dg.StaticPartitionsDefinition(["local"]),
        resource_defs={"sessions": EnvironmentSessions()},
    )
    def change() -> None:
        refuse()

    done = change.execute_in_process(instance=instance, partition_key="local", raise_on_error=False)
    context = dg.build_run_status_sensor_context(
        sensor_name="failed_runs",
        dagster_instance=instance,
        dagster_run=done.dagster_run,
        dagster_event=done.get_run_failure_event(),
    ).for_run_failure()
    capsys.readouterr()
    failed_runs(context)
    said = capsys.readouterr().err
    assert "change failed for local at the working tree" in said
    assert "the plan has 0 of 2 approvals" in said
    assert "what to do: ask two people" in said
    assert done.run_id in said


def test_the_message_of_a_failed_run_holds_no_secret() -> None:
    token = "ghp_" + "a1B2c3D4e5" * 4
    said = failure_message(
        job="up", run_id="r", partition="local", commit="", steps={"s": (f"token {token}", "x")}
    )
    assert token not in said
