"""The plans of tests/data/cases/plans that were read wrong: what Terraform says of them holds."""

import copy
import json
from pathlib import Path
from typing import Any

import pytest

from ray_platform.policy.policy_engine import PolicyEngine
from ray_platform.text.errors import PlanFormatError
from ray_platform.run_history.live_runs import disruptions
from ray_platform.terraform.plan import Plan, read_plan

ROOT = Path(__file__).resolve().parents[3]
CASES = ROOT / "tests" / "data" / "cases" / "plans"
LOCAL = ROOT / "tests" / "data" / "plan_local.json"


def content(name: str) -> dict[str, Any]:
    data: dict[str, Any] = json.loads((CASES / f"{name}.json").read_text(encoding="utf-8"))
    return data


def case(name: str) -> Plan:
    return read_plan(content(name), where=name)


@pytest.fixture(scope="module")
def engine() -> PolicyEngine:
    return PolicyEngine(ROOT / "policies")


def denied_by(engine: PolicyEngine, plan: Plan) -> set[str]:
    return {item.id for item in engine.check_plan(plan, "local").violations}


@pytest.mark.parametrize(
    ("name", "counted"), [("moved-only", "move"), ("forget-only", "forget"), ("import-only", "import")]
)
def test_a_plan_that_changes_the_state_alone_is_not_empty_and_counted(
    name: str, counted: str
) -> None:
    plan = case(name)
    assert plan.applyable and not plan.is_empty and plan.is_whole
    counts = plan.counts.to_json()
    assert {key: value for key, value in counts.items() if value} == {counted: 1}
    assert f"1 to {counted}" in str(plan.counts)
    assert [change.shown_action for change in plan.touched()] == [counted]


def test_a_move_shows_both_addresses() -> None:
    (change,) = case("moved-only").touched()
    assert change.shown_address == "terraform_data.old -> terraform_data.new"


def test_a_dropped_moved_block_destroys_and_that_is_counted() -> None:
    counts = case("after-moved-block-is-dropped").counts
    assert (counts.create, counts.delete, counts.move) == (1, 1, 0)


def test_a_replacement_without_destroy_makes_one_and_forgets_one() -> None:
    plan = case("create-then-forget")
    assert (plan.counts.create, plan.counts.forget, plan.counts.replace) == (1, 1, 0)
    (change,) = plan.touched()
    assert change.action == "replace-and-forget"


@pytest.mark.parametrize("name", ["incomplete", "deferred"])
def test_a_plan_that_is_not_whole_is_never_allowed_nor_empty(
    name: str, engine: PolicyEngine
) -> None:
    plan = case(name)
    assert not plan.is_whole and not plan.is_empty and plan.unfinished
    assert "plan-not-whole" in denied_by(engine, plan)


def test_a_deferred_change_is_named_with_its_reason() -> None:
    assert "aws_eks_node_group.gpu (instance_count_unknown)" in case("deferred").unfinished[0]


@pytest.mark.parametrize("name", ["forget-cluster", "create-then-forget"])
def test_a_protected_type_is_not_forgotten(name: str, engine: PolicyEngine) -> None:
    plan = case(name)
    found = [v for v in engine.check_plan(plan, "local").violations if v.id == "deletion"]
    assert [violation.resource for violation in found] == ["aws_eks_cluster.this"]
    assert "deletion" not in {v.id for v in engine.check_plan(plan, "local", True).violations}


def test_a_deposed_object_of_a_protected_type_may_go(engine: PolicyEngine) -> None:
    plan = case("deposed-protected")
    assert "deletion" not in denied_by(engine, plan)
    assert disruptions(plan) == ()
    live = content("deposed-protected")
    live["resource_changes"][1].pop("deposed")
    assert "deletion" in denied_by(engine, read_plan(live))


def with_more(place: tuple[Any, ...], key: str, value: Any) -> dict[str, Any]:
    data = copy.deepcopy(content("moved-only"))
    node: Any = data
    for step in place:
        node = node[step]
    node[key] = value
    return data


@pytest.mark.parametrize(
    ("place", "key"),
    [
        ((), "action_invocations"),
        ((), "deferred_action_invocations"),
        (("resource_changes", 0), "colour"),
        (("resource_changes", 0, "change"), "colour"),
        (("configuration", "root_module"), "actions"),
        (("configuration", "root_module", "resources", 0), "action_triggers"),
    ],
)
def test_what_this_version_does_not_know_is_refused_by_name(
    place: tuple[Any, ...], key: str
) -> None:
    with pytest.raises(PlanFormatError, match=key):
        read_plan(with_more(place, key, [{"name": "x"}]))


@pytest.mark.parametrize(
    ("key", "value"), [("actions", ["explode"]), ("actions", []), ("actions", ["update", "delete"])]
)
def test_an_action_that_this_version_does_not_know_is_refused_by_name(key: str, value: Any) -> None:
    with pytest.raises(PlanFormatError, match=r"terraform_data\.new"):
        read_plan(with_more(("resource_changes", 0, "change"), key, value))


def test_a_mode_that_this_version_does_not_know_is_refused_by_name() -> None:
    with pytest.raises(PlanFormatError, match="ephemeral"):
        read_plan(with_more(("resource_changes", 0), "mode", "ephemeral"))


def test_what_aws_computes_by_itself_changes_no_digest() -> None:
    data = content("rds-restorable-time")
    later = json.loads(json.dumps(data).replace("T19:00:00Z", "T19:05:00Z"))
    steady = {key: value for key, value in data.items() if key != "resource_drift"}
    assert read_plan(later).digest == read_plan(data).digest == read_plan(steady).digest
    other = json.loads(json.dumps(data).replace("db.t4g.small", "db.t4g.large"))
    assert read_plan(other).digest != read_plan(data).digest


def test_every_value_that_the_provider_sets_from_the_configuration_changes_the_digest() -> None:
    data = json.loads(LOCAL.read_text(encoding="utf-8"))
    first = read_plan(data).digest
    for number, item in enumerate(data["resource_changes"]):
        if item["change"].get("after"):
            changed = copy.deepcopy(data)
            changed["resource_changes"][number]["change"]["after"]["tags"] = {"a": "b"}
            assert read_plan(changed).digest != first, item["address"]
