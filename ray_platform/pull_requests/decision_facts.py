"""The facts that a decision on a pull request rests on, read by the sensor and again by the apply."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

from ray_platform.change.make_plan import configuration_digest
from ray_platform.config.settings import Settings
from ray_platform.drift.incidents.incident_store import incidents
from ray_platform.git.git_client import Git
from ray_platform.git.revision import work_for
from ray_platform.github.model import PullRef, PullRequest, Review
from ray_platform.pull_requests.decide import ApprovalRules, DecisionFacts, Run, State
from ray_platform.pull_requests.pull_request_store import PullRequestRecords, Standing
from ray_platform.pull_requests.queue import Queue
from ray_platform.pull_requests.report import PlanReport
from ray_platform.pull_requests.reviews import Approvers, may_approve, weigh
from ray_platform.records import approval
from ray_platform.session.environment_session import EnvironmentSession, open_session
from ray_platform.text.canonical import digest, digest_bytes


@dataclass(frozen=True)
class EnvironmentNow:
    """An environment as it is now, under the rules of the base branch. ``drifted`` names an incident."""

    name: str
    session: EnvironmentSession
    rules: ApprovalRules
    approvers: Approvers
    after: str
    state: State
    policy_digest: str
    queue: Queue
    drifted: str

    @property
    def records(self) -> PullRequestRecords:
        return PullRequestRecords(self.session.artifacts, self.name)


def look_at(
    settings: Settings,
    name: str,
    git: Git,
    base: str,
    members: Callable[[str], Iterable[str]],
    *,
    make: "SessionMaker",
) -> EnvironmentNow:
    """Read what an environment's state, rules and queue are now.

    Args:
        settings: Of this deployment.
        name: The environment.
        git: The repository, fetched.
        base: The base branch's commit.
        members: The logins of a team.
        make: Makes the session.
    """
    session = make(settings, name, base, git)
    environment = session.environment
    named = environment.approval
    people = {*named.people, *(login for team in named.teams for login in members(team))}
    state = session.terraform().state()
    major = next((item for item in incidents(session.artifacts, name) if item.is_open), None)
    return EnvironmentNow(
        name=name,
        session=session,
        rules=ApprovalRules(
            environment.pull_requests.apply, named.required, environment.pull_requests.forks
        ),
        approvers=Approvers.of(named.required, people if named.people or named.teams else None),
        after=environment.pull_requests.after,
        state=State(state.lineage, state.serial),
        policy_digest=session.policies.bundle_digest,
        queue=PullRequestRecords(session.artifacts, name).queue(),
        drifted=f"major drift of {major.address}" if major else "",
    )


#: Makes a session at a commit of a repository: (settings, environment, commit, git).
SessionMaker = Callable[[Settings, str, str, Git], EnvironmentSession]


def environments_set_up(settings: Settings) -> tuple[str, ...]:
    """The environments whose files say where state and artifacts lie, in the order of promotion.

    One that still has the place holders that it came with takes no pull requests: nothing stands there.
    Nor does one of somebody's own machine (``pull_requests.plan = false``).
    """
    files = ((name, settings.environment(name)) for name in settings.environment_names)
    return tuple(name for name, file in files if file.is_set_up and file.pull_requests.plan)


def make_session(settings: Settings, name: str, commit: str, git: Git) -> EnvironmentSession:
    """An environment at a commit of the base branch, whose own rules hold."""
    return open_session(settings, name, commit, base=commit, git=git)


def touched(
    git: Git, pull: PullRequest, base: str, environments: tuple[str, ...]
) -> tuple[str, ...]:
    """The environments in which a pull request's own changes ask for work, in the order given."""
    since = git.merge_base(base, pull.head)
    paths = git.changed_paths(since, pull.head)
    return tuple(name for name in environments if {"change", "policy"} & {*work_for(paths, name)})


def commit_to_plan(
    now: EnvironmentNow, pull: PullRequest, report: PlanReport | None, git: Git
) -> str:
    """The head; once merged, the merge commit, unless Terraform would read the same of both."""
    if not pull.is_merged:
        return pull.head
    if report is None or report.commit != pull.head:
        return pull.merge_commit
    session = now.session.at_commit(pull.merge_commit, git)
    return pull.head if content_of(session) == report.content_digest else pull.merge_commit


