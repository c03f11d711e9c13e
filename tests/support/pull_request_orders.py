"""Tries every order of events in a world of pull requests, and judges each apply by rules of its own."""

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from ray_platform.github.model import PullRequest
from ray_platform.records.records_store import PlanRecord
from tests.support.pull_request_world import Admitted, World, content_of

_ROOT = Path(__file__).resolve().parents[2]
REVIEWERS = ("bob", "carol")
_OLD = 9
AUTHORS = {1: "alice", 2: "dave", _OLD: "erin"}
#: The file that each pull request changes.
FILES = {1: "terraform/one.tf", 2: "terraform/two.tf", _OLD: "terraform/old.tf"}

#: Something that may happen, under its name.
Event = tuple[str, Callable[[World], object]]

_SETTINGS = """description = "for tests"
[cloud]
emulator = true
[state]
bucket = "state"
key = "state"
[artifacts]
uri = "file"
[ray]
runtime = "existing"
[approval]
required = {required}
people = ["alice", "bob", "carol", "dave"]
[pull_requests]
apply = "{apply}"
after = "{after}"
[budget]
monthly_usd = 10.0
[watch]
"""


@dataclass(frozen=True)
class Story:
    """What there is at the start and what may happen.

    ``left`` says how often each event may happen; ``required`` holds for each environment. ``squash``:
    merges leave the branch's own commits out. ``before`` has happened when the orders begin.
    """

    left: dict[str, int]
    apply: str = "approved"
    required: dict[str, int] = field(default_factory=lambda: {"local": 2})
    squash: bool = False
    fork: bool = False
    one_by_one: bool = False
    before: tuple[str, ...] = ()

    @property
    def environments(self) -> tuple[str, ...]:
        return tuple(self.required)


def begin(folder: Path, story: Story) -> World:
    """A repository that is watched, and one open pull request that was not looked at yet."""
    files = {
        "policies/terraform.rego": "package terraform\n# deny nothing\n",
        "policies/data.json": (_ROOT / "policies" / "data.json").read_text(encoding="utf-8"),
        "terraform/.terraform.lock.hcl": "lock",
        "terraform/main.tf": "# first\n",
        "helm/ray/Chart.yaml": "name: ray",
    }
    before = ""
    for name, required in story.required.items():
        settings = _SETTINGS.format(required=required, apply=story.apply, after=before)
        files[f"environments/{name}.toml"] = settings
        files[f"terraform/environments/{name}.tfvars"] = 'region = "us-east-1"\n'
        before = name
    world = World(folder, story.environments, files)
    world.git.checkout(world.git.branches["main"], folder)
    world.left = dict(story.left)
    world.judge = lambda at, record, number: judge(at, record, number, story)
    open_pull_request(world, _OLD)
    world.forge.set(_OLD, is_open=False)
    world.tick()
    open_pull_request(world, 1, story.fork)
    for what in story.before:
        happen(world, story, what)
    return world


def happen(world: World, story: Story, what: str) -> None:
    """Let something happen by its name, or each run that waits (``runs``)."""
    if what == "runs":
        for run_id, _, _ in world.waiting:
            world.execute(run_id)
    else:
        dict(events(world, story))[what](world)


def finish(world: World, story: Story, *, rounds: int = 8) -> None:
    """What honest people and the platform do until the first pull request is applied or over."""
    for _ in range(rounds):
        world.tick()
        happen(world, story, "runs")
        if any(item.number == 1 for item in world.admitted):
            continue
        if any(name == "update 1" for name, _ in events(world, story)):
            happen(world, story, "update 1")
        else:
            for (
                who
            ) in REVIEWERS:  # whom the comment tells that their approval does not count, again
                world.forge.review(1, who, "APPROVED")


