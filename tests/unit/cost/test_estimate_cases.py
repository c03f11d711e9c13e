"""The plans of tests/data/cases/plans that were priced wrong: not known is not 0, 1 or the first."""

import json
from decimal import Decimal
from pathlib import Path

import pytest

from ray_platform.cost.estimate import estimate
from ray_platform.cost.price_book import load_price_book, price_book_or_empty
from ray_platform.terraform.plan import read_plan
from tests.support.plans import CASES, case, changed, of_case, plan_of, priced

RECORDED = Path(__file__).resolve().parents[2] / "data" / "plan_local.json"


@pytest.mark.parametrize(
    ("name", "low", "high"),
    [
        ("gwlb-endpoint", "7.30", "7.30"),
        ("nat-regional", "65.70", "65.70"),
        ("forget-cluster", "73.00", "73.00"),
        ("create-then-forget", "146.00", "146.00"),
        # The nodes 70.08 to 2,803.20 (the dearest type), their volumes 8.00 to 80.00.
        ("mixed-types", "78.08", "2883.20"),
        # Each of two groups has one volume of 100 GB, not both have both.
        ("shared-template", "156.16", "312.32"),
        # 20 GB and 500 GB.
        ("two-groups-own-templates", "181.76", "363.52"),
        # 70.08, 500 GB x 0.125 and 20,000 IOPS x 0.065.
        ("volume-io2", "1432.58", "1432.58"),
        # 4 shards of 1 node and 2 replicas.
        ("cache-cluster-mode", "1305.24", "1305.24"),
        ("max-size-string", "78.08", "156.16"),
        ("deposed-protected", "26.06", "26.06"),
    ],
)
def test_a_case_costs_what_aws_bills(name: str, low: str, high: str) -> None:
    found = of_case(name)
    assert (found.totals.after_min, found.totals.after_max) == (Decimal(low), Decimal(high))
    assert not found.open_bounds


def test_what_has_no_price_is_named_with_the_total() -> None:
    found = of_case("unpriced-fsx")
    assert found.total_text("after_min") == "$73.00 + 2 not priced"
    assert "$73.00 + 2 not priced" in found.to_markdown()
    assert [item.address for item in found.unpriced_changes] == [
        "aws_fsx_lustre_file_system.shards",
        "aws_rds_cluster_instance.w",
    ]
    assert found.monthly()["after_min"] == 73.0


@pytest.mark.parametrize(
    ("name", "bounds", "why"),
    [
        ("min-unknown", {"after_min"}, "min_size is known only after apply"),
        ("db-size-unknown", {"after_min", "after_max"}, "allocated_storage is known only"),
        ("scaling-null", {"after_min", "after_max"}, "scaling_config is empty"),
    ],
)
def test_a_size_that_is_not_known_leaves_its_totals_open(
    name: str, bounds: set[str], why: str
) -> None:
    found = of_case(name)
    assert found.open_bounds == bounds
    assert {key for key, value in found.monthly().items() if value is None} == bounds
    assert why in found.unpriced_changes[0].why


def test_a_bound_that_is_known_is_priced_though_the_other_is_not() -> None:
    assert of_case("min-unknown").monthly()["after_max"] == pytest.approx(780.80)


def test_a_pinned_version_of_a_launch_template_is_not_priced_as_the_latest() -> None:
    found = of_case("pins-old-template-version")
    assert "version 1 of aws_launch_template.nodes is not the latest (7)" in found.unpriced[0].why


def test_forgetting_and_replacing_without_destroy_save_nothing() -> None:
    for name in ("forget-cluster", "create-then-forget"):
        totals = of_case(name).totals
        assert totals.before_min == Decimal("73.00") <= totals.after_min


def test_a_deposed_object_is_no_second_database() -> None:
    found = of_case("deposed-protected")
    assert found.totals.before_min == found.totals.after_min
    assert any("deposed" in note.lower() for note in found.notes)


def test_a_resource_elsewhere_has_no_neighbours_price() -> None:
    found = of_case("other-provider-region")
    assert found.totals.after_max == 0
    assert ["eu-central-1" in item.why or "sa-east-1" in item.why for item in found.unpriced] == [
        True,
        True,
    ]


def test_an_unpriced_before_is_no_increase_and_changes_nothing() -> None:
    found = of_case("before-class-unpriced-mend")
    assert found.unpriced == () and len(found.unpriced_before) == 1
    assert found.increase_min == 0


