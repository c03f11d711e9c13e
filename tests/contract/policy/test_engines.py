"""One bundle, two engines: rego-cpp in this process, and real OPA. Whatever one says, the other says."""

import json
import re
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from ray_platform.policy.opa_process import OpaProcess
from ray_platform.policy.policy_engine import PolicyEngine
from ray_platform.policy.verdict import policy_input
from ray_platform.terraform.plan import Plan, read_plan
from ray_platform.text.errors import PlanFormatError, SettingsError
from tests.support import opa

ROOT = Path(__file__).resolve().parents[3]
POLICIES = ROOT / "policies"
ENGINE = PolicyEngine(POLICIES)
RECORDED = sorted((ROOT / "tests" / "data").glob("plan_*.json"))
CASES = sorted((ROOT / "tests" / "data" / "cases" / "plans").glob("*.json"))
PACKAGES = ("terraform", "ray", "kubernetes")

pytestmark = pytest.mark.skipif(bool(opa.missing()), reason=f"no real OPA: {opa.missing()}")


@cache
def real(*, tests: bool) -> opa.Opa:
    paths = [p for p in POLICIES.rglob("*.rego") if tests or not p.name.endswith("_test.rego")]
    modules = {str(path.relative_to(POLICIES)): path.read_text() for path in paths}
    return opa.Opa(modules, (POLICIES / "data.json").read_text())


@pytest.fixture(scope="session")
def command(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return opa.command(tmp_path_factory.mktemp("opa"))


@pytest.mark.parametrize("package", PACKAGES)
def test_every_rego_test_passes_under_opa(package: str) -> None:
    text = "\n".join(path.read_text() for path in POLICIES.rglob("*_test.rego"))
    files = [t for t in text.split("package ") if t.startswith(f"{package}_test")]
    names = {name for file in files for name in re.findall(r"^(test_\w+)", file, re.MULTILINE)}
    answers = real(tests=True).query(f"data.{package}_test", "{}")
    assert len(names) > 20
    assert {name for name in names if answers.get(name) is not True} == set()


def plan_of(path: Path) -> Plan:
    try:
        return read_plan(json.loads(path.read_text(encoding="utf-8")))
    except PlanFormatError as error:
        pytest.skip(f"no plan that can be judged: {error.what}")


def sorted_findings(found: list[dict[str, Any]]) -> list[str]:
    return sorted(json.dumps(item, sort_keys=True) for item in found)


@pytest.mark.parametrize("path", [*RECORDED, *CASES], ids=lambda path: path.stem)
def test_both_engines_find_the_same_in_a_recorded_plan(path: Path) -> None:
    plan = plan_of(path)
    asked = policy_input(plan, environment="local")
    theirs = real(tests=False).query("data.terraform.findings", json.dumps(asked))
    ours = ENGINE.evaluate("terraform", asked)
    mine = [item.to_json() for item in (*ours.violations, *ours.advice)]
    assert sorted_findings(theirs) == sorted_findings(mine)


@pytest.mark.parametrize("path", RECORDED, ids=lambda path: path.stem)
def test_a_plan_that_is_asked_whole_has_the_verdict_of_its_parts(path: Path, command: Path) -> None:
    by_command = PolicyEngine(POLICIES, opa=str(command))
    plan = plan_of(path)
    assert by_command.check_plan(plan, "local") == ENGINE.check_plan(plan, "local")


def test_the_catalogue_and_the_exceptions_are_read_by_either_engine(command: Path) -> None:
    by_command = PolicyEngine(POLICIES, opa=str(command))
    assert by_command.rules("ray") == ENGINE.rules("ray")
    assert by_command.bundle_digest == ENGINE.bundle_digest


def test_a_rule_without_an_answer_refuses(command: Path) -> None:
    process = OpaProcess(str(command), {"a.rego": "package a\n\nb := 1 if input.c"}, "{}")
    assert process.answers({"c": True}, ["a/b"]) == [1]
    with pytest.raises(SettingsError, match="undefined"):
        process.answers({}, ["a/b"])


def test_a_rule_that_hands_a_function_the_wrong_type_refuses(command: Path) -> None:
    text = 'package a\n\nimport rego.v1\n\nb := [1 | startswith(input.c, "x")]'
    process = OpaProcess(str(command), {"a.rego": text}, "{}")
    assert process.answers({"c": "xy"}, ["a/b"]) == [[1]]
    with pytest.raises(SettingsError, match="startswith"):
        process.answers({"c": None}, ["a/b"])


def test_a_syntax_error_refuses_and_names_the_file(command: Path) -> None:
    process = OpaProcess(str(command), {"broken.rego": "package a\n\nb := if {"}, "{}")
    with pytest.raises(SettingsError, match=r"broken\.rego"):
        process.answers({}, ["a/b"])


def test_what_is_no_opa_is_refused(tmp_path: Path) -> None:
    other = tmp_path / "opa"
    other.write_text("#!/bin/sh\necho Version: 0.60.0\n")
    other.chmod(0o755)
    for binary in (str(other), str(tmp_path / "none"), "/bin/true"):
        with pytest.raises(SettingsError) as caught:
            PolicyEngine(POLICIES, opa=binary).rules("ray")
        assert "RAY_PLATFORM_OPA" in str(caught.value.where) + caught.value.fix