def open_pull_request(world: World, number: int, fork: bool = False) -> None:
    base = world.git.branches["main"]
    head = world.git.commit((base,), {**world.git.files(base), FILES[number]: f"# by {number}\n"})
    at = world.forge.now()
    world.forge.pulls[number] = PullRequest(
        number=number,
        title="A change",
        author=AUTHORS[number],
        url=f"http://forge/{number}",
        head=head,
        head_branch=f"change-{number}",
        base_branch="main",
        base_head=base,
        from_fork=fork,
        draft=False,
        is_open=True,
        merge_commit="",
        created_at=at,
        updated_at=at,
        merged_at="",
    )


def events(world: World, story: Story) -> Iterator[Event]:
    """Everything that may happen next."""
    yield "tick", World.tick
    for run_id, name, _ in world.waiting:
        yield f"run {run_id} in {name}", lambda at, r=run_id: at.execute(r)
    for record in world.plans():
        yield f"apply {record.plan_digest[:6]}", lambda at, r=record: at.apply_by_command(r)
    for number, pull in world.forge.pulls.items():
        if pull.is_open or pull.merge_commit:  # the forge takes reviews of what is merged, too
            yield from _of_people(world, story, number, pull)
    for what, do in _ONCE.items():
        if world.left.get(what):
            yield what, lambda at, w=what, d=do: _spend(at, w, d)
    if world.left.get("approve by command") and world.standing(story.environments[0], 1):
        yield "approve by command", lambda at: _spend(at, "approve by command", _by_command)


def _of_people(world: World, story: Story, number: int, pull: PullRequest) -> Iterator[Event]:
    git, forge = world.git, world.forge
    waiting = [who for who in REVIEWERS if not _has_a_say(world, number, who)]
    if waiting and story.one_by_one and number == 1:
        for who in waiting:
            yield (
                f"{who} approves {number}",
                lambda at, w=who: at.forge.review(number, w, "APPROVED"),
            )
    elif waiting:
        yield (
            f"all approve {number}",
            lambda at: [at.forge.review(number, who, "APPROVED") for who in waiting],
        )
    if world.left.get("dismiss") and any(r.state == "APPROVED" for r in forge.reviews(number)):
        who = next(r.author for r in forge.reviews(number) if r.state == "APPROVED")
        yield (
            f"{who} takes it back",
            lambda at: _spend(at, "dismiss", lambda it: it.forge.dismiss(number, who)),
        )
    if not pull.is_open:
        return
    if git.count_lacking(pull.head, git.branches["main"]):
        yield f"update {number}", lambda at: _update(at, number)
    if not story.fork:
        yield f"merge {number}", lambda at: merge(at, number, squash=story.squash)
    if world.left.get(f"close {number}"):
        yield (
            f"close {number}",
            lambda at: _spend(
                at, f"close {number}", lambda it: it.forge.set(number, is_open=False)
            ),
        )


def _has_a_say(world: World, number: int, who: str) -> bool:
    """Whether a reviewer has approved the head after all that was shown of it."""
    pull = world.forge.pulls[number]
    shown = max((item.at for item in world.shown if item.number == number), default="")
    mine = [item for item in world.forge.reviews(number) if item.author == who]
    if not mine:
        return False
    last = mine[-1]
    early = not shown and last.submitted_at > ""  # before anything was shown: once is enough
    return (
        last.state == "APPROVED"
        and last.commit == pull.head
        and (early or last.submitted_at > shown)
    )


def _spend(world: World, what: str, do: Callable[[World], object]) -> object:
    world.left[what] -= 1
    return do(world)


def _push(world: World) -> None:
    pull = world.forge.pulls[1]
    if pull.is_open:
        files = {**world.git.files(pull.head), FILES[1]: "# by 1, better\n"}
        world.forge.set(1, head=world.git.commit((pull.head,), files))


def _on_main(world: World, path: str, text: str) -> None:
    base = world.git.branches["main"]
    world.git.branches["main"] = world.git.commit((base,), {**world.git.files(base), path: text})


def _new_policy(world: World) -> None:
    _on_main(world, "policies/terraform.rego", "package terraform\n# deny less\n")


def _forbid(world: World) -> None:
    _on_main(world, "policies/terraform.rego", "package terraform\n# deny by\n")


