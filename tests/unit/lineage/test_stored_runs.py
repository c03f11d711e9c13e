"""Lineage reads the runs of the version before, and names those that it cannot read."""

import json
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import dagster as dg
import pytest
from dagster import DagsterEventType
from dagster._core.events import DagsterEvent, StepMaterializationData

from ray_platform.config.partitions import INFRA_VERSION_TAG
from ray_platform.lineage.trace import describe
from ray_platform.run_history.run_history_store import BURST_ASSET, RunHistory
from ray_platform.text.errors import FactsError

FIRST = json.loads((Path(__file__).parents[2] / "data" / "facts_schema_1.json").read_text("utf-8"))
BURST = FIRST["burst_run"]["metadata"]


@pytest.fixture
def instance() -> Iterator[dg.DagsterInstance]:
    with dg.instance_for_test() as made:
        yield made


@pytest.fixture
def history(instance: dg.DagsterInstance, tmp_path: Path) -> RunHistory:
    return RunHistory(instance, tmp_path / "lineage")


def trained(instance: dg.DagsterInstance, run_id: str, metadata: Mapping[str, Any]) -> None:
    """A burst run that ended with this materialization."""
    tags = {INFRA_VERSION_TAG: BURST["infra version"], "dagster/partition": "local"}
    run = dg.DagsterRun("burst", run_id=run_id, tags=tags, status=dg.DagsterRunStatus.SUCCESS)
    instance.add_run(run)
    made = dg.AssetMaterialization(BURST_ASSET, partition="local", metadata=metadata)
    event = DagsterEvent(
        DagsterEventType.ASSET_MATERIALIZATION.value,
        "burst",
        step_key="burst_run",
        event_specific_data=StepMaterializationData(made, []),
    )
    instance.report_dagster_event(event, run_id)


def test_a_run_of_the_version_before_has_its_facts_by_the_names_of_today(
    instance: dg.DagsterInstance, history: RunHistory
) -> None:
    trained(instance, "11111111-old", BURST)
    run = history.burst("11111111")
    assert (run.facts["usd"], run.facts["node_seconds"], run.unreadable) == (0.028082, 526.533, "")
    assert [phase["name"] for phase in run.phases] == ["warm-up", "small burst"]


def test_a_run_that_cannot_be_read_says_so_and_the_others_are_answered(
    instance: dg.DagsterInstance, history: RunHistory
) -> None:
    trained(instance, "22222222-later", {**BURST, "facts_schema": 9})
    trained(instance, "33333333-lacks", {key: BURST[key] for key in ("loss", "infra version")})
    trained(instance, "44444444-good", BURST)
    found = {run.run_id: run for run in history.bursts()}
    assert "schema 9" in found["22222222-later"].unreadable
    assert "node_seconds: field required" in found["33333333-lacks"].unreadable
    assert found["33333333-lacks"].facts == {} and found["44444444-good"].facts["loss"] > 0


def test_a_deployment_that_cannot_be_read_is_refused_and_one_by_hand_is_none(
    instance: dg.DagsterInstance, history: RunHistory
) -> None:
    def deployed(metadata: Mapping[str, Any]) -> None:
        made = dg.AssetMaterialization("ray_cluster", partition="local", metadata=metadata)
        instance.report_runless_asset_event(made)

    cluster = FIRST["ray_cluster"]["metadata"]
    deployed(cluster)
    deployed({"note": "a person reported it"})
    (only,) = history.deployments("local", before=time.time() + 60)
    assert only[1] == cluster["infra version"]
    deployed({key: cluster[key] for key in cluster if key != "infra version"})
    with pytest.raises(FactsError, match="infra_version: field required"):
        list(history.deployments("local", before=time.time() + 60))


def test_lineage_of_an_unreadable_run_names_why(
    instance: dg.DagsterInstance, history: RunHistory
) -> None:
    class Records:
        def manifest(self, version: str) -> dict[str, Any]:
            return {"plan_digest": "d"}

        def pull_request_of(self, digest: str) -> str:
            return ""

    trained(instance, "55555555-later", {**BURST, "facts_schema": 9})
    answer = describe(Records(), history.burst("55555555"))  # type: ignore[arg-type]
    assert "schema 9" in answer["unreadable"]
