"""The month's end from the days behind, and how often the interval holds it."""

import random

import pytest

from ray_platform.cost.report.forecast import Forecast, forecast


def test_days_that_are_all_alike_leave_no_doubt() -> None:
    assert forecast(1000, [100] * 10, 20) == Forecast(3000, 3000, 3000, 10)


def test_the_rest_of_today_is_a_part_of_a_day() -> None:
    found = forecast(50, [100, 100, 100], 2.5)
    assert found is not None
    assert found.cents == 300


@pytest.mark.parametrize(("days", "known"), [(1, False), (2, False), (3, True)])
def test_fewer_than_three_days_give_no_interval(days: int, known: bool) -> None:
    found = forecast(0, list(range(100, 100 + days)), 10)
    assert found is not None
    assert (found.low is not None) is (found.high is not None) is known


def test_without_a_complete_day_there_is_no_forecast_but_the_end_itself() -> None:
    assert forecast(7, [], 12) is None
    assert forecast(7, [], 0) == Forecast(7, None, None, 0)


def test_the_lower_end_is_never_below_what_is_spent() -> None:
    found = forecast(500, [0, 0, 900], 1)
    assert found is not None
    assert found.low == 500


@pytest.mark.parametrize(("seen", "left"), [(3, 27), (7, 23), (20, 10)])
def test_the_interval_holds_the_month_in_80_percent_of_cases(seen: int, left: int) -> None:
    """Its own claim, on days that are as it assumes: independent and normal."""
    chance = random.Random(7)  # noqa: S311
    tries = 2000
    held = 0
    for _ in range(tries):
        days = [round(chance.gauss(100_000, 15_000)) for _ in range(seen + left)]
        found = forecast(sum(days[:seen]), days[:seen], left)
        assert found is not None and found.low is not None and found.high is not None
        held += found.low <= sum(days) <= found.high
    print(f"\n{seen} days seen, {left} left: the interval held the month in {held / tries:.1%}")
    assert 0.77 < held / tries < 0.83