def test_a_removal_never_counts_as_a_change_without_a_price() -> None:
    gone = priced(changed("aws_redshift_cluster.r", None, before={"x": 1}))
    assert gone.unpriced == () and gone.unpriced_changes == ()


def test_only_a_change_of_what_is_billed_counts() -> None:
    before = {"cluster_type": "multi-node", "tags": {"a": "b"}, "arn": "x"}
    tagged = priced(changed("aws_redshift_cluster.r", {**before, "tags": {}}, before=before))
    assert len(tagged.unpriced) == 1 and tagged.unpriced_changes == ()
    larger = priced(changed("aws_redshift_cluster.r", {**before, "nodes": 4}, before=before))
    assert len(larger.unpriced_changes) == 1


@pytest.mark.parametrize("path", [*sorted(CASES.glob("*.json")), RECORDED], ids=lambda p: p.stem)
def test_every_resource_is_priced_by_use_free_or_named(path: Path) -> None:
    plan = read_plan(json.loads(path.read_text(encoding="utf-8")))
    found = estimate(plan, load_price_book())
    told = {line.address for line in found.lines} | {use.address for use in found.by_use}
    told |= set(found.free) | {item.address for item in found.unpriced}
    told |= {item.address for item in found.unpriced_before}
    wanted = {c.address for c in plan.changes if c.mode == "managed"}
    wanted |= {item.change.address for item in plan.deferred}
    assert told == wanted
    assert not set(found.free) & {item.address for item in found.unpriced}
    assert not set(found.free) & {use.address for use in found.by_use}


def test_what_looks_free_by_its_name_but_is_billed_is_not_free() -> None:
    found = of_case("gwlb-endpoint")
    by_use = {use.address for use in found.by_use}
    assert {
        "aws_flow_log.f",
        "aws_s3_bucket_object.o",
        "aws_s3_bucket_intelligent_tiering_configuration.i",
    } <= by_use
    assert "aws_ecr_registry_scanning_configuration.e" in {item.address for item in found.unpriced}


def test_a_deferred_change_is_named() -> None:
    found = estimate(read_plan(case("deferred")), load_price_book())
    assert found.unpriced[0].why == "deferred: instance_count_unknown"
    assert any("not whole" in note for note in found.notes)


def test_use_is_priced_by_the_assumption_that_the_environment_names() -> None:
    bucket = changed("aws_s3_bucket.b", {"bucket": "b"})
    found = estimate(plan_of(bucket), load_price_book(), use={"s3_standard": 500})
    assert found.totals.after_min == Decimal("11.50")
    assert any("s3_standard" in note and "assumed" in note for note in found.notes)
    assert priced(bucket).totals.after_min == 0


def test_a_region_without_prices_leaves_every_resource_named() -> None:
    found = estimate(read_plan(case("mixed-types")), price_book_or_empty("mars-north-1"))
    assert found.total_text("after_max") == "$0.00 + 1 not priced"
    assert "no prices of mars-north-1" in found.notes[0]
    cluster = estimate(read_plan(case("forget-cluster")), price_book_or_empty("mars-north-1"))
    assert [item.address for item in cluster.unpriced] == ["aws_eks_cluster.this"]


def test_types_that_aws_chooses_by_requirements_are_not_the_default_type() -> None:
    chosen = {"name": "t", "instance_type": None, "instance_requirements": [{"vcpu_count": [{}]}]}
    template = changed("aws_launch_template.t", chosen)
    block = [{"name": "t", "version": "$Latest"}]
    group = {"launch_template": block, "scaling_config": [{"min_size": 1, "max_size": 2}]}
    scaled = {"name": "g", "launch_template": block, "min_size": 1, "max_size": 2}
    found = priced(
        template,
        changed("aws_eks_node_group.g", group),
        changed("aws_autoscaling_group.g", scaled),
    )
    assert ["instance_requirements" in item.why for item in found.unpriced] == [True, True]


def test_a_service_on_fargate_costs_its_tasks() -> None:
    task = changed("aws_ecs_task_definition.t", {"family": "t", "cpu": "1024", "memory": "2048"})
    service = {"launch_type": "FARGATE", "task_definition": "t", "desired_count": 2}
    found = priced(task, changed("aws_ecs_service.s", service))
    # 2 x (0.04048 + 2 x 0.004445) x 730, each line rounded.
    assert found.totals.after_min == Decimal("72.08")
    on_instances = priced(task, changed("aws_ecs_service.s", {**service, "launch_type": "EC2"}))
    assert set(on_instances.free) == {"aws_ecs_service.s", "aws_ecs_task_definition.t"}
