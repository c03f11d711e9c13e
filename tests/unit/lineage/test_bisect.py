"""The infra version that made the difference is found by halving what is untested."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ray_platform.lineage.bisection import Tried, bisect


def tried(*medians: float | None) -> list[Tried]:
    return [
        Tried(f"v{at}", {} if median is None else {f"run-{at}": median})
        for at, median in enumerate(medians)
    ]


def test_the_middle_of_what_is_untested_is_next() -> None:
    found = bisect(tried(1.0, None, None, None, 2.0), good=1.0, bad=2.0)
    assert (found.last_good, found.left, found.first_bad) == ("v0", ("v1", "v2", "v3"), "v4")
    assert found.next == "v2"


def test_nothing_is_next_when_good_and_bad_touch() -> None:
    found = bisect(tried(1.0, 1.1, 1.9, None, 2.0), good=1.0, bad=2.0)
    assert (found.last_good, found.first_bad, found.next) == ("v1", "v2", None)
    assert not found.wavers


def test_a_version_is_judged_by_the_median_of_its_runs() -> None:
    versions = tried(1.0, None, 2.0)
    versions[1] = Tried("v1", {"a": 1.0, "b": 1.1, "c": 9.0, "d": None})
    assert [step.judgement for step in bisect(versions, 1.0, 2.0).steps] == ["good", "good", "bad"]


def test_good_after_bad_wavers() -> None:
    assert bisect(tried(1.0, 2.0, 1.0, 2.0), good=1.0, bad=2.0).wavers


def test_a_lower_metric_may_be_the_bad_one() -> None:
    found = bisect(tried(100.0, 98.0, 40.0, 41.0), good=100.0, bad=41.0)
    assert found.first_bad == "v2"


@pytest.mark.parametrize("versions", [tried(1.0), tried()])
def test_two_versions_are_needed(versions: list[Tried]) -> None:
    with pytest.raises(ValueError, match="nothing lies between"):
        bisect(versions, 1.0, 2.0)


@given(st.integers(2, 300), st.data())
def test_the_culprit_is_found_in_as_many_tries_as_halving_takes(
    count: int, data: st.DataObject
) -> None:
    culprit = data.draw(st.integers(1, count - 1))
    truth = [1.0 if at < culprit else 2.0 for at in range(count)]
    known: list[float | None] = [None] * count
    known[0], known[-1] = 1.0, 2.0
    tries = 0
    while (found := bisect(tried(*known), 1.0, 2.0)).next:
        at = int(found.next.removeprefix("v"))
        assert known[at] is None
        known[at] = truth[at]
        tries += 1
    assert found.first_bad == f"v{culprit}"
    assert tries <= count.bit_length()
