"""What lasts is told as one issue each: an incident of drift, the cost of a month."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from ray_platform.drift.incidents.incident import Incident
from ray_platform.drift.incidents.incident_store import incidents, update_incidents
from ray_platform.drift.items import DriftItem
from ray_platform.notify.issue_board import IssueBoard, incident_body
from ray_platform.store.artifact_store import Artifacts, FileStore
from ray_platform.text.errors import ForgeError

MISLEADING = "0.0.0.0/0` | <script>alert(1)</script> [click](http://evil) @everybody `"


class Issues:
    """The part of a forge that writes issues."""

    def __init__(self) -> None:
        self.written: dict[str, tuple[str, str, bool]] = {}
        self.down = False

    def write_issue(
        self, marker: str, title: str, body: str, labels: tuple[str, ...], *, is_open: bool
    ) -> str:
        if self.down:
            raise ForgeError("GitHub does not answer")
        assert marker in body
        if marker in self.written or is_open:
            self.written[marker] = (title, body, is_open)
        return "https://github.example/acme/ml/issues/1"


def opened(value: str = "0.0.0.0/0") -> DriftItem:
    return DriftItem(
        address="module.vpc.aws_security_group.endpoints",
        attribute="ingress[0].cidr_blocks[0]",
        before=None,
        after=value,
        cause="by_hand",
        severity="major",
        reason="a security group was opened",
        who="mallory",
    )


@pytest.fixture
def artifacts(tmp_path: Path) -> Artifacts:
    return Artifacts(FileStore(tmp_path))


def look(artifacts: Artifacts, issues: Issues, items: list[DriftItem], said: list[str]) -> None:
    board: Any = IssueBoard(issues, said.append)  # type: ignore[arg-type]
    update_incidents(artifacts, "dev", items, board=board)


def test_an_incident_is_one_issue_that_is_closed_when_the_drift_is_gone(
    artifacts: Artifacts,
) -> None:
    issues = Issues()
    for _ in range(3):
        look(artifacts, issues, [opened()], [])
    ((title, body, is_open),) = issues.written.values()
    assert is_open
    assert title == "Drift in dev: module.vpc.aws_security_group.endpoints ingress"
    assert "by `mallory`" in body
    look(artifacts, issues, [], [])
    ((_, body, is_open),) = issues.written.values()
    assert not is_open
    assert "gone since" in body
    assert incidents(artifacts, "dev")[0].reference.endswith("/issues/1")


def test_a_forge_that_does_not_answer_loses_no_incident(artifacts: Artifacts) -> None:
    issues, said = Issues(), []  # type: tuple[Issues, list[str]]
    issues.down = True
    look(artifacts, issues, [opened()], said)
    assert "GitHub does not answer" in said[0]
    (incident,) = incidents(artifacts, "dev")
    assert incident.is_open
    issues.down = False
    look(artifacts, issues, [opened()], said)
    assert len(issues.written) == 1
    assert incidents(artifacts, "dev")[0].reference


def test_what_comes_from_the_cloud_cannot_pass_for_our_words(artifacts: Artifacts) -> None:
    from markdown_it import MarkdownIt

    issues = Issues()
    look(artifacts, issues, [replace(opened(MISLEADING), who=MISLEADING)], [])
    ((_, body, _),) = issues.written.values()
    shown = MarkdownIt("gfm-like", {"linkify": False}).render(body)
    assert "<script" not in shown
    assert "<a href" not in shown


def test_an_issue_of_an_incident_masks_secrets() -> None:
    secret = "AKIA" + "ABCDEFGHIJKLMNOP"
    incident = Incident(
        key="k",
        environment="dev",
        address="aws_x.y",
        attribute="tags",
        title="t",
        cause="by_hand",
        who="",
        opened_at="2026-01-01",
        seen_at="2026-01-01",
        closed_at="",
        episode=1,
        seen=1,
        items=({"attribute": "tags.key", "before": "", "after": secret},),
        item_count=1,
    )
    assert secret not in incident_body(incident)
