"""The lease of an environment in its artifact store, so that it holds across machines and pods.

::

    locks/ENV.json    the owner, or none; replaced whole, by compare-and-swap

A process that is killed between any two steps leaves either the old record or the new one. What it held is
taken over once `store.lease` says that it is dead, or freed by `ray-platform unlock`.
"""

import contextlib
import json
import os
import secrets
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any, Protocol

from ray_platform.store import process_table
from ray_platform.store.artifact_store import Store
from ray_platform.store.lease import (
    INTERVAL_SECONDS,
    Child,
    Host,
    Judgement,
    Lease,
    Owner,
    ProcessState,
    RunState,
    Seen,
    describe,
    judge,
)
from ray_platform.text.canonical import canonical_json
from ray_platform.text.errors import ArtifactError, BusyError

POLL_SECONDS = 0.5
_RETRY_SECONDS = 0.05
#: A compare-and-swap of our own record fails only while another one is under way.
_TRIES = 5
#: Tokens that are held in this process: one that is written with our process id and is not among them is
#: what a failed release left.
_HELD_HERE: set[str] = set()


class Processes(Protocol):
    """The processes of a machine, seen from one of them."""

    @property
    def host(self) -> Host: ...

    @property
    def pid(self) -> int: ...

    def started(self, pid: int) -> str: ...

    def state(self, pid: int, started: str) -> ProcessState: ...


class TheseProcesses:
    """The processes of this machine."""

    def __init__(self) -> None:
        self.host = process_table.this_host()
        self.pid = os.getpid()

    def started(self, pid: int) -> str:
        return process_table.process_started(pid) or ""

    def state(self, pid: int, started: str) -> ProcessState:
        return process_table.process_state(pid, started)


@dataclass(frozen=True)
class Busy:
    """The lease is another owner's."""

    owner: Owner
    judgement: Judgement


