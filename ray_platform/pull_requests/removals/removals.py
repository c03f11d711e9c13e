"""Removals that labelled issues ask for: planned, told, approved by comments as in prod, then done.

::

    removals/ENV/OWNER/NAME/NUMBER.json    what is known of the removal that an issue asks for
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace

from ray_platform.change.make_plan import MadePlan
from ray_platform.config.partitions import (
    ASKED_BY_TAG,
    BASE_TAG,
    CHANGE_TAG,
    COMMIT_TAG,
    ISSUE_TAG,
    PLAN_TAG,
    REPOSITORY_TAG,
)
from ray_platform.config.settings import Environment
from ray_platform.github.forge import Forge
from ray_platform.github.model import Issue, PullRef
from ray_platform.pull_requests.connection import connect
from ray_platform.pull_requests.decision_facts import EnvironmentNow
from ray_platform.pull_requests.polling.cursor import Memory
from ray_platform.pull_requests.removals.issue import (
    LABEL,
    MARKER,
    Removal,
    approved_by,
    asked_for,
    render_removal,
)
from ray_platform.pull_requests.reviews import Approvers
from ray_platform.pull_requests.run_request import Request
from ray_platform.records.records_store import PlanRecord
from ray_platform.session.environment_session import EnvironmentSession
from ray_platform.store.artifact_store import Artifacts
from ray_platform.terraform.losses import losses
from ray_platform.text.canonical import digest, short
from ray_platform.text.errors import ForgeError, NotApproved, PlatformError, StalePlan
from ray_platform.text.redaction import redact_text

#: How often issues with the label are looked for; a webhook makes it sooner.
LOOK_SECONDS = 120.0
_SAID_CHARS = 600


@dataclass(frozen=True)
class _Asked:
    """One issue under way."""

    forge: Forge
    ref: PullRef
    issue: Issue
    memory: Memory
    run_url: Callable[[str], str]


def look_at_removals(
    forge: Forge,
    memory: Memory,
    environments: tuple[str, ...],
    environment: Callable[[str], EnvironmentNow],
    *,
    base: str,
    run_url: Callable[[str], str],
    now: float,
) -> list[Request]:
    """What the labelled issues ask for next; each is told in one comment.

    One call for the list; for an issue that is under way one for its comments, and one where there is news.

    Args:
        forge: Where the issues are.
        memory: Remembers what was told.
        environments: Those of the repository.
        environment: One of them as it is now.
        base: The base branch's commit, whose files and rules hold.
        run_url: The address of a run in the Dagster UI.
        now: Epoch seconds.
    """
    if now - memory.issues_at < LOOK_SECONDS:
        return []
    memory.issues_at = now
    requests = []
    issues = forge.issues(LABEL)
    for issue in issues:
        asked = _Asked(forge, PullRef(forge.repository, issue.number), issue, memory, run_url)
        name, refused = asked_for(issue, environments)
        if refused:
            _tell(asked, render_removal(None, refused, (), 0, ""))
            continue
        try:
            request = _follow(asked, environment(name), base)
        except ForgeError:
            raise
        except PlatformError as error:
            _tell(asked, render_removal(None, f"{name} cannot be read: {error.what}", (), 0, ""))
            continue
        if request is not None:
            requests.append(request)
    memory.told_issues = {
        number: told
        for number, told in memory.told_issues.items()
        if number in {str(issue.number) for issue in issues}
    }
    return requests


def _follow(asked: _Asked, here: EnvironmentNow, base: str) -> Request | None:
    """One issue that asks for a removal in good form."""
    removal = read_removal(here.session.artifacts, here.name, asked.ref)
    current = removal is not None and removal.is_of(
        here.state.lineage, here.state.serial, here.policy_digest
    )
    if removal is not None and removal.done:
        _tell(asked, _rendered(asked, removal, (), 0))
        return None
    if removal is None or not current:
        _tell(asked, _rendered(asked, None, (), 0))
        key = f"{here.state.lineage}:{here.state.serial}:{here.policy_digest[:12]}:{base}"
        return _request("plan_removal", asked, here, base, f"plan removal {asked.ref} {key}", {})
    approvers = removal_approvers(here.session)
    approvals = _approvals(asked.forge, asked.issue, removal, approvers)
    written = _tell(asked, _rendered(asked, removal, approvals, approvers.required))
    if not removal.shown_at and written:
        keep_removal(here.session.artifacts, asked.ref, removal.shown(written))
        return None
    if len(approvals) < approvers.required:
        return None
    key = f"remove {asked.ref} {removal.plan_digest} {','.join(sorted(approvals))}"
    return _request("destroy", asked, here, base, key, {PLAN_TAG: removal.plan_digest})


def _rendered(
    asked: _Asked, removal: Removal | None, approvals: tuple[str, ...], required: int
) -> str:
    url = asked.run_url(removal.run_id) if removal else ""
    return render_removal(removal, "", approvals, required, url)


def _request(
    job: str, asked: _Asked, here: EnvironmentNow, base: str, key: str, more: dict[str, str]
) -> Request:
    return Request(
        job=job,
        environment=here.name,
        key=key,
        tags={
            CHANGE_TAG: here.name,
            COMMIT_TAG: base,
            BASE_TAG: base,
            ISSUE_TAG: str(asked.ref),
            REPOSITORY_TAG: str(asked.ref.repository),
            ASKED_BY_TAG: f"{asked.issue.author} by issue {asked.ref}",
            **more,
        },
    )


def _tell(asked: _Asked, body: str) -> str:
    """Bring the issue's comment to what stands; when it was written, empty where nothing was."""
    masked = redact_text(body)
    number = str(asked.issue.number)
    said = digest(masked)
    if asked.memory.told_issues.get(number) == said:
        return ""
    written = asked.forge.write_comment(asked.issue.number, MARKER, masked, None)
    asked.memory.told_issues[number] = said
    return written.updated_at


