"""The day's parts sum to the day, the days to the month, to the cent."""

import datetime as dt
import json
from decimal import Decimal
from fractions import Fraction

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ray_platform.core.attribution import day_bounds
from ray_platform.core.cost_report import CostReport, daily_report
from ray_platform.core.errors import NotFoundError
from ray_platform.core.estimate import FixedCost
from ray_platform.core.ledger import Ledger, NodeInterval, RunWindow, TaskInterval, merge
from ray_platform.core.money import apportion, usd_text
from ray_platform.core.price_book import load_price_book

DAY = dt.date(2026, 11, 2)
START, END = day_bounds(DAY)
ENV = "local"
FIXED = (FixedCost("EKS control plane", Decimal("0.60")), FixedCost("NAT", Decimal("0.045")))


def node(start: float, end: float, node_id: str = "n1", type_: str = "m5.xlarge") -> NodeInterval:
    pool = "gpu" if type_.startswith("g") else "cpu"
    return NodeInterval(ENV, node_id, START + start, START + end, pool, type_)


def report(ledger: Ledger, budget: float = 1000, **more: object) -> CostReport:
    return daily_report(DAY, ENV, ledger, load_price_book(), budget, **more)  # type: ignore[arg-type]


def test_an_hour_of_a_run_costs_the_price_of_the_hour() -> None:
    day = report(Ledger((node(0, 7200),), (), (TaskInterval(ENV, "r", "n1", START, START + 3600),)))
    assert day.cents_by_kind() == {"run": 19, "idle": 19, "overhead": 0, "fixed": 0}
    (run,) = day.runs
    assert (run.run_id, run.node_seconds, run.usd) == ("r", 3600, Decimal("0.192"))


def test_a_nodes_volume_is_part_of_its_cost() -> None:
    with_volume = report(Ledger((node(0, 86400),)), volume_gb={"cpu": 730}).total_cents
    # 0.08 x 730 GB / 730 h x 24 h = 1.92.
    assert with_volume == report(Ledger((node(0, 86400),))).total_cents + 192


def test_fixed_infrastructure_counts_for_the_time_that_it_stood() -> None:
    assert report(Ledger(), fixed=FIXED).total_cents == 1548
    half = report(Ledger(), fixed=FIXED, fixed_since=START + 43200)
    assert half.total_cents == 774
    started = report(Ledger(), fixed=FIXED, fixed_since=START + 36000, until=START + 39600)
    assert (started.total_cents, started.complete) == (65, False)


def test_the_month_to_date_is_the_sum_of_its_days() -> None:
    ledger = Ledger((node(-86400, 50000),))
    days = [
        daily_report(day, ENV, ledger, load_price_book(), 100, fixed=FIXED)
        for day in (DAY - dt.timedelta(1), DAY)
    ]
    assert days[1].month_to_date_cents == sum(day.total_cents for day in days)
    assert days[0].month_to_date_cents == days[0].total_cents


@pytest.mark.parametrize(
    ("budget", "reached"),
    [(1000, []), (38.70, [80]), (34.40, [80, 90]), (30.96, [80, 90, 100]), (1, [80, 90, 100])],
)
def test_budget_alerts_at_80_90_and_100_percent(budget: float, reached: list[int]) -> None:
    # Two days of 15.48.
    day = report(Ledger(), budget, fixed=FIXED)
    assert [alert.percent for alert in day.alerts if alert.reached] == reached


def test_idle_gpu_hours_are_advised_against_with_dollars() -> None:
    day = report(Ledger((node(0, 7200, type_="g4dn.xlarge"),)))
    (advice,) = day.advice
    assert "GPU" in advice.title
    assert advice.usd == Decimal("1.05")
    assert "2.00 of 2.00 node-hours" in advice.evidence


def test_a_dear_control_plane_is_advised_against() -> None:
    titles = [advice.title for advice in report(Ledger(), fixed=FIXED).advice]
    assert titles == ["Upgrade Kubernetes: its version is past standard support"]


def test_hours_hold_the_node_seconds_of_each_pool() -> None:
    day = report(Ledger((node(1800, 5400), node(0, 60, "g", "g4dn.xlarge"))))
    assert len(day.hourly) == 24
    assert day.hourly[0] == {"cpu": 1800, "gpu": 60}
    assert day.hourly[1] == {"cpu": 1800}
    assert day.hourly[2] == {}


def test_the_bill_stands_beside_the_estimate() -> None:
    data = report(Ledger(), actuals={"r": Decimal("1.2345")}).to_json()
    assert data["actuals"] == {"r": "1.2345"}
    assert report(Ledger()).to_json()["actuals"] is None


def test_json_and_markdown_hold_the_same_total() -> None:
    day = report(Ledger((node(0, 5000),)), fixed=FIXED)
    data = json.loads(json.dumps(day.to_json()))
    assert data["total_cents"] == sum(part["cents"] for part in data["parts"])
    assert usd_text(data["total_cents"]) in day.to_markdown().splitlines()[0]


def test_an_instance_type_without_a_price_is_refused_by_name() -> None:
    with pytest.raises(NotFoundError, match=r"x9\.huge"):
        report(Ledger((node(0, 10, type_="x9.huge"),)))


@given(st.lists(st.fractions(0, 100), max_size=20))
def test_apportioned_cents_sum_to_the_rounded_sum_and_stay_within_a_cent(
    dollars: list[Fraction],
) -> None:
    exact = dict(enumerate(dollars))
    cents = apportion(exact)
    assert sum(cents.values()) == int(sum(dollars, Fraction(0)) * 100 + Fraction(1, 2))
    assert all(abs(cents[key] - exact[key] * 100) < 1 for key in exact)


offsets = st.integers(-90_000, 180_000)
spans = st.tuples(offsets, offsets).map(lambda pair: (min(pair), max(pair)))
nodes = st.builds(
    lambda span, name, type_: node(*span, node_id=name, type_=type_),
    spans,
    st.sampled_from(["n1", "n2", "n3"]),
    st.sampled_from(["m5.xlarge", "g4dn.xlarge"]),
)
runs = st.builds(
    lambda span, name: RunWindow(ENV, name, START + span[0], START + span[1]),
    spans,
    st.sampled_from("ab"),
)
tasks = st.builds(
    lambda span, run, name: TaskInterval(ENV, run, name, START + span[0], START + span[1]),
    spans,
    st.sampled_from("ab"),
    st.sampled_from(["n1", "n2"]),
)


@settings(max_examples=60, deadline=None)
@given(
    st.lists(nodes, max_size=5), st.lists(runs, max_size=3), st.lists(tasks, max_size=5), st.data()
)
def test_every_view_of_a_day_sums_to_the_same_cents_whatever_was_doubled(
    some_nodes: list[NodeInterval],
    some_runs: list[RunWindow],
    some_tasks: list[TaskInterval],
    data: st.DataObject,
) -> None:
    ledger = Ledger(tuple(some_nodes), tuple(some_runs), tuple(some_tasks))
    day = report(ledger, fixed=FIXED)
    assert sum(day.cents_by_kind().values()) == day.total_cents
    fixed = day.cents_by_kind()["fixed"]
    assert sum(day.cents_by_pool().values()) + fixed == day.total_cents
    assert sum(run.cents for run in day.runs) == day.cents_by_kind()["run"]
    again = data.draw(st.lists(st.sampled_from(some_nodes), max_size=3)) if some_nodes else []
    assert report(merge(ledger, Ledger(tuple(again)), ledger), fixed=FIXED) == day
