"""A check judges the report of its own run, says so where there is none, and never fails over it."""

from collections.abc import Iterator, Mapping
from typing import Any

import dagster as dg
import pytest

from ray_platform.config.partitions import day_key
from ray_platform.defs import burst_run, daily_cost_report, drift_report
from ray_platform.defs.facts import CostFacts, DriftFacts
from ray_platform.drift.items import DriftItem, to_json
from ray_platform.run_history.asset_facts import BurstFacts, PhaseFacts

OPENED = DriftItem(
    "aws_security_group.api", "ingress", "[]", "0.0.0.0/0", "major", "by_hand", "opened"
)


def drifted(*items: DriftItem) -> DriftFacts:
    return DriftFacts.of(
        items, to_json(items), open_incidents=(), seen_at="2026-11-30T10:07:00+00:00", proposed=None
    )


def spent(percent: float) -> CostFacts:
    return CostFacts(
        total_usd=1.0,
        burst_runs_usd=1.0,
        idle_usd=0.0,
        overhead_usd=0.0,
        fixed_usd=0.0,
        month_to_date_usd=1.0,
        budget_used_percent=percent,
        alerts_fired=(),
        forecast_usd=None,
        ledger_against_bill_percent=None,
        report={},
        report_table="",
        page="/tmp/cost.html",  # noqa: S108 - an address, nothing is written
    )


def trained(reached: int) -> BurstFacts:
    phase = PhaseFacts("peak", 10, 10, reached, 1.0, 9.0, 50.0, 0, 0, 0.1, {"cpu": 90.0}, "")
    return BurstFacts("a" * 64, "c" * 40, 0.1, 9.0, 90.0, 0.01, 0, 0, (phase,))


#: Each check, its asset and partition, and facts that pass and that fail.
CHECKS: Mapping[str, tuple[Any, dg.AssetKey, str, Any, Any]] = {
    "drift": (
        drift_report.no_major_drift,
        drift_report.drift_report.key,
        "local",
        drifted(),
        drifted(OPENED),
    ),
    "cost": (
        daily_cost_report.cost_within_budget,
        daily_cost_report.daily_cost_report.key,
        day_key("2026-11-30", "local"),
        spent(12.0),
        spent(120.0),
    ),
    "burst": (
        burst_run.burst_reached_its_workers,
        burst_run.burst_run.key,
        "local",
        trained(10),
        trained(7),
    ),
}


@pytest.fixture
def instance() -> Iterator[dg.DagsterInstance]:
    with dg.instance_for_test() as made:
        yield made


def job_of(name: str, metadata: Mapping[str, Any], between: Any = None) -> dg.JobDefinition:
    """A job of the real check on an asset that makes this report; ``between`` runs before the check."""
    check, key, _, _, _ = CHECKS[name]
    partitions = next(iter(check.check_specs)).partitions_def

    @dg.asset(name=key.to_user_string(), partitions_def=partitions)
    def made(context: dg.AssetExecutionContext) -> dg.MaterializeResult[Any]:
        return dg.MaterializeResult(metadata=metadata)

    @dg.success_hook
    def then(context: dg.HookContext) -> None:
        if between is not None and context.op.name == key.to_user_string():
            between()

    job = dg.define_asset_job("look", selection=dg.AssetSelection.assets(made), hooks={then})
    definitions = dg.Definitions([made], asset_checks=[check], jobs=[job])
    return definitions.resolve_job_def("look")


def look(
    instance: dg.DagsterInstance, name: str, metadata: Mapping[str, Any], between: Any = None
) -> dg.AssetCheckEvaluation:
    done = job_of(name, metadata, between).execute_in_process(
        instance=instance, partition_key=CHECKS[name][2]
    )
    (evaluation,) = done.get_asset_check_evaluations()
    return evaluation


def check_alone(
    instance: dg.DagsterInstance, name: str, tags: Mapping[str, str] | None = None
) -> dg.AssetCheckEvaluation:
    check, key, partition, _, _ = CHECKS[name]
    partitions = next(iter(check.check_specs)).partitions_def
    job = dg.define_asset_job("alone", selection=dg.AssetSelection.checks(check))
    definitions = dg.Definitions(
        [dg.AssetSpec(key, partitions_def=partitions)], asset_checks=[check], jobs=[job]
    )
    # As the UI starts a run of a check: Dagster knows no partitions of a job without assets.
    of_partition = partitions.get_tags_for_partition_key(partition)
    done = definitions.resolve_job_def("alone").execute_in_process(
        instance=instance, tags={**of_partition, **(tags or {})}
    )
    (evaluation,) = done.get_asset_check_evaluations()
    return evaluation


def report(instance: dg.DagsterInstance, name: str, metadata: Mapping[str, Any]) -> None:
    """Another process materializes the same partition."""
    _, key, partition, _, _ = CHECKS[name]
    instance.report_runless_asset_event(
        dg.AssetMaterialization(key, partition=str(partition), metadata=metadata)
    )


each_check = pytest.mark.parametrize("name", CHECKS)


@each_check
def test_a_check_judges_its_own_report_though_another_came_after_it(
    instance: dg.DagsterInstance, name: str
) -> None:
    _, _, _, good, bad = CHECKS[name]
    first = look(
        instance, name, bad.to_metadata(), lambda: report(instance, name, good.to_metadata())
    )
    assert not first.passed
    second = look(
        instance, name, good.to_metadata(), lambda: report(instance, name, bad.to_metadata())
    )
    assert second.passed


@each_check
def test_a_check_of_what_was_never_materialized_says_so_and_does_not_raise(
    instance: dg.DagsterInstance, name: str
) -> None:
    found = check_alone(instance, name)
    assert (found.passed, found.severity) == (False, dg.AssetCheckSeverity.WARN)
    asset, partition = CHECKS[name][1].to_user_string(), str(CHECKS[name][2])
    assert f"{partition} has no {asset} yet" in (found.description or "")
    assert "rerun the check" in (found.description or "")


@each_check
def test_a_check_alone_judges_the_latest_report(instance: dg.DagsterInstance, name: str) -> None:
    _, _, _, good, bad = CHECKS[name]
    report(instance, name, bad.to_metadata())
    report(instance, name, good.to_metadata())
    assert check_alone(instance, name).passed


@each_check
def test_a_check_of_an_event_that_a_person_reported_says_so(
    instance: dg.DagsterInstance, name: str
) -> None:
    report(instance, name, {"note": "by hand"})
    found = check_alone(instance, name)
    assert (found.passed, found.severity) == (False, dg.AssetCheckSeverity.WARN)
    assert "the metadata holds no facts of" in (found.description or "")


@each_check
def test_a_retry_of_the_check_judges_the_report_of_the_run_that_it_retries(
    instance: dg.DagsterInstance, name: str
) -> None:
    _, _, partition, good, bad = CHECKS[name]
    first = job_of(name, bad.to_metadata()).execute_in_process(
        instance=instance, partition_key=partition
    )
    report(instance, name, good.to_metadata())
    found = check_alone(instance, name, {"dagster/parent_run_id": first.run_id})
    assert not found.passed
    assert found.metadata["judged_run"].value == first.run_id
