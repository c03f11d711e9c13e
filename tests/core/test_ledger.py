"""Each node-second belongs to one run, to idle or to overhead, whatever was lost or doubled."""

import datetime as dt
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ray_platform.core.attribution import UsageInterval, attribute, day_bounds
from ray_platform.core.errors import ArtifactError
from ray_platform.core.ledger import (
    Ledger,
    NodeInterval,
    RunWindow,
    TaskInterval,
    merge,
    node_interval,
    read_ledger,
    write_ledger,
)

ENV = "local"


def node(start: float, end: float | None, *, node_id: str = "n1", seen: float = 0) -> NodeInterval:
    return node_interval(ENV, node_id, "cpu", "m5.xlarge", start, end, seen=seen)


def task(run_id: str, start: float, end: float, node_id: str = "n1") -> TaskInterval:
    return TaskInterval(ENV, run_id, node_id, start, end)


def shares(usage: tuple[UsageInterval, ...]) -> dict[str, float]:
    out: dict[str, float] = {}
    for part in usage:
        name = part.run_id or part.kind
        out[name] = out.get(name, 0) + part.node_ms / 1000
    return out


def test_a_run_holds_a_node_from_its_first_to_its_last_task() -> None:
    ledger = Ledger((node(0, 100),), (), (task("a", 20, 30), task("a", 50, 60)))
    assert shares(attribute(ledger, 0, 1000)) == {"idle": 60, "a": 40}


def test_a_node_that_came_up_for_a_run_is_the_runs_from_its_start() -> None:
    ledger = Ledger((node(10, 100),), (RunWindow(ENV, "a", 5, 80),), (task("a", 30, 70),))
    assert shares(attribute(ledger, 0, 1000)) == {"a": 60, "idle": 30}


def test_runs_with_tasks_on_the_same_node_share_it_equally() -> None:
    ledger = Ledger((node(0, 100),), (), (task("a", 0, 60), task("b", 40, 100)))
    assert shares(attribute(ledger, 0, 1000)) == {"a": 50, "b": 50}


def test_running_tasks_come_before_a_run_that_only_holds_the_node() -> None:
    ledger = Ledger((node(0, 100),), (), (task("a", 0, 10), task("a", 90, 100), task("b", 40, 60)))
    assert shares(attribute(ledger, 0, 1000)) == {"a": 80, "b": 20}


def test_a_run_without_known_tasks_holds_every_worker_for_its_window() -> None:
    head = node_interval(ENV, "h", "system", "m6i.large", 0, 100, seen=100, overhead=True)
    ledger = Ledger((node(0, 100), head), (RunWindow(ENV, "a", 20, 50),))
    assert shares(attribute(ledger, 0, 1000)) == {"idle": 70, "a": 30, "overhead": 100}


def test_a_share_that_does_not_divide_loses_no_millisecond() -> None:
    ledger = Ledger((node(0, 0.1),), (), tuple(task(r, 0, 0.1) for r in "abc"))
    parts = [part.node_ms for part in attribute(ledger, 0, 1)]
    assert parts == [34, 33, 33]


def test_an_open_end_counts_until_it_was_last_seen_and_then_closes() -> None:
    opened = Ledger((node(0, None, seen=40),))
    closed = Ledger((node(0, 55),))
    assert shares(attribute(opened, 0, 1000)) == {"idle": 40}
    assert merge(opened, closed) == merge(closed, opened) == merge(closed)
    assert merge(opened, closed).nodes[0].closed


def test_a_node_id_that_comes_again_later_is_another_life() -> None:
    ledger = merge(Ledger((node(0, None, seen=10),)), Ledger((node(500, 510),)))
    assert shares(attribute(ledger, 0, 1000)) == {"idle": 20}


def test_one_node_reported_with_two_types_counts_once() -> None:
    other = replace(node(50, 120), instance_type="g4dn.xlarge")
    assert shares(attribute(Ledger((node(0, 100), other)), 0, 1000)) == {"idle": 120}


def test_another_environment_is_not_counted() -> None:
    ledger = Ledger((node(0, 100), replace(node(0, 100), environment="dev")))
    assert shares(attribute(ledger, 0, 1000, environment="dev")) == {"idle": 100}
    assert shares(attribute(ledger, 0, 1000)) == {"idle": 200}


def test_a_day_is_a_utc_day() -> None:
    start, end = day_bounds(dt.date(2026, 11, 21))
    assert (start, end) == (1795219200.0, 1795305600.0)


