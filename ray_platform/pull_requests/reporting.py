"""What runs write down of a pull request: the plan, what came of the apply, why a run failed."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime

from ray_platform.change import gates
from ray_platform.change.make_plan import MadePlan
from ray_platform.cost.estimate_lines import Totals
from ray_platform.github.model import PullRef
from ray_platform.pull_requests.pull_request_store import Failure, PullRequestRecords
from ray_platform.pull_requests.report import Outcome, PlanReport
from ray_platform.records.records_store import PlanRecord
from ray_platform.session.environment_session import EnvironmentSession
from ray_platform.terraform.losses import losses
from ray_platform.text.canonical import digest
from ray_platform.text.errors import PlatformError, Refused
from ray_platform.text.redaction import redact_text

_SAID_CHARS = 600


def keep_report(
    session: EnvironmentSession, made: MadePlan, *, why: str = "", whatif: str = ""
) -> PlanReport | None:
    """Write down what a pull request's plan would do; None where the plan is of no pull request.

    The policies are asked here as well as in the check, so that a report is whole when it is there.
    """
    if session.pull is None:
        return None
    record, totals = made.record, made.estimate.totals
    verdict = gates.verdict(session, record)
    report = PlanReport(
        environment=session.name,
        repository=str(session.pull.repository),
        number=session.pull.number,
        commit=record.commit.commit,
        base=record.base,
        plan_digest=record.plan_digest,
        state_lineage=record.state_lineage,
        state_serial=record.state_serial,
        policy_digest=verdict.bundle_digest,
        run_id=session.run_id,
        made_at=record.made_at,
        counts=dict(record.counts),
        empty=record.empty,
        changes=tuple(
            (change.shown_action, change.shown_address) for change in made.plan.touched()
        ),
        losses=tuple((loss.address, loss.action, loss.holds) for loss in losses(made.plan)),
        violations=tuple(
            {"id": item.id, "resource": item.resource, "message": item.message, "fix": item.fix}
            for item in verdict.violations
        ),
        advice=tuple(
            {"id": item.id, "resource": item.resource, "message": item.message, "fix": item.fix}
            for item in verdict.advice
        ),
        excepted=tuple(str(item) for item in verdict.excepted),
        over_budget=gates.over_budget(session, made.estimate),
        unpriced=tuple((item.address, item.why) for item in made.estimate.unpriced),
        more_approvals=gates.more_approvals(session, made.estimate),
        harms=gates.harmed_runs(session, record)[0],
        dollars=_dollars(totals),
        whatif=redact_text(whatif),
        why=why,
        content_digest=content_digest(record),
    )
    return PullRequestRecords(session.artifacts, session.name).planned(session.pull, report)


def content_digest(record: PlanRecord) -> str:
    """What Terraform reads of a commit: the same for a merge commit that adds nothing to it."""
    return digest(
        [record.configuration_digest, record.variables_digest, record.provider_lock_digest]
    )


@contextmanager
def failure_noted(session: EnvironmentSession) -> Iterator[None]:
    """Write down why a run of a pull request failed, for its comment, and let the error go on."""
    try:
        yield
    except PlatformError as error:
        if session.pull is not None:
            note_failure(session, session.pull, session.run_id, error)
        raise


def note_failure(
    session: EnvironmentSession, pull: PullRef, run_id: str, error: PlatformError
) -> None:
    """Write down why a run of a pull request failed; of a file, its place in the repository is told."""
    said = error.what
    checkouts = f"{session.home}/checkouts/"
    if error.where.startswith(checkouts):
        said += f", in {error.where.removeprefix(checkouts).partition('/')[2]}"
    failure = Failure(run_id, redact_text(said)[:_SAID_CHARS], isinstance(error, Refused))
    PullRequestRecords(session.artifacts, session.name).failed(pull, failure)


def note_applied(
    session: EnvironmentSession, record: PlanRecord, infra_version: str, outputs: dict[str, str]
) -> None:
    """Write down that a pull request's plan was applied."""
    if not record.pull_request:
        return
    pull = PullRef.parse(record.pull_request)
    records = PullRequestRecords(session.artifacts, session.name)
    report = records.standing(pull).report
    if report is not None and report.plan_digest == record.plan_digest:
        at = datetime.now(UTC).isoformat(timespec="seconds")
        outcome = Outcome("success", infra_version, session.run_id, at, outputs=outputs)
        records.update(pull, report.with_outcome(outcome))


def note_verified(session: EnvironmentSession, infra_version: str, lines: tuple[str, ...]) -> None:
    """Add what was seen to work after the apply of a pull request."""
    if session.pull is None:
        return
    records = PullRequestRecords(session.artifacts, session.name)
    report = records.standing(session.pull).report
    if report is not None and report.outcome is not None:
        outcome = replace(report.outcome, verified=lines, infra_version=infra_version)
        records.update(session.pull, report.with_outcome(outcome))


def _dollars(totals: Totals) -> dict[str, str]:
    return {
        name: f"{getattr(totals, name):,.2f}"
        for name in ("before_min", "after_min", "before_max", "after_max")
    }
