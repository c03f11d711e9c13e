"""What AWS computes by itself is no part of an infra version; what a configuration sets is."""

from typing import Any

from ray_platform.terraform.state import TerraformState
from ray_platform.records.approval import Approval, binding
from ray_platform.text.canonical import digest
from ray_platform.terraform.plan import read_plan, type_of
from ray_platform.change.apply import by_module
from tests.support.plans import case

ADDRESS = 'module.platform["a.b"].aws_db_instance.database[0]'


def modules(**attributes: Any) -> str:
    database = {"identifier": "d", "instance_class": "db.t4g.small", **attributes}
    return digest(by_module(TerraformState(
        lineage="lineage",
        serial=1,
        resources={ADDRESS: database},
        outputs={},
        marks={},
        sensitive_outputs=frozenset(),
        secrets=frozenset(),
    )))


def test_the_type_of_an_address_is_found_behind_any_index() -> None:
    assert type_of(ADDRESS) == type_of("aws_db_instance.d") == "aws_db_instance"


def test_a_restorable_time_is_no_part_of_a_module() -> None:
    earlier = modules(latest_restorable_time="2026-11-30T18:00:00Z", engine_version_actual="16.4")
    later = modules(latest_restorable_time="2026-11-30T18:05:00Z", engine_version_actual="16.6")
    assert earlier == later == modules()
    assert modules(engine_version="16.6") != modules(engine_version="16.4")


def test_an_approval_holds_though_the_restorable_time_moved() -> None:
    first = case("rds-restorable-time")
    given = read_plan(first).digest
    for item in (*first["resource_changes"], *first["resource_drift"]):
        item["change"]["after"]["latest_restorable_time"] = "2026-12-01T00:00:00Z"
    again = read_plan(first).digest
    approval = Approval("prod", given, "lineage", 4, "alice", "2026-11-30T19:00:00Z", "cli", "p")
    held = binding(
        [approval],
        environment="prod",
        plan_digest=again,
        state_lineage="lineage",
        state_serial=4,
        policy_digest="p",
    )
    assert [one.by for one in held] == ["alice"]
