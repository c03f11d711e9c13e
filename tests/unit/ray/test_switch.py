"""The switch between two Ray clusters: what is written is read again, and nothing else is guessed at."""

from datetime import UTC, datetime

import pytest

from ray_platform.config.upgrade_wish import UpgradeWish
from ray_platform.ray.upgrade.switch import (
    BLUE,
    GREEN,
    Switch,
    read_switch,
    release_values,
    service_of,
)
from ray_platform.text.errors import RayError

NOW = datetime(2026, 11, 21, tzinfo=UTC)
VALUES = {"serviceAccount": {"roleArn": "arn:x"}, "quota": {"hard": {"pods": 3}}, "image": {}}


def test_each_step_is_read_as_it_was_written_and_names_who_takes_the_work() -> None:
    began = Switch().preparing(NOW)
    moved = began.switched(NOW, NOW)
    steps = [
        (Switch(), BLUE, GREEN),
        (began, BLUE, GREEN),
        (moved, GREEN, BLUE),
        (moved.backing_out(NOW), BLUE, GREEN),
        (moved.settled(), GREEN, BLUE),
        (moved.settled().preparing(NOW), GREEN, BLUE),
        (moved.settled().preparing(NOW).switched(NOW, NOW), BLUE, GREEN),
    ]
    for switch, active, other in steps:
        service = service_of(switch, "ray")
        assert read_switch(service) == switch
        assert (switch.active, switch.other) == (active, other)
        assert service["spec"]["selector"]["ray.io/cluster"] == active


def test_without_the_object_the_first_cluster_takes_the_work() -> None:
    assert read_switch(None) == Switch(active=BLUE, upgrade=None, version="")


def test_backing_out_before_the_switch_moved_nothing() -> None:
    upgrade = Switch().preparing(NOW).backing_out(NOW).upgrade
    assert upgrade is not None
    assert upgrade.moved == ""


@pytest.mark.parametrize(
    ("selector", "annotation"),
    [
        ("other", ""),
        (BLUE, "{"),
        (BLUE, '{"before": "ray"}'),
        (BLUE, '{"before": "ray", "after": "ray", "step": "preparing", "started": "x"}'),
        # Drained is the one before, so the one after must be the active one.
        (BLUE, '{"before": "ray", "after": "ray-green", "step": "draining", "started": "x"}'),
    ],
)
def test_what_somebody_else_wrote_is_refused(selector: str, annotation: str) -> None:
    service = service_of(Switch(), "ray")
    service["spec"]["selector"]["ray.io/cluster"] = selector
    service["metadata"]["annotations"]["ray-platform/upgrade"] = annotation
    with pytest.raises(RayError, match="which Ray cluster takes new work"):
        read_switch(service)


def test_the_second_release_leaves_to_the_first_what_the_namespace_has_once() -> None:
    assert release_values(VALUES, BLUE) == VALUES
    second = release_values(VALUES, GREEN)
    assert second["serviceAccount"] == {"roleArn": "arn:x", "create": False, "name": BLUE}
    assert not second["quota"]["enabled"]
    assert not second["limitRange"]["enabled"]
    away = release_values(VALUES, BLUE, stands=False)
    assert away == {**VALUES, "rayCluster": {"enabled": False}}
    assert "enabled" not in VALUES["quota"]


def test_a_wish_goes_through_a_run_tag_and_a_wrong_one_is_told() -> None:
    wish = UpgradeWish("blue-green", drain_seconds=5, end_jobs=True)
    assert UpgradeWish.from_tag(wish.to_tag()) == wish
    for text in ("", "[]", '{"how": "red"}', '{"drain_seconds": -1}', '{"drain_seconds": "x"}'):
        with pytest.raises(RayError, match="no wish for an upgrade"):
            UpgradeWish.from_tag(text)
