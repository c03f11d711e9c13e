"""One look at a repository's pull requests: what is new is planned, what is decided is started and told.

A tick may be cut short anywhere and repeated. What it starts bears a key, so that Dagster starts it once;
what it tells is looked for before it is written; what it remembers can all be found again.
"""

import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass, field
from functools import partial

from dagster import DagsterInstance

from ray_platform.clients.git import Git
from ray_platform.clients.pull_request_records import Standing
from ray_platform.clients.pull_request_runs import PullRequestRun, runs_since
from ray_platform.core.canonical import digest
from ray_platform.core.pull_request.decide import Decision, Facts, Next, Run, State, decide
from ray_platform.core.pull_request.forge import Forge
from ray_platform.core.pull_request.model import PullRef, PullRequest, Repository
from ray_platform.core.pull_request.queue import Queue
from ray_platform.partitions import (
    ASKED_BY_TAG,
    ASKED_FOR_TAG,
    BASE_TAG,
    CHANGE_TAG,
    COMMIT_TAG,
    PLAN_TAG,
    PULL_TAG,
    REPOSITORY_TAG,
    WHY_TAG,
)
from ray_platform.settings import Settings
from ray_platform.stages.pull_requests.facts import (
    EnvironmentNow,
    SiteMaker,
    commit_to_plan,
    earlier,
    facts_of,
    forward,
    look_at,
    make_site,
    touched,
)
from ray_platform.stages.pull_requests.memory import LastRun, Memory, Watched
from ray_platform.stages.pull_requests.removals import look_at_removals
from ray_platform.stages.pull_requests.request import Request
from ray_platform.stages.pull_requests.telling import UNDER_WAY, Told, tell

#: A blocking check leaves no failure of its own, nor does a process that was killed.
_UNTOLD = "a check of run {} said no, or its process ended"
_OVER = frozenset({Next.APPLIED, Next.NOTHING, Next.IGNORED})
#: How many pull requests of one environment are planned again at once when its state moves.
PLANS_AT_ONCE = 3
#: A run's end may be written a moment after its time; what was seen before is seen again without harm.
_SLACK_SECONDS = 60
#: How long the members of a team are remembered; the apply asks anew.
_TEAMS_SECONDS = 600


@dataclass(frozen=True)
class Tick:
    """What a tick came to."""

    requests: tuple[Request, ...]
    told: tuple[Told, ...]
    decisions: Mapping[tuple[int, str], Decision]
    memory: Memory


@dataclass
class Watch:
    """A repository that is watched, with all that a tick talks to.

    ``fetch`` brings the mirror up to date with the branches and the heads of the pull requests given.
    ``environments`` are those that this repository changes, in the order of promotion.
    """

    settings: Settings
    forge: Forge
    instance: DagsterInstance
    fetch: Callable[[Iterable[int]], Git]
    base_branch: str
    environments: tuple[str, ...]
    run_url: Callable[[str], str] = lambda run_id: ""
    make: SiteMaker = make_site
    clock: Callable[[], float] = time.time
    runs: Callable[[DagsterInstance, Repository, float], Iterator[PullRequestRun]] = runs_since


@dataclass
class _Look:
    """One tick under way."""

    watch: Watch
    memory: Memory
    git: Git
    base: str
    now: dict[str, EnvironmentNow] = field(default_factory=dict)
    standings: dict[tuple[int, str], Standing] = field(default_factory=dict)

    def environment(self, name: str) -> EnvironmentNow:
        if name not in self.now:
            self.now[name] = look_at(
                self.watch.settings,
                name,
                self.git,
                self.base,
                self.members,
                make=self.watch.make,
            )
        return self.now[name]

    def members(self, team: str) -> list[str]:
        memory, at = self.memory, self.watch.clock()
        if at - memory.teams_at > _TEAMS_SECONDS:
            memory.teams, memory.teams_at = {}, at
        if team not in memory.teams:
            memory.teams[team] = sorted(self.watch.forge.members(team))
        return memory.teams[team]

    def ref(self, number: int) -> PullRef:
        return PullRef(self.watch.forge.repository, number)


