"""A lease that is held: kept alive by a thread, written to by compare-and-swap, found lost in time."""

import contextlib
import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any, Protocol

from ray_platform.store.artifact_store import Store
from ray_platform.store.lease import INTERVAL_SECONDS, Child, Lease, Owner, told
from ray_platform.text.errors import ArtifactError, BusyError

#: A compare-and-swap of our own record fails only while another one is under way.
_TRIES = 5
#: Tokens that somebody in this process holds: one that is written with our process id and is not among
#: them is what a failed release left.
HELD_HERE: set[str] = set()


class LeaseRecord(Protocol):
    """Where the lease of one environment is kept."""

    store: Store
    environment: str
    key: str

    def read(self) -> tuple[Lease, str | None]: ...

    def swap(self, lease: Lease, version: str | None) -> str | None: ...


class Held:
    """A lease that is held. Its methods may be called from several threads.

    ``dead`` is the owner whom it was taken over from, None where nobody held it.
    """

    def __init__(
        self, lease: LeaseRecord, record: Lease, version: str, *, dead: Owner | None
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

    def beat(self) -> None:
        """Renew it.

        Raises:
            BusyError: somebody has taken it over.
            ArtifactError: the store cannot be read or written: whether it is still ours is not known.
        """
        self._change()

    def require(self) -> None:
        """Make sure, at the store, that it is still ours; asked right before anything is changed.

        Raises:
            BusyError: somebody has taken it over.
            ArtifactError: the store cannot be read or written: whether it is still ours is not known.
        """
        self.beat()

    def check(self) -> None:
        """As `require`, by what is known without asking the store. Raises `BusyError`."""
        if self._lost or self._record is None:
            raise self._gone()

    def record_child(self, child: Child | None) -> None:
        """Write down which terraform works under it, or that it has ended. Raises as `beat` does."""
        self._change(child=child)

    def clear_left(self) -> None:
        """Forget the dead owners: what they left is freed, or was not theirs. Raises as `beat` does."""
        self._change(left=())

    def release(self) -> None:
        """Give it back; nothing to do where it was lost.

        Raises:
            ArtifactError: the store cannot be written. It then frees itself: nobody renews it.
        """
        with self._guard:
            if self._record is None or self._record.owner is None:
                return
            HELD_HERE.discard(self._record.owner.token)
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
                    self.beat()
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
            beat = replace(owner, beats=owner.beats + 1, heartbeat_at=now(), child=child)
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
                self._lost = told(lease.owner) if lease.owner else "nobody holds it now"
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


def now() -> str:
    """This moment by this machine's clock, ISO 8601 in UTC."""
    return datetime.now(UTC).isoformat(timespec="milliseconds")
