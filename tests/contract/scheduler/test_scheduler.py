"""What every scheduler of a what-if keeps to: the tests' double, and Ray's own autoscaler in this process."""

from collections.abc import Callable
from decimal import Decimal

import pytest

from ray_platform.whatif.demand import Group, NodeView, Scheduler, Task
from ray_platform.whatif.ray_scheduler_client import RayScheduler
from tests.support.one_group_scheduler import OneGroup

CPU = Group("cpu", "m5.xlarge", 1, 0, min=2, max=5, usd_per_hour=Decimal("0.192"))
IDLE_SECONDS = 6.0

Make = Callable[[Group], Scheduler]


@pytest.fixture(params=["double", pytest.param("Ray", marks=pytest.mark.real)])
def make(request: pytest.FixtureRequest) -> Make:
    if request.param == "double":
        return lambda group: OneGroup(group, IDLE_SECONDS)
    return lambda group: RayScheduler((group,), Task(1), IDLE_SECONDS)


def node(name: str, *, up: bool = True, free: float = 1, idle: float = 0) -> NodeView:
    return NodeView(name, "cpu", up, free if up else 1, 0, idle)


def busy(name: str) -> NodeView:
    return node(name, free=0)


def test_nothing_waits_and_the_minimum_is_there_so_nothing_is_done(make: Make) -> None:
    found = make(CPU).decide([node("a"), node("b")], 0)
    assert (dict(found.launch), found.terminate, found.infeasible) == ({}, (), 0)


def test_what_waits_and_has_no_room_gets_a_node_each(make: Make) -> None:
    found = make(CPU).decide([busy("a"), busy("b")], 2)
    assert (dict(found.launch), found.terminate, found.infeasible) == ({"cpu": 2}, (), 0)


def test_free_nodes_and_nodes_on_their_way_are_counted_first(make: Make) -> None:
    nodes = [busy("a"), node("b"), node("c", up=False)]
    assert dict(make(CPU).decide(nodes, 3).launch) == {"cpu": 1}
    assert dict(make(CPU).decide(nodes, 2).launch) == {}


def test_no_more_than_the_maximum_and_the_rest_is_said(make: Make) -> None:
    found = make(CPU).decide([busy("a"), busy("b")], 7)
    assert (dict(found.launch), found.infeasible) == ({"cpu": 3}, 4)
    full = make(CPU).decide([busy(name) for name in "abcde"], 2)
    assert (dict(full.launch), full.infeasible) == ({}, 2)


def test_the_minimum_is_launched_though_nothing_waits(make: Make) -> None:
    assert dict(make(CPU).decide([], 0).launch) == {"cpu": 2}
    assert dict(make(CPU).decide([node("a")], 0).launch) == {"cpu": 1}


def test_what_idles_for_too_long_is_ended_down_to_the_minimum(make: Make) -> None:
    nodes = [node(name, idle=IDLE_SECONDS + 5) for name in "abcd"]
    found = make(CPU).decide(nodes, 0)
    assert len(found.terminate) == 2 and set(found.terminate) <= set("abcd")
    assert not found.launch


def test_what_idles_for_less_or_works_is_kept(make: Make) -> None:
    nodes = [*(node(name, idle=IDLE_SECONDS - 1) for name in "abc"), busy("d")]
    assert make(CPU).decide(nodes, 0).terminate == ()


def test_a_decision_depends_on_what_is_asked_alone(make: Make) -> None:
    scheduler = make(CPU)
    first = scheduler.decide([busy("a"), busy("b")], 2)
    scheduler.decide([node(name, idle=60) for name in "abcd"], 0)
    assert scheduler.decide([busy("a"), busy("b")], 2) == first
