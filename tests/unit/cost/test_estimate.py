"""A plan's monthly cost, before and after, at minimum and maximum size, to the cent."""

import json
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from ray_platform.cost.estimate import Estimate, estimate
from ray_platform.cost.price_book import load_price_book
from ray_platform.terraform.plan import Plan, read_plan

RECORDED = Path(__file__).resolve().parents[2] / "data" / "plan_local.json"


def change(
    address: str, before: dict[str, Any] | None, after: dict[str, Any] | None
) -> dict[str, Any]:
    actions = {(True, True): "no-op" if before == after else "update", (False, True): "create"}
    return {
        "address": address,
        "module_address": "module.m",
        "type": address.split(".")[2],
        "name": "this",
        "change": {
            "actions": [actions.get((before is not None, after is not None), "delete")],
            "before": before,
            "after": after,
        },
    }


def plan_of(*changes: dict[str, Any]) -> Plan:
    return read_plan({"format_version": "1.2", "resource_changes": list(changes)})


def group(low: int, high: int, **more: Any) -> dict[str, Any]:
    sizes = [{"min_size": low, "max_size": high}]
    return {"instance_types": ["m5.xlarge"], "scaling_config": sizes, **more}


CPU = 'module.m.aws_eks_node_group.this["cpu"]'
TEMPLATE = change(
    'module.m.aws_launch_template.this["cpu"]',
    None,
    {"block_device_mappings": [{"ebs": [{"volume_size": 100}]}]},
)


def run(*changes: dict[str, Any]) -> Estimate:
    return estimate(plan_of(*changes), load_price_book())


def test_a_node_pool_costs_its_nodes_and_their_volumes_at_both_sizes() -> None:
    with_template = group(2, 10, launch_template=[{"version": "1"}])
    result = run(change(CPU, None, with_template), TEMPLATE)
    # 0.192 x 730 x 2 = 280.32 and 0.08 x 100 x 2 = 16.00.
    assert result.totals.after_min == Decimal("296.32")
    assert result.totals.after_max == Decimal("1481.60")
    assert result.totals.before_max == 0
    assert result.volume_gb == {"cpu": 100}


def test_without_a_launch_template_a_node_has_the_default_volume_of_eks() -> None:
    assert run(change(CPU, None, group(0, 1))).volume_gb == {"cpu": 20}


def test_a_larger_maximum_shows_as_the_difference_at_maximum_alone() -> None:
    totals = run(change(CPU, group(2, 10), group(2, 12))).totals
    assert totals.difference_min == 0
    assert totals.difference_max == 2 * (Decimal("140.16") + Decimal("1.60"))


def test_what_stays_counts_before_and_after_and_what_goes_counts_before() -> None:
    gateway = {"allocation_id": "eipalloc-1"}
    stays = run(change("module.m.aws_nat_gateway.this", gateway, gateway)).totals
    assert (stays.before_min, stays.after_min) == (Decimal("32.85"), Decimal("32.85"))
    goes = run(change("module.m.aws_nat_gateway.this", gateway, None)).totals
    assert (goes.difference_min, goes.difference_max) == (Decimal("-32.85"), Decimal("-32.85"))


def test_spot_nodes_cost_the_assumed_share_and_the_estimate_says_so() -> None:
    result = run(change(CPU, None, group(1, 1, capacity_type="SPOT")))
    assert result.lines[0].after_min == Decimal("49.06")  # 0.192 x 0.35 x 730
    assert any("assumption" in note.lower() for note in result.notes)


def test_a_control_plane_past_standard_support_costs_more_and_the_estimate_says_why() -> None:
    result = run(change("module.m.aws_eks_cluster.this", None, {"version": "1.31"}))
    assert result.totals.after_min == Decimal("438.00")
    assert any("1.31" in note for note in result.notes)


def test_an_endpoint_is_billed_in_each_zone_also_before_its_subnets_exist() -> None:
    endpoint = change("module.m.aws_vpc_endpoint.ecr", None, {"vpc_endpoint_type": "Interface"})
    subnets = [
        change(f'module.m.aws_subnet.a["{zone}"]', None, {"availability_zone": zone})
        for zone in ("us-east-1a", "us-east-1b", "us-east-1c")
    ]
    assert run(endpoint, *subnets).totals.after_min == Decimal("21.90")
    gateway = change("module.m.aws_vpc_endpoint.s3", None, {"vpc_endpoint_type": "Gateway"})
    assert run(gateway).totals.after_min == 0
    assert run(gateway).unpriced == ()


