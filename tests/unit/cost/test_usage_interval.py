"""Times are whole milliseconds, days and months UTC, and nothing is lost at a bound."""

import datetime as dt
import itertools

from hypothesis import given
from hypothesis import strategies as st

from ray_platform.cost.ledger.usage_interval import (
    DAY_MS,
    Usage,
    by_month,
    day_bounds,
    day_of,
    milliseconds,
    month_of,
)


def usage(start_ms: int, end_ms: int) -> Usage:
    return Usage("local", "n1", start_ms, end_ms, "idle", "", "cpu", "", "m5.xlarge", False)


def test_a_day_is_a_utc_day() -> None:
    start, end = day_bounds(dt.date(2026, 11, 21))
    assert (start, end) == (1795219200.0, 1795305600.0)
    assert day_of(milliseconds(end) - 1) == dt.date(2026, 11, 21)
    assert month_of(milliseconds(day_bounds(dt.date(2026, 12, 1))[0]) - 1) == "2026-11"


def test_an_interval_over_new_year_is_cut_there() -> None:
    new_year = milliseconds(day_bounds(dt.date(2027, 1, 1))[0])
    parts = list(by_month([usage(new_year - 5, new_year + 7)]))
    assert parts == [
        ("2026-12", usage(new_year - 5, new_year)),
        ("2027-01", usage(new_year, new_year + 7)),
    ]


def test_an_interval_of_no_or_negative_length_is_left_out() -> None:
    assert not list(by_month([usage(5, 5), usage(9, 4)]))


@given(st.integers(0, 4 * 10**12), st.integers(0, 400 * DAY_MS))
def test_cutting_at_months_loses_no_millisecond(start: int, length: int) -> None:
    parts = [part for _, part in by_month([usage(start, start + length)])]
    assert sum(part.end_ms - part.start_ms for part in parts) == length
    assert all(a.end_ms == b.start_ms for a, b in itertools.pairwise(parts))
    assert all(month_of(part.start_ms) == month_of(part.end_ms - 1) for part in parts)
