"""Machines, processes, a clock and a store to whom a test does what it likes, for tests of leases."""

import itertools
from collections.abc import Callable

from ray_platform.store.artifact_store import Store
from ray_platform.store.lease import Host, ProcessState, RunState
from ray_platform.store.lease_store import EnvironmentLease, Held
from ray_platform.text.canonical import digest_bytes


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
    run_id: str = "r0",
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
