"""A pull request's comment names the exceptions that were used and the advice, and neither stops it."""

from dataclasses import replace

import pytest

from ray_platform.pull_requests.comment import render_comment
from ray_platform.pull_requests.report import PlanReport
from tests.unit.pull_requests.test_comment import MOST_OF_GITHUB, PULL, REPORT, row

SAID = "[user-keys] aws_iam_access_key.ci: it makes a credential (excepted by ann until 2026-12-31: old CI)"
ADVICE = {
    "id": "wide-policy",
    "resource": "aws_iam_policy.a",
    "message": "all of s3",
    "fix": "name them",
}


def test_both_are_in_the_comment_and_deny_nothing() -> None:
    report = replace(REPORT, excepted=(SAID,), advice=(ADVICE,))
    assert not report.denied
    text = render_comment(PULL, [row(report)])
    assert "**Exceptions to the rules**" in text
    assert "excepted by ann until 2026" in text
    assert "**Advice, which stops nothing**" in text
    assert "`wide-policy`" in text


def test_a_comment_without_either_has_no_empty_part() -> None:
    text = render_comment(PULL, [row(REPORT)])
    assert "Exceptions to the rules" not in text
    assert "Advice" not in text


def test_many_of_them_fit() -> None:
    report = replace(REPORT, excepted=(SAID,) * 900, advice=(ADVICE,) * 900)
    text = render_comment(PULL, [row(report)])
    assert len(text) < MOST_OF_GITHUB
    assert "more: see [the run](" in text


@pytest.mark.parametrize("known", [True, False])
def test_a_report_is_read_back_also_one_that_is_older(known: bool) -> None:
    report = replace(REPORT, excepted=(SAID,), advice=(ADVICE,)) if known else REPORT
    stored = report.to_json()
    if not known:
        del stored["excepted"], stored["advice"]
    assert PlanReport.from_json(stored) == report
