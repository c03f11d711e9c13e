"""What every policy engine keeps to: the double of the pull request tests, and Rego by the real engine."""

import copy
import dataclasses
import json
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from ray_platform.policy.policy_engine import PolicyEngine
from ray_platform.policy.verdict import Violation
from ray_platform.terraform.plan import Plan, read_plan
from ray_platform.text.errors import SettingsError
from tests.support.pull_request_world import RESOURCE, RecordedPolicies

ROOT = Path(__file__).resolve().parents[3]
GPU = 'module.node_pools.aws_eks_node_group.this["gpu"]'


@dataclass(frozen=True)
class Engine:
    """An engine's kind, a folder of its rules, and a plan that they let through and one that they deny."""

    make: Callable[[Path], PolicyEngine]
    folder: Path
    allowed: Plan
    denied: Plan
    resource: str

    def new(self) -> PolicyEngine:
        return self.make(self.folder)


def recorded(folder: Path) -> Engine:
    folder.mkdir()
    (folder / "terraform.rego").write_text("package terraform\n# deny eleven\n", encoding="utf-8")
    shutil.copy(ROOT / "policies" / "data.json", folder)

    def plan(content: str) -> Plan:
        change = {"actions": ["update"], "before": {"content": ""}, "after": {"content": content}}
        resource = {"address": RESOURCE, "type": "terraform_data", "name": "this", "change": change}
        return read_plan({"format_version": "1.2", "resource_changes": [resource]})

    return Engine(RecordedPolicies, folder, plan("ten"), plan("eleven"), RESOURCE)


def rego(folder: Path) -> Engine:
    shutil.copytree(ROOT / "policies", folder)
    content = json.loads((ROOT / "tests" / "data" / "plan_local.json").read_text(encoding="utf-8"))
    changed = copy.deepcopy(content)
    (pool,) = [one for one in changed["resource_changes"] if one["address"] == GPU]
    pool["change"]["after"]["scaling_config"][0]["max_size"] = 11
    return Engine(PolicyEngine, folder, read_plan(content), read_plan(changed), GPU)


@pytest.fixture(params=[recorded, rego], ids=["double", "Rego"])
def engine(request: pytest.FixtureRequest, tmp_path: Path) -> Engine:
    made: Engine = request.param(tmp_path / "policies")
    return made


def test_what_no_rule_denies_is_allowed_under_the_bundles_name(engine: Engine) -> None:
    policies = engine.new()
    verdict = policies.check_plan(engine.allowed, "local")
    assert (verdict.denied, verdict.violations) == (False, ())
    assert verdict.bundle_digest == policies.bundle_digest and len(verdict.bundle_digest) == 64


def test_a_denial_says_rule_resource_reason_and_fix(engine: Engine) -> None:
    policies = engine.new()
    verdict = policies.check_plan(engine.denied, "local")
    assert verdict.denied and verdict.bundle_digest == policies.bundle_digest
    (violation,) = verdict.violations
    assert violation.resource == engine.resource and violation.severity == "deny"
    assert all(getattr(violation, one.name) for one in dataclasses.fields(Violation))


def test_the_same_plan_is_judged_the_same_by_another_engine_of_the_same_rules(
    engine: Engine, tmp_path: Path
) -> None:
    elsewhere = engine.make(Path(shutil.copytree(engine.folder, tmp_path / "elsewhere")))
    here = engine.new()
    assert elsewhere.bundle_digest == here.bundle_digest
    for plan in (engine.allowed, engine.denied, engine.denied):
        assert elsewhere.check_plan(plan, "local") == here.check_plan(plan, "local")


def test_the_digest_changes_with_a_rule_and_with_a_number_but_not_with_a_test(
    engine: Engine,
) -> None:
    before = engine.new().bundle_digest
    (engine.folder / "more_test.rego").write_text("package more\n", encoding="utf-8")
    assert engine.new().bundle_digest == before
    rules = engine.folder / "terraform.rego"
    rules.write_text(rules.read_text(encoding="utf-8") + "# one word more\n", encoding="utf-8")
    changed = engine.new().bundle_digest
    assert changed != before
    data = engine.folder / "data.json"
    data.write_text(data.read_text(encoding="utf-8") + "\n", encoding="utf-8")
    assert engine.new().bundle_digest not in (before, changed)


def test_an_engine_judges_by_the_rules_that_it_read_first(engine: Engine) -> None:
    policies = engine.new()
    before = policies.bundle_digest
    assert policies.check_plan(engine.denied, "local").denied
    rules = engine.folder / "terraform.rego"
    rules.write_text("package terraform\n", encoding="utf-8")
    again = policies.check_plan(engine.denied, "local")
    assert again.denied and again.bundle_digest == policies.bundle_digest == before


def test_without_rules_or_numbers_there_is_no_verdict(engine: Engine) -> None:
    with pytest.raises(SettingsError, match="no numbers for the environment 'moon'"):
        engine.new().check_plan(engine.allowed, "moon")
    (engine.folder / "data.json").write_text("{", encoding="utf-8")
    with pytest.raises(SettingsError, match="not JSON"):
        engine.new().check_plan(engine.allowed, "local")
    shutil.copy(ROOT / "policies" / "data.json", engine.folder)
    for path in engine.folder.rglob("*.rego"):
        path.unlink()
    for ask in (
        lambda: engine.new().bundle_digest,
        lambda: engine.new().check_plan(engine.allowed, "local"),
    ):
        with pytest.raises(SettingsError, match="there are no policies"):
            ask()
