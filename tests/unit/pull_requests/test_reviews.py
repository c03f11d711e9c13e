"""Which reviews approve a plan: of the right people, on this head, after this plan was shown."""

from dataclasses import replace

import pytest

from ray_platform.github.model import Review
from ray_platform.pull_requests.reviews import Approvers, Reviewed, weigh
from tests.unit.pull_requests.test_comment import PULL

SHOWN = "2026-03-01T09:10:00Z"
NAMED = Approvers.of(2, ["alice", "bob", "Carol"])
YES = Review(1, "bob", "APPROVED", PULL.head, "2026-03-01T09:11:00Z", True, "http://forge/7#1")


def weighed(*reviews: Review, approvers: Approvers = NAMED, shown_at: str = SHOWN) -> Reviewed:
    return weigh(reviews, PULL, approvers, shown_at=shown_at)


def test_an_approval_of_what_was_shown_counts() -> None:
    assert [item.author for item in weighed(YES).counted] == ["bob"]


@pytest.mark.parametrize(
    ("changed", "void"),
    [
        ({"author": "alice"}, "is the author"),
        ({"author": "ALICE"}, "is the author"),
        ({"author": "mallory"}, "is not among those whom the environment names"),
        ({"commit": "f" * 40}, "was given before the last push"),
        ({"submitted_at": "2026-03-01T09:09:59Z"}, "was given before this plan was shown"),
        ({"submitted_at": SHOWN}, "was given before this plan was shown"),
    ],
)
def test_what_does_not_count_is_told_with_its_reason(changed: dict[str, str], void: str) -> None:
    found = weighed(replace(YES, **changed))  # type: ignore[arg-type]
    assert not found.counted
    assert [item.void for item in found.void] == [void]


def test_nothing_counts_before_the_plan_is_shown() -> None:
    assert not weighed(YES, shown_at="").counted


def test_one_person_counts_once_however_they_spell_their_name() -> None:
    again = replace(YES, id=2, author="BOB", submitted_at="2026-03-01T09:12:00Z")
    assert len(weighed(YES, again).counted) == 1


@pytest.mark.parametrize("state", ["DISMISSED", "CHANGES_REQUESTED"])
def test_the_last_opinion_is_the_one_that_holds(state: str) -> None:
    later = replace(YES, id=2, state=state, submitted_at="2026-03-01T09:12:00Z")  # type: ignore[arg-type]
    assert not weighed(later, YES).counted
    back = replace(YES, id=3, submitted_at="2026-03-01T09:13:00Z")
    assert weighed(back, later, YES).counted == (back,)


def test_a_later_comment_takes_nothing_back() -> None:
    later = replace(YES, id=2, state="COMMENTED", submitted_at="2026-03-01T09:12:00Z")
    assert weighed(YES, later).counted == (YES,)


def test_changes_requested_by_those_who_may_approve_hold_it_up_and_by_others_do_not() -> None:
    no = replace(YES, state="CHANGES_REQUESTED")
    assert weighed(no).objections == ("bob",)
    assert weighed(replace(no, author="mallory")).objections == ()


def test_where_nobody_is_named_whoever_may_write_may_approve() -> None:
    anybody = Approvers.of(1, None)
    assert weighed(replace(YES, author="mallory"), approvers=anybody).counted
    without = replace(YES, author="mallory", may_write=False)
    assert weighed(without, approvers=anybody).void[0].void == "may not write to the repository"