def _move_state(world: World) -> None:
    name = world.environments[-1]
    now = world.states[name]
    world.states[name] = type(now)(now.lineage, now.serial + 1, now.content)


def _by_command(world: World) -> None:
    world.approve_by_command(world.environments[0], 1, "carol")


_ONCE: dict[str, Callable[[World], object]] = {
    "push": _push,
    "policy": _new_policy,
    "forbid": _forbid,
    "state": _move_state,
    "second": lambda world: open_pull_request(world, 2),
}


def _update(world: World, number: int) -> None:
    """What the forge's button does: the base branch is merged into the pull request's."""
    pull, base = world.forge.pulls[number], world.git.branches["main"]
    world.forge.set(number, head=world.git.merge(pull.head, base), base_head=base)


def merge(world: World, number: int, *, squash: bool) -> None:
    pull, base = world.forge.pulls[number], world.git.branches["main"]
    merged = world.git.merge(base, pull.head, squash=squash)
    world.git.branches["main"] = merged
    at = world.forge.now()
    world.forge.pulls[number] = pull
    world.forge.set(number, is_open=False, merge_commit=merged, merged_at=at)


# What must hold at every apply --------------------------------------------------------------------


def judge(world: World, record: PlanRecord, number: int, story: Story) -> None:
    """The rules of the house, told without the code that keeps them.

    Raises:
        AssertionError: this apply must not be.
    """
    pull, git, name = world.forge.pulls[number], world.git, record.environment
    base, commit = git.branches["main"], record.commit.commit
    assert not pull.from_fork, "a fork's"
    assert pull.is_open or pull.merge_commit, "closed without being merged"
    assert story.apply != "merged" or pull.merge_commit, "applied before it is merged"
    planned = content_of(git.files(commit), name)
    if pull.merge_commit:
        assert planned == content_of(git.files(pull.merge_commit), name), "not what was merged"
    else:
        assert commit == pull.head, "not the head"
        assert not git.count_lacking(pull.head, base), "it lacks commits of the base branch"
    rules = git.files(base)
    denied = re.findall(r"deny (\S+)", rules["policies/terraform.rego"])
    assert not any(word in planned for word in denied), "denied"
    assert not any(
        (item.environment, item.plan_digest, item.serial)
        == (name, record.plan_digest, record.state_serial)
        for item in world.admitted
    ), "twice"
    for item in world.admitted:
        _in_turn(world, item, number, pull, name)
    _approved(world, record, number, pull, rules)
    before = story.environments[: story.environments.index(name)]
    for earlier in before:
        done = [a for a in world.admitted if (a.environment, a.number) == (earlier, number)]
        wanted = content_of(git.files(commit), earlier)  # a merge may give it another commit's name
        assert done and content_of(git.files(done[-1].commit), earlier) == wanted, earlier


def _in_turn(world: World, item: Admitted, number: int, pull: PullRequest, name: str) -> None:
    if item.environment != name:
        return
    other = world.forge.pulls[item.number]
    assert item.number == number or not other.is_open, "another open one holds the environment"
    later = other.merge_commit
    if later and item.commit in (later, other.head) and pull.merge_commit not in ("", later):
        older = world.git.is_ancestor(pull.merge_commit, later)
        assert not older, "an older commit of the base branch over a newer"


def _approved(
    world: World, record: PlanRecord, number: int, pull: PullRequest, rules: dict[str, str]
) -> None:
    name = record.environment
    required = int(re.findall(r"required = (\d)", rules[f"environments/{name}.toml"])[0])
    policy = world.session(name, *2 * (world.git.branches["main"],)).policies.bundle_digest
    bound = (record.plan_digest, record.state_lineage, record.state_serial, policy)
    shown = [
        item.at
        for item in world.shown
        if (item.number, item.environment, item.bound) == (number, name, bound)
    ]
    last = {}
    for review in world.forge.reviews(number):
        last[review.author] = review
    people = {
        who
        for who, review in last.items()
        if review.state == "APPROVED"
        and review.commit == pull.head
        and any(at < review.submitted_at for at in shown)
    }
    people |= {who for who, what in world.by_command if what == bound}
    people -= {pull.author, "mallory"}
    assert len(people) >= required, f"{len(people)} of {required} approvals: {people}"


