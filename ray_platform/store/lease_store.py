"""The lease of an environment in its artifact store, so that it holds across machines and pods.

::

    locks/ENV.json    who holds it, or that nobody does; replaced whole, by compare-and-swap

A process that is killed between any two steps leaves either the old record or the new one. What it held
is taken over once `core.lease` has proof that it is dead.
"""

import json
import os
import secrets
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from ray_platform.store import process_table
from ray_platform.store.artifact_store import Store
from ray_platform.store.held_lease_store import HELD_HERE, Held, now
from ray_platform.store.lease import (
    Host,
    Judgement,
    Lease,
    Owner,
    ProcessState,
    RunState,
    judge,
    told,
)
from ray_platform.text.canonical import canonical_json
from ray_platform.text.errors import ArtifactError, BusyError

POLL_SECONDS = 0.5
_RETRY_SECONDS = 0.05


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
    """Somebody else holds the lease."""

    owner: Owner
    judgement: Judgement


class EnvironmentLease:
    """The lease of one environment, as one who wants it sees it.

    Args:
        store: The environment's artifact store.
        environment: Its name.
        run_id: The Dagster run that wants it; empty outside one.
        run_state: Tells whether a Dagster run has ended.
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
        #: What was seen of the owner (token, beats, run), and since when it has been just that.
        self._seen: tuple[str, int, RunState] = ("", 0, "unknown")
        self._seen_at = 0.0

    def read(self) -> tuple[Lease, str | None]:
        """The lease and the version of its record; one that nobody holds where there is none.

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

    def try_acquire(self, what: str) -> Held | Busy | None:
        """The lease, or who holds it; None when somebody else was quicker just now.

        Raises:
            ArtifactError: the store cannot be read or written.
        """
        lease, version = self.read()
        left = lease.left
        if lease.owner is not None:
            judgement = self.judge(lease.owner)
            if not judgement.dead:
                return Busy(lease.owner, judgement)
            if lease.owner.child is not None:
                left = (*left, lease.owner)
        at = now()
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
        HELD_HERE.add(owner.token)
        written = None
        try:
            written = self.swap(Lease(owner, left), version)
        finally:
            if written is None:
                HELD_HERE.discard(owner.token)
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
    ) -> Held:
        """The lease, waited for.

        Args:
            what: What for, in words.
            wait_seconds: How long to wait at the most.
            tell: Is told whom we wait for, again when that or what is known of it changes.
            pause: Waits so many seconds.

        Raises:
            BusyError: somebody else has held it for all of ``wait_seconds``.
            ArtifactError: the store cannot be read or written.
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
                    tell(f"Waiting for {told(answer.owner)}: {answer.judgement.why}")
                    last = said
                if self._clock() >= deadline:
                    raise self.busy(answer, wait_seconds)
            pause(POLL_SECONDS if answer else _RETRY_SECONDS)

    def busy(self, answer: Busy, waited_seconds: float) -> BusyError:
        """What to tell one who waited in vain."""
        return BusyError(
            f"another change has held {self.environment} for {waited_seconds:.0f} s: "
            f"{told(answer.owner)}; {answer.judgement.why}",
            where=self.store.url(self.key),
            fix=answer.judgement.fix,
        )

    def judge(self, owner: Owner) -> Judgement:
        """Whether an owner is provably dead, by all that is to be seen from here."""
        seconds = self._clock()
        run = self._run_state(owner.run_id) if owner.run_id else "unknown"
        # Counted anew from the end of the run: the keeper of a terraform that lost its platform just then
        # needs its time to be heard.
        if self._seen != (owner.token, owner.beats, run):
            self._seen, self._seen_at = (owner.token, owner.beats, run), seconds
        here = self.processes.host.sees(owner.host)
        child = owner.child
        return judge(
            owner,
            process=self._process(owner) if here else "unseen",
            child=self.processes.state(child.pid, child.started) if here and child else "unseen",
            run=run,
            silent_seconds=seconds - self._seen_at,
        )

    def _process(self, owner: Owner) -> ProcessState:
        if owner.pid == self.processes.pid and owner.token not in HELD_HERE:
            return "gone"
        return self.processes.state(owner.pid, owner.started)

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
