"""A poller that lost its memory forgets no merged pull request that still waits."""

import functools
import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from ray_platform.pull_requests.decide import Next
from ray_platform.pull_requests.polling.cursor import Memory
from ray_platform.text import redaction
from ray_platform.text.errors import ArtifactError
from tests.support.fuse import Killed
from tests.support.pull_request_orders import REVIEWERS, Story, begin, finish, happen, merge
from tests.support.pull_request_world import World


@pytest.fixture(autouse=True)
def masked_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(redaction, "mask_looks", functools.cache(redaction.mask_looks))


def story(required: int = 1, **more: Any) -> Story:
    return Story({}, apply="merged", required={"prod": required}, **more)


def lost(world: World) -> None:
    world.memory = "null"


def of_another_shape(world: World) -> None:
    world.memory = json.dumps({"version": 99, "repositories": [{"cursor": "abc"}]})


def a_list(world: World) -> None:
    world.memory = json.dumps(["what", "no", "version", "wrote"])


def with_a_field_more(world: World) -> None:
    memory = json.loads(world.memory)
    for watched in memory["pulls"].values():
        watched["pull"]["mergeable"] = True
    world.memory = json.dumps(memory)


def of_the_version_before(world: World) -> None:
    """It noted no time, in the store neither, and filled no ``merged_at``."""
    memory = json.loads(world.memory)
    del memory["merged_since"]
    for watched in memory["pulls"].values():
        watched["pull"]["merged_at"] = ""
    world.memory = json.dumps(memory)
    for key in [key for key in world.items if key.endswith("/merged_since.json")]:
        del world.items[key]


LOSSES: tuple[Callable[[World], None], ...] = (
    lost,
    of_another_shape,
    a_list,
    with_a_field_more,
    of_the_version_before,
)


def applied(world: World, number: int = 1) -> bool:
    return any(item.number == number for item in world.admitted)


def approve(world: World) -> None:
    for who in REVIEWERS:
        world.forge.review(1, who, "APPROVED")


@pytest.mark.parametrize("lose", LOSSES)
def test_what_was_merged_and_waits_for_approval_is_applied_once_approved(
    tmp_path: Path, lose: Callable[[World], None]
) -> None:
    world = begin(tmp_path, story())
    for what in ("tick", "runs", "tick"):
        happen(world, story(), what)
    merge(world, 1, squash=False)
    world.tick()
    lose(world)
    for _ in range(3):
        world.tick()
        happen(world, story(), "runs")
    assert 1 in Memory.from_json(json.loads(world.memory)).pulls and not applied(world)
    approve(world)
    finish(world, story())
    assert applied(world)


@pytest.mark.parametrize("lose", [lost, of_another_shape, with_a_field_more])
def test_what_is_merged_between_the_last_look_and_the_first_of_a_lost_memory_is_applied(
    tmp_path: Path, lose: Callable[[World], None]
) -> None:
    world = begin(tmp_path, story(required=0))
    world.tick()
    merge(world, 1, squash=True)
    lose(world)
    finish(world, story(required=0))
    assert applied(world)


def test_what_is_opened_and_merged_while_no_poller_runs_is_applied_although_the_memory_is_lost(
    tmp_path: Path,
) -> None:
    # `begin` looked before the pull request was opened, so no look ever saw it open.
    world = begin(tmp_path, story(required=0))
    merge(world, 1, squash=False)
    lost(world)
    finish(world, story(required=0))
    assert applied(world)


def test_nothing_is_applied_twice_however_often_the_memory_is_lost(tmp_path: Path) -> None:
    world = begin(tmp_path, story(required=0))
    merge(world, 1, squash=False)
    for _ in range(6):
        lost(world)
        world.tick()
        happen(world, story(required=0), "runs")
    assert len(world.admitted) == 1
    done = world.tick()
    assert not done.requests
    assert {decision.next for decision in done.decisions.values()} <= {Next.APPLIED}


def test_a_first_look_leaves_out_what_was_merged_before_anybody_watched(tmp_path: Path) -> None:
    world = begin(tmp_path, story(required=0))
    merge(world, 1, squash=False)
    lost(world)
    for key in [key for key in world.items if key.endswith("/merged_since.json")]:
        del world.items[key]
    for _ in range(3):
        assert not world.tick().requests


@pytest.mark.parametrize("writes", range(12))
def test_a_poller_killed_at_any_write_that_then_loses_its_memory_forgets_nothing(
    tmp_path: Path, writes: int
) -> None:
    at = story(required=1)
    world = begin(tmp_path, at)
    for what in ("tick", "runs", "tick"):
        happen(world, at, what)
    merge(world, 1, squash=False)
    world.fuse.left = writes
    try:
        for what in ("tick", "runs", "tick"):
            happen(world, at, what)
    except Killed:
        pass
    world.fuse.left = None
    lost(world)
    approve(world)
    finish(world, at)
    assert applied(world)


def test_an_environment_that_cannot_be_read_is_asked_again_and_holds_up_no_other(
    tmp_path: Path,
) -> None:
    at = Story({}, apply="merged", required={"dev": 0, "prod": 0})
    world = begin(tmp_path, at)
    merge(world, 1, squash=False)
    lost(world)
    del world.items["pull_requests/dev/acme/infra/merged_since.json"]
    make, broken = world.make, True

    def sometimes(settings: Any, name: str, commit: str, git: Any) -> Any:
        if name == "prod" and broken:
            raise ArtifactError("the bucket does not answer")
        return make(settings, name, commit, git)

    world.make = sometimes  # type: ignore[method-assign]
    done = world.tick()
    assert done.unkept == {"prod": "the bucket does not answer"}
    assert done.memory.merged_since == "" and 1 not in done.memory.pulls
    broken = False
    finish(world, at)
    assert {item.environment for item in world.admitted if item.number == 1} == {"dev", "prod"}


def test_the_time_moves_on_once_nothing_waits_and_never_back(tmp_path: Path) -> None:
    at = story(required=1)
    world = begin(tmp_path, at)
    key = "pull_requests/prod/acme/infra/merged_since.json"
    merge(world, 1, squash=False)
    merged_at = world.forge.pulls[1].merged_at
    seen = []
    for _ in range(4):
        world.tick()
        happen(world, at, "runs")
        seen.append(json.loads(world.items[key])["at"])
    assert seen[-1] <= merged_at, "it waits for an approval"
    approve(world)
    finish(world, at)
    seen.append(json.loads(world.items[key])["at"])
    assert seen[-1] > merged_at
    assert seen == sorted(seen)


def test_a_pull_request_of_the_watermarks_own_second_is_not_history(tmp_path: Path) -> None:
    world = begin(tmp_path, story(required=0))
    merge(world, 1, squash=False)
    newest = Memory.from_json(json.loads(world.memory)).watermark.updated_at
    world.forge.pulls[1] = replace(world.forge.pulls[1], merged_at=newest, updated_at=newest)
    finish(world, story(required=0))
    assert applied(world)
