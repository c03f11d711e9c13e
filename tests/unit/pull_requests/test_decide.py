"""What is next for a pull request: each reason to wait by itself, and all of them at once."""

from dataclasses import replace
from typing import Any

import pytest

from ray_platform.pull_requests.decide import (
    MOST_APPLIES,
    ApprovalRules,
    DecisionFacts,
    Next,
    Run,
    State,
    decide,
)
from ray_platform.pull_requests.report import Outcome
from ray_platform.pull_requests.reviews import Reviewed
from tests.unit.pull_requests.test_comment import PULL, REPORT

READY = DecisionFacts(
    pull=PULL,
    rules=ApprovalRules("approved", 2, "ignore"),
    commit=PULL.head,
    base="b" * 40,
    state=State("lineage", 4),
    policy_digest="d" * 64,
    report=REPORT,
    run=None,
    reviewed=Reviewed((), ()),
    approvals=("bob", "carol"),
)
RUN = Run("apply", False, True, "no", True, "9", REPORT.plan_digest)
MERGED = replace(PULL, is_open=False, merge_commit="e" * 40)


def after(**changed: Any) -> tuple[Next, str]:
    decision = decide(replace(READY, **changed))
    return decision.next, decision.why


def test_what_lacks_nothing_is_applied() -> None:
    assert after()[0] is Next.APPLY


@pytest.mark.parametrize(
    ("changed", "why"),
    [
        ({"approvals": ("bob",)}, "1 of 2 approvals"),
        ({"pull": replace(PULL, draft=True)}, "it is a draft"),
        ({"behind": 1}, "the branch lacks 1 commit of main"),
        ({"reviewed": Reviewed((), ("dave",))}, "changes requested by dave"),
        ({"earlier": "dev comes first"}, "dev comes first"),
        ({"holder": "a/b#2"}, "a/b#2 holds the environment"),
        ({"ahead": "a/b#2"}, "a/b#2 comes first"),
        ({"rules": ApprovalRules("never", 2, "ignore")}, "pull requests are not applied here"),
        ({"rules": ApprovalRules("merged", 2, "ignore")}, "once it is merged"),
        (
            {"pull": replace(PULL, from_fork=True), "rules": ApprovalRules("approved", 2, "plan")},
            "a fork's pull request is never applied",
        ),
        ({"report": replace(REPORT, harms="a run is live")}, "a run is live"),
    ],
)
def test_each_reason_to_wait_is_told(changed: dict[str, Any], why: str) -> None:
    found = after(**changed)
    assert found[0] is Next.WAIT
    assert why in found[1]


def test_all_that_lacks_is_told_at_once() -> None:
    found = after(approvals=(), behind=2, ahead="a/b#2")
    assert found[1].count(";") == 2


@pytest.mark.parametrize(
    ("changed", "next_"),
    [
        ({"report": None}, Next.PLAN),
        ({"commit": "f" * 40}, Next.PLAN),
        ({"state": State("lineage", 5)}, Next.PLAN),
        ({"state": State("another", 4)}, Next.PLAN),
        ({"policy_digest": "9" * 64}, Next.PLAN),
        ({"run": Run("plan", True, False)}, Next.RUNNING),
        ({"report": replace(REPORT, over_budget="too much")}, Next.DENIED),
        ({"report": replace(REPORT, violations=({"id": "x"},))}, Next.DENIED),
        ({"report": replace(REPORT, empty=True)}, Next.NOTHING),
        ({"pull": replace(PULL, is_open=False)}, Next.NOTHING),
        ({"pull": MERGED, "overtaken": "a later commit is applied"}, Next.NOTHING),
        ({"pull": replace(PULL, from_fork=True)}, Next.IGNORED),
        ({"report": replace(REPORT, outcome=Outcome("success", "v"))}, Next.APPLIED),
        ({"run": replace(RUN, refused=False)}, Next.FAILED),
    ],
)
def test_what_else_may_be_next(changed: dict[str, Any], next_: Next) -> None:
    assert after(**changed)[0] is next_


def test_an_approval_does_not_save_a_denied_plan() -> None:
    denied = replace(REPORT, violations=({"id": "x"},))
    assert after(report=denied, approvals=("bob", "carol", "dave"))[0] is Next.DENIED


def test_an_apply_that_a_gate_refused_is_tried_again_a_few_times() -> None:
    asked = READY.asks_for
    tries = [after(run=replace(RUN, tried=(asked,) * n))[0] for n in range(1, MOST_APPLIES + 1)]
    assert tries == [Next.APPLY] * (MOST_APPLIES - 1) + [Next.FAILED]


def test_tries_by_hand_and_under_other_rules_use_nothing_up() -> None:
    assert after(run=replace(RUN, tried=("", "before") * MOST_APPLIES))[0] is Next.APPLY


def test_a_plan_that_failed_is_not_made_again_for_the_same() -> None:
    run = Run("plan", False, True, "no such type", asked_for=READY.asks_for, run_id="8")
    assert after(report=None, run=run) == (Next.FAILED, "no such type")
    assert after(report=None, run=run, base="c" * 40)[0] is Next.PLAN
