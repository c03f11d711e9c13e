"""One holder of an environment at a time, whoever dies when, and none that is never given back."""

import json
import os
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from ray_platform.store.artifact_store import FileStore, Store
from ray_platform.store.lease import SILENT_SECONDS, Child, Lease, RunState
from ray_platform.store.lease_store import Busy, EnvironmentLease, Held
from ray_platform.text.errors import ArtifactError, BusyError
from tests.support.lease_world import Clock, Machine, Memory, die, lease, taken

ROOT = Path(__file__).resolve().parents[3]


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
    assert "still runs" in waits.judgement.why
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
    held.require()  # it was alive after all
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


def test_elsewhere_an_apply_that_was_cut_short_waits_for_a_person_and_a_plan_does_not(
    store: Store,
) -> None:
    runs: dict[str, RunState] = {"r1": "ended"}
    clock = Clock()
    for call in ("plan", "apply"):
        first = lease(store, Machine("a"), run_id="r1")
        held = taken(first)
        held.record_child(Child(7, "s7", call, "2026-11-21T10:00:00+00:00"))
        die(first)
        other = lease(store, Machine("b"), runs=runs, clock=clock)
        answer = other.try_acquire("next")
        for _ in range(3):
            assert isinstance(answer, Busy)
            clock.pause(SILENT_SECONDS)
            answer = other.try_acquire("next")
            if call == "plan":
                break
        if call == "plan":
            assert isinstance(answer, Held)
            assert answer.left == (held.owner,)
            answer.clear_left()
            answer.release()
    assert isinstance(answer, Busy)
    assert "its terraform apply may still run" in answer.judgement.why
    assert f"--owner {held.owner.token}" in answer.judgement.fix


def test_a_change_without_a_run_gets_no_lease(store: Store) -> None:
    nameless = lease(store, Machine("a"), run_id="")
    with pytest.raises(ValueError, match="'a change' has no run id"):
        nameless.try_acquire("a change")
    assert nameless.read() == (Lease(), None)


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
    assert f"see on a whether process {holder.owner.pid}" in busy.value.fix
    assert f"ray-platform unlock --env dev --owner {holder.owner.token} " in busy.value.fix
    assert busy.value.where == store.url("locks/dev.json")
    assert len(said) == 2  # once while it seemed alive, once when it did not


# What goes wrong with a store ----------------------------------------------------------------------


def test_a_write_whose_answer_is_lost_is_known_as_ours() -> None:
    store = Memory()
    store.before = lambda operation: (lambda: True) if operation == "write" else None
    held = taken(lease(store, Machine("a")))
    held.require()
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


# Two real processes --------------------------------------------------------------------------------

_HOLD = """
import sys
from pathlib import Path
from ray_platform.store.artifact_store import FileStore
from ray_platform.store.lease_store import EnvironmentLease
lease = EnvironmentLease(FileStore(Path(sys.argv[1])), "dev", run_id="r1")
held = lease.acquire("the other's", wait_seconds=0)
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
    wanted = EnvironmentLease(FileStore(tmp_path), "dev", run_id="r2")
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
