"""What a plan takes away from under live training runs is told by resource."""

import copy
import json
from pathlib import Path
from typing import Any

import pytest

from ray_platform.run_history.live_runs import (
    Disruption,
    LiveRun,
    describe_disruptions,
    disruptions,
)
from ray_platform.terraform.plan import read_plan

DATA = Path(__file__).resolve().parents[2] / "data"
CREATED = json.loads((DATA / "plan_local.json").read_text(encoding="utf-8"))
POOL = 'module.node_pools.aws_eks_node_group.this["cpu"]'


def planned(actions: list[str], only: str = "", **change: Any) -> tuple[Disruption, ...]:
    """A plan with ``actions`` on the resources whose address begins with ``only``."""
    plan = copy.deepcopy(CREATED)
    for item in plan["resource_changes"]:
        was = item["change"]
        touched = item["address"].startswith(only) and item["mode"] == "managed"
        item["change"] = {
            "actions": actions if touched else ["no-op"],
            "before": was["after"],
            "after": {**(was["after"] or {}), **(change if touched else {})},
            "after_unknown": {},
        }
    return disruptions(read_plan(plan))


def test_creating_or_keeping_harms_nobody() -> None:
    assert planned(["create"]) == planned(["no-op"]) == ()


@pytest.mark.parametrize(
    ("actions", "how"), [(["delete"], "removed"), (["delete", "create"], "replaced")]
)
def test_a_pool_that_is_removed_or_replaced_is_named(actions: list[str], how: str) -> None:
    assert planned(actions, POOL) == (Disruption(POOL, how),)


def test_an_update_harms_only_where_it_replaces_nodes() -> None:
    assert planned(["update"], "module.node_pools", scaling_config=[{"max_size": 3}]) == ()
    (harm,) = planned(["update"], POOL, launch_template=[{"version": "2"}])
    assert harm.address == POOL and "launch_template" in harm.how
    assert planned(["update"], "module.vpc", tags={"a": "b"}) == ()


def test_a_launch_template_version_that_is_not_known_yet_replaces_nodes() -> None:
    plan = copy.deepcopy(CREATED)
    for item in plan["resource_changes"]:
        was = item["change"]["after"]
        item["change"] = {"actions": ["no-op"], "before": was, "after": was}
        if item["address"] == POOL:
            item["change"]["actions"] = ["update"]
            item["change"]["after_unknown"] = {"launch_template": [{"version": True}]}
    assert [harm.address for harm in disruptions(read_plan(plan))] == [POOL]


def test_a_removal_of_everything_takes_network_control_plane_pools_and_bucket() -> None:
    taken = {harm.address for harm in planned(["delete"])}
    for address in (
        "module.vpc.aws_vpc.this",
        "module.eks_cluster.aws_eks_cluster.this",
        POOL,
        "module.storage.aws_s3_bucket.artifacts",
    ):
        assert address in taken
    assert not [a for a in taken if "log_group" in a or "aws_iam_role.flow" in a]
    assert not [a for a in taken if ".data." in a]


def test_one_sentence_names_runs_and_resources() -> None:
    run = LiveRun("run-1", "local", "f" * 64, None)
    many = [Disruption(f"r{at}", "removed") for at in range(7)]
    assert describe_disruptions([run], many[:1]) == (
        "burst run run-1 is live and needs what this plan takes away: r0 is removed"
    )
    assert describe_disruptions([run, LiveRun("run-2", "local", "f", None)], many).endswith(
        "r4 is removed; and 2 more"
    )
    assert describe_disruptions([], many) == describe_disruptions([run], []) == ""
