"""One holder of an environment at a time, whoever dies when, and none that is never given back."""

import itertools
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, precondition, rule

from ray_platform.clients.artifacts import FileStore, Store
from ray_platform.clients.lease import Busy, EnvironmentLease, Held
from ray_platform.clients.process_table import process_started
from ray_platform.core.canonical import digest_bytes
from ray_platform.core.errors import ArtifactError, BusyError
from ray_platform.core.lease import SILENT_SECONDS, Child, Host, Lease, ProcessState, RunState

ROOT = Path(__file__).resolve().parent.parent


class Machine:
    """Processes of one machine that live and die as a test says."""

    def __init__(self, name: str) -> None:
        self.host = Host(name, f"boot-{name}", "pid:[1]")
        self.alive: set[int] = set()

    def begin(self) -> int:
        pid = next(_PIDS)
        self.alive.add(pid)
        return pid


_PIDS = itertools.count(100)


class Process:
    """A process of a machine, as `Processes`."""

    def __init__(self, machine: Machine) -> None:
        self.machine = machine
        self.host = machine.host
        self.pid = machine.begin()

    def started(self, pid: int) -> str:
        return f"s{pid}"

    def state(self, pid: int, started: str) -> ProcessState:
        return "running" if pid in self.machine.alive else "gone"

    def die(self) -> None:
        self.machine.alive.discard(self.pid)


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now

    def pause(self, seconds: float) -> None:
        self.now += seconds


def lease(
    store: Store,
    machine: Machine,
    *,
    run_id: str = "",
    runs: dict[str, RunState] | None = None,
    clock: Clock | None = None,
) -> EnvironmentLease:
    known = runs or {}
    return EnvironmentLease(
        store,
        "dev",
        run_id=run_id,
        run_state=lambda asked: known.get(asked, "unknown"),
        processes=Process(machine),
        clock=clock or Clock(),
    )


def taken(wanted: EnvironmentLease) -> Held:
    held = wanted.try_acquire("a change")
    assert isinstance(held, Held)
    return held


def die(wanted: EnvironmentLease) -> None:
    assert isinstance(wanted.processes, Process)
    wanted.processes.die()


# Both stores ---------------------------------------------------------------------------------------


def test_a_record_is_replaced_only_in_place_of_the_version_that_was_read(store: Store) -> None:
    assert store.get_versioned("locks/x.json") is None
    assert store.replace("locks/x.json", b"2", "no such version") is None
    first = store.replace("locks/x.json", b"1", None)
    assert first is not None
    assert store.replace("locks/x.json", b"2", None) is None
    second = store.replace("locks/x.json", b"2", first)
    assert second is not None
    assert store.replace("locks/x.json", b"3", first) is None
    assert store.get_versioned("locks/x.json") == (b"2", second)
    assert store.keys("locks") == ["locks/x.json"]


def test_of_many_who_want_it_at_once_one_gets_it(store: Store) -> None:
    machine = Machine("a")
    wanted = [lease(store, machine) for _ in range(8)]
    ready = threading.Barrier(len(wanted))
    answers: list[object] = []

    def run(one: EnvironmentLease) -> None:
        ready.wait()
        answers.append(one.try_acquire("a change"))

    for previous in range(3):
        threads = [threading.Thread(target=run, args=(one,)) for one in wanted]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        (held,) = [answer for answer in answers if isinstance(answer, Held)]
        assert held.dead is None, previous
        held.release()
        answers.clear()


def test_a_holder_keeps_it_and_gives_it_back(store: Store) -> None:
    machine = Machine("a")
    held = taken(lease(store, machine))
    held.require()
    other = lease(store, Machine("b"))
    busy = other.try_acquire("another change")
    assert isinstance(busy, Busy)
    assert busy.owner == held.owner
    assert busy.owner.beats == 1
    held.release()
    held.release()
    with pytest.raises(BusyError):
        held.require()
    assert taken(other).dead is None


def test_a_dead_process_is_found_on_its_machine_at_once_and_its_terraform_waited_for(
    store: Store,
) -> None:
    machine = Machine("a")
    first = lease(store, machine)
    held = taken(first)
    terraform = machine.begin()
    held.record_child(Child(terraform, f"s{terraform}", "apply", "2026-11-21T10:00:00+00:00"))
    die(first)
    second = lease(store, machine)
    waits = second.try_acquire("next")
    assert isinstance(waits, Busy)
    assert "goes on" in waits.judgement.why
    machine.alive.discard(terraform)
    after = taken(second)
    assert after.dead == held.owner
    assert after.left == (held.owner,)
    # Killed before it has looked at what was left: that is not forgotten.
    after.record_child(Child(terraform, f"s{terraform}", "plan", "2026-11-21T10:09:00+00:00"))
    die(second)
    last = taken(lease(store, machine))
    assert last.left == (held.owner, after.owner)
    last.clear_left()
    last.release()
    assert taken(lease(store, machine)).left == ()


