"""The day's parts sum to the day, the days to the month, to the cent, in any currency."""

import datetime as dt
import json
from decimal import Decimal
from fractions import Fraction
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ray_platform.cost.estimate_lines import FixedCost
from ray_platform.cost.ledger.usage_interval import (
    HOUR_MS,
    HourTotal,
    Reading,
    UsageTotal,
    day_bounds,
)
from ray_platform.cost.money import Currency, apportion, usd_text
from ray_platform.cost.price_book import load_price_book
from ray_platform.cost.report.cost_report import NO_TEAM, CostReport, daily_report, first_needed
from ray_platform.cost.report.reconciliation import AppliedEstimate
from ray_platform.cost.report.report_json import report_json
from ray_platform.cost.report.report_text import report_markdown
from ray_platform.text.errors import NotFoundError

DAY = dt.date(2026, 11, 2)
START, END = day_bounds(DAY)
ENV = "local"
FIXED = (FixedCost("EKS control plane", Decimal("0.60")), FixedCost("NAT", Decimal("0.045")))
RUPEES = Currency("INR", Decimal("88.61"), dt.date(2026, 11, 1))


def total(hours: float, *runs: str, pool: str = "cpu", **more: Any) -> UsageTotal:
    fields: dict[str, Any] = {"day": DAY, "spot": False, **more}
    fields.setdefault("instance_type", "g4dn.xlarge" if pool == "gpu" else "m5.xlarge")
    kind = fields.pop("kind", "run" if runs else "idle")
    return UsageTotal(
        environment=ENV, kind=kind, pool=pool, runs=runs, node_ms=round(hours * HOUR_MS), **fields
    )


def reading(*totals: UsageTotal, **more: Any) -> Reading:
    return Reading(totals=totals, **more)


def report(found: Reading, budget: float = 1000, **more: Any) -> CostReport:
    return daily_report(DAY, ENV, found, load_price_book(), budget, **more)


def test_an_hour_of_a_run_costs_the_price_of_the_hour() -> None:
    day = report(reading(total(1, "r"), total(1)))
    assert day.cents_by_kind() == {"run": 19, "idle": 19, "overhead": 0, "fixed": 0}
    (run,) = day.runs
    assert (run.run_id, run.node_seconds, run.usd) == ("r", 3600, Decimal("0.192"))


def test_runs_pay_equal_shares_of_what_both_held() -> None:
    day = report(reading(total(3, "a", "b"), total(1, "b")))
    assert {run.run_id: run.usd for run in day.runs} == {
        "a": Decimal("0.288"),
        "b": Decimal("0.480"),
    }


def test_a_nodes_volume_is_part_of_its_cost() -> None:
    with_volume = report(reading(total(24)), volume_gb={"cpu": 730}).total_cents
    # 0.08 x 730 GB / 730 h x 24 h = 1.92.
    assert with_volume == report(reading(total(24))).total_cents + 192


def test_fixed_infrastructure_counts_for_the_time_that_it_stood() -> None:
    assert report(Reading(), fixed=FIXED).total_cents == 1548
    half = report(Reading(), fixed=FIXED, fixed_since=START + 43200)
    assert half.total_cents == 774
    started = report(Reading(), fixed=FIXED, fixed_since=START + 36000, until=START + 39600)
    assert (started.total_cents, started.complete) == (65, False)


def test_the_month_to_date_is_the_sum_of_its_days() -> None:
    found = reading(total(1.7, "r"), total(0.3), total(5, day=DAY - dt.timedelta(1)))
    days = [
        daily_report(day, ENV, found, load_price_book(), 100, fixed=FIXED)
        for day in (DAY - dt.timedelta(1), DAY)
    ]
    assert days[1].month_to_date_cents == sum(day.total_cents for day in days)
    assert days[0].month_to_date_cents == days[0].total_cents