def tick(watch: Watch, memory: Memory) -> Tick:
    """Look at a repository once.

    Args:
        watch: The repository.
        memory: What the tick before remembered.

    Raises:
        ForgeError: GitHub does not answer; the memory of the tick before stays good.
        PlatformError: an environment cannot be read.
    """
    started = watch.clock()
    changes = watch.forge.changed(memory.watermark)
    for pull in changes.pull_requests:
        if pull.base_branch != watch.base_branch or _is_history(memory, pull):
            continue
        watched = memory.pulls.setdefault(pull.number, Watched(pull))
        watched.pull, watched.finished = pull, False
        watched.reviews = watch.forge.reviews(pull.number)
    git = watch.fetch(
        number
        for number, watched in memory.pulls.items()
        if watched.touched_head != watched.pull.head
    )
    base = git.head(watch.base_branch)
    if base is None:
        return Tick((), (), {}, memory)
    look = _Look(watch, memory, git, base)
    _note_runs(look)
    active = {n: w for n, w in sorted(memory.pulls.items()) if not w.finished}
    for watched in active.values():
        _note_commits(look, watched)
    active = {n: w for n, w in active.items() if _signature(look, w) != w.settled}
    _move_queues(look, active)
    requests, decisions, facts = _decide(look, active)
    told = tell(
        watch.forge,
        active,
        {key: (facts[key], decisions[key], look.standings[key]) for key in decisions},
        environments=look.now,
        run_url=watch.run_url,
        now=started,
    )
    requests += look_at_removals(
        watch.forge,
        memory,
        watch.environments,
        look.environment,
        base=base,
        run_url=watch.run_url,
        now=started,
    )
    for number, watched in active.items():
        _settle(look, watched, {key: facts[key] for key in facts if key[0] == number}, decisions)
    memory.watermark, memory.looked_at = changes.watermark, started
    memory.pulls = {
        number: watched
        for number, watched in memory.pulls.items()
        if not watched.finished or watched.pull.is_open
    }
    return Tick(tuple(requests), told, decisions, memory)


def _is_history(memory: Memory, pull: PullRequest) -> bool:
    """Whether a pull request was over before it was watched: what it did is no work of ours."""
    seen = pull.number in memory.pulls
    before = not memory.watermark.updated_at or pull.merged_at <= memory.watermark.updated_at
    return not seen and not pull.is_open and before


def _signature(look: _Look, watched: Watched) -> str:
    """All that a look at a pull request rests on: where it is the same, so is what it comes to."""
    environments = [look.environment(name) for name in watched.touched]
    return digest(
        [
            asdict(watched.pull),
            [asdict(review) for review in watched.reviews],
            look.base,
            [[run.run_id, run.status] for _, run in sorted(watched.runs.items())],
            [
                [
                    now.name,
                    asdict(now.rules),
                    sorted(now.approvers.people or ["anybody"]),
                    asdict(now.state),
                    now.policy_digest,
                    now.queue.to_json(),
                    [look.environment(n).drifted for n in look.watch.environments if now.after],
                ]
                for now in environments
            ],
        ]
    )


def _note_runs(look: _Look) -> None:
    memory = look.memory
    since = max(0.0, memory.looked_at - _SLACK_SECONDS)
    for run in look.watch.runs(look.watch.instance, look.watch.forge.repository, since):
        watched = memory.pulls.get(run.pull.number)
        if watched is None:
            continue
        status = "active" if run.is_active else "failed" if run.failed else "ended"
        if run.kind == "apply":
            tries = watched.tries.setdefault(run.environment, {})
            tries[run.run_id] = f"{run.plan_digest} {run.asked_for}"
        before = watched.runs.get(run.environment)
        if before is not None and run.created < before.created:
            continue  # it ended only now, but another was started after it
        seen = LastRun(
            run.run_id,
            run.kind,
            status,
            run.commit,
            run.plan_digest,
            run.asked_for,
            run.created,
        )
        if before != seen:
            watched.runs[run.environment] = seen
            watched.finished = False


