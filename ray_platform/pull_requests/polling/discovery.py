"""What a look at a repository reads and notes: its pull requests' commits and runs, and the environments."""

import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass, field
from functools import partial

from dagster import DagsterInstance

from ray_platform.config.repository import Repository
from ray_platform.config.settings import Settings
from ray_platform.git.git_client import Git
from ray_platform.github.forge import Forge
from ray_platform.github.model import PullRef
from ray_platform.pull_requests.decide import State
from ray_platform.pull_requests.decision_facts import (
    EnvironmentNow,
    SessionMaker,
    commit_to_plan,
    forward,
    look_at,
    make_session,
    touched,
)
from ray_platform.pull_requests.polling.cursor import LastRun, Memory, Watched
from ray_platform.pull_requests.pull_request_store import PullRequestRecords, Standing
from ray_platform.pull_requests.queue import Queue
from ray_platform.pull_requests.run_store import PullRequestRun, runs_since
from ray_platform.text.canonical import digest
from ray_platform.text.errors import ForgeError, PlatformError

#: A run's end may be written a moment after its time; what was seen before is seen again without harm.
_SLACK_SECONDS = 60
#: How long the members of a team are remembered; the apply asks anew.
_TEAMS_SECONDS = 600


@dataclass
class RepositoryWatch:
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
    make: SessionMaker = make_session
    clock: Callable[[], float] = time.time
    runs: Callable[[DagsterInstance, Repository, float], Iterator[PullRequestRun]] = runs_since


@dataclass
class Look:
    """One look under way: what it has read so far."""

    watch: RepositoryWatch
    memory: Memory
    git: Git
    base: str
    now: dict[str, EnvironmentNow] = field(default_factory=dict)
    standings: dict[tuple[int, str], Standing] = field(default_factory=dict)
    unread: dict[str, PlatformError] = field(default_factory=dict)

    def environment(self, name: str) -> EnvironmentNow:
        """An environment as it is now, read once a look, also where that fails.

        Raises:
            PlatformError: it cannot be read.
        """
        if name in self.unread:
            raise self.unread[name]
        if name not in self.now:
            try:
                self.now[name] = look_at(
                    self.watch.settings,
                    name,
                    self.git,
                    self.base,
                    self.members,
                    make=self.watch.make,
                )
            except ForgeError:
                raise  # it is the forge that cannot be read
            except PlatformError as error:
                self.unread[name] = error
                raise
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


def records_at(watch: RepositoryWatch, name: str, git: Git, base: str) -> PullRequestRecords:
    """The records of an environment under the base branch's rules, without a look at its state.

    Raises:
        PlatformError: its settings or its store cannot be read.
    """
    return PullRequestRecords(watch.make(watch.settings, name, base, git).artifacts, name)


def note_runs(look: Look) -> None:
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


def note_commits(look: Look, watched: Watched) -> None:
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


def signature(look: Look, watched: Watched) -> str:
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


def move_queues(look: Look, active: Mapping[int, Watched]) -> None:
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


def _stands(look: Look, watched: Watched, number: int, name: str) -> bool:
    """Whether a merged pull request's changes are in the environment, or may be, by an apply cut short."""
    now, report = look.environment(name), standing_of(look, number, name).report
    if now.queue.holder == str(look.ref(number)):
        return True
    if report is None or report.commit != planned_as(look, watched, number, name):
        return False
    planned_on = State(report.state_lineage, report.state_serial)
    return report.is_applied or (report.empty and planned_on == now.state)


def standing_of(look: Look, number: int, name: str) -> Standing:
    key = (number, name)
    if key not in look.standings:
        look.standings[key] = look.environment(name).records.standing(look.ref(number))
    return look.standings[key]


def planned_as(look: Look, watched: Watched, number: int, name: str) -> str:
    """The commit to plan; settled once a pull request is merged, since it costs a checkout to find out."""
    pull = watched.pull
    known = watched.planned_as.get(name, "")
    if not pull.is_merged:
        return pull.head
    if known not in (pull.head, pull.merge_commit) or not known:
        report = standing_of(look, number, name).report
        known = commit_to_plan(look.environment(name), pull, report, look.git)
        watched.planned_as[name] = known
    return known
