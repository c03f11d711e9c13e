"""The budget gate: what has no price is refused or asks one approval more; the past stops nothing."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from ray_platform.change import gates
from ray_platform.config.settings import Settings
from ray_platform.records.records_store import PlanRecord
from ray_platform.session.environment_session import EnvironmentSession, open_session
from ray_platform.terraform.plan import read_plan
from ray_platform.text.errors import NotApproved, OverBudget
from tests.support.plans import ROOT, case, changed
from tests.unit.records.test_records_store import RECORD

REDSHIFT = "aws_redshift_cluster.r"


def here(
    tmp_path: Path, *, unpriced: str = "approve", monthly_usd: float = 2500.0
) -> EnvironmentSession:
    session = open_session(Settings(ROOT, tmp_path / "home", {}), "local")
    budget = session.environment.budget.model_copy(
        update={"unpriced": unpriced, "monthly_usd": monthly_usd}
    )
    session.environment.budget = budget
    return session


def stored(session: EnvironmentSession, content: dict[str, Any]) -> PlanRecord:
    digest = read_plan(content).digest
    record = replace(RECORD, environment="local", plan_digest=digest)
    session.records.save_plan(record, file=b"a saved plan", plan_json=content, text="")
    return record


def plan_json(*changes: dict[str, Any]) -> dict[str, Any]:
    return {"format_version": "1.2", "resource_changes": list(changes)}


@pytest.mark.parametrize("name", ["unpriced-fsx", "min-unknown", "db-size-unknown", "scaling-null"])
def test_a_change_without_a_price_is_refused_where_the_environment_says_so(
    tmp_path: Path, name: str
) -> None:
    session = here(tmp_path, unpriced="refuse")
    with pytest.raises(OverBudget, match="the cost is not known: aws_"):
        gates.require_within_budget(session, stored(session, case(name)))


@pytest.mark.parametrize("name", ["unpriced-fsx", "min-unknown", "db-size-unknown", "scaling-null"])
def test_a_change_without_a_price_asks_one_approval_more_elsewhere(
    tmp_path: Path, name: str
) -> None:
    session = here(tmp_path)
    record = stored(session, case(name))
    gates.require_within_budget(session, record)
    assert gates.approvals_required(session, record) == session.environment.approval.required + 1
    with pytest.raises(NotApproved, match="0 of 1 approvals"):
        gates.require_approved(session, record)
    gates.give_approval(session, record, by="alice", source="cli")
    assert [one.by for one in gates.require_approved(session, record)] == ["alice"]


@pytest.mark.parametrize("unpriced", ["approve", "refuse"])
@pytest.mark.parametrize(
    "change",
    [
        changed(REDSHIFT, None, before={"nodes": 2}),
        changed(REDSHIFT, {"nodes": 2}, before={"nodes": 2}),
        changed(REDSHIFT, {"nodes": 2, "tags": {"a": "b"}}, before={"nodes": 2, "tags": {}}),
        changed(REDSHIFT, None, before={"nodes": 2}, actions=["forget"]),
    ],
    ids=["removed", "unchanged", "tagged", "forgotten"],
)
def test_what_does_not_change_its_cost_stops_nothing(
    tmp_path: Path, unpriced: str, change: dict[str, Any]
) -> None:
    session = here(tmp_path, unpriced=unpriced)
    record = stored(session, plan_json(change))
    gates.require_within_budget(session, record)
    assert gates.approvals_required(session, record) == 0


@pytest.mark.parametrize("unpriced", ["approve", "refuse"])
def test_an_unpriced_before_stops_neither_a_fix_nor_a_removal_over_the_budget(
    tmp_path: Path, unpriced: str
) -> None:
    session = here(tmp_path, unpriced=unpriced, monthly_usd=1.0)
    gates.require_within_budget(session, stored(session, case("before-class-unpriced-mend")))
    nodes = {"instance_types": ["x9.huge"], "scaling_config": [{"min_size": 9, "max_size": 9}]}
    fixed = {**nodes, "instance_types": ["m5.large"]}
    gate = changed("aws_nat_gateway.n", {"x": 1}, before={"x": 1})
    for change in (
        changed("aws_eks_node_group.g", fixed, before=nodes),
        changed("aws_eks_node_group.g", None, before=nodes),
    ):
        gates.require_within_budget(session, stored(session, plan_json(change, gate)))


def test_a_plan_that_costs_more_is_refused_over_the_budget(tmp_path: Path) -> None:
    session = here(tmp_path, monthly_usd=10.0)
    dearer = changed("aws_nat_gateway.n", {"x": 1})
    with pytest.raises(OverBudget, match=r"\$32\.85"):
        gates.require_within_budget(session, stored(session, plan_json(dearer)))
    stays = changed("aws_nat_gateway.n", {"x": 1}, before={"x": 1})
    gates.require_within_budget(session, stored(session, plan_json(stays)))


def test_a_plan_that_is_not_whole_is_not_applied(tmp_path: Path) -> None:
    session = here(tmp_path)
    for name in ("incomplete", "deferred"):
        verdict = gates.verdict(session, stored(session, case(name)))
        assert "plan-not-whole" in {item.id for item in verdict.violations}
