"""Every path that makes or applies a plan asks for all of its checks, also for one that is new."""

import re
from pathlib import Path

import dagster as dg
import pytest

from ray_platform.config.partitions import environments
from ray_platform.config.settings import load_settings
from ray_platform.definitions import defs
from ray_platform.defs.git_pushes import git_pushes
from ray_platform.git.new_commits import Push
from ray_platform.git.revision import Work

PLAN = dg.AssetKey("terraform_plan")
PRODUCT = Path(__file__).resolve().parents[3] / "ray_platform"


@dg.asset_check(asset=PLAN, blocking=True, partitions_def=environments)
def another_check() -> dg.AssetCheckResult:
    return dg.AssetCheckResult(passed=True)


@pytest.fixture(scope="module")
def grown() -> dg.Definitions:
    """The code location with one check of the plan more."""
    return dg.Definitions.merge(defs(), dg.Definitions(asset_checks=[another_check]))


def plan_checks(definitions: dg.Definitions) -> set[dg.AssetCheckKey]:
    graph = definitions.resolve_asset_graph()
    return {key for key in graph.asset_check_keys if key.asset_key == PLAN}


def test_the_added_check_is_one_of_the_plans(grown: dg.Definitions) -> None:
    added = plan_checks(grown) - plan_checks(defs())
    assert added == {dg.AssetCheckKey(PLAN, "another_check")}
    assert dg.AssetCheckKey(PLAN, "no_live_runs_harmed") in plan_checks(defs())


def test_each_job_that_plans_or_applies_runs_all_checks_of_the_plan(grown: dg.Definitions) -> None:
    asked = {
        job.name: {key for key in job.asset_layer.asset_graph.asset_check_keys if key in wanted}
        for wanted in [plan_checks(grown)]
        for job in grown.get_repository_def().get_all_jobs()
        if not job.name.startswith("__")
    }
    asked = {name: keys for name, keys in asked.items() if keys}
    assert asked.pop("policy_checks") == {dg.AssetCheckKey(PLAN, "policy")}
    assert set(asked) == {"plan", "up", "change", "apply"}
    for name, keys in asked.items():
        assert keys == plan_checks(grown), name


def request(
    grown: dg.Definitions, monkeypatch: pytest.MonkeyPatch, *work: Work, environment: str = "local"
) -> dg.RunRequest:
    """What the Git sensor asks for after a push with such work in an environment."""
    push = Push(environment, "c" * 40, work, f"{environment} {work}", 1)
    monkeypatch.setattr("ray_platform.defs.git_pushes.watch", lambda *_: ({}, [push], ""))
    with dg.instance_for_test() as instance:
        result = git_pushes(dg.build_sensor_context(instance=instance, definitions=grown))
    assert isinstance(result, dg.SensorResult)
    (found,) = result.run_requests or []
    return found


@pytest.mark.parametrize("environment", ["local", "prod"])
def test_a_pushed_change_asks_for_all_checks_of_the_plan(
    grown: dg.Definitions, monkeypatch: pytest.MonkeyPatch, environment: str
) -> None:
    waits = load_settings().environment(environment).approval.required > 0
    assert waits == (environment == "prod")
    found = request(grown, monkeypatch, "change", environment=environment)
    assert {key for key in found.asset_check_keys or [] if key.asset_key == PLAN} == plan_checks(
        grown
    )
    selected = set(found.asset_selection or [])
    assert PLAN in selected and (dg.AssetKey("vpc") in selected) != waits
    graph = grown.resolve_asset_graph()
    assert set(found.asset_check_keys or []) == {
        key for key in graph.asset_check_keys if key.asset_key in selected
    }


def test_what_plans_nothing_asks_for_no_check_of_a_plan_but_the_policy_for_its_own(
    grown: dg.Definitions, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = request(grown, monkeypatch, "ray_cluster", "burst")
    assert {key.asset_key.to_user_string() for key in found.asset_check_keys or []} == {
        "ray_cluster",
        "burst_run",
    }
    found = request(grown, monkeypatch, "policy", "burst")
    assert dg.AssetCheckKey(PLAN, "policy") in (found.asset_check_keys or [])
    assert PLAN not in (found.asset_selection or [])


def test_the_product_keeps_no_list_of_the_plans_checks_and_counts_none() -> None:
    names = "|".join(key.name for key in plan_checks(defs()))
    listed = re.compile(rf"""["']({names})["']\s*,\s*["']({names})["']""")
    counted = re.compile(r"len\((\w+\.)*checks\)")
    for path in PRODUCT.rglob("*.py"):
        text = path.read_text(encoding="utf-8")
        assert not listed.search(text), path
        assert not counted.search(text), path
