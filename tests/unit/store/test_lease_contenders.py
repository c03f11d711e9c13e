"""Two processes of one machine and one of another want an environment, and die at any step."""

import json
from collections.abc import Callable

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, precondition, rule

from ray_platform.store.lease import SILENT_SECONDS, Child, Lease, RunState
from ray_platform.store.lease_store import Busy, EnvironmentLease, Held
from ray_platform.text.errors import BusyError
from tests.support.lease_world import Clock, Machine, Memory, Process, die


def pick(some: list[int], whom: int) -> int:
    return some[whom % len(some)]


class Killed(BaseException):
    """`kill -9`, at an operation of the store."""


class Contenders(RuleBasedStateMachine):
    """Two processes of one machine and one of another want an environment, and die at any step.

    Dagster ends a run once its process is gone; its terraform may run on then. An apply of a machine that
    cannot be seen is waited for until a person unlocks; a plan changes nothing and is not. A person may
    also end the run of a process that lives but was not heard of (`is_declared_dead_while_it_lives`): that
    one must find out before it changes anything.
    """

    def __init__(self) -> None:
        super().__init__()
        self.store = Memory()
        self.clock = Clock()
        self.runs: dict[str, RunState] = {}
        machines = [Machine("a"), Machine("b")]
        self.machines = [machines[0], machines[0], machines[1]]
        self.wanted = [self.fresh(number) for number in range(3)]
        self.held: list[Held | None] = [None] * 3
        self.children: list[int | None] = [None] * 3
        self.calls = [""] * 3
        self.count = 0

    def fresh(self, number: int) -> EnvironmentLease:
        run_id = f"run-{len(self.runs)}"
        self.runs[run_id] = "live"
        return EnvironmentLease(
            self.store,
            "dev",
            run_id=run_id,
            run_state=lambda asked: self.runs[asked],
            processes=Process(self.machines[number]),
            clock=self.clock,
        )

    def happens(self, number: int, fault: str, at: int) -> None:
        """Let something happen at the ``at``-th operation of the store from now on."""
        count = 0

        def before(operation: str) -> Callable[[], bool] | None:
            nonlocal count
            count += 1
            if count != at:
                return None
            if fault == "killed before":
                self.kill(number)
                raise Killed
            if fault == "another comes between":
                other = (number + 1) % 3
                self.store.before = lambda operation: None
                if self.alive(other):
                    self.acquire_plainly(other)
                return None

            def after() -> bool:
                if fault == "killed after":
                    self.kill(number)
                    raise Killed
                return fault == "answer lost"

            return after

        self.store.before = before

    def attempt(self, number: int, fault: str, at: int, act: Callable[[], object]) -> None:
        self.happens(number, fault, at)
        try:
            act()
        except (Killed, BusyError):
            pass
        finally:
            self.store.before = lambda operation: None
        self.one_at_the_most()

    def kill(self, number: int) -> None:
        die(self.wanted[number])
        self.held[number] = None

    def acquire_plainly(self, number: int) -> None:
        if self.held[number] is None:
            answer = self.wanted[number].try_acquire("a change")
            if isinstance(answer, Held):
                self.held[number] = answer

    whom = st.integers(0, 2)  # which of those to whom it can happen
    faults = st.sampled_from(
        ["none", "none", "killed before", "killed after", "answer lost", "another comes between"]
    )
    ats = st.integers(1, 3)

    @precondition(lambda self: self.free())
    @rule(whom=whom, fault=faults, at=ats)
    def acquire(self, whom: int, fault: str, at: int) -> None:
        number = pick(self.free(), whom)
        self.attempt(number, fault, at, lambda: self.acquire_plainly(number))

    @precondition(lambda self: self.holding())
    @rule(whom=whom, fault=faults, at=ats)
    def change_something(self, whom: int, fault: str, at: int) -> None:
        number = pick(self.holding(), whom)
        held = self.held[number]
        assert held is not None

        def act() -> None:
            held.require()
            assert self.stored_token() == held.owner.token

        self.attempt(number, fault, at, act)

    @precondition(lambda self: self.holding(live=True))
    @rule(whom=whom, fault=faults, at=ats, call=st.sampled_from(["plan", "apply"]))
    def start_terraform(self, whom: int, fault: str, at: int, call: str) -> None:
        number = pick(self.holding(live=True), whom)
        held = self.held[number]
        assert held is not None
        pid = self.machines[number].begin()

        def act() -> None:
            # The child waits for a word until it is recorded, and ends without it.
            held.record_child(Child(pid, f"s{pid}", call, "2026-11-21T10:00:00+00:00"))
            self.children[number], self.calls[number] = pid, call

        self.attempt(number, fault, at, act)
        if self.children[number] != pid:
            self.machines[number].alive.discard(pid)

    @precondition(lambda self: self.working())
    @rule(whom=whom)
    def terraform_ends(self, whom: int) -> None:
        self.end_terraform(pick(self.working(), whom))

    @precondition(lambda self: self.holding())
    @rule(whom=whom, fault=faults, at=ats)
    def give_back(self, whom: int, fault: str, at: int) -> None:
        number = pick(self.holding(), whom)
        held = self.held[number]
        assert held is not None

        def act() -> None:
            self.held[number] = None
            held.release()

        self.attempt(number, fault, at, act)

    @rule(whom=whom)
    def is_killed(self, whom: int) -> None:
        self.kill(whom)
        self.one_at_the_most()

    @precondition(lambda self: self.dead())
    @rule(whom=whom)
    def run_ends(self, whom: int) -> None:
        self.runs[self.run_of(pick(self.dead(), whom))] = "ended"

    @precondition(lambda self: self.count < 4 and self.holding())
    @rule(whom=whom, other=whom)
    def is_declared_dead_while_it_lives(self, whom: int, other: int) -> None:
        self.count += 1
        self.runs[self.run_of(pick(self.holding(), whom))] = "ended"
        for _ in range(2):  # another one looks, waits, and looks again
            if self.alive(other):
                self.acquire_plainly(other)
            self.time_passes(SILENT_SECONDS)
        self.one_at_the_most()

    @precondition(lambda self: self.dead())
    @rule(whom=whom)
    def another_process_starts(self, whom: int) -> None:
        number = pick(self.dead(), whom)
        if self.children[number] is None:
            self.runs[self.run_of(number)] = "ended"
            self.wanted[number] = self.fresh(number)

    @rule(seconds=st.sampled_from([1.0, SILENT_SECONDS / 2, SILENT_SECONDS]))
    def time_passes(self, seconds: float) -> None:
        self.clock.now += seconds

    def free(self) -> list[int]:
        return [n for n in range(3) if self.alive(n) and self.held[n] is None]

    def holding(self, *, live: bool = False) -> list[int]:
        """Who holds it, or thinks so, and does not wait for a terraform."""
        return [
            n
            for n in range(3)
            if self.held[n] and self.children[n] is None
            if not live or self.runs[self.run_of(n)] == "live"
        ]

    def working(self) -> list[int]:
        return [n for n in range(3) if self.children[n] is not None]

    def dead(self) -> list[int]:
        return [n for n in range(3) if not self.alive(n)]

    def end_terraform(self, number: int) -> None:
        if (pid := self.children[number]) is not None:
            self.machines[number].alive.discard(pid)
            self.children[number] = None

    def alive(self, number: int) -> bool:
        return self.wanted[number].processes.pid in self.machines[number].alive

    def run_of(self, number: int) -> str:
        return self.wanted[number]._run_id

    def stored_token(self) -> str:
        owner = Lease.from_json(json.loads(self.store.content["locks/dev.json"])).owner
        return owner.token if owner else ""

    def one_at_the_most(self) -> None:
        may_change = []
        for number, held in enumerate(self.held):
            working = self.children[number] is not None and self.calls[number] == "apply"
            if held is not None and self.runs[self.run_of(number)] == "live":
                may_change.append(number)  # it has not been told otherwise, and nobody may think so
            elif working:
                may_change.append(number)
        assert len(may_change) <= 1, may_change

    def teardown(self) -> None:
        for number in range(3):
            self.end_terraform(number)
            self.kill(number)
            self.runs[self.run_of(number)] = "ended"
        stranger = EnvironmentLease(
            self.store,
            "dev",
            run_id="the last",
            run_state=lambda asked: self.runs[asked],
            processes=Process(Machine("c")),
            clock=self.clock,
        )
        answer = stranger.try_acquire("the next change")
        if isinstance(answer, Busy):
            self.clock.now += SILENT_SECONDS
            answer = stranger.try_acquire("the next change")
        if isinstance(answer, Busy):
            cut_short = answer.owner.child
            assert cut_short is not None and cut_short.call == "apply"
            assert stranger.swap(Lease(), stranger.read()[1])  # a person unlocks
            answer = stranger.try_acquire("the next change")
        assert isinstance(answer, Held)


TestContenders = Contenders.TestCase
TestContenders.settings = settings(max_examples=100, stateful_step_count=30, deadline=None)