def test_a_write_cut_short_loses_its_last_line_only() -> None:
    text = write_ledger(Ledger((node(0, 10), node(0, 20, node_id="n2"))))
    assert [n.node_id for n in read_ledger(text[:-5]).nodes] == ["n1"]


@pytest.mark.parametrize(
    "line", ["{", "[]", '{"kind":"cow"}', '{"kind":"node","start":1}', '{"kind":"run"}']
)
def test_a_malformed_line_is_named(line: str) -> None:
    with pytest.raises(ArtifactError, match="line 1"):
        read_ledger(line + "\n", where="usage.jsonl")


# Times around a UTC midnight, in tenths of a millisecond steps that do not fit milliseconds.
MIDNIGHT, _ = day_bounds(dt.date(2026, 11, 21))
moments = st.integers(-2000, 2000).map(lambda n: MIDNIGHT + n * 7.7777)
spans = st.tuples(moments, moments).map(lambda pair: (min(pair), max(pair)))
nodes = st.builds(
    lambda span, node_id, pool, closed, overhead: NodeInterval(
        ENV, node_id, span[0], span[1], pool, "m5.xlarge", False, overhead, closed
    ),
    spans,
    st.sampled_from(["n1", "n2", "n3"]),
    st.sampled_from(["cpu", "gpu"]),
    st.booleans(),
    st.booleans(),
)
runs = st.builds(
    lambda span, run_id, closed: RunWindow(ENV, run_id, span[0], span[1], closed),
    spans,
    st.sampled_from(["a", "b", "c"]),
    st.booleans(),
)
tasks = st.builds(
    lambda span, run_id, node_id: TaskInterval(ENV, run_id, node_id, span[0], span[1]),
    spans,
    st.sampled_from(["a", "b", "d"]),
    st.sampled_from(["n1", "n2", "n3"]),
)
ledgers = st.builds(
    lambda n, r, t: Ledger(tuple(n), tuple(r), tuple(t)),
    st.lists(nodes, max_size=6),
    st.lists(runs, max_size=3),
    st.lists(tasks, max_size=8),
)


def node_ms_up(ledger: Ledger, start: float, end: float) -> int:
    """By brute force: the length of the union of each node's intervals within the bounds."""
    total = 0
    for node_id in {n.node_id for n in ledger.nodes}:
        reached = round(start * 1000)
        for n in sorted(ledger.nodes, key=lambda n: n.start):
            if n.node_id == node_id:
                left, right = max(reached, round(n.start * 1000)), round(min(n.end, end) * 1000)
                total += max(0, right - left)
                reached = max(reached, right)
    return total


@settings(max_examples=150, deadline=None)
@given(ledgers)
def test_the_parts_of_any_window_sum_to_the_time_that_nodes_were_up(ledger: Ledger) -> None:
    start, end = MIDNIGHT - 5000, MIDNIGHT + 9000
    usage = attribute(ledger, start, end)
    assert sum(part.node_ms for part in usage) == node_ms_up(ledger, start, end)
    assert all(start <= part.start < part.end <= end for part in usage)


@settings(max_examples=100, deadline=None)
@given(ledgers)
def test_two_days_hold_what_the_window_over_midnight_holds(ledger: Ledger) -> None:
    whole = attribute(ledger, MIDNIGHT - 86400, MIDNIGHT + 86400)
    before = attribute(ledger, MIDNIGHT - 86400, MIDNIGHT)
    after = attribute(ledger, MIDNIGHT, MIDNIGHT + 86400)
    assert sum(p.node_ms for p in whole) == sum(p.node_ms for p in (*before, *after))


@settings(max_examples=100, deadline=None)
@given(ledgers, ledgers, ledgers)
def test_merging_is_a_union_whatever_comes_twice_or_out_of_order(
    a: Ledger, b: Ledger, c: Ledger
) -> None:
    whole = merge(a, b, c)
    assert merge(whole, whole, b) == whole
    assert merge(c, merge(b, a)) == whole
    assert merge(merge(a, b), c) == whole
    assert attribute(merge(a, b, a), 0, 2e9) == attribute(merge(b, a), 0, 2e9)


@settings(max_examples=50, deadline=None)
@given(ledgers)
def test_a_ledger_comes_back_from_its_lines(ledger: Ledger) -> None:
    text = write_ledger(ledger)
    assert read_ledger(text) == merge(ledger)
    assert write_ledger(read_ledger(text + text)) == text
