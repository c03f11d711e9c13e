"""The laws over every plan that Terraform made of the corpus."""

import copy
import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ray_platform.policy.policy_engine import PolicyEngine
from ray_platform.cost.estimate import estimate
from ray_platform.cost.price_book import load_price_book
from ray_platform.terraform.plan import read_plan
from ray_platform.terraform.computed import is_computed
from tests.support.corpus import names, recorded
from tests.support.provider_schema import RECORDED

ROOT = Path(__file__).resolve().parents[3]
COMPUTED: dict[str, list[str]] = json.loads(RECORDED.read_text(encoding="utf-8"))
NAMES = [*names(aws=False), *names(aws=True)]


@pytest.fixture(scope="module")
def engine() -> PolicyEngine:
    return PolicyEngine(ROOT / "policies")


def test_the_corpus_has_its_plans() -> None:
    assert len(NAMES) >= 25


@pytest.mark.parametrize("name", NAMES)
def test_empty_is_what_terraform_calls_not_applyable(name: str) -> None:
    data = recorded(name)
    plan = read_plan(data)
    assert plan.is_empty is not data["applyable"]
    assert plan.is_whole is data["complete"]


@pytest.mark.parametrize(
    ("name", "counts"),
    [
        ("moved", {"move": 1}),
        ("moved-into-module", {"move": 2}),
        ("moved-and-updated", {"move": 1, "update": 1}),
        ("removed", {"forget": 1}),
        ("import", {"import": 1}),
        ("outputs-only", {}),
        ("unchanged", {}),
        ("replaced", {"replace": 1}),
        ("deposed", {"delete": 1, "replace": 1}),
    ],
)
def test_a_plan_counts_what_it_does(name: str, counts: dict[str, int]) -> None:
    found = read_plan(recorded(name)).counts.to_json()
    assert {key: value for key, value in found.items() if value} == counts


def test_a_targeted_plan_is_never_allowed(engine: PolicyEngine) -> None:
    verdict = engine.check_plan(read_plan(recorded("targeted")), "local")
    assert [item.id for item in verdict.violations] == ["plan-not-whole"]


@pytest.mark.parametrize("name", NAMES)
def test_every_resource_is_accounted_for(name: str) -> None:
    plan = read_plan(recorded(name))
    found = estimate(plan, load_price_book())
    told = {line.address for line in found.lines} | {use.address for use in found.by_use}
    told |= set(found.free) | {item.address for item in found.unpriced}
    assert told == {change.address for change in plan.changes if change.mode == "managed"}


@pytest.mark.parametrize(
    ("name", "low", "high", "unpriced"),
    [
        ("aws-shared-template", 156.16, 312.32, 0),
        # Two nodes 140.16; 520 GB x 0.125 and 10,400 IOPS x 0.065.
        ("aws-own-templates", 881.16, 1762.32, 0),
        ("aws-mixed-types", 74.08, 2843.20, 0),
        # 16 nodes of cache.m6g.large and 2 of cache.t4g.small.
        ("aws-redis-cluster-mode", 1787.04, 1787.04, 0),
        # Two instances 379.60, 0.5 to 8 capacity units, a secret.
        ("aws-aurora", 423.80, 1080.80, 0),
        ("aws-clusters", 512.80, 512.80, 0),
        ("aws-network", 75.33, 75.33, 0),
        ("aws-aliased-provider", 32.85, 32.85, 1),
        ("aws-unpriced", 0.0, 0.0, 2),
        ("aws-unknown-sizes", None, None, 2),
    ],
)
def test_a_real_plan_costs_what_aws_bills(
    name: str, low: float | None, high: float | None, unpriced: int
) -> None:
    found = estimate(read_plan(recorded(name)), load_price_book())
    if low is None or high is None:
        assert found.open_bounds == {"after_min", "after_max"}
    else:
        assert found.monthly()["after_min"] == pytest.approx(low, abs=0.011)
        assert found.monthly()["after_max"] == pytest.approx(high, abs=0.011)
    assert len(found.unpriced) == len(found.unpriced_changes) == unpriced


@pytest.mark.parametrize("name", NAMES)
def test_forgetting_everything_saves_nothing(name: str) -> None:
    plan = read_plan(recorded(name))
    existing = [
        replace(change, action="forget", before=change.after, after={}, after_unknown={})
        for change in plan.changes
        if change.after and not change.deposed
    ]
    totals = estimate(replace(plan, changes=tuple(existing)), load_price_book()).totals
    assert totals.difference_min == totals.difference_max == 0


@pytest.mark.parametrize("name", names(aws=True))
def test_a_removal_never_asks_for_a_price(name: str) -> None:
    plan = read_plan(recorded(name))
    gone = [
        replace(change, action="delete", before=change.after, after={}, after_unknown={})
        for change in plan.changes
    ]
    found = estimate(replace(plan, changes=tuple(gone)), load_price_book())
    assert found.unpriced_changes == () and found.increase_min <= 0


@given(data=st.data())
def test_what_the_provider_computes_never_changes_a_digest(data: st.DataObject) -> None:
    plan = recorded(data.draw(st.sampled_from(names(aws=True))))
    computed = {
        number: [path for path in COMPUTED[item["type"]] if "." not in path]
        for number, item in enumerate(plan["resource_changes"])
        if item["type"] in COMPUTED
    }
    number = data.draw(st.sampled_from([key for key, paths in computed.items() if paths]))
    noise = data.draw(st.dictionaries(st.sampled_from(computed[number]), st.text(), min_size=1))
    moved: dict[str, Any] = copy.deepcopy(plan)
    moved["resource_changes"][number]["change"]["after"] |= noise
    assert read_plan(moved).digest == read_plan(plan).digest
    assert all(is_computed(plan["resource_changes"][number]["type"], (key,)) for key in noise)


#: Attributes that say how much of something there is.
SIZES = frozenset(
    {
        *("min_size", "max_size", "disk_size", "volume_size", "size", "iops", "allocated_storage"),
        *("num_node_groups", "replicas_per_node_group", "num_cache_clusters", "storage_capacity"),
        *("provisioned_throughput_in_mibps", "min_capacity", "max_capacity"),
    }
)


def sizes_in(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """The path of each size that is set."""
    items = value.items() if isinstance(value, dict) else enumerate(value)
    for key, item in items:
        if isinstance(item, dict | list):
            yield from sizes_in(item, (*path, key))
        elif key in SIZES and isinstance(item, int | float) and item:
            yield (*path, key)


def told(data: dict[str, Any]) -> tuple[Any, ...]:
    found = estimate(read_plan(data), load_price_book())
    return found.monthly(), found.totals


@pytest.mark.parametrize("name", names(aws=True))
def test_doubling_a_size_of_a_real_plan_never_leaves_the_total_the_same(name: str) -> None:
    plan = recorded(name)
    for number, item in enumerate(plan["resource_changes"]):
        for path in sizes_in(item["change"]["after"]):
            doubled = copy.deepcopy(plan)
            node = doubled["resource_changes"][number]["change"]["after"]
            for step in path[:-1]:
                node = node[step]
            node[path[-1]] *= 2
            assert told(doubled) != told(plan), (item["address"], path)


def test_real_plans_have_sizes_to_double() -> None:
    found = {
        path[-1]
        for name in names(aws=True)
        for item in recorded(name)["resource_changes"]
        for path in sizes_in(item["change"]["after"])
    }
    assert found == SIZES
