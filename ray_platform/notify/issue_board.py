"""Issues in the repository that tell what lasts: an incident of drift, and the cost of a month.

Each is one issue, found again by a hidden mark, edited while it lasts and closed when it is over.
"""

from collections.abc import Callable
from datetime import timedelta

from ray_platform.cost.report.cost_report import CostReport
from ray_platform.cost.report.report_text import report_markdown
from ray_platform.drift.incidents.incident import Incident
from ray_platform.github.forge import Forge
from ray_platform.pull_requests.comment import code, plain
from ray_platform.pull_requests.connection import connect
from ray_platform.pull_requests.polling.watched import repository_of
from ray_platform.session.environment_session import EnvironmentSession
from ray_platform.text.errors import ForgeError
from ray_platform.text.redaction import redact_text

_LABEL = "ray-platform"
_MOST_CHARS = 60_000


class IssueBoard:
    """Tells incidents as issues; see `stages.incidents.Board`.

    A forge that does not answer loses nothing: the incident stands in the records, and the next look tells
    it again.
    """

    def __init__(self, forge: Forge, say: Callable[[str], None]) -> None:
        self._forge = forge
        self._say = say

    def tell(self, incident: Incident) -> str:
        try:
            return self._forge.write_issue(
                f"<!-- ray-platform: incident {incident.environment} {incident.key} -->",
                f"Drift in {incident.environment}: {incident.address} {incident.attribute}".strip(),
                incident_body(incident),
                (_LABEL, "drift"),
                is_open=incident.is_open,
            )
        except ForgeError as error:
            self._say(f"incident {incident.key} is not told on GitHub: {error.what}")
            return ""


def board_of(session: EnvironmentSession, say: Callable[[str], None]) -> IssueBoard | None:
    """Where an environment's incidents are told; None without a GitHub App."""
    forge = forge_of(session)
    return IssueBoard(forge, say) if forge else None


def forge_of(session: EnvironmentSession) -> Forge | None:
    """The repository of an environment on GitHub; None without a GitHub App."""
    repository = repository_of(session)
    return connect(session.current_settings, repository).forge if repository else None


def incident_body(incident: Incident) -> str:
    """An incident as Markdown; whatever comes from the cloud stands in code spans."""
    state = "open" if incident.is_open else f"gone since {incident.closed_at}"
    lines = [
        f"<!-- ray-platform: incident {incident.environment} {incident.key} -->",
        f"**{plain(incident.title)}**",
        "",
        f"It is {state}; seen first at {incident.opened_at}, last at {incident.seen_at}"
        + (f", for the {incident.episode}th time" if incident.episode > 1 else "")
        + f". Cause: {plain(incident.cause)}"
        + (f", by {code(incident.who)}." if incident.who else "."),
        "",
        "| attribute | in the configuration | in the cloud |",
        "|---|---|---|",
    ]
    for item in incident.items:
        attribute, before, after = (
            str(item.get(key, "")) for key in ("attribute", "before", "after")
        )
        lines.append(f"| {code(attribute)} | {code(before[:300])} | {code(after[:300])} |")
    if incident.item_count > len(incident.items):
        lines.append(f"\nand {incident.item_count - len(incident.items)} more")
    lines += [
        "",
        f"Apply it away with `ray-platform apply --env {incident.environment}`, or write what should stay "
        "into the configuration. This issue is closed when the drift is gone.",
    ]
    return redact_text("\n".join(lines))[:_MOST_CHARS]


def tell_cost(session: EnvironmentSession, report: CostReport, say: Callable[[str], None]) -> str:
    """The issue of the month's cost, brought to the day's report; with the month's last day it is closed.

    Returns:
        The issue's address, empty without a GitHub App or where GitHub does not answer.
    """
    forge = forge_of(session)
    if forge is None:
        return ""
    month = f"{report.day:%Y-%m}"
    mark = f"<!-- ray-platform: cost {session.name} {month} -->"
    body = redact_text(f"{mark}\n{report_markdown(report)}")
    if len(body) > _MOST_CHARS:
        body = body[:_MOST_CHARS] + "\n\nThe rest stands in the report itself."
    try:
        return forge.write_issue(
            mark,
            f"Cost of {session.name} in {month}",
            body,
            (_LABEL, "cost"),
            is_open=(report.day + timedelta(days=1)).month == report.day.month,
        )
    except ForgeError as error:
        say(f"the cost report is not told on GitHub: {error.what}")
        return ""
