"""The command reads a run's failure and checks by machine keys."""

from typing import Any

import dagster as dg
import pytest
from dagster._core.execution.plan.objects import UserFailureData

from ray_platform.cli.run_jobs import Check, JobOutcome, _denial, _stage_failure
from ray_platform.defs.facts import DriftFacts, PolicyFacts
from ray_platform.policy.verdict import Verdict, Violation
from ray_platform.store.failure_facts import FailureFacts
from ray_platform.text.errors import FactsError, NotApproved, PlatformError, Refused


def failed(metadata: dict[str, Any]) -> UserFailureData:
    normalized = dg.AssetMaterialization("x", metadata=metadata).metadata
    return UserFailureData(label="x", description="said", metadata=normalized)


def test_a_stages_failure_comes_back_with_its_exit_code_and_remedy() -> None:
    error = NotApproved("0 of 2 approvals", where="prod", fix="ask two people")
    read = _stage_failure(failed(FailureFacts.of(error).to_metadata()), "r")
    assert isinstance(read, Refused)
    assert (read.what, read.where, read.fix) == (error.what, error.where, error.fix)


def test_a_failure_that_is_not_a_stages_has_its_description() -> None:
    read = _stage_failure(failed({"library": "another"}), "r")
    assert (read.what, read.exit_code, read.where) == ("said", 1, "run r")


def test_a_denied_plan_names_rule_resource_and_remedy() -> None:
    verdict = Verdict((Violation("r-1", "aws_x.a", "is 5", "make it 4"),), "b" * 64)
    facts = PolicyFacts.of("d" * 64, verdict)
    policy = Check("terraform_plan", "policy", False, facts.summary, facts.to_metadata())
    fresh = Check("terraform_plan", "plan_is_fresh", False, "the state moved on", {})
    read = _denial([policy, fresh], "r")
    assert read.what == "[r-1] aws_x.a: is 5; plan_is_fresh: the state moved on"
    assert read.fix == "make it 4"


def test_a_run_without_the_asset_raises_its_failure_or_says_that_there_are_no_facts() -> None:
    failure = PlatformError("it broke", where="here")
    with pytest.raises(PlatformError, match="it broke"):
        JobOutcome("r", False, (), {}, failure).facts("drift_report", DriftFacts)
    with pytest.raises(FactsError, match="no facts of drift_report"):
        JobOutcome("r", True, (), {}, None).facts("drift_report", DriftFacts)
