"""What AWS moves by itself is no drift, or has AWS for its cause; what a person does keeps its own."""

import json
from pathlib import Path
from typing import Any

import pytest

from ray_platform.drift.items import DriftItem, drift_items
from ray_platform.drift.rules import read_rules
from ray_platform.terraform.computed import is_computed, without_computed
from ray_platform.terraform.plan import read_plan

ROOT = Path(__file__).resolve().parents[3]
BOOK = read_rules(
    (ROOT / "policies" / "drift.toml").read_text(encoding="utf-8"), where="drift.toml"
)
DATABASE = {
    "identifier": "dagster",
    "engine": "postgres",
    "engine_version": "16.4",
    "engine_version_actual": "16.4",
    "auto_minor_version_upgrade": True,
    "allocated_storage": 20,
    "max_allocated_storage": 100,
    "latest_restorable_time": "2026-11-30T18:00:00Z",
}


def drift(kind: str, before: dict[str, Any], **after: Any) -> tuple[DriftItem, ...]:
    item = {"address": f"{kind}.d", "mode": "managed", "type": kind, "name": "d"}
    change = {"actions": ["update"], "before": before, "after": {**before, **after}}
    stays = {"actions": ["no-op"], "before": {**before, **after}, "after": {**before, **after}}
    return drift_items(
        read_plan(
            {
                "format_version": "1.2",
                "resource_changes": [{**item, "change": stays}],
                "resource_drift": [{**item, "change": change}],
            }
        ),
        BOOK,
    )


def test_the_restorable_time_that_moves_every_five_minutes_is_no_drift() -> None:
    text = (ROOT / "tests/data/cases/plans/rds-restorable-time.json").read_text(encoding="utf-8")
    assert drift_items(read_plan(json.loads(text)), BOOK) == ()


def test_the_version_that_really_runs_is_no_drift_of_its_own() -> None:
    assert drift("aws_db_instance", DATABASE, engine_version_actual="16.6") == ()


def test_a_volume_that_rds_made_larger_is_expected() -> None:
    (item,) = drift("aws_db_instance", DATABASE, allocated_storage=24)
    assert (item.cause, item.severity) == ("aws", "none")
    assert "max_allocated_storage allows 100 GB" in item.evidence


@pytest.mark.parametrize("size", [19, 101])
def test_a_volume_that_shrank_or_passed_its_bound_was_not_rds(size: int) -> None:
    (item,) = drift("aws_db_instance", DATABASE, allocated_storage=size)
    assert item.cause == "by_hand"


def test_a_minor_version_that_aws_upgraded_has_aws_for_its_cause() -> None:
    (item,) = drift("aws_db_instance", DATABASE, engine_version="16.6")
    assert (item.cause, item.severity) == ("aws", "minor")


@pytest.mark.parametrize(
    ("before", "version"),
    [
        (DATABASE, "17.1"),
        (DATABASE, "16.3"),
        ({**DATABASE, "auto_minor_version_upgrade": False}, "16.6"),
        ({**DATABASE, "engine": "mysql", "engine_version": "8.0.36"}, "8.4.2"),
    ],
)
def test_another_version_was_changed_by_a_person(before: dict[str, Any], version: str) -> None:
    (item,) = drift("aws_db_instance", before, engine_version=version)
    assert (item.cause, item.severity) == ("by_hand", "major")


def test_the_provider_alone_sets_what_its_schema_calls_computed_and_not_optional() -> None:
    assert is_computed("aws_db_instance", ("latest_restorable_time",))
    assert is_computed("aws_eks_cluster", ("vpc_config", "vpc_id"))
    assert is_computed("aws_eks_cluster", ("certificate_authority", "data"))
    assert not is_computed("aws_eks_cluster", ("vpc_config",))
    assert not is_computed("aws_db_instance", ("engine_version",))
    assert not is_computed("aws_vpc", ("id",))
    assert not is_computed("another_type", ("latest_restorable_time",))


def test_what_is_left_keeps_its_nesting_and_the_input_is_not_changed() -> None:
    values = {"name": "c", "arn": "a", "vpc_config": [{"vpc_id": "v", "subnet_ids": ["s"]}]}
    assert without_computed("aws_eks_cluster", values) == {
        "name": "c",
        "vpc_config": [{"subnet_ids": ["s"]}],
    }
    assert "arn" in values and values["vpc_config"] == [{"vpc_id": "v", "subnet_ids": ["s"]}]
