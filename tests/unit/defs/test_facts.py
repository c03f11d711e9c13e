"""The facts of each asset come back from Dagster's storage, of this version and of the one before.

``tests/data/facts_schema_1.json`` holds metadata that the last version without facts classes stored in
a real walk of `local` on 2026-11-30 (pictures and long texts are left out, and the home's path is
another).
"""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import dagster as dg
import pytest

from ray_platform.defs.facts import (
    CostFacts,
    DriftFacts,
    ModuleFacts,
    PlanFacts,
    PolicyFacts,
    RemovalFacts,
)
from ray_platform.drift.items import DriftItem, to_json
from ray_platform.policy.verdict import Verdict, Violation
from ray_platform.run_history.asset_facts import BurstFacts, PhaseFacts, RayClusterFacts
from ray_platform.store.typed_facts import Facts
from ray_platform.text.errors import FactsError

FIRST = json.loads((Path(__file__).parents[2] / "data" / "facts_schema_1.json").read_text("utf-8"))
ITEM = DriftItem(
    "aws_vpc.a", "tags.x", None, {"a": [1]}, "major", "by_hand", "it is open", who="eve"
)

MADE: tuple[Facts, ...] = (
    PlanFacts(
        "d" * 64,
        "c" * 40,
        False,
        4,
        1,
        2,
        3,
        0,
        5,
        6,
        7,
        8,
        True,
        False,
        ({"address": "aws_fsx_lustre_file_system.a", "why": "no price"},),
        10.0,
        20.0,
        1.0,
        -2.0,
        "/a/b",
        {"error": "x"},
        "| x |",
    ),
    PolicyFacts.of("d" * 64, Verdict((Violation("r", "aws_x.a", "is 5", "make it 4"),), "b" * 64)),
    ModuleFacts(3, "v" * 64, "d" * 64, "c" * 40, 4, ("alice", "Bob, the second")),
    RemovalFacts(9, "/a", "/b", ("a key: it waits",), "d" * 64, ()),
    CostFacts(3.0, 1.0, 1.0, 0.5, 0.5, 9.0, 12.5, (80,), None, 1.5, {"day": "x"}, "**$3**", "/p"),
    DriftFacts.of([ITEM], to_json([ITEM]), open_incidents=("k",), seen_at="2026", proposed=None),
    RayClusterFacts("http://x", "2.60.0", "ray:2.60", None, None, None, "1", "2", "3", "v" * 64),
    BurstFacts(
        "v" * 64,
        "c" * 40,
        0.1,
        9.0,
        90.0,
        0.01,
        0,
        1,
        (PhaseFacts("peak", 10, 10, 7, None, 9.0, 5.0, 1, 1, 0.1, {"cpu": 90.0}, "late"),),
    ),
)


@pytest.mark.parametrize("facts", MADE, ids=lambda facts: type(facts).__name__)
def test_what_is_stored_is_read_again(facts: Facts) -> None:
    with dg.DagsterInstance.ephemeral() as instance:
        made = dg.AssetMaterialization("x", metadata=facts.to_metadata())
        instance.report_runless_asset_event(made)
        (record,) = instance.fetch_materializations(dg.AssetKey("x"), limit=1).records
    assert record.asset_materialization is not None
    assert type(facts).from_metadata(record.asset_materialization.metadata, where="x") == facts


@pytest.mark.parametrize("facts", MADE, ids=lambda facts: type(facts).__name__)
def test_every_key_is_a_name_and_no_sentence(facts: Facts) -> None:
    assert all(key.isidentifier() and key.islower() for key in facts.to_metadata())


def first(asset: str, kind: type[Facts]) -> Any:
    return kind.from_metadata(FIRST[asset]["metadata"], where=f"{asset} of local")


def test_a_plan_of_the_first_schema() -> None:
    facts = first("terraform_plan", PlanFacts)
    none = dict.fromkeys(facts.counts.to_json(), 0)
    assert facts.plan_digest.startswith("e92a6c77b51a")
    assert facts.counts.to_json() == {**none, "create": 74}
    assert facts.month_at("minimum") == "$530.70 at minimum size (+530.70)"
    assert (facts.dirty, facts.state_serial, facts.whatif) == (False, 0, None)


def test_a_module_and_a_cluster_of_the_first_schema() -> None:
    module = first("vpc", ModuleFacts)
    assert (module.resources, module.state_serial, module.approved_by) == (29, 3, ("automatic",))
    cluster = first("ray_cluster", RayClusterFacts)
    assert (cluster.release, cluster.release_revision, cluster.git_commit) == ("ray", 1, None)
    assert cluster.infra_version.startswith("a77faff6bb43")


def test_a_burst_run_of_the_first_schema() -> None:
    facts = first("burst_run", BurstFacts)
    assert facts.scalars() == {
        "infra_version": facts.infra_version,
        "commit": facts.commit,
        "loss": 0.01299343,
        "seconds": 78.9,
        "node_seconds": 526.533,
        "usd": 0.028082,
        "failures": 0,
        "retries": 0,
    }
    assert [(phase.name, phase.workers_reached) for phase in facts.phases] == [
        ("warm-up", 2),
        ("small burst", 5),
    ]


def test_reports_of_the_first_schema() -> None:
    cost = first("daily_cost_report", CostFacts)
    assert cost.usd()["total"] == 0.04 and cost.report["environment"] == "local"
    assert cost.forecast_usd is None and "forecast" not in cost.usd()
    drift = first("drift_report", DriftFacts)
    assert drift.summary == "1 major, 1 minor, 1 expected"
    assert drift.items[0].severity == "major" and drift.open_incidents == ("43816448967d",)


def test_a_removal_is_not_read_as_an_apply_of_the_same_asset() -> None:
    with pytest.raises(FactsError, match="an applied module cannot be read"):
        ModuleFacts.from_metadata(MADE[3].to_metadata(), where="vpc of local")


def test_reasons_are_one_line_and_count_what_they_leave_out() -> None:
    items = [replace(ITEM, address=f"aws_vpc.{at}") for at in range(5)]
    drift = DriftFacts.of(items, to_json(items), open_incidents=(), seen_at="", proposed=None)
    assert drift.verdict.startswith("5 major: aws_vpc.0 tags.x: it is open; aws_vpc.1")
    assert drift.verdict.endswith("; and 2 more") and "\n" not in drift.verdict
    violations = tuple(Violation("r", f"aws_x.{at}", "is 5", "make it 4") for at in range(4))
    policy = PolicyFacts.of("d", Verdict(violations, "b"))
    assert policy.summary.startswith("[r] aws_x.0: is 5; ") and policy.summary.endswith(
        "; and 1 more"
    )
