"""A first plan by the real Terraform and the real provider: each rule denies what it claims, and nothing else.

``tests/data/policies/first_plan`` names its resources by what is right: ``good_...`` breaks no rule,
``bad_RULE...`` that one. No account and no emulator is needed: nothing is read, nothing exists yet.
"""

import json
import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from ray_platform.policy.policy_engine import PolicyEngine
from ray_platform.terraform.provider_mirror import find_provider_mirror
from ray_platform.terraform.plan import Plan, read_plan
from ray_platform.policy.verdict import Verdict
from tests.support import opa

ROOT = Path(__file__).resolve().parents[3]
CONFIGURATION = ROOT / "tests" / "data" / "policies" / "first_plan"

pytestmark = [pytest.mark.real, pytest.mark.xdist_group("terraform")]


@pytest.fixture(scope="module")
def plan(tmp_path_factory: pytest.TempPathFactory) -> Plan:
    folder = Path(shutil.copytree(CONFIGURATION, tmp_path_factory.mktemp("plan") / "root"))
    mirror = find_provider_mirror(os.environ.get("RAY_PLATFORM_PROVIDER_DIR", ""))
    environment = {
        "PATH": os.environ["PATH"],
        "HOME": str(folder),
        "GOGC": "400",
        "CHECKPOINT_DISABLE": "1",
    }

    def terraform(*arguments: str) -> str:
        binary = os.environ.get("RAY_PLATFORM_TERRAFORM", "terraform")
        done = subprocess.run(
            [binary, *arguments],
            cwd=folder,
            env=environment,
            capture_output=True,
            text=True,
            timeout=280,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    terraform("init", "-input=false", *([f"-plugin-dir={mirror}"] if mirror else []))
    terraform("plan", "-input=false", "-refresh=false", "-out=plan")
    return read_plan(json.loads(terraform("show", "-json", "plan")))


@pytest.fixture(scope="module")
def verdict(plan: Plan) -> Verdict:
    return PolicyEngine(ROOT / "policies").check_plan(plan, "local")


def rules_of(verdict: Verdict, address: str) -> set[str]:
    return {item.id for item in verdict.violations if item.resource == address}


def test_what_is_named_good_breaks_no_rule(plan: Plan, verdict: Verdict) -> None:
    good = [change.address for change in plan.changes if change.name.startswith("good")]
    assert len(good) > 20
    assert {address: rules_of(verdict, address) for address in good} == {a: set() for a in good}


def test_what_is_named_bad_breaks_the_rule_of_its_name(plan: Plan, verdict: Verdict) -> None:
    rules = sorted(PolicyEngine(ROOT / "policies").rules("terraform"), key=len, reverse=True)
    bad = [c for c in plan.changes if c.name.startswith("bad_") and c.mode == "managed"]
    # The parts of a bucket are judged with it.
    bad = [change for change in bad if not re.match("aws_s3_bucket_", change.type)]
    assert len(bad) > 15
    for change in bad:
        named = change.name.removeprefix("bad_").replace("_", "-")
        wanted = next(rule for rule in rules if named.startswith(rule))
        assert wanted in rules_of(verdict, change.address), change.address


@pytest.mark.skipif(bool(opa.missing()), reason=f"no real OPA: {opa.missing()}")
def test_opa_says_the_same(plan: Plan, verdict: Verdict, tmp_path: Path) -> None:
    by_command = PolicyEngine(ROOT / "policies", opa=str(opa.command(tmp_path)))
    assert by_command.check_plan(plan, "local") == verdict
