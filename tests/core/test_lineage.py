"""What differs between two infrastructures is named by resource and attribute."""

from hypothesis import given
from hypothesis import strategies as st

from ray_platform.core.lineage import (
    WHOLE_DIGEST,
    Difference,
    differences,
    leaves,
    resource_differences,
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
