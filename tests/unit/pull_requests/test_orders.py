"""In whatever order things happen to pull requests, nothing wrong is applied, and nothing gets stuck.

The real tick, gate and apply run on plans that are computed from the commits (`pull_request_world`).
How many orders were tried is printed.
"""

import functools
import json
from pathlib import Path

import pytest

from ray_platform.text import redaction
from tests.support.fuse import Killed
from tests.support.pull_request_orders import (
    Explored,
    Story,
    begin,
    events,
    explore,
    finish,
    happen,
    judge,
)
from tests.support.pull_request_world import World, content_of

# One process: what was tried is summed up at the end.
pytestmark = pytest.mark.xdist_group("orders")

_PLANNED = ("tick", "runs", "tick")
_BOTH = ("second", *_PLANNED)

#: What may happen beside looking, running, approving, updating, merging and trying to apply; and from how
#: many states each story is gone on from at the most.
STORIES = {
    "two reviewers, one after the other": (Story({}, one_by_one=True), 500),
    "a push, an approval taken back": (
        Story({"push": 1, "dismiss": 1}, before=("tick", "runs")),
        400,
    ),
    "other rules, a state that moves, a close, an approval by command": (
        Story(
            {"policy": 1, "state": 1, "close 1": 1, "approve by command": 1},
            required={"local": 1},
            before=_PLANNED,
        ),
        400,
    ),
    "rules that deny it": (Story({"forbid": 1}, before=_PLANNED), 400),
    "a fork's": (Story({"push": 1}, fork=True, required={"local": 0}), 100),
    "two, applied while open": (Story({"second": 1, "close 2": 1}, before=_BOTH), 500),
    "applied once merged": (Story({}, apply="merged"), 600),
    "applied once merged, squashed": (Story({}, apply="merged", squash=True), 600),
    "two, applied once merged": (
        Story({"second": 1}, apply="merged", before=(*_BOTH[:1], "merge 1", "merge 2", *_PLANNED)),
        1300,
    ),
    "two environments": (
        Story({"push": 1}, required={"dev": 0, "prod": 1}, before=_PLANNED),
        300,
    ),
    "two environments, applied once merged": (
        Story({}, apply="merged", required={"dev": 0, "prod": 1}, before=("merge 1", *_PLANNED)),
        300,
    ),
}
_SAMPLE = 25


@pytest.fixture(autouse=True)
def masked_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """The same texts are masked in thousands of worlds; masking is a pure function, so once is enough."""
    monkeypatch.setattr(redaction, "mask_looks", functools.cache(redaction.mask_looks))


@pytest.fixture(scope="module")
def counted() -> dict[str, Explored]:
    return {}


@pytest.mark.parametrize("name", STORIES)
def test_no_order_applies_what_must_not_be_and_none_gets_stuck(
    name: str, tmp_path: Path, counted: dict[str, Explored]
) -> None:
    story, most = STORIES[name]
    seen = 0

    def look(world: World) -> None:
        nonlocal seen
        seen += 1
        if seen % _SAMPLE == 0:
            _what_is_settled_hides_nothing(world)

    found = explore(begin(tmp_path, story), story, most_states=most, on_new=look)
    counted[name] = found
    for world in found.worlds.values():
        assert all(len(comments) == 1 for comments in world.forge.written.values())
    if story.fork:
        assert not any(world.admitted for world in found.worlds.values())
    else:
        assert found.applied(1), "no order came to an apply: nothing was tried"
    if found.whole and not story.fork:
        assert not found.stuck(1), found.came[sorted(found.stuck(1))[0]]


def _what_is_settled_hides_nothing(world: World) -> None:
    """A look that skips what is settled comes to the same as one that looks at everything."""
    short, whole = world.copy(), world.copy()
    memory = json.loads(whole.memory)
    for watched in memory["pulls"].values():
        watched["settled"] = ""
    whole.memory = json.dumps(memory)
    one, other = short.tick(), whole.tick()
    assert one.requests == other.requests
    for key, decision in one.decisions.items():
        assert decision.next is other.decisions[key].next


def test_more_than_a_hundred_thousand_orders_were_tried(counted: dict[str, Explored]) -> None:
    assert set(counted) == set(STORIES), "run the whole file"
    print()
    total = 0
    for name, found in counted.items():
        orders = found.orders(100)
        total += orders
        bound = "to their end" if found.whole else f"all of {found.depth} events, and longer ones"
        print(
            f"{name}: {orders:,} orders, {len(found.worlds):,} states, {found.tried:,} events done; {bound}"
        )
    print(f"in all: {total:,} orders")
    assert total >= 100_000