def _note_commits(look: _Look, watched: Watched) -> None:
    """What a pull request touches, and how far its branch is behind; asked of Git when either end moved."""
    pull, git = watched.pull, look.git
    if (watched.touched_head, watched.seen_base) == (pull.head, look.base):
        return  # before Git is asked anything: a process for each open pull request is a second for 200
    if not git.has(pull.head):
        watched.touched = ()  # gone from the forge, as a deleted fork's
        return
    if watched.touched_head != pull.head:
        # Against the base that it was opened on or updated to: once merged, the branch holds it already.
        base = pull.base_head if git.has(pull.base_head) else look.base
        watched.touched = touched(git, pull, base, look.watch.environments)
        watched.planned_as, watched.deployed = {}, {}
    watched.behind = 0 if pull.is_merged else git.count_lacking(pull.head, look.base)
    watched.touched_head, watched.seen_base = pull.head, look.base


def _move_queues(look: _Look, active: Mapping[int, Watched]) -> None:
    """A merge or a close frees the environment; a merge of what was applied brings its branch forward."""
    for number, watched in active.items():
        if watched.pull.is_open:
            continue
        ref = look.ref(number)
        for name in watched.touched:
            now = look.environment(name)
            done = ""
            if watched.pull.is_merged and _stands(look, watched, number, name):
                done = watched.pull.merge_commit
            move = partial(_moved, pull=str(ref), done=done, git=look.git)
            if move(now.queue) != now.queue:
                now.records.change_queue(move)
                del look.now[name]


def _moved(queue: Queue, *, pull: str, done: str, git: Git) -> Queue:
    freed = queue.freed_by(pull)
    return forward(freed, done, git) if done else freed


def _stands(look: _Look, watched: Watched, number: int, name: str) -> bool:
    """Whether a merged pull request's changes are in the environment, or may be, by an apply cut short."""
    now, report = look.environment(name), _standing(look, number, name).report
    if now.queue.holder == str(look.ref(number)):
        return True
    if report is None or report.commit != _planned_as(look, watched, number, name):
        return False
    planned_on = State(report.state_lineage, report.state_serial)
    return report.is_applied or (report.empty and planned_on == now.state)


def _standing(look: _Look, number: int, name: str) -> Standing:
    key = (number, name)
    if key not in look.standings:
        look.standings[key] = look.environment(name).records.standing(look.ref(number))
    return look.standings[key]


def _planned_as(look: _Look, watched: Watched, number: int, name: str) -> str:
    """The commit to plan; settled once a pull request is merged, since it costs a checkout to find out."""
    pull = watched.pull
    known = watched.planned_as.get(name, "")
    if not pull.is_merged:
        return pull.head
    if known not in (pull.head, pull.merge_commit) or not known:
        report = _standing(look, number, name).report
        known = commit_to_plan(look.environment(name), pull, report, look.git)
        watched.planned_as[name] = known
    return known