# The walk over all orders -----------------------------------------------------------------------


@dataclass
class Explored:
    """What was found.

    ``edges`` maps a state to what follows from it, by the event's name; ``came`` to a shortest order that
    leads to it. ``tried`` counts the events that were done.
    """

    start: str
    worlds: dict[str, World]
    edges: dict[str, dict[str, str]]
    came: dict[str, list[str]]
    tried: int

    @property
    def whole(self) -> bool:
        """Whether every state was gone on from."""
        return len(self.edges) == len(self.worlds)

    def orders(self, depth: int) -> int:
        """How many orders of at most ``depth`` events there are, each of which changes something."""
        count = dict.fromkeys(self.edges, 1)
        for _ in range(depth):
            count = {
                state: sum(count.get(after, 1) for after in found.values()) or 1
                for state, found in self.edges.items()
            }
        return count[self.start]

    @property
    def depth(self) -> int:
        """All orders of so many events were tried; those that end sooner to their end."""
        left = [len(self.came[key]) for key in self.worlds if key not in self.edges]
        return min(left, default=max(len(found) for found in self.came.values()))

    def applied(self, number: int) -> set[str]:
        """The states in which a pull request has been applied in all environments, or is over."""
        return {key for key, world in self.worlds.items() if _is_done(world, number)}

    def stuck(self, number: int) -> set[str]:
        """The states from which no order of events leads to a pull request's end.

        Applies by command do not count: the sensor has to get there by itself.
        """
        back: dict[str, set[str]] = {}
        for before, found in self.edges.items():
            for name, after in found.items():
                if not name.startswith("apply "):
                    back.setdefault(after, set()).add(before)
        alive, left = set(), list(self.applied(number))
        while left:
            state = left.pop()
            if state not in alive:
                alive.add(state)
                left += back.get(state, ())
        return set(self.edges) - alive


def _is_done(world: World, number: int) -> bool:
    pull = world.forge.pulls[number]
    if not pull.is_open and not pull.merge_commit:
        return True
    wanted = pull.merge_commit or pull.head
    text = f"by {number}"
    merged = bool(pull.merge_commit)
    return text in str(world.git.files(wanted)) and all(
        text in state.content
        and (merged or state.content == content_of(world.git.files(wanted), name))
        for name, state in world.states.items()
    )


def explore(
    start: World,
    story: Story,
    *,
    most_states: int,
    on_new: Callable[[World], None] | None = None,
) -> Explored:
    """Every order of events, breadth first; a state that was seen before is not gone on from again.

    Args:
        start: How the world is when they begin.
        story: What may happen.
        most_states: From how many states it goes on at the most.
        on_new: Is shown each state when it is reached first.
    """
    first = start.key()
    worlds, queue, tried = {first: start}, [first], 0
    edges: dict[str, dict[str, str]] = {}
    came: dict[str, list[str]] = {first: []}
    for key in queue:
        if len(edges) >= most_states:
            break
        world = worlds[key]
        edges[key] = {}
        for name, do in events(world, story):
            after = world.copy()
            tried += 1
            before = len(after.admitted)
            try:
                do(after)
            except AssertionError as error:
                raise AssertionError(f"{error}, after {' / '.join([*came[key], name])}") from error
            if name.startswith("apply ") and len(after.admitted) == before:
                continue  # refused: it changes nothing but the record of it
            reached = after.key()
            if reached == key:
                continue
            if on_new is not None and reached not in worlds:
                on_new(after)
            edges[key][name] = reached
            if reached not in worlds:
                worlds[reached] = after
                came[reached] = [*came[key], name]
                queue.append(reached)
    return Explored(first, worlds, edges, came, tried)
