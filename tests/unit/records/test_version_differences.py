"""What differs between two infrastructures is named by resource and attribute."""

from hypothesis import given
from hypothesis import strategies as st

from ray_platform.records.version_differences import (
    WHOLE_DIGEST,
    Difference,
    differences,
    leaves,
    metric_changes,
    metrics,
    pull_requests,
    resource_differences,
    text_differences,
)

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=3),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.text("ab", min_size=1, max_size=2), inner, max_size=3)
    ),
    max_leaves=12,
)


def test_a_changed_leaf_is_named_by_its_path() -> None:
    old = {"scaling_config": [{"min_size": 2, "max_size": 10}], "tags": {"a": "b"}}
    new = {"scaling_config": [{"min_size": 2, "max_size": 8}], "tags": {"a": "b"}}
    assert differences("group", old, new) == (
        Difference("group", "scaling_config[0].max_size", 10, 8),
    )


def test_a_resource_on_one_side_alone_is_one_difference() -> None:
    assert resource_differences({"a": {"x": 1, "y": 2}}, {"b": {"x": 1}}) == (
        Difference("a", "(resource)", "present", "absent"),
        Difference("b", "(resource)", "absent", "present"),
    )


@given(JSON)
def test_nothing_differs_from_itself(value: object) -> None:
    assert differences("x", value, value) == ()


@given(JSON, JSON)
def test_what_differs_one_way_differs_the_other_way_round(one: object, other: object) -> None:
    there = {(d.attribute, repr(d.before), repr(d.after)) for d in differences("x", one, other)}
    back = {(d.attribute, repr(d.after), repr(d.before)) for d in differences("x", other, one)}
    assert there == back


@given(JSON)
def test_every_leaf_has_a_path_of_its_own(value: object) -> None:
    paths = [path for path, _ in leaves(value)]
    assert len(paths) == len(set(paths))


def test_a_changed_secret_is_a_difference_that_shows_nothing() -> None:
    old = {"template": {"user_data": "(sensitive)", WHOLE_DIGEST: "1"}}
    new = {"template": {"user_data": "(sensitive)", WHOLE_DIGEST: "2"}}
    assert resource_differences(old, new) == (
        Difference("template", "(a masked value)", "one", "another"),
    )
    visible = {"template": {"user_data": "(sensitive)", "size": 3, WHOLE_DIGEST: "3"}}
    assert [item.attribute for item in resource_differences(old, visible)] == ["size"]


def test_a_changed_text_shows_the_lines_that_only_one_side_has() -> None:
    old = {"terraform.rego": "a\nmax := 10\nb", "gone.rego": "x"}
    new = {"terraform.rego": "a\nmax := 12\nb", "come.rego": "y"}
    assert text_differences("policies", old, new) == (
        Difference("policies", "come.rego (file)", "absent", "present"),
        Difference("policies", "gone.rego (file)", "present", "absent"),
        Difference("policies", "terraform.rego", "max := 10", "max := 12"),
    )


def test_pull_requests_are_those_that_the_subject_names() -> None:
    assert pull_requests("A larger pool (#12)") == (12,)
    assert pull_requests("Merge pull request #7 from somebody/pool") == (7,)
    assert pull_requests("Revert #12 by hand, see issue #3") == ()


def test_metrics_of_two_runs_stand_beside_each_other() -> None:
    phases = [{"name": "grow", "seconds": 10.0, "seconds_to_reach": None}]
    before = metrics({"loss": 0.2, "commit": "abc", "dirty": True, "retries": 0}, phases)
    after = metrics({"loss": 0.1, "US dollars": 3})
    changes = {item.metric: item for item in metric_changes(before, after)}
    assert list(changes) == ["loss", "retries", "phase grow seconds", "US dollars"]
    assert changes["loss"].change == -0.1 and changes["loss"].ratio == 0.5
    assert changes["retries"].change is None and changes["phase grow seconds"].after is None