def _decide(
    look: _Look, active: Mapping[int, Watched]
) -> tuple[list[Request], dict[tuple[int, str], Decision], dict[tuple[int, str], Facts]]:
    """Decide for every pull request in the order of the queue: at most one apply an environment."""
    requests: list[Request] = []
    decisions: dict[tuple[int, str], Decision] = {}
    facts: dict[tuple[int, str], Facts] = {}
    taken: dict[str, str] = {}
    planning: dict[str, int] = {}
    for number in sorted(active, key=lambda n: (active[n].pull.is_open, n)):
        watched, ref = active[number], look.ref(number)
        reports = {
            name: (_planned_as(look, watched, number, name), _standing(look, number, name).report)
            for name in watched.touched
        }
        for name in watched.touched:
            now = look.environment(name)
            chain = {
                n: look.environment(n) for n in look.watch.environments if n in reports or now.after
            }
            known = facts[number, name] = facts_of(
                now,
                ref,
                watched.pull,
                watched.reviews,
                _standing(look, number, name),
                _run(watched, name, _standing(look, number, name)),
                look.git,
                base=look.base,
                commit=reports[name][0],
                behind=watched.behind,
                earlier=earlier({**chain, name: now}, name, reports),
                ahead=taken.get(name, ""),
            )
            decision = decide(known)
            if decision.next is Next.PLAN:
                if planning.get(name, 0) >= PLANS_AT_ONCE:
                    decision = Decision(Next.RUNNING, "waits for its turn to be planned")
                else:
                    planning[name] = planning.get(name, 0) + 1
                    requests.append(_plan_request(ref, name, known, decision))
            elif decision.next is Next.APPLY:
                taken[name] = str(ref)
                requests.append(_apply_request(ref, name, known))
            elif decision.next is Next.RUNNING:
                if known.run is not None and known.run.kind == "apply":
                    taken[name] = str(ref)
                planning[name] = planning.get(name, 0) + 1
            decisions[number, name] = decision
    return requests, decisions, facts


def _run(watched: Watched, name: str, standing: Standing) -> Run | None:
    last = watched.runs.get(name)
    if last is None:
        return None
    failure, report = standing.failure, standing.report
    tries = [tried.split(" ", 1) for tried in watched.tries.get(name, {}).values()]
    known = failure is not None and failure.run_id == last.run_id
    return Run(
        kind=last.kind,
        is_active=last.status == "active",
        failed=last.status == "failed",
        said=failure.said if failure and known else _UNTOLD.format(last.run_id),
        refused=bool(failure and known and failure.refused),
        run_id=last.run_id,
        plan_digest=last.plan_digest,
        asked_for=last.asked_for,
        tried=tuple(asked for plan, asked in tries if report and plan == report.plan_digest),
        applies=len(tries),
    )


def _plan_request(ref: PullRef, name: str, facts: Facts, decision: Decision) -> Request:
    return Request(
        job="plan",
        environment=name,
        key=f"plan {ref} {name} {facts.asks_for}",
        tags={
            **_tags(ref, name, facts),
            ASKED_FOR_TAG: facts.asks_for,
            **({WHY_TAG: decision.why} if decision.why else {}),
        },
    )


def _apply_request(ref: PullRef, name: str, facts: Facts) -> Request:
    plan = facts.report.plan_digest if facts.report else ""
    # The same plan may be asked for again: refused under rules that changed since, then approved anew.
    before = facts.run.applies if facts.run else 0
    return Request(
        job="apply",
        environment=name,
        key=f"apply {ref} {name} {plan} {facts.state.serial} {before}",
        tags={**_tags(ref, name, facts), ASKED_FOR_TAG: facts.asks_for, PLAN_TAG: plan},
    )


def _tags(ref: PullRef, name: str, facts: Facts) -> dict[str, str]:
    return {
        CHANGE_TAG: name,
        COMMIT_TAG: facts.commit,
        BASE_TAG: facts.base,
        PULL_TAG: str(ref),
        REPOSITORY_TAG: str(ref.repository),
        ASKED_BY_TAG: f"{facts.pull.author} by {ref}",
    }


def _settle(
    look: _Look,
    watched: Watched,
    facts: Mapping[tuple[int, str], Facts],
    decisions: Mapping[tuple[int, str], Decision],
) -> None:
    """Note whether a pull request is over, and whether it need not be looked at until something changes."""
    found = [decisions[key] for key in facts]
    if not watched.pull.is_open and all(item.next in _OVER for item in found):
        watched.finished = True
    moving = any(item.next in UNDER_WAY for item in found) or any(f.ahead for f in facts.values())
    watched.settled = "" if moving else _signature(look, watched)
