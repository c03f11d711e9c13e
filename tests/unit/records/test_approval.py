"""An approval binds to environment, plan digest, state and policies."""

from dataclasses import replace

import pytest

from ray_platform.records.approval import Approval, require
from ray_platform.text.errors import NotApproved

ALICE = Approval(
    "prod", "d" * 64, "lineage", 7, "alice", "2026-11-21T10:00:00.000+00:00", "cli", "p" * 64
)
BOB = replace(ALICE, by="bob", at="2026-11-21T11:00:00.000+00:00")
BINDING = {
    "environment": "prod",
    "plan_digest": "d" * 64,
    "state_lineage": "lineage",
    "state_serial": 7,
    "policy_digest": "p" * 64,
}


def test_two_people_are_enough_where_two_are_required() -> None:
    assert [a.by for a in require([BOB, ALICE], required=2, **BINDING)] == ["alice", "bob"]


@pytest.mark.parametrize("again", ["alice", "Alice", " alice "])
def test_one_person_twice_is_one_person(again: str) -> None:
    with pytest.raises(NotApproved, match="1 of 2 approvals"):
        require(
            [ALICE, replace(ALICE, by=again, at="2026-11-21T12:00:00+00:00")], required=2, **BINDING
        )


@pytest.mark.parametrize(
    "moved",
    [
        {"state_serial": 8},
        {"state_lineage": "another"},
        {"plan_digest": "e" * 64},
        {"environment": "dev"},
        {"policy_digest": "q" * 64},
    ],
)
def test_an_approval_is_void_as_soon_as_what_it_binds_to_changes(moved: dict[str, object]) -> None:
    with pytest.raises(NotApproved, match="2 given for another plan, state or policies are void"):
        require([ALICE, BOB], required=1, **{**BINDING, **moved})  # type: ignore[arg-type]


def test_the_message_says_how_to_approve() -> None:
    with pytest.raises(NotApproved) as refused:
        require([], required=1, **BINDING)
    assert refused.value.exit_code == 2
    assert "ray-platform approve dddddddddddd --env prod --by NAME" in refused.value.fix
