"""Tells a pull request what stands: one check run for its head, one comment, a deployment for each apply.

Nothing is written that was told before. While plans are being made, that is told once at their start and
then at most every two minutes, so the number of calls does not grow with the number of environments.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from ray_platform.github.forge import Forge
from ray_platform.github.model import CheckReport, DeploymentState, PullRef
from ray_platform.pull_requests.comment import MARKER, Row, render_check, render_comment
from ray_platform.pull_requests.decide import Decision, DecisionFacts, Next
from ray_platform.pull_requests.decision_facts import EnvironmentNow
from ray_platform.pull_requests.polling.cursor import Watched
from ray_platform.pull_requests.pull_request_store import Standing
from ray_platform.text.canonical import digest
from ray_platform.text.redaction import redact_text

CHECK_NAME = "ray-platform"
#: While plans are being made, what has come in is told no more often than this.
PROGRESS_SECONDS = 120
UNDER_WAY = frozenset({Next.PLAN, Next.RUNNING, Next.APPLY})

#: What is known of a pull request in an environment: facts, decision, standing.
Known = tuple[DecisionFacts, Decision, Standing]


@dataclass(frozen=True)
class Told:
    """What was told of a pull request."""

    number: int
    comment: str
    check: str


def tell(
    forge: Forge,
    pulls: Mapping[int, Watched],
    known: Mapping[tuple[int, str], Known],
    *,
    environments: Mapping[str, EnvironmentNow],
    run_url: Callable[[str], str],
    now: float,
) -> tuple[Told, ...]:
    """Bring the comment and the check run of each pull request to what stands.

    Args:
        forge: Where they are.
        pulls: The pull requests; what was told is remembered in them.
        known: By number and environment.
        environments: Whose records note when a plan was shown.
        run_url: The address of a run in the Dagster UI.
        now: Epoch seconds.
    """
    told = []
    for number, watched in pulls.items():
        rows = [
            _row(name, known[number, name], run_url)
            for name in watched.touched
            if (number, name) in known
        ]
        if rows and (said := _tell_one(forge, watched, rows, now)):
            told.append(said)
            _note_shown(PullRef(forge.repository, number), watched, known, environments, said)
        _tell_deployments(forge, watched, rows)
    return tuple(told)


def _row(name: str, known: Known, run_url: Callable[[str], str]) -> Row:
    facts, decision, _ = known
    report = facts.report if facts.report and facts.report.commit == facts.commit else None
    return Row(
        environment=name,
        decision=decision,
        report=report,
        reviewed=facts.reviewed,
        approvals=facts.approvals,
        required=facts.required,
        plan_url=run_url(report.run_id) if report else "",
    )


def _tell_one(forge: Forge, watched: Watched, rows: list[Row], now: float) -> Told | None:
    pull = watched.pull
    note = ""
    if any(row.report and row.report.why for row in rows) and pull.is_open:
        note = f"@{pull.author}: it was planned again, and approvals given before are void; why stands below."
    comment = redact_text(render_comment(pull, rows, note=note))
    title, summary, conclusion = render_check(rows)
    # Waiting for a turn, or a run that starts, is no news: only what is settled counts as such.
    settled = not any(row.decision.next in UNDER_WAY for row in rows)
    said = digest([pull.head, comment, conclusion])
    if said == watched.told:
        return None
    first = watched.check_head != pull.head
    if not settled and not first and now - watched.told_at < PROGRESS_SECONDS:
        return None
    known_check = watched.check if watched.check_head == pull.head else None
    report = CheckReport(pull.head, CHECK_NAME, title, redact_text(summary), conclusion)
    watched.check = forge.write_check(report, known_check)
    watched.check_head = pull.head
    written = forge.write_comment(pull.number, MARKER, comment, watched.comment)
    watched.comment, watched.told, watched.told_at = written.id, said, now
    return Told(pull.number, written.updated_at, title)


def _note_shown(
    ref: PullRef,
    watched: Watched,
    known: Mapping[tuple[int, str], Known],
    environments: Mapping[str, EnvironmentNow],
    told: Told,
) -> None:
    """From now on a review can approve what stands in the comment."""
    for name in watched.touched:
        facts, _, _ = known[ref.number, name]
        report = facts.report
        if report is not None and report.commit == facts.commit and not report.shown_at:
            environments[name].records.shown(ref, report, told.comment)


def _tell_deployments(forge: Forge, watched: Watched, rows: list[Row]) -> None:
    for row in rows:
        state = _deployment_state(row)
        report = row.report
        if state is None or report is None:
            continue
        news = f"{report.plan_digest}:{state}"
        if watched.deployed.get(row.environment) == news:
            continue
        version = report.outcome.infra_version[:12] if report.outcome else ""
        forge.deployment(
            report.commit,
            row.environment,
            state,
            key=f"{watched.pull.number} {report.plan_digest}",
            log_url=row.plan_url,
            said=f"infra version {version}" if version else redact_text(row.decision.why)[:120],
        )
        watched.deployed[row.environment] = news


def _deployment_state(row: Row) -> DeploymentState | None:
    if row.decision.next is Next.APPLIED:
        return "success"
    if row.decision.next is Next.APPLY:
        return "in_progress"
    failed = row.decision.next is Next.FAILED and row.report is not None
    return "failure" if failed and row.report and row.report.outcome else None