def test_what_depends_on_use_has_a_unit_price_and_is_not_in_the_totals() -> None:
    result = run(change("module.m.aws_s3_bucket.this", None, {"bucket": "b"}))
    assert result.totals.after_max == 0
    assert (result.by_use[0].unit_usd, result.by_use[0].unit) == (Decimal("0.023"), "GB-month")


def test_a_resource_that_the_book_does_not_know_is_named() -> None:
    result = run(
        change("module.m.aws_redshift_cluster.this", None, {"x": 1}),
        change("module.m.aws_vpc.this", None, {"x": 1}),
    )
    assert [item.address for item in result.unpriced] == ["module.m.aws_redshift_cluster.this"]


def test_an_unknown_instance_type_is_named_and_its_volumes_are_priced() -> None:
    result = run(change(CPU, None, group(1, 1, instance_types=["x9.huge"])))
    (lacking,) = result.unpriced
    assert "x9.huge" in lacking.why and lacking.changes
    assert result.total_text("after_min") == "$1.60 + 1 not priced"


def test_fixed_costs_hold_the_minimum_of_pools_that_nobody_observes() -> None:
    result = run(
        change(CPU, None, group(2, 10)),
        change(CPU.replace("cpu", "system"), None, group(1, 3)),
        change("module.m.aws_nat_gateway.this", None, {"x": 1}),
    )
    costs = {cost.what: cost.hourly for cost in result.fixed_costs(observed_pools=("cpu",))}
    assert costs["NAT gateway"] == Decimal("0.045")
    assert costs["nodes of system: 1 to 3 m5.xlarge"] == Decimal("0.192")
    assert not any("cpu" in what for what in costs)


@pytest.fixture(scope="module")
def recorded() -> Estimate:
    data = json.loads(RECORDED.read_text(encoding="utf-8"))
    return estimate(read_plan(data), load_price_book())


def test_the_lines_of_a_real_plan_sum_to_its_totals(recorded: Estimate) -> None:
    data = json.loads(json.dumps(recorded.to_json()))
    assert len(data["lines"]) > 8
    for name in ("before_min", "before_max", "after_min", "after_max"):
        total = sum(Decimal(line[name]) for line in data["lines"])
        assert total == Decimal(data["totals"][name])
    assert Decimal(data["totals"]["after_max"]) > Decimal(data["totals"]["after_min"]) > 0


def test_every_resource_of_a_real_plan_is_priced_free_or_by_use(recorded: Estimate) -> None:
    assert recorded.unpriced == ()
    assert set(recorded.volume_gb) == {"cpu", "gpu", "system"}
    text = recorded.to_markdown()
    assert all(f"`{line.address}`" in text for line in recorded.lines)


def test_the_platforms_database_and_redis_cost_their_hours_and_their_volume() -> None:
    database = {
        "engine": "postgres",
        "instance_class": "db.m6g.large",
        "allocated_storage": 100,
        "max_allocated_storage": 500,
        "multi_az": True,
        "manage_master_user_password": True,
    }
    redis = {"node_type": "cache.t4g.medium", "num_cache_clusters": 2}
    result = run(
        change("module.platform.aws_db_instance.database[0]", None, database),
        change("module.platform.aws_elasticache_replication_group.redis[0]", None, redis),
        change("module.platform.aws_elasticache_user_group.redis[0]", None, {"engine": "redis"}),
    )
    # 0.318 x 730 + 0.23 x 100 + 0.40 and 2 x 0.065 x 730.
    assert [line.after_min for line in result.lines] == [
        *(Decimal("232.14"), Decimal("23.00"), Decimal("0.40"), Decimal("94.90")),
    ]
    assert result.totals.after_min == result.totals.after_max
    assert [use.what for use in result.by_use] == [
        "backups of the database",
        "backups beyond the free ones",
    ]
    assert result.unpriced == ()
    assert any("larger when it fills" in note for note in result.notes)
    one_zone = {**database, "multi_az": False, "instance_class": "db.t4g.medium"}
    cheap = run(change("module.platform.aws_db_instance.database[0]", None, one_zone))
    assert cheap.totals.after_min == Decimal("47.45") + Decimal("11.50") + Decimal("0.40")


def test_a_database_class_without_a_price_is_named() -> None:
    strange = {"engine": "postgres", "instance_class": "db.x9.huge", "allocated_storage": 20}
    result = run(change("module.platform.aws_db_instance.database[0]", None, strange))
    assert [item.address for item in result.unpriced] == [
        "module.platform.aws_db_instance.database[0]"
    ]
    assert "db.x9.huge" in result.unpriced[0].why
    assert result.total_text("after_min") == "$2.30 + 1 not priced"
