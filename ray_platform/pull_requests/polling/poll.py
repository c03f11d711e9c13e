"""One look at a repository's pull requests: what is new is planned, what is decided is started and told.

A tick may be cut short anywhere and repeated. What it starts bears a key, so that Dagster starts it once;
what it tells is looked for before it is written; what it remembers can all be found again.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

from ray_platform.github.model import PullRequest
from ray_platform.pull_requests.decide import Decision, DecisionFacts, Next, Run, decide
from ray_platform.pull_requests.decision_facts import earlier, facts_of
from ray_platform.pull_requests.polling.cursor import Memory, Watched
from ray_platform.pull_requests.polling.discovery import (
    Look,
    RepositoryWatch,
    move_queues,
    note_commits,
    note_runs,
    planned_as,
    records_at,
    signature,
    standing_of,
)
from ray_platform.pull_requests.polling.resume import note_merged_since, resume
from ray_platform.pull_requests.publish import UNDER_WAY, Told, tell
from ray_platform.pull_requests.pull_request_store import PullRequestRecords, Standing
from ray_platform.pull_requests.removals.removals import look_at_removals
from ray_platform.pull_requests.run_request import Request, apply_request, plan_request
from ray_platform.text.errors import ForgeError, PlatformError

#: A blocking check leaves no failure of its own, nor does a process that was killed.
_UNTOLD = "a check of run {} said no, or its process ended"
_OVER = frozenset({Next.APPLIED, Next.NOTHING, Next.IGNORED})
#: How many pull requests of one environment are planned again at once when its state moves.
PLANS_AT_ONCE = 3


@dataclass(frozen=True)
class Tick:
    """What a tick came to.

    ``unread`` says of each pull request that was left alone why it was, ``unkept`` of each environment why it
    does not know since when merged pull requests wait.
    """

    requests: tuple[Request, ...]
    told: tuple[Told, ...]
    decisions: Mapping[tuple[int, str], Decision]
    memory: Memory
    unread: Mapping[int, str] = field(default_factory=dict)
    unkept: Mapping[str, str] = field(default_factory=dict)


def tick(watch: RepositoryWatch, memory: Memory) -> Tick:
    """Look at a repository once.

    Args:
        watch: The repository.
        memory: What the tick before remembered.

    Raises:
        ForgeError: GitHub does not answer; the memory of the tick before stays good.
    """
    started = watch.clock()
    changes = watch.forge.changed(memory.watermark)
    for pull in changes.pull_requests:
        if pull.base_branch != watch.base_branch or _is_history(memory, pull):
            continue
        _note_change(watch, memory, pull)
    unkept: Mapping[str, str] = {}
    if not memory.merged_since:
        unkept = _resume(watch, memory, changes.watermark.updated_at)
    git = watch.fetch(
        number
        for number, watched in memory.pulls.items()
        if watched.touched_head != watched.pull.head
    )
    base = git.head(watch.base_branch)
    if base is None:
        return Tick((), (), {}, memory)
    look = Look(watch, memory, git, base)
    note_runs(look)
    active = {n: w for n, w in sorted(memory.pulls.items()) if not w.finished}
    for watched in active.values():
        note_commits(look, watched)
    active, unread = _with_news(look, active)
    move_queues(look, active)
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
        if not watched.is_over
        # It comes once more with the next look, and is no news then.
        or watched.pull.updated_at == memory.watermark.updated_at
    }
    unkept = {**unkept, **_move_merged_since(look)}
    return Tick(tuple(requests), told, decisions, memory, unread, unkept)


def _note_change(watch: RepositoryWatch, memory: Memory, pull: PullRequest) -> None:
    reviews = watch.forge.reviews(pull.number)
    watched = memory.pulls.get(pull.number)
    if watched is None:
        memory.pulls[pull.number] = Watched(pull, reviews)
    elif (watched.pull, watched.reviews) != (pull, reviews):
        watched.pull, watched.reviews, watched.finished = pull, reviews, False


def _resume(watch: RepositoryWatch, memory: Memory, newest: str) -> Mapping[str, str]:
    """Take up the merged pull requests that a lost memory knew; why an environment could not be asked."""
    base = (git := watch.fetch(())).head(watch.base_branch)
    if base is None:
        return {}

    def records(name: str) -> PullRequestRecords:
        return records_at(watch, name, git, base)

    # A memory of the version before has the merged ones, and not since when they wait.
    waits = [_merged_after(watched.pull) for watched in memory.pulls.values() if _waits(watched)]
    first = min([memory.watermark.updated_at or newest, *waits])
    found = resume(watch.forge, watch.environments, records, first)
    memory.merged_since = found.since
    for pull in found.pulls:
        if pull.base_branch == watch.base_branch and pull.number not in memory.pulls:
            _note_change(watch, memory, pull)
            memory.looked_at = 0  # its runs may be older than the last look at runs
    if not found.since:
        return found.unread
    asked = [name for name in watch.environments if name not in found.unread]
    failed = note_merged_since(watch.forge.repository, asked, records, found.since)
    if asked and len(failed) == len(asked):
        memory.merged_since = ""  # it is kept nowhere yet
    return {**found.unread, **failed}


def _waits(watched: Watched) -> bool:
    return watched.pull.is_merged and not watched.finished


def _merged_after(pull: PullRequest) -> str:
    return pull.merged_at or pull.created_at  # the version before did not remember when


def _move_merged_since(look: Look) -> Mapping[str, str]:
    """Move the time forward to the oldest merge that waits; where it cannot be kept, the old one is safe."""
    memory = look.memory
    waits = [_merged_after(watched.pull) for watched in memory.pulls.values() if _waits(watched)]
    since = min([memory.watermark.updated_at, *waits])
    if not memory.merged_since or since <= memory.merged_since or not look.now:
        return {}
    failed = note_merged_since(
        look.watch.forge.repository,
        look.now,
        lambda name: look.now[name].records,
        since,
    )
    if not failed:
        memory.merged_since = since
    return failed


def _with_news(
    look: Look, active: Mapping[int, Watched]
) -> tuple[dict[int, Watched], dict[int, str]]:
    """The pull requests of which something is new; and those that cannot be judged now, with the reason.

    One environment that cannot be read (its cloud does not answer, its file is broken) holds up the pull
    requests that touch it, and no others.
    """
    found, unread = {}, {}
    for number, watched in active.items():
        try:
            if signature(look, watched) != watched.settled:
                found[number] = watched
        except ForgeError:
            raise
        except PlatformError as error:
            unread[number] = error.what
    return found, unread


def _is_history(memory: Memory, pull: PullRequest) -> bool:
    """Whether a pull request was over before it was watched: what it did is no work of ours."""
    seen = pull.number in memory.pulls
    # In the watermark's own second: it may have been merged after that look.
    before = not memory.watermark.updated_at or pull.merged_at < memory.watermark.updated_at
    return not seen and not pull.is_open and before


def _decide(
    look: Look, active: Mapping[int, Watched]
) -> tuple[list[Request], dict[tuple[int, str], Decision], dict[tuple[int, str], DecisionFacts]]:
    """Decide for every pull request in the order of the queue: at most one apply an environment."""
    requests: list[Request] = []
    decisions: dict[tuple[int, str], Decision] = {}
    facts: dict[tuple[int, str], DecisionFacts] = {}
    taken: dict[str, str] = {}
    planning: dict[str, int] = {}
    for number in sorted(active, key=lambda n: (active[n].pull.is_open, n)):
        watched, ref = active[number], look.ref(number)
        reports = {
            name: (planned_as(look, watched, number, name), standing_of(look, number, name).report)
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
                standing_of(look, number, name),
                _run(watched, name, standing_of(look, number, name)),
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
                    requests.append(plan_request(ref, name, known, decision))
            elif decision.next is Next.APPLY:
                taken[name] = str(ref)
                requests.append(apply_request(ref, name, known))
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


def _settle(
    look: Look,
    watched: Watched,
    facts: Mapping[tuple[int, str], DecisionFacts],
    decisions: Mapping[tuple[int, str], Decision],
) -> None:
    """Note whether a pull request is over, and whether it need not be looked at until something changes."""
    found = [decisions[key] for key in facts]
    if not watched.pull.is_open and all(item.next in _OVER for item in found):
        watched.finished = True
    moving = any(item.next in UNDER_WAY for item in found) or any(f.ahead for f in facts.values())
    watched.settled = "" if moving else signature(look, watched)