# Records and the gate ------------------------------------------------------------------------------


def read_removal(artifacts: Artifacts, environment: str, ref: PullRef) -> Removal | None:
    found = artifacts.read(_key(environment, ref))
    return Removal.from_json(found) if found else None


def keep_removal(artifacts: Artifacts, ref: PullRef, removal: Removal) -> None:
    artifacts.write(_key(removal.environment, ref), removal.to_json())


def plan_kept(session: EnvironmentSession, ref: PullRef, made: MadePlan) -> Removal:
    """Write down the plan of a removal; if an approval of the one before is one of this, it is as shown."""
    record = made.record
    removal = Removal(
        environment=session.name,
        issue=str(ref),
        plan_digest=record.plan_digest,
        state_lineage=record.state_lineage,
        state_serial=record.state_serial,
        policy_digest=session.policies.bundle_digest,
        run_id=session.run_id,
        resources=made.plan.counts.delete,
        losses=tuple((loss.address, loss.holds) for loss in losses(made.plan) if loss.holds),
    )
    before = read_removal(session.artifacts, session.name, ref)
    same = (
        before is not None
        and before.plan_digest == removal.plan_digest
        and before.is_of(removal.state_lineage, removal.state_serial, removal.policy_digest)
    )
    if before is not None and same:
        removal = removal.shown(before.shown_at)
    keep_removal(session.artifacts, ref, removal)
    return removal


def removal_approvers(session: EnvironmentSession) -> Approvers:
    """Who must approve a removal by issue: as many as in prod, and those whom the environment names.

    Where it names nobody, prod's people; where there is no prod, two people.
    """
    own = session.environment.approval
    settings = session.settings
    prod: Environment | None = (
        settings.environment("prod") if "prod" in settings.environment_names else None
    )
    required = max(own.required, prod.approval.required if prod else 2, 1)
    named = own if own.people or own.teams or prod is None else prod.approval
    if not named.people and not named.teams:
        return Approvers.of(required, None)
    forge = (
        connect(session.current_settings, session.issue.repository).forge if session.issue else None
    )
    teams = [login for team in named.teams for login in (forge.members(team) if forge else ())]
    return Approvers.of(required, {*named.people, *teams})


def require_removal_approved(session: EnvironmentSession, record: PlanRecord) -> tuple[str, ...]:
    """Who approves the removal that a session's issue asks for, read at this moment.

    Raises:
        StalePlan: the plan is not the one that was shown.
        NotApproved: fewer people than needed, or the issue was closed or says something else now.
    """
    ref = session.issue
    removal = read_removal(session.artifacts, session.name, ref) if ref else None
    where = f"environment {session.name}, issue {ref}, plan {short(record.plan_digest)}"
    if ref is None or removal is None or removal.plan_digest != record.plan_digest:
        raise StalePlan(
            "the removal's plan is not the one that was shown in the issue",
            where=where,
            fix="wait for the next plan in the issue's comment, and approve that",
        )
    forge = connect(session.current_settings, ref.repository).forge
    issue = next((item for item in forge.issues(LABEL) if item.number == ref.number), None)
    if issue is None or asked_for(issue, [session.name])[0] != session.name:
        raise NotApproved(
            "the issue is closed, has lost its label or asks for something else now",
            where=where,
            fix="open it again with both lines, or leave the environment as it is",
        )
    approvers = removal_approvers(session)
    people = _approvals(forge, issue, removal, approvers)
    if len(people) < approvers.required:
        raise NotApproved(
            f"the removal has {len(people)} of {approvers.required} approvals",
            where=where,
            fix=f"comment `approve {short(record.plan_digest)}` in the issue",
        )
    return people


@contextmanager
def outcome_noted(session: EnvironmentSession) -> Iterator[Callable[[str], None]]:
    """Write down what came of a removal that an issue asked for: what is said, or why it failed."""

    def note(done: str, failed: str) -> None:
        removal = (
            read_removal(session.artifacts, session.name, session.issue) if session.issue else None
        )
        if session.issue is not None and removal is not None:
            keep_removal(
                session.artifacts, session.issue, replace(removal, done=done, failed=failed)
            )

    try:
        yield lambda said: note(said, "")
    except PlatformError as error:
        note("", redact_text(error.what)[:_SAID_CHARS])
        raise


def _approvals(
    forge: Forge, issue: Issue, removal: Removal, approvers: Approvers
) -> tuple[str, ...]:
    people = approved_by(forge.comments(issue.number), issue, removal, approvers)
    if approvers.people is not None:
        return people
    return tuple(person for person in people if forge.may_write(person))


def _key(environment: str, ref: PullRef) -> str:
    return f"removals/{environment}/{ref.repository}/{ref.number}.json"