def test_elsewhere_it_takes_a_minute_of_silence_and_the_end_of_the_run(store: Store) -> None:
    runs: dict[str, RunState] = {"r1": "live"}
    clock = Clock()
    first = lease(store, Machine("a"), run_id="r1")
    held = taken(first)
    other = lease(store, Machine("b"), runs=runs, clock=clock)
    die(first)
    for _ in range(2):
        assert isinstance(other.try_acquire("next"), Busy)
        clock.pause(SILENT_SECONDS)
    runs["r1"] = "ended"
    assert isinstance(other.try_acquire("next"), Busy)  # a minute counts from the end of the run
    clock.pause(SILENT_SECONDS)
    held.beat()  # it was alive after all
    assert isinstance(other.try_acquire("next"), Busy)
    clock.pause(SILENT_SECONDS)
    taken(other)
    with pytest.raises(BusyError, match="no longer held") as lost:
        held.require()
    assert "on b (process" in lost.value.what
    with pytest.raises(BusyError):
        held.check()
    held.release()
    with pytest.raises(BusyError):
        held.record_child(None)
    assert isinstance(first.try_acquire("next"), Busy)


def test_waiting_ends_with_a_message_that_names_the_owner_and_what_to_do(store: Store) -> None:
    holder = taken(lease(store, Machine("a"), run_id="r1"))
    clock = Clock()
    said: list[str] = []
    with pytest.raises(BusyError) as busy:
        lease(store, Machine("b"), clock=clock).acquire(
            "next", wait_seconds=120, tell=said.append, pause=clock.pause
        )
    assert busy.value.exit_code == 2
    assert "another change has held dev for 120 s: a change" in busy.value.what
    assert f"on a (process {holder.owner.pid}), since" in busy.value.what
    assert "does not know its run r1" in busy.value.what
    assert "run the same command on a" in busy.value.fix
    assert busy.value.where == store.url("locks/dev.json")
    assert len(said) == 2  # once while it seemed alive, once when it did not


# What goes wrong with a store ----------------------------------------------------------------------


class Memory:
    """A store in memory, to whose operations things happen: see `before`."""

    def __init__(self) -> None:
        self.content: dict[str, bytes] = {}
        #: Called with each operation; what it returns is called after it, and may replace its answer.
        self.before: Callable[[str], Callable[[], bool] | None] = lambda operation: None

    def get(self, key: str) -> bytes | None:
        return self.content.get(key)

    def get_versioned(self, key: str) -> tuple[bytes, str] | None:
        after = self.before("read")
        found = self.content.get(key)
        if after:
            after()
        return None if found is None else (found, digest_bytes(found))

    def replace(self, key: str, content: bytes, version: str | None) -> str | None:
        after = self.before("write")
        found = self.content.get(key)
        done = version == (None if found is None else digest_bytes(found))
        if done:
            self.content[key] = content
        answer_is_lost = after is not None and after()
        return digest_bytes(content) if done and not answer_is_lost else None

    def put(self, key: str, content: bytes) -> None:
        raise NotImplementedError

    def add(self, key: str, content: bytes) -> bool:
        raise NotImplementedError

    def keys(self, prefix: str) -> list[str]:
        raise NotImplementedError

    def remove(self, key: str) -> None:
        raise NotImplementedError

    def url(self, key: str) -> str:
        return f"memory/{key}"


def test_a_write_whose_answer_is_lost_is_known_as_ours() -> None:
    store = Memory()
    store.before = lambda operation: (lambda: True) if operation == "write" else None
    held = taken(lease(store, Machine("a")))
    held.beat()
    held.release()
    assert json.loads(store.content["locks/dev.json"])["owner"] is None


def test_a_store_that_cannot_be_written_stops_the_change_and_what_it_left_frees_itself() -> None:
    store = Memory()
    wanted = lease(store, Machine("a"))
    held = taken(wanted)

    def fails(operation: str) -> None:
        raise ArtifactError("the artifact store cannot be written")

    store.before = fails
    with pytest.raises(ArtifactError):
        held.require()
    with pytest.raises(ArtifactError):
        held.release()
    store.before = lambda operation: None
    again = taken(wanted)  # by the same process, which lives on
    assert again.dead is not None


def test_a_malformed_lease_is_told_with_its_place(store: Store) -> None:
    store.put("locks/dev.json", b'{"owner": 3}')
    with pytest.raises(ArtifactError, match="cannot be read"):
        lease(store, Machine("a")).try_acquire("x")


def test_the_heart_beats_while_it_is_held_and_no_longer() -> None:
    store = Memory()
    held = taken(lease(store, Machine("a")))
    beaten = threading.Event()

    def count(operation: str) -> None:
        if held.owner.beats >= 2:
            beaten.set()

    store.before = count
    with held.kept_alive(0.001):
        assert beaten.wait(10)
    beats = held.owner.beats
    assert [t for t in threading.enumerate() if t.name == "lease-dev"] == []
    assert held.owner.beats == beats
    held.release()


# Whatever happens ----------------------------------------------------------------------------------


def pick(some: list[int], whom: int) -> int:
    return some[whom % len(some)]


class Killed(BaseException):
    """`kill -9`, at an operation of the store."""


