"""The sensor and the runs of an environment write the same records: neither loses what the other wrote."""

from collections.abc import Callable
from dataclasses import replace

import pytest

from ray_platform.github.model import PullRef
from ray_platform.pull_requests.pull_request_store import Failure, PullRequestRecords
from ray_platform.pull_requests.queue import Queue
from ray_platform.pull_requests.report import Outcome
from ray_platform.store.artifact_store import Artifacts, Store
from ray_platform.text.errors import Refused
from tests.unit.pull_requests.test_comment import REPORT

PULL = PullRef.parse("acme/infra#7")
PLANNED = replace(REPORT, shown_at="")
APPLIED = PLANNED.with_outcome(Outcome("success", "f" * 64))


class Interrupted:
    """A store in which somebody else writes right before the next write of ours."""

    def __init__(self, store: Store, other: Callable[[], object]) -> None:
        self._store, self._other = store, [other]

    def __getattr__(self, name: str) -> object:
        return getattr(self._store, name)

    def replace(self, key: str, content: bytes, version: str | None) -> str | None:
        if self._other:
            self._other.pop()()
        return self._store.replace(key, content, version)


def records(store: Store) -> PullRequestRecords:
    return PullRequestRecords(Artifacts(store), "prod")


def interrupted(store: Store, other: Callable[[], object]) -> PullRequestRecords:
    return records(Interrupted(store, other))  # type: ignore[arg-type]


def test_an_outcome_is_not_lost_to_a_look_that_notes_what_it_showed(store: Store) -> None:
    records(store).planned(PULL, PLANNED)
    ours = interrupted(store, lambda: records(store).update(PULL, APPLIED))
    ours.shown(PULL, PLANNED, "2026-03-01T09:02:00Z")
    found = records(store).standing(PULL).report
    assert found is not None
    assert found.is_applied
    assert found.shown_at == "2026-03-01T09:02:00Z"


def test_what_was_shown_stays_shown_when_the_same_is_planned_again(store: Store) -> None:
    records(store).planned(PULL, PLANNED)
    ours = interrupted(store, lambda: records(store).shown(PULL, PLANNED, "2026-03-01T09:02:00Z"))
    again = ours.planned(PULL, replace(PLANNED, run_id="4567"))
    assert (again.run_id, again.shown_at) == ("4567", "2026-03-01T09:02:00Z")


def test_a_failure_does_not_take_away_what_came_meanwhile(store: Store) -> None:
    records(store).planned(PULL, PLANNED)
    ours = interrupted(store, lambda: records(store).update(PULL, APPLIED))
    ours.failed(PULL, Failure("0123", "no", refused=True))
    standing = records(store).standing(PULL)
    assert standing.report is not None
    assert standing.report.is_applied
    assert standing.failure is not None


def test_who_takes_an_environment_keeps_it_though_the_branch_goes_forward_meanwhile(
    store: Store,
) -> None:
    take = lambda queue: queue.held_by("acme/infra#8", "now")  # noqa: E731
    ours = interrupted(store, lambda: records(store).change_queue(take))
    ours.change_queue(lambda queue: queue.up_to("a" * 40))
    assert records(store).queue() == Queue("acme/infra#8", "now", "a" * 40)


def test_of_two_that_take_an_environment_one_is_refused(store: Store) -> None:
    def take(queue: Queue, who: str) -> Queue:
        if queue.holder and queue.holder != who:
            raise Refused(f"{queue.holder} holds it")
        return queue.held_by(who, "now")

    ours = interrupted(store, lambda: records(store).change_queue(lambda q: take(q, "a/b#1")))
    with pytest.raises(Refused, match="a/b#1"):
        ours.change_queue(lambda queue: take(queue, "a/b#2"))
    assert records(store).queue().holder == "a/b#1"