@pytest.mark.parametrize(
    ("budget", "reached"),
    [(1000, []), (38.70, [80]), (34.40, [80, 90]), (30.96, [80, 90, 100]), (1, [80, 90, 100])],
)
@pytest.mark.parametrize("rate", ["1", "100"])
def test_budget_alerts_at_80_90_and_100_percent(
    budget: float, reached: list[int], rate: str
) -> None:
    # Two days of 15.48.
    day = report(Reading(), budget, fixed=FIXED, currency=Currency("INR", Decimal(rate), DAY))
    assert [alert.percent for alert in day.alerts if alert.reached] == reached


def test_teams_pay_for_their_runs_and_pools() -> None:
    found = reading(
        total(1, "r"),
        total(1, pool="gpu"),
        total(1, "s"),
        run_teams={"r": "vision"},
        pool_teams={"gpu": "vision"},
    )
    day = report(found, fixed=FIXED)
    assert day.cents_by_team() == {NO_TEAM: 1548 + 19, "vision": 19 + 53}
    assert sum(day.cents_by_team(month=True).values()) == day.month_to_date_cents


def test_unit_costs_divide_by_what_was_done() -> None:
    found = reading(
        total(2, "r"),
        total(2, "s"),
        total(1, "r", pool="gpu"),
        total(3, pool="gpu"),
        tasks={"r": 50},
    )
    units = report(found).units_day
    assert (units.runs, units.tasks) == (2, 50)
    assert units.usd_per_run == Decimal("0.6470")  # (4 x 0.192 + 0.526) / 2
    assert units.usd_per_1000_tasks == Decimal("18.2000")  # (0.384 + 0.526) x 20
    assert (units.gpu_hours_used, units.gpu_hours_paid) == (1, 4)
    assert units.usd_per_gpu_hour_paid == Decimal("0.5260")
    assert units.usd_per_gpu_hour_used == Decimal("2.1040")
    nothing = report(Reading()).units_day
    assert (
        nothing.usd_per_run is nothing.usd_per_gpu_hour_used is nothing.usd_per_1000_tasks is None
    )


def test_a_report_in_rupees_names_its_rate_and_sums_to_the_paisa() -> None:
    found = reading(total(1, "r"), total(1), total(1, pool="gpu"))
    day = report(found, fixed=FIXED, currency=RUPEES)
    # (2 x 0.192 + 0.526 + 24 x 0.645) x 88.61
    assert day.total_cents == round(Decimal("16.390") * Decimal("88.61") * 100)
    assert sum(part.cents for part in day.parts) == day.total_cents
    text = report_markdown(day)
    assert "1 US dollar = 88.61 INR on 2026-11-01" in text
    assert RUPEES.text(day.total_cents) in text and "₹" in text
    assert report_json(day)["rate"] == {"per_usd": "88.61", "date": "2026-11-01"}


def test_hours_hold_the_node_seconds_of_each_pool() -> None:
    start = round(START * 1000)
    hours = tuple(
        HourTotal(start + at * HOUR_MS, pool, "m5.xlarge", False, False, 0, ms)
        for at, pool, ms in (
            (-1, "cpu", 9),
            (0, "cpu", 1_800_000),
            (0, "gpu", 60_000),
            (1, "cpu", 5),
        )
    )
    day = report(reading(hours=hours))
    assert len(day.hourly) == 24
    assert day.hourly[:3] == ({"cpu": 1800, "gpu": 60}, {"cpu": 0.005}, {})


def test_the_bill_stands_beside_the_ledger_with_its_difference() -> None:
    bill = {DAY: {"cpu": Decimal("15.00"), "(untagged)": Decimal("0.30")}}
    day = report(Reading(), fixed=FIXED, bill=bill, bill_source="AWS Cost Explorer")
    data = report_json(day)["reconciliation"]
    assert data["days"] == [
        {
            "day": "2026-11-02",
            "ledger_usd": "15.48",
            "bill_usd": "15.30",
            "difference_usd": "0.18",
            "percent": "1.2",
        }
    ]
    assert data["not_billed_yet"] == ["2026-11-01"]
    assert "The ledger is +1.2 % of the bill (AWS Cost Explorer) over 1 days" in report_markdown(
        day
    )
    assert report_json(report(Reading()))["reconciliation"] is None