class Contenders(RuleBasedStateMachine):
    """Two processes of one machine and one of another want an environment, and die at any step.

    Dagster ends a run once its process is gone; its terraform may go on then, and is kept alive in the
    lease by its keeper. A person may also say so of a process that lives but was not heard of
    (`is_declared_dead_while_it_lives`): that one must find out before it changes anything.
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
        self.kept: list[Held | None] = [None] * 3
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
        if self.children[number] is not None and self.held[number]:
            self.kept[number] = self.held[number]
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
    @rule(whom=whom, fault=faults, at=ats)
    def start_terraform(self, whom: int, fault: str, at: int) -> None:
        number = pick(self.holding(live=True), whom)
        held = self.held[number]
        assert held is not None
        pid = self.machines[number].begin()

        def act() -> None:
            # The child waits for a word until it is recorded, and ends without it.
            held.record_child(Child(pid, f"s{pid}", "apply", "2026-11-21T10:00:00+00:00"))
            self.children[number] = pid

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
        for keeper in self.kept:
            if keeper:
                keeper.beat()

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
            self.children[number] = self.kept[number] = None

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
            working = self.children[number] is not None
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
            run_state=lambda asked: self.runs[asked],
            processes=Process(Machine("c")),
            clock=self.clock,
        )
        answer = stranger.try_acquire("the next change")
        if isinstance(answer, Busy):
            self.clock.now += SILENT_SECONDS
            answer = stranger.try_acquire("the next change")
        assert isinstance(answer, Held)


TestContenders = Contenders.TestCase
TestContenders.settings = settings(max_examples=100, stateful_step_count=30, deadline=None)


# Two real processes --------------------------------------------------------------------------------

_HOLD = """
import sys
from pathlib import Path
from ray_platform.clients.artifacts import FileStore
from ray_platform.clients.lease import EnvironmentLease
held = EnvironmentLease(FileStore(Path(sys.argv[1])), "dev").acquire("the other's", wait_seconds=0)
with held.kept_alive(0.02):
    print("held", flush=True)
    sys.stdin.read()
"""


def test_a_process_that_is_killed_gives_way_at_once_to_the_next_on_its_machine(
    tmp_path: Path,
) -> None:
    other = subprocess.Popen(
        [sys.executable, "-c", _HOLD, str(tmp_path)],
        cwd=ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert other.stdout is not None
    assert other.stdout.readline() == "held\n"
    wanted = EnvironmentLease(FileStore(tmp_path), "dev")
    answer = wanted.try_acquire("ours")
    assert isinstance(answer, Busy)
    assert (answer.owner.pid, answer.owner.what) == (other.pid, "the other's")
    other.send_signal(signal.SIGSTOP)  # stopped is not dead
    assert isinstance(wanted.try_acquire("ours"), Busy)
    os.kill(other.pid, signal.SIGKILL)
    other.wait()
    other.stdout.close()
    held = wanted.acquire("ours", wait_seconds=0)
    assert held.dead is not None
    assert held.dead.pid == other.pid
    held.release()


_APPLY = """
import os, subprocess, sys
from pathlib import Path
from ray_platform.clients.artifacts import FileStore
from ray_platform.clients.lease import EnvironmentLease
from ray_platform.clients.lease_keeper import Keeper, Kept
from ray_platform.clients.process_table import process_started
from ray_platform.core.lease import Child
held = EnvironmentLease(FileStore(Path(sys.argv[1])), "dev", run_id="r1").acquire("x", wait_seconds=0)
child = subprocess.Popen(["sleep", "600"], start_new_session=True)
started = process_started(child.pid)
held.record_child(Child(child.pid, started, "apply", "2026-11-21T10:00:00+00:00"))
keeper = Keeper(Kept(sys.argv[1], "", "dev", held.owner.token, child.pid, started, 0.01), dict(os.environ))
print(child.pid, keeper._process.pid, flush=True)
sys.stdin.read()
"""


def test_a_terraform_that_lost_its_platform_keeps_the_lease_until_it_ends(tmp_path: Path) -> None:
    platform = subprocess.Popen(
        [sys.executable, "-c", _APPLY, str(tmp_path)],
        cwd=ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert platform.stdout is not None
    terraform, keeper = map(int, platform.stdout.readline().split())
    platform.kill()
    platform.wait()
    clock = Clock()
    elsewhere = lease(FileStore(tmp_path), Machine("b"), runs={"r1": "ended"}, clock=clock)
    for _ in range(3):  # each time it has beaten again after a minute
        answer = elsewhere.try_acquire("next")
        assert isinstance(answer, Busy)
        clock.pause(SILENT_SECONDS)
        before = answer.owner
        until(lambda before=before: beats_of(elsewhere) > before.beats)  # type: ignore[misc]
    os.kill(terraform, signal.SIGKILL)
    until(lambda: process_started(keeper) is None)
    assert isinstance(elsewhere.try_acquire("next"), Busy)
    clock.pause(SILENT_SECONDS)
    taken(elsewhere)


def beats_of(looked_at: EnvironmentLease) -> int:
    owner = looked_at.read()[0].owner
    assert owner is not None
    return owner.beats


def until(happened: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 60
    while not happened():
        assert time.monotonic() < deadline
        time.sleep(0.01)
