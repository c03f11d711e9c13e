"""A removal by issue: typed twice, approved by comments on the plan that was shown."""

from dataclasses import replace

import pytest

from ray_platform.github.model import Comment, Issue
from ray_platform.pull_requests.removals.issue import (
    MARKER,
    Removal,
    approved_by,
    asked_for,
    render_removal,
)
from ray_platform.pull_requests.reviews import Approvers

ISSUE = Issue(
    number=12,
    title="Take staging down",
    body="It is not used.\n\nenvironment: staging\nconfirm: staging\n",
    author="alice",
    url="",
    labels=(),
    is_open=True,
    updated_at="2026-03-01T09:00:00Z",
)
REMOVAL = Removal(
    environment="staging",
    issue="acme/ml#12",
    plan_digest="abcdef0123456789" * 4,
    state_lineage="lineage",
    state_serial=7,
    policy_digest="p",
    run_id="run",
    resources=74,
    losses=(("module.storage.aws_s3_bucket.artifacts", "its objects"),),
    shown_at="2026-03-01T10:00:00Z",
)
APPROVERS = Approvers.of(2, ["alice", "bob", "carol"])


def said(
    author: str, body: str = "approve abcdef012345", at: str = "2026-03-01T10:00:01Z"
) -> Comment:
    return Comment(1, author, body, at, at, by_us=False)


def approved(*comments: Comment) -> tuple[str, ...]:
    return approved_by(comments, ISSUE, REMOVAL, APPROVERS)


def test_an_environment_is_named_twice() -> None:
    assert asked_for(ISSUE, ["dev", "staging"]) == ("staging", "")


@pytest.mark.parametrize(
    ("body", "why"),
    [
        ("please remove staging", "write a line `environment: NAME`"),
        ("environment: moon\nconfirm: moon", "with one of: dev, staging"),
        ("environment: staging", "write a line `confirm: staging`"),
        ("environment: staging\nconfirm: dev", "write a line `confirm: staging`"),
        ("environment: ../staging\nconfirm: ../staging", "with one of: dev, staging"),
    ],
)
def test_an_issue_that_does_not_say_so_removes_nothing(body: str, why: str) -> None:
    name, told = asked_for(replace(ISSUE, body=body), ["dev", "staging"])
    assert name == ""
    assert why in told


def test_two_people_who_did_not_open_it_approve() -> None:
    assert approved(said("bob"), said("Bob"), said("carol"), said("alice")) == ("bob", "carol")


@pytest.mark.parametrize(
    "comment",
    [
        said("mallory"),
        said("bob", "approve"),
        said("bob", "approve abcdef"),
        said("bob", "approve fedcba987654"),
        said("bob", "do not approve abcdef012345"),
        said("bob", at="2026-03-01T10:00:00Z"),
        replace(said("bob"), updated_at="2026-03-01T11:00:00Z"),
        replace(said("bob"), by_us=True),
    ],
)
def test_what_is_no_approval_of_this_plan_does_not_count(comment: Comment) -> None:
    assert approved(comment) == ()


def test_nothing_counts_before_the_plan_was_shown() -> None:
    unshown = replace(REMOVAL, shown_at="")
    assert approved_by([said("bob")], ISSUE, unshown, APPROVERS) == ()


def test_the_comment_says_what_goes_and_how_to_approve() -> None:
    text = render_removal(REMOVAL, "", ("bob",), 2, "http://127.0.0.1:3000/runs/run")
    assert text.startswith(MARKER)
    assert "**74** resources" in text
    assert "`module.storage.aws_s3_bucket.artifacts`: its objects" in text
    assert "1 of 2 approvals: `bob`" in text
    assert "`approve abcdef012345`" in text