def test_an_estimate_is_judged_by_the_bill_or_else_by_the_ledger() -> None:
    since = day_bounds(dt.date(2026, 11, 1))[0]
    estimates = [AppliedEstimate("ab" * 32, "c0ffee", since, Decimal(400), Decimal(450))]
    (by_ledger,) = report(Reading(), fixed=FIXED, estimates=estimates).estimate_errors
    assert (by_ledger.source, by_ledger.days) == ("ledger", 2)
    # 15.48 a day / 24 x 730 = 470.85; 4.6 % above 450.
    assert (by_ledger.actual_usd, by_ledger.error_percent) == (Decimal("470.85"), Decimal("4.6"))
    bill = {DAY: {"cpu": Decimal("13.50")}}
    (by_bill,) = report(
        Reading(), fixed=FIXED, estimates=estimates, bill=bill, bill_source="bill"
    ).estimate_errors
    assert (by_bill.days, by_bill.actual_usd) == (1, Decimal("410.62"))
    assert by_bill.error_percent == 0


def test_days_of_which_nothing_is_known_are_no_forecast() -> None:
    assert report(Reading()).forecast is None
    began = total(5, day=DAY - dt.timedelta(1))
    assert report(reading(began), until=START + 7200).forecast is None
    known = report(reading(began, total(5)), fixed=FIXED, fixed_since=START - 3600).forecast
    assert known is not None
    assert known.days == 1


def test_json_and_markdown_hold_the_same_total() -> None:
    day = report(reading(total(1.38)), fixed=FIXED)
    data = json.loads(json.dumps(report_json(day)))
    assert data["total_cents"] == sum(part["cents"] for part in data["parts"])
    assert usd_text(data["total_cents"]) in report_markdown(day).splitlines()[0]


def test_an_instance_type_without_a_price_is_refused_by_name() -> None:
    with pytest.raises(NotFoundError, match=r"x9\.huge"):
        report(reading(total(1, instance_type="x9.huge")))


def test_a_report_reads_four_weeks_or_the_month() -> None:
    assert first_needed(dt.date(2026, 11, 2)) == dt.date(2026, 10, 6)
    assert first_needed(dt.date(2026, 10, 31)) == dt.date(2026, 10, 1)


@given(st.lists(st.fractions(0, 100), max_size=20))
def test_apportioned_cents_sum_to_the_rounded_sum_and_stay_within_a_cent(
    dollars: list[Fraction],
) -> None:
    exact = dict(enumerate(dollars))
    cents = apportion(exact)
    assert sum(cents.values()) == int(sum(dollars, Fraction(0)) * 100 + Fraction(1, 2))
    assert all(abs(cents[key] - exact[key] * 100) < 1 for key in exact)


totals = st.builds(
    lambda ms, runs, pool, spot, back: total(
        ms / HOUR_MS, *sorted(runs), pool=pool, spot=spot, day=DAY - dt.timedelta(back)
    ),
    st.integers(1, 24 * HOUR_MS),
    st.sets(st.sampled_from("abc"), max_size=3),
    st.sampled_from(["cpu", "gpu"]),
    st.booleans(),
    st.integers(0, 1),
)


@settings(max_examples=60, deadline=None)
@given(st.lists(totals, max_size=8), st.sampled_from([Currency(), RUPEES]))
def test_every_view_of_a_day_and_a_month_sums_to_the_same_cents(
    found: list[UsageTotal], currency: Currency
) -> None:
    day = report(reading(*found), fixed=FIXED, currency=currency)
    assert sum(day.cents_by_kind().values()) == day.total_cents
    fixed = day.cents_by_kind()["fixed"]
    assert sum(day.cents_by_pool().values()) + fixed == day.total_cents
    assert sum(day.cents_by_team().values()) == day.total_cents
    assert sum(run.cents for run in day.runs) == day.cents_by_kind()["run"]
    assert sum(report_json(day)["month"]["days"].values()) == day.month_to_date_cents