class EnvironmentLease:
    """The lease of one environment, as seen by one who wants it or only reads it.

    Args:
        store: The environment's artifact store.
        environment: Its name.
        run_id: The Dagster run that wants it; empty for one that only reads.
        run_state: Whether a Dagster run has ended.
        processes: The processes of this machine.
        clock: Seconds of this machine's monotonic clock.
    """

    def __init__(
        self,
        store: Store,
        environment: str,
        *,
        run_id: str = "",
        run_state: Callable[[str], RunState] = lambda run_id: "unknown",
        processes: Processes | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.store = store
        self.environment = environment
        self.key = f"locks/{environment}.json"
        self.processes = processes or TheseProcesses()
        self._run_id = run_id
        self._run_state = run_state
        self._clock = clock
        #: The owner as last seen (token, beats, run), and since when it has been just that.
        self._last: tuple[str, int, RunState] = ("", 0, "unknown")
        self._last_at = 0.0

    def read(self) -> tuple[Lease, str | None]:
        """The lease and the version of its record; one without an owner where there is no record.

        Raises:
            ArtifactError: it cannot be read, or is malformed.
        """
        found = self.store.get_versioned(self.key)
        if found is None:
            return Lease(), None
        try:
            return Lease.from_json(json.loads(found[0])), found[1]
        except ValueError as error:
            raise ArtifactError(
                f"the lease of {self.environment} cannot be read: {error}",
                where=self.store.url(self.key),
                fix="restore the object's earlier version",
            ) from error

    def try_acquire(self, what: str) -> "Held | Busy | None":
        """The lease, or its owner; None when another process was quicker just now.

        Raises:
            ValueError: this change is no Dagster run: once its host is lost, nothing would show its end.
            ArtifactError: the store cannot be read or written.
        """
        if not self._run_id:
            raise ValueError(f"a lease is taken by a Dagster run; {what!r} has no run id")
        lease, version = self.read()
        left = lease.left
        if lease.owner is not None:
            judgement = judge(lease.owner, self.seen(lease.owner), self.unlock_command(lease.owner))
            if not judgement.dead:
                return Busy(lease.owner, judgement)
            if lease.owner.child is not None:
                left = (*left, lease.owner)
        at = _now()
        owner = Owner(
            token=secrets.token_hex(16),
            what=what,
            run_id=self._run_id,
            user=process_table.user_name(),
            host=self.processes.host,
            pid=self.processes.pid,
            started=self.processes.started(self.processes.pid),
            acquired_at=at,
            heartbeat_at=at,
        )
        _HELD_HERE.add(owner.token)
        written = None
        try:
            written = self.swap(Lease(owner, left), version)
        finally:
            if written is None:
                _HELD_HERE.discard(owner.token)
        if written is None:
            return None
        return Held(self, Lease(owner, left), written, dead=lease.owner)

    def acquire(
        self,
        what: str,
        *,
        wait_seconds: float,
        tell: Callable[[str], None] = lambda line: None,
        pause: Callable[[float], None] = time.sleep,
    ) -> "Held":
        """The lease, waited for.

        Args:
            what: What for, in words.
            wait_seconds: How long to wait at the most.
            tell: Hears whose end is waited for, and again when what is known of it changes.
            pause: Waits so many seconds.

        Raises:
            BusyError: another owner has held it for all of ``wait_seconds``.
            ValueError, ArtifactError: as `try_acquire`.
        """
        deadline = self._clock() + wait_seconds
        last = ""
        while True:
            answer = self.try_acquire(what)
            if isinstance(answer, Held):
                return answer
            if isinstance(answer, Busy):
                said = f"{answer.owner.token} {answer.judgement.fix}"
                if said != last:
                    tell(f"Waiting for {describe(answer.owner)}: {answer.judgement.why}")
                    last = said
                if self._clock() >= deadline:
                    raise self.busy(answer, wait_seconds)
            pause(POLL_SECONDS if answer else _RETRY_SECONDS)

    def busy(self, answer: Busy, waited_seconds: float) -> BusyError:
        """The error of one who waited in vain."""
        return BusyError(
            f"another change has held {self.environment} for {waited_seconds:.0f} s: "
            f"{describe(answer.owner)}; {answer.judgement.why}",
            where=self.store.url(self.key),
            fix=answer.judgement.fix,
        )

    def seen(self, owner: Owner) -> Seen:
        """All that can be seen of an owner from here."""
        seconds = self._clock()
        run = self._run_state(owner.run_id) if owner.run_id else "unknown"
        # Counted from the end of the run: Dagster may record it while the process still changes something.
        if self._last != (owner.token, owner.beats, run):
            self._last, self._last_at = (owner.token, owner.beats, run), seconds
        here = self.processes.host.sees(owner.host)
        child = owner.child
        return Seen(
            process=self._process(owner) if here else "unseen",
            child=self.processes.state(child.pid, child.started) if here and child else "unseen",
            run=run,
            silent_seconds=seconds - self._last_at,
        )

    def _process(self, owner: Owner) -> ProcessState:
        if owner.pid == self.processes.pid and owner.token not in _HELD_HERE:
            return "gone"
        return self.processes.state(owner.pid, owner.started)

    def unlock_command(self, owner: Owner) -> str:
        """The command by which a person frees the lease of this owner."""
        return f"ray-platform unlock --env {self.environment} --owner {owner.token} --reason 'WHY'"

    def swap(self, lease: Lease, version: str | None) -> str | None:
        """Put a record in place of that version; the new version, None if another one is there."""
        content = canonical_json(lease.to_json())
        written = self.store.replace(self.key, content, version)
        if written is None:
            # It may be ours: the answer to a write that was done can be lost, and the write repeated.
            found = self.store.get_versioned(self.key)
            if found is not None and found[0] == content:
                return found[1]
        return written


class Held:
    """A lease that is held. Its methods may be called from several threads.

    ``dead`` is the owner whom it was taken over from, None where there was none.
    """

    def __init__(
        self, lease: EnvironmentLease, record: Lease, version: str, *, dead: Owner | None
    ) -> None:
        self.lease = lease
        self.dead = dead
        self._record: Lease | None = record
        self._version = version
        self._guard = threading.Lock()
        self._lost = ""

    @property
    def owner(self) -> Owner:
        """Ourselves, as last written.

        Raises:
            BusyError: the lease is lost or given back.
        """
        if self._record is None or self._record.owner is None:
            raise self._gone()
        return self._record.owner

    @property
    def left(self) -> tuple[Owner, ...]:
        """Dead owners whose terraform may have left a lock on the state."""
        return self._record.left if self._record else ()

    def require(self) -> None:
        """Renew it, and so make sure at the store that it is still ours; called before each change.

        Raises:
            BusyError: it was taken over, or freed by a person.
            ArtifactError: the store cannot be read or written: whether it is still ours is not known.
        """
        self._change()

    def check(self) -> None:
        """As `require`, by what is known without asking the store. Raises `BusyError`."""
        if self._lost or self._record is None:
            raise self._gone()

    def record_child(self, child: Child | None) -> None:
        """Write down which terraform works under it, or that it has ended. Raises as `require` does."""
        self._change(child=child)

    def clear_left(self) -> None:
        """Forget the dead owners: what they left is freed, or not theirs. Raises as `require` does."""
        self._change(left=())

    def release(self) -> None:
        """Give it back; nothing to do where it was lost.

        Raises:
            ArtifactError: the store cannot be written. The next run takes it over.
        """
        with self._guard:
            if self._record is None or self._record.owner is None:
                return
            _HELD_HERE.discard(self._record.owner.token)
            try:
                self._write(lambda owner: Lease(None, self.left))
            except BusyError:
                pass  # lost: it is another's now
            finally:
                self._record = None

    @contextlib.contextmanager
    def kept_alive(self, interval_seconds: float = INTERVAL_SECONDS) -> Iterator["Held"]:
        """Renew it by a thread of its own until the end of the block."""
        ended = threading.Event()

        def run() -> None:
            while not ended.wait(interval_seconds):
                try:
                    self.require()
                except BusyError:
                    return
                except ArtifactError:
                    continue  # `require` asks again, and says so, before anything is changed

        thread = threading.Thread(target=run, name=f"lease-{self.lease.environment}", daemon=True)
        thread.start()
        try:
            yield self
        finally:
            ended.set()
            thread.join()

    def _change(self, **changes: Any) -> None:
        def renewed(owner: Owner) -> Lease:
            child = changes.get("child", owner.child)
            beat = replace(owner, beats=owner.beats + 1, heartbeat_at=_now(), child=child)
            return Lease(beat, changes.get("left", self.left))

        with self._guard:
            self._write(renewed)

    def _write(self, change: Callable[[Owner], Lease]) -> None:
        for _ in range(_TRIES):
            owner = self.owner
            record = change(owner)
            if (written := self.lease.swap(record, self._version)) is not None:
                self._record, self._version = record, written
                return
            lease, version = self.lease.read()
            if version is None or lease.owner is None or lease.owner.token != owner.token:
                self._lost = describe(lease.owner) if lease.owner else "it was freed"
                self._record = None
                raise self._gone()
            self._version = version
        raise ArtifactError(
            f"the lease of {self.lease.environment} cannot be written: other writes come between",
            where=self.lease.store.url(self.lease.key),
            fix="run it again",
        )

    def _gone(self) -> BusyError:
        why = f": {self._lost}" if self._lost else ""
        return BusyError(
            f"{self.lease.environment} is no longer held by this run{why}",
            where=self.lease.store.url(self.lease.key),
            fix="nothing more was changed; plan again once the other has ended",
        )


def _now() -> str:
    """This moment by this machine's clock, ISO 8601 in UTC."""
    return datetime.now(UTC).isoformat(timespec="milliseconds")
