"""No way to an apply goes past burst runs that are live, unless somebody says so, and that is recorded."""

import json
import shutil
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import dagster as dg
import pytest

from ray_platform.change import destroy, gates
from ray_platform.change.apply import apply_plan
from ray_platform.change.make_plan import MadePlan
from ray_platform.config.partitions import INFRA_VERSION_TAG
from ray_platform.config.settings import Settings
from ray_platform.cost.estimate import estimate
from ray_platform.cost.session_parts import prices_of
from ray_platform.policy.policy_engine import PolicyEngine
from ray_platform.pull_requests.requests_now import PullRequestNow, RemovalIssueNow
from ray_platform.records.records_store import PlanRecord
from ray_platform.session.environment_session import (
    EnvironmentSession,
    make_policies,
    open_session,
    terraform_maker,
)
from ray_platform.terraform.plan import read_plan
from ray_platform.terraform.state import TerraformState
from ray_platform.text.errors import LiveRunsHarmed
from ray_platform.text.redaction import NOTHING
from tests.unit.records.test_records_store import RECORD

ROOT = Path(__file__).resolve().parents[3]
POOL = 'module.node_pools.aws_eks_node_group.this["cpu"]'


class Standing:
    """A Terraform whose state is the one that the plan was made from, and that must not apply."""

    def init(self) -> None:
        pass

    def state(self) -> TerraformState:
        return TerraformState(
            lineage=RECORD.state_lineage,
            serial=RECORD.state_serial,
            resources={},
            outputs={},
            marks={},
            sensitive_outputs=frozenset(),
            secrets=NOTHING,
        )

    def apply(self, file: Path) -> None:
        raise Applied


class Applied(Exception):
    """The gates let it through."""


def session(tmp_path: Path, instance: dg.DagsterInstance | None, **more: Any) -> EnvironmentSession:
    settings = Settings(ROOT, tmp_path / "home", {})
    return open_session(
        settings,
        "local",
        instance=instance,
        run_id="asking",
        parts={
            terraform_maker: lambda progress, watch: Standing(),
            make_policies: PolicyEngine(policies_that_let_the_pool_go(tmp_path)),
        },
        **more,
    )


def policies_that_let_the_pool_go(folder: Path) -> Path:
    """The policies with a reviewed exception, without which no pool is replaced."""
    policies = Path(shutil.copytree(ROOT / "policies", folder / "policies", dirs_exist_ok=True))
    until = datetime.now(UTC).date() + timedelta(days=30)
    (policies / "exceptions.toml").write_text(
        f"[[exception]]\nrule = 'deletion'\nresource = '{POOL}'\nenvironment = 'local'\n"
        f"owner = 'platform-team'\nreason = 'a new instance type'\nuntil = {until}\n"
    )
    return policies


def train(instance: dg.DagsterInstance, environment: str = "local", run_id: str = "") -> str:
    """A burst run that has started."""
    tags = {"dagster/partition": environment, INFRA_VERSION_TAG: "f" * 64}
    run = dg.DagsterRun(
        "burst", run_id=run_id or "training", status=dg.DagsterRunStatus.STARTED, tags=tags
    )
    return instance.add_run(run).run_id


def plan(at: EnvironmentSession, actions: list[str]) -> MadePlan:
    """A stored plan with ``actions`` on the pool `cpu`, and its record."""
    path = ROOT / "tests" / "data" / "plan_unchanged.json"
    content = json.loads(path.read_text(encoding="utf-8"))
    for item in content["resource_changes"]:
        if item["address"] == POOL:
            item["change"]["actions"] = actions
            if actions == ["delete"]:
                item["change"]["after"] = None
    made = read_plan(content)
    record: PlanRecord = replace(RECORD, environment="local", plan_digest=made.digest)
    at.records.save_plan(record, file=b"a saved plan", plan_json=content, text="")
    return MadePlan(record, made, estimate(made, prices_of(at)))


def test_an_apply_that_replaces_a_pool_waits_for_the_run_on_it(
    tmp_path: Path, instance: dg.DagsterInstance
) -> None:
    here = session(tmp_path, instance)
    plan(here, ["delete", "create"])
    run_id = train(instance)
    with pytest.raises(LiveRunsHarmed) as refused:
        apply_plan(here, None, progress=print, request=PullRequestNow())
    assert run_id in refused.value.what and POOL in refused.value.what
    assert "--despite-live-runs" in refused.value.fix
    instance.report_run_failed(instance.get_run_by_id(run_id))  # type: ignore[arg-type]
    with pytest.raises(Applied):
        apply_plan(here, None, progress=print, request=PullRequestNow())


def test_a_removal_waits_too(tmp_path: Path, instance: dg.DagsterInstance) -> None:
    here = session(tmp_path, instance)
    made = plan(here, ["delete"])
    train(instance)
    with pytest.raises(LiveRunsHarmed):
        removal = replace(made, record=replace(made.record, destroy=True))
        destroy._destroy(here, removal, print, RemovalIssueNow(lambda *_: None))


def test_told_otherwise_it_goes_on_and_that_is_recorded(
    tmp_path: Path, instance: dg.DagsterInstance
) -> None:
    here = session(tmp_path, instance, despite_live_runs=True, asked_by="alice by command")
    plan(here, ["delete", "create"])
    run_id = train(instance)
    with pytest.raises(Applied):
        apply_plan(here, None, progress=print, request=PullRequestNow())
    (noted,) = [r.event for r in here.audit.records() if r.event.action == "live-runs"]
    assert (noted.decision, noted.asked_by) == ("overruled", "alice by command")
    assert run_id in noted.reason and POOL in noted.reason


def test_what_harms_nobody_waits_for_nobody(tmp_path: Path, instance: dg.DagsterInstance) -> None:
    here = session(tmp_path, instance)
    train(instance)
    gates.require_no_harm(here, plan(here, ["update"]).record)


def test_runs_elsewhere_ended_or_asking_do_not_count(
    tmp_path: Path, instance: dg.DagsterInstance
) -> None:
    here = session(tmp_path, instance)
    record = plan(here, ["delete"]).record
    train(instance, "dev", "elsewhere")
    train(instance, "local", "asking")
    gates.require_no_harm(here, record)
    train(instance, "local", "mine")
    with pytest.raises(LiveRunsHarmed):
        gates.require_no_harm(here, record)


def test_where_live_runs_are_not_known_nothing_is_applied(tmp_path: Path) -> None:
    here = session(tmp_path, None)
    with pytest.raises(LiveRunsHarmed, match="not known"):
        gates.require_no_harm(here, plan(here, ["no-op"]).record)
