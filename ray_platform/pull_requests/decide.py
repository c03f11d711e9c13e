"""What is next for a pull request in an environment: one pure decision.

The sensor asks it to know what to start and what to tell; the apply asks it again, on facts that it has
just read, before it changes anything. So nothing is applied that would not be decided at that moment.
"""

from dataclasses import dataclass
from enum import Enum

from ray_platform.github.model import PullRequest
from ray_platform.pull_requests.report import PlanReport
from ray_platform.pull_requests.reviews import Reviewed

#: How often an apply that a gate refused is tried again by itself.
MOST_APPLIES = 3


class Next(Enum):
    """What is next. Only ``PLAN`` and ``APPLY`` start anything."""

    PLAN = "plan"
    RUNNING = "running"
    APPLY = "apply"
    WAIT = "wait"
    DENIED = "denied"
    FAILED = "failed"
    APPLIED = "applied"
    NOTHING = "nothing to do"
    IGNORED = "ignored"


@dataclass(frozen=True)
class State:
    """The Terraform state as it is now."""

    lineage: str
    serial: int


@dataclass(frozen=True)
class Run:
    """The latest run for this pull request, environment and commit.

    ``kind`` is ``plan`` or ``apply``; ``said`` why it failed, ``refused`` that a gate had said no.
    ``asked_for`` is what a plan was asked for (`Facts.asks_for`), ``tried`` the same of each apply of the
    reported plan so far, empty for one that a person started; ``applies`` counts those of any plan.
    """

    kind: str
    is_active: bool
    failed: bool
    said: str = ""
    refused: bool = False
    run_id: str = ""
    plan_digest: str = ""
    asked_for: str = ""
    tried: tuple[str, ...] = ()
    applies: int = 0


@dataclass(frozen=True)
class ApprovalRules:
    """How an environment takes pull requests; see ``pull_requests`` in its file."""

    apply: str
    required: int
    forks: str


@dataclass(frozen=True)
class DecisionFacts:
    """All that a decision rests on.

    ``commit`` is what is to be planned: the head, or the merge commit once that differs in what Terraform
    reads. ``behind``: commits of the base branch that the head lacks. ``overtaken``: a later state of the
    base branch has been applied. ``policy_digest`` is of the base branch's rules now. ``holder`` is the
    pull request that holds the environment, ``ahead`` those that come before this one. ``earlier`` says
    why the environment before this one stops it, empty when it does not.
    """

    pull: PullRequest
    rules: ApprovalRules
    commit: str
    base: str
    state: State
    policy_digest: str
    report: PlanReport | None
    run: Run | None
    reviewed: Reviewed
    approvals: tuple[str, ...]
    behind: int = 0
    overtaken: str = ""
    holder: str = ""
    ahead: str = ""
    earlier: str = ""

    @property
    def required(self) -> int:
        """People who must approve the reported plan."""
        return self.rules.required + (self.report.more_approvals if self.report else 0)

    @property
    def asks_for(self) -> str:
        """What a plan is of: a plan that failed is not tried again for the same."""
        where = f"{self.state.lineage[:8]}:{self.state.serial}"
        return f"{self.commit}:{self.base}:{where}:{self.policy_digest[:12]}"


@dataclass(frozen=True)
class Decision:
    """What is next and why. ``why`` is for people: one clause without a full stop."""

    next: Next
    why: str = ""


def decide(facts: DecisionFacts) -> Decision:
    """What is next for one pull request in one environment."""
    pull, report = facts.pull, facts.report
    if pull.from_fork and facts.rules.forks == "ignore":
        return Decision(Next.IGNORED, "a fork's pull request is not planned here")
    if report is not None and report.commit == facts.commit and report.is_applied:
        return _applied(facts, report)
    if not pull.is_open and not pull.is_merged:
        return Decision(Next.NOTHING, "it was closed without being merged")
    if facts.overtaken:
        return Decision(Next.NOTHING, facts.overtaken)
    if facts.run is not None and facts.run.is_active:
        return Decision(Next.RUNNING, f"{facts.run.kind} is running")
    outdated = None if report is None else _outdated(facts, report)
    if report is None or outdated is None or outdated:
        return _plan(facts, report, outdated or "")
    if why := _failed_apply(facts, report):
        return Decision(Next.FAILED, why)
    if report.denied:
        return Decision(Next.DENIED, "a check says no")
    if report.empty:
        return Decision(Next.NOTHING, "the plan is empty")
    return _gates(facts, report)