def test_the_rules_that_judge_an_apply_do_see_a_wrong_one(tmp_path: Path) -> None:
    story = Story({}, before=_PLANNED)
    world = begin(tmp_path, story)
    record = next(world.plans())
    with pytest.raises(AssertionError, match="0 of 2 approvals"):
        judge(world, record, 1, story)
    happen(world, story, "all approve 1")
    judge(world, record, 1, story)
    world.forge.set(1, is_open=False)
    with pytest.raises(AssertionError, match="closed"):
        judge(world, record, 1, story)


def test_a_plan_refused_under_rules_that_changed_is_applied_once_it_is_approved_anew(
    tmp_path: Path,
) -> None:
    """The same plan on the same state is asked for twice, so its run may not bear the same key."""
    story = Story({"policy": 1}, apply="merged", before=("merge 1", *_PLANNED, "all approve 1"))
    world = begin(tmp_path, story)
    world.tick()
    happen(world, story, "policy")
    happen(world, story, "runs")
    assert not world.admitted
    finish(world, story)
    assert [item.number for item in world.admitted] == [1]


def test_applies_that_somebody_tried_too_early_do_not_use_up_the_tries(tmp_path: Path) -> None:
    story = Story({}, before=_PLANNED)
    world = begin(tmp_path, story)
    for _ in range(4):
        assert not world.apply_by_command(next(world.plans()))
        world.tick()
    finish(world, story)
    assert len(world.admitted) == 1


def test_what_a_killed_apply_left_behind_still_counts_as_the_newer_commit(tmp_path: Path) -> None:
    before = ("second", "merge 1", "merge 2", *_PLANNED, "all approve 2")
    story = Story({"second": 1}, apply="merged", before=before)
    world = begin(tmp_path, story)
    world.tick()
    run = next(item[0] for item in world.waiting)
    _kill_after_the_state_moved(world, run)
    for _ in range(3):
        world.tick()
        happen(world, story, "runs")
    if "all approve 1" in dict(events(world, story)):
        happen(world, story, "all approve 1")
    for _ in range(3):
        world.tick()
        happen(world, story, "runs")
    assert world.states["local"].content == content_of(
        world.git.files(world.git.branches["main"]), "local"
    )


def _kill_after_the_state_moved(world: World, run: str) -> None:
    serial = world.states["local"].serial
    for left in range(60):
        tried = world.copy()
        tried.fuse.left = left
        try:
            tried.execute(run)
        except Killed:
            if tried.states["local"].serial > serial:
                break
    world.fuse.left = left
    with pytest.raises(Killed):
        world.execute(run)
    world.fuse.left = None


@pytest.mark.parametrize("apply", ["approved", "merged"])
def test_a_process_killed_at_any_write_leaves_one_comment_and_one_apply(
    apply: str, tmp_path: Path
) -> None:
    story = Story({}, apply=apply)
    start = begin(tmp_path, story)
    steps = ["tick", "runs", "tick", "all approve 1", "tick", "runs", "tick"]
    steps = steps[:3] + (["merge 1", "tick"] if apply == "merged" else []) + steps[3:]
    whole = start.copy()
    for what in steps:
        happen(whole, story, what)
    assert len(whole.admitted) == 1
    kills = 0
    for left in range(0, whole.fuse.writes):
        world = start.copy()
        world.fuse.left = left
        for what in steps:
            try:
                if what in ("tick", "runs") or what in dict(events(world, story)):
                    happen(world, story, what)
            except Killed:
                kills += 1
                world.fuse.left = None
        finish(world, story)
        if not world.admitted:
            # An apply that was killed before it changed anything is not begun anew by itself: a person does.
            record = next(
                r for r in world.plans() if r.plan_digest == whole.admitted[0].plan_digest
            )
            assert world.apply_by_command(record), world.said
            world.tick()
        assert [item.number for item in world.admitted] == [1]
        assert [len(comments) for comments in world.forge.written.values()] == [1]
        assert content_of(world.git.files(world.admitted[0].commit), "local") == (
            world.states["local"].content
        )
    print(f"{kills} kills, each at another write")
    assert kills == whole.fuse.writes
