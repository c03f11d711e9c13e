"""The gate of a pull request's apply: decided again, on facts that are read at that moment.

What the sensor saw may be minutes old: a push, a review that was taken back, a change of the base branch's
rules, another apply. So the apply asks the same question as the sensor, and goes on only at the same answer.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from datetime import UTC, datetime

from ray_platform.git.git_client import Git
from ray_platform.github.forge import Forge
from ray_platform.github.model import PullRef, Review
from ray_platform.pull_requests.decide import Decision, DecisionFacts, Next, decide
from ray_platform.pull_requests.decision_facts import (
    EnvironmentNow,
    SessionMaker,
    commit_to_plan,
    earlier,
    environments_set_up,
    facts_of,
    forward,
    look_at,
    make_session,
    touched,
)
from ray_platform.pull_requests.pull_request_store import PullRequestRecords
from ray_platform.pull_requests.queue import Queue
from ray_platform.records.records_store import PlanRecord
from ray_platform.session.environment_session import EnvironmentSession
from ray_platform.text.canonical import short
from ray_platform.text.errors import NotApproved, Refused, StalePlan


@dataclass(frozen=True)
class Connection:
    """How a run reaches a pull request: the forge, and the mirror that ``fetch`` brings up to date."""

    forge: Forge
    fetch: Callable[[Iterable[int]], Git]
    base_branch: str
    make: SessionMaker = make_session


@dataclass(frozen=True)
class Decided:
    """That a plan may be applied: who approves it. ``merge_commit`` is empty while it is open."""

    approvals: tuple[str, ...]
    merge_commit: str
    git: Git


def require_decided(
    session: EnvironmentSession, record: PlanRecord, connection: Connection
) -> Decided:
    """Who approves a pull request's plan, once everything speaks for its apply.

    Raises:
        StalePlan: the pull request, its base branch, the state or the policies have moved on.
        NotApproved: approvals are missing.
        Refused: another reason to wait, which the message gives.
    """
    ref = PullRef.parse(record.pull_request)
    where = f"environment {session.name}, {ref}, plan {short(record.plan_digest)}"
    facts, git = _facts(session, record, ref, connection)
    report = facts.report
    decision = decide(facts)
    if facts.base != session.base and decision.next is Next.APPLY:
        decision = Decision(Next.PLAN, f"{connection.base_branch} has moved on meanwhile")
    if decision.next is Next.APPLY and report and report.plan_digest == record.plan_digest:
        return Decided(facts.approvals, facts.pull.merge_commit, git)
    if decision.next in (Next.PLAN, Next.RUNNING, Next.APPLIED) or (
        report and report.plan_digest != record.plan_digest
    ):
        raise StalePlan(
            f"this is not the plan that would be applied now: {decision.why or decision.next.value}",
            where=where,
            fix="wait for the next plan in the pull request's comment",
        )
    lacks = len(facts.approvals) < facts.required
    kind = NotApproved if lacks else Refused
    raise kind(
        decision.why or decision.next.value,
        where=where,
        fix="the comment of the pull request says what is lacking",
    )


def take_the_environment(
    session: EnvironmentSession, record: PlanRecord, decided: Decided | None
) -> None:
    """An open pull request that is about to be applied holds the environment from now on.

    A merged one holds nothing: from now on no earlier commit of the branch is applied, also where this
    process is killed between the apply and its record.

    Raises:
        Refused: another pull request holds it.
    """
    at = datetime.now(UTC).isoformat(timespec="seconds")

    def take(queue: Queue) -> Queue:
        if queue.holder and queue.holder != record.pull_request:
            raise Refused(
                f"{queue.holder} holds the environment: it is applied and not merged yet",
                where=f"environment {session.name}, plan {short(record.plan_digest)}",
                fix="merge or close it first; what stands has its changes and this plan has not",
            )
        if decided is None:
            return queue
        if decided.merge_commit:
            return forward(queue, decided.merge_commit, decided.git)
        return queue.held_by(record.pull_request, at)

    PullRequestRecords(session.artifacts, session.name).change_queue(take)


def _facts(
    session: EnvironmentSession, record: PlanRecord, ref: PullRef, connection: Connection
) -> tuple[DecisionFacts, Git]:
    forge = connection.forge
    pull = forge.pull_request(ref.number)
    git = connection.fetch([ref.number])
    base = git.head(connection.base_branch) or record.base
    pull = replace(pull, base_branch=connection.base_branch)
    here: dict[str, EnvironmentNow] = {}

    def environment(name: str) -> EnvironmentNow:
        if name not in here:
            here[name] = look_at(
                session.current_settings, name, git, base, forge.members, make=connection.make
            )
        return here[name]

    now = environment(session.name)
    known = environments_set_up(session.current_settings)
    chain = (session.name, *_chain(now, environment, known))
    since = pull.base_head if git.has(pull.base_head) else base
    names = touched(git, pull, since, chain)
    reports = {}
    for name in names:
        report = environment(name).records.standing(ref).report
        reports[name] = (commit_to_plan(environment(name), pull, report, git), report)
    standing = now.records.standing(ref)
    facts = facts_of(
        now,
        ref,
        pull,
        _with_permission(forge, forge.reviews(ref.number), now),
        standing,
        None,
        git,
        base=base,
        commit=commit_to_plan(now, pull, standing.report, git),
        behind=0 if pull.is_merged else git.count_lacking(pull.head, base),
        earlier=earlier({name: environment(name) for name in chain}, session.name, reports),
    )
    return facts, git


def _with_permission(
    forge: Forge, reviews: tuple[Review, ...], now: EnvironmentNow
) -> tuple[Review, ...]:
    """The reviews with what their authors may truly do, where that is what counts.

    A listing says what they are to the repository ("member"), which is not what they may do in it.
    """
    if now.approvers.people is not None:
        return reviews
    may = {
        login: forge.may_write(login)
        for login in {review.author for review in reviews if review.state == "APPROVED"}
    }
    return tuple(
        replace(review, may_write=may.get(review.author, review.may_write)) for review in reviews
    )


def _chain(
    now: EnvironmentNow, environment: Callable[[str], EnvironmentNow], known: tuple[str, ...]
) -> tuple[str, ...]:
    """The environments before this one; one that is not set up ends them, as for the sensor."""
    names: list[str] = []
    before = now.after
    while before in known and before not in (*names, now.name):
        names.append(before)
        before = environment(before).after
    return tuple(names)