def _applied(facts: DecisionFacts, report: PlanReport) -> Decision:
    run = facts.run
    # Another run that tried to apply it again was refused, which says nothing of this one.
    if run is not None and (report.outcome is None or run.run_id != report.outcome.run_id):
        run = None
    if run is not None and run.is_active:
        return Decision(Next.RUNNING, "applied; what runs on it is being looked at")
    if run is not None and run.failed:
        return Decision(Next.FAILED, f"it was applied, but then: {run.said}")
    return Decision(
        Next.APPLIED, f"infra version {report.outcome.infra_version[:12]}" if report.outcome else ""
    )


def _plan(facts: DecisionFacts, report: PlanReport | None, why: str) -> Decision:
    run = facts.run
    tried = run is not None and run.kind == "plan" and run.asked_for == facts.asks_for
    # A denied plan's run fails too, but leaves its report.
    unreported = run is not None and (report is None or report.run_id != run.run_id)
    if run is not None and run.failed and tried and unreported:
        return Decision(Next.FAILED, run.said)
    return Decision(Next.PLAN, why)


def _failed_apply(facts: DecisionFacts, report: PlanReport) -> str:
    run = facts.run
    if run is None or not run.failed or run.plan_digest != report.plan_digest:
        return ""
    # What a person tried too early, or before the rules changed, says nothing of the present.
    if run.refused and run.tried.count(facts.asks_for) < MOST_APPLIES:
        return ""  # a gate said no at that moment; the gates are asked again
    return run.said


def _outdated(facts: DecisionFacts, report: PlanReport) -> str | None:
    """Why the plan must be made again; empty: it need not; None: it is of another commit."""
    if report.commit != facts.commit:
        return None
    if (report.state_lineage, report.state_serial) != (facts.state.lineage, facts.state.serial):
        return (
            f"the state has moved on from serial {report.state_serial} to {facts.state.serial}"
            " since it was planned"
        )
    if report.policy_digest != facts.policy_digest:
        return f"the policies of {facts.pull.base_branch} have changed since it was planned"
    return ""


def _gates(facts: DecisionFacts, report: PlanReport) -> Decision:
    """Everything that an apply waits for; all of it is told at once."""
    pull, rules = facts.pull, facts.rules
    lacking = []
    if rules.apply == "never":
        lacking.append("pull requests are not applied here")
    if pull.from_fork:
        lacking.append("a fork's pull request is never applied")
    if pull.draft:
        lacking.append("it is a draft")
    if facts.behind and not pull.is_merged:
        count = f"{facts.behind} commit{'s' if facts.behind > 1 else ''}"
        lacking.append(
            f"the branch lacks {count} of {pull.base_branch}, which it might undo: update it"
        )
    if len(facts.approvals) < facts.required:
        more = ", one of them for what has no price" if report.more_approvals else ""
        lacking.append(f"{len(facts.approvals)} of {facts.required} approvals{more}")
    if facts.reviewed.objections:
        lacking.append(f"changes requested by {', '.join(facts.reviewed.objections)}")
    if facts.earlier:
        lacking.append(facts.earlier)
    if report.harms:
        lacking.append(report.harms)
    if facts.holder:
        lacking.append(f"{facts.holder} holds the environment until it is merged or closed")
    if facts.ahead:
        lacking.append(f"{facts.ahead} comes first")
    if rules.apply == "merged" and not pull.is_merged:
        lacking.append("it is applied once it is merged")
    return Decision(Next.WAIT, "; ".join(lacking)) if lacking else Decision(Next.APPLY)