def content_of(session: EnvironmentSession) -> str:
    """What Terraform reads at a session's commit; see `reports.content_digest`."""
    root = session.settings.terraform_root
    return digest(
        [
            configuration_digest(root),
            digest(dict(session.environment.variables)),
            digest_bytes((root / ".terraform.lock.hcl").read_bytes()),
        ]
    )


def earlier(
    environments: Mapping[str, EnvironmentNow],
    name: str,
    reports: Mapping[str, tuple[str, PlanReport | None]],
) -> str:
    """Why the environments before this one stop it, or an empty string.

    Args:
        environments: All of the pull request's repository.
        name: The environment that would be applied.
        reports: Of each environment that the pull request touches, the commit that is to be planned and
            the latest report.
    """
    before = environments[name].after
    seen = {name}
    while before and before in environments and before not in seen:
        seen.add(before)
        if environments[before].drifted:
            return f"{before} has {environments[before].drifted}"
        if before in reports:
            commit, report = reports[before]
            done = report is not None and report.commit == commit
            if report is None or not done or not (report.is_applied or report.empty):
                return f"{before} comes first"
        before = environments[before].after
    return ""


def overtaken(now: EnvironmentNow, pull: PullRequest, git: Git) -> str:
    """Whether a later state of the base branch has been applied, so that nothing is left to apply."""
    up_to = now.queue.merged_up_to
    if not pull.is_merged or not up_to or up_to == pull.merge_commit:
        return ""
    if git.has(up_to) and git.is_ancestor(pull.merge_commit, up_to):
        return f"a later commit of {pull.base_branch} is applied, which has it"
    return ""


def forward(queue: Queue, commit: str, git: Git) -> Queue:
    """The queue with the branch applied up to ``commit``; never back to an earlier one."""
    known = bool(queue.merged_up_to) and git.has(queue.merged_up_to)
    back = known and git.is_ancestor(commit, queue.merged_up_to)
    return queue if back else queue.up_to(commit)


def facts_of(
    now: EnvironmentNow,
    ref: PullRef,
    pull: PullRequest,
    reviews: tuple[Review, ...],
    standing: Standing,
    run: Run | None,
    git: Git,
    *,
    base: str,
    commit: str,
    behind: int,
    earlier: str = "",
    ahead: str = "",
) -> DecisionFacts:
    """Everything that `decide` asks for, of one pull request in one environment."""
    report = standing.report
    reviewed = weigh(reviews, pull, now.approvers, shown_at=report.shown_at if report else "")
    holder = now.queue.holder
    return DecisionFacts(
        pull=pull,
        rules=now.rules,
        commit=commit,
        base=base,
        state=now.state,
        policy_digest=now.policy_digest,
        report=report,
        run=run,
        reviewed=reviewed,
        approvals=_approvals(now, pull, report, [item.author for item in reviewed.counted]),
        behind=behind,
        overtaken=overtaken(now, pull, git),
        holder=holder if holder != str(ref) else "",
        ahead=ahead,
        earlier=earlier,
    )


def _approvals(
    now: EnvironmentNow, pull: PullRequest, report: PlanReport | None, reviewers: list[str]
) -> tuple[str, ...]:
    """Who approves: the counted reviews, and those who said so by command. One person counts once."""
    if report is None:
        return ()
    by_command = approval.binding(
        now.session.records.approvals(report.plan_digest),
        environment=now.name,
        plan_digest=report.plan_digest,
        state_lineage=report.state_lineage,
        state_serial=report.state_serial,
        policy_digest=now.policy_digest,
    )
    people = {name.casefold(): name for name in reviewers}
    for item in by_command:
        # Reviews are stored once they let an apply through; whether they still hold, the forge says.
        if item.source.startswith("cli") and not may_approve(item.by, pull.author, now.approvers):
            people.setdefault(item.by.casefold(), item.by)
    return tuple(people.values())
