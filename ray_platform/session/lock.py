"""One change at a time: an environment is held, and freed when its owner is dead or a person says so.

The lease in the artifact store keeps changes apart, on whatever machine they run. Terraform's own lock on
the state backs it up. When an owner died in the middle of a terraform call, that lock stays. The next owner
frees it once the lease's owner is dead, if the lock says that it was made under that lease. A lock of
anybody else is never touched.
"""

import functools
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime

from dagster import DagsterInstance

from ray_platform.session import audit_notes
from ray_platform.session.environment_session import EnvironmentSession
from ray_platform.store.lease import (
    INTERVAL_SECONDS,
    Child,
    Lease,
    Owner,
    RunState,
    describe,
    judge,
    signs_of_life,
)
from ray_platform.store.lease_store import EnvironmentLease, Held
from ray_platform.store.process_table import process_started
from ray_platform.terraform.state_bucket_store import ensure_state_bucket, has_bucket
from ray_platform.terraform.state_lock import foreign
from ray_platform.terraform.state_lock_store import free_lock, read_lock
from ray_platform.text.errors import ArtifactError, BusyError, NotFoundError, SettingsError

#: For how long `unlock` watches whether the owner renews its lease.
WATCH_SECONDS = 3 * INTERVAL_SECONDS


class EnvironmentLock:
    """An environment that is held; keeps account of each terraform that works in it."""

    def __init__(
        self, session: EnvironmentSession, held: Held, tell: Callable[[str], None]
    ) -> None:
        self.session = session
        self.held = held
        self._tell = tell

    def require(self) -> None:
        """Make sure that it is still held; called right before each change. Raises `BusyError`."""
        self.held.require()

    def started(self, pid: int, call: str) -> None:
        """Write down a terraform before it becomes one. Raises `BusyError` where the lease is lost."""
        since = datetime.now(UTC).isoformat(timespec="milliseconds")
        self.held.record_child(Child(pid, process_started(pid) or "", call, since))

    def check(self) -> None:
        """Raises `BusyError` where the lease was found lost."""
        self.held.check()

    def ended(self, code: int) -> None:
        """Forget a terraform that has ended, after freeing the lock that it left if it was killed.

        One that ended with an exit code has freed its own, or never had it.
        """
        if code < 0:
            free_state_lock(self.session, (self.held.owner,), self._tell)
        self.held.record_child(None)


@contextmanager
def change_lock(
    session: EnvironmentSession,
    holder: str,
    *,
    tell: Callable[[str], None] | None = None,
    wait_seconds: float = 600,
) -> Iterator[None]:
    """Hold a session's environment against other changes; held already, nothing is done.

    Runs that Dagster queues are kept apart by a run tag (dagster.yaml), and Terraform's own state lock
    backs up both.

    Args:
        session: The environment, of a Dagster run.
        holder: What for, in words.
        tell: Hears whose end is waited for, and what a dead owner left that was freed.
        wait_seconds: How long to wait at the most.

    Raises:
        BusyError: another owner has held it for all of ``wait_seconds``.
        ArtifactError: the artifact store cannot be read or written.
        ValueError: the session belongs to no Dagster run.
    """
    if session.is_held:
        yield
        return
    said = tell or (lambda line: None)
    with (
        hold(session, holder, tell=said, wait_seconds=wait_seconds) as lock,
        session.holding(lock),
    ):
        yield


@contextmanager
def hold(
    session: EnvironmentSession, what: str, *, tell: Callable[[str], None], wait_seconds: float
) -> Iterator[EnvironmentLock]:
    """Hold an environment until the end of the block, waiting for it where another owner does.

    Raises:
        BusyError, ArtifactError, ValueError: as `change_lock`.
    """
    _have_store(session)
    held = _lease(session).acquire(what, wait_seconds=wait_seconds, tell=tell)
    try:
        with held.kept_alive():
            if held.dead is not None:
                reason = f"{describe(held.dead)}: it is dead"
                tell(f"Took the environment over from {reason}")
                audit_notes.note(session, "unlock", "taken over", rule="dead owner", reason=reason)
            if held.left:
                free_state_lock(session, held.left, tell)
                held.clear_left()
            yield EnvironmentLock(session, held, tell)
    finally:
        try:
            held.release()
        except ArtifactError as error:
            # What was done stays done; nobody renews the lease any more, so the next run takes it over.
            tell(f"The environment could not be given back yet: {error.what}")


@dataclass(frozen=True)
class Unlocked:
    """A lease that a person freed: its owner, and the id of Terraform's lock that was freed with it."""

    owner: Owner
    state_lock: str


def unlock(
    session: EnvironmentSession,
    token: str,
    reason: str,
    *,
    tell: Callable[[str], None],
    watch_seconds: float = WATCH_SECONDS,
    pause: Callable[[float], None] = time.sleep,
) -> Unlocked:
    """Free the lease of an owner that is gone, and Terraform's lock that was made under it.

    Safe to repeat. An owner that is alive after all finds out before its next change, and stops.

    Args:
        session: The environment, with who asks.
        token: The owner's, as `ray-platform status` shows it.
        reason: Why, for the audit log.
        tell: Hears what is done.
        watch_seconds: For how long to watch whether the owner renews its lease.
        pause: Waits so many seconds.

    Raises:
        SettingsError: the reason is empty.
        NotFoundError: the environment has no owner.
        BusyError: it has another owner, or this one is alive.
        StateError: Terraform's lock cannot be read or freed; the lease stays.
        ArtifactError: the artifact store cannot be read or written.
    """
    if not reason.strip():
        raise SettingsError("--reason is empty", where="--reason", fix="say why, for the audit log")
    lease = _lease(session)
    record, version, owner = _owned(session, lease, token)
    seen = lease.seen(owner)
    renewed = False
    if not (signs_of_life(owner, seen, False) or judge(owner, seen, "").dead):
        tell(f"Watching for {watch_seconds:.0f} s whether {describe(owner)} renews its lease")
        watched = 0
        while not renewed and watched < watch_seconds:
            pause(1)
            watched += 1
            record, version, now = _owned(session, lease, token)
            renewed = now.beats != owner.beats
        seen = lease.seen(owner)
    if sign := signs_of_life(owner, seen, renewed):
        raise BusyError(
            f"the owner of {session.name} is alive: {describe(owner)}; {sign}",
            where=lease.store.url(lease.key),
            fix="wait until it has ended, or end it: terminate its run in the Dagster UI",
        )
    # Noted first: a note of something that did not follow, never the other way round.
    about = f"{reason.strip()} ({describe(owner)})"
    audit_notes.note(session, "unlock", "lease freed", rule="a person's word", reason=about)
    # Freed while the lease still keeps everybody else out.
    freed = free_state_lock(session, (owner, *record.left), tell, rule="a person's word")
    if lease.swap(Lease(), version) is None:
        _owned(session, lease, token)
        raise BusyError(
            f"the owner of {session.name} renewed its lease just now: it is alive: {describe(owner)}",
            where=lease.store.url(lease.key),
            fix="wait until it has ended, or end it",
        )
    return Unlocked(owner, freed)


def _owned(
    session: EnvironmentSession, lease: EnvironmentLease, token: str
) -> tuple[Lease, str | None, Owner]:
    """The lease while it is that owner's, with the version of its record."""
    record, version = lease.read()
    owner = record.owner
    if owner is None:
        raise NotFoundError(
            f"{session.name} has no owner: nothing is locked",
            where=lease.store.url(lease.key),
            fix=f"ray-platform status --env {session.name}",
        )
    if owner.token != token:
        raise BusyError(
            f"{session.name} is held by another owner, {owner.token}: {describe(owner)}",
            where=lease.store.url(lease.key),
            fix=f"see whether that one is gone: ray-platform status --env {session.name}",
        )
    return record, version, owner


def _lease(session: EnvironmentSession) -> EnvironmentLease:
    return EnvironmentLease(
        session.artifacts.store,
        session.name,
        run_id=session.run_id,
        run_state=functools.partial(run_state, session.instance),
    )


def run_state(instance: DagsterInstance | None, run_id: str) -> RunState:
    """What Dagster's storage says of a run; ``unknown`` where there is none, or it does not know it."""
    run = instance.get_run_by_id(run_id) if instance else None
    if run is None:
        return "unknown"
    return "ended" if run.is_finished else "live"


def _have_store(session: EnvironmentSession) -> None:
    """Make the state bucket where it holds the lease too, and nothing was done there before."""
    bucket = session.environment.state.bucket
    if f"{session.environment.artifacts.uri}/".startswith(f"s3://{bucket}/"):
        s3 = session.aws("s3")
        if not has_bucket(s3, bucket):
            ensure_state_bucket(s3, bucket, session.environment.region)


def free_state_lock(
    session: EnvironmentSession,
    owners: tuple[Owner, ...],
    tell: Callable[[str], None],
    *,
    rule: str = "dead owner",
) -> str:
    """Free the state's lock if a terraform of one of these owners made it.

    The caller knows that these owners' terraform has ended.

    Args:
        session: The environment.
        owners: Former owners of the lease.
        tell: Hears what was freed, or why a lock stays.
        rule: By what right, for the audit log.

    Returns:
        The id of the lock that was freed; empty: none.

    Raises:
        StateError: the lock cannot be read or freed.
    """
    if not any(owner.child for owner in owners):
        return ""
    place = session.environment.state
    s3 = session.aws("s3")
    found = read_lock(s3, place.bucket, place.key)
    if found is None:
        return ""
    reasons = []
    for owner in owners:
        if reason := foreign(found.lock, owner):
            reasons.append(reason)
            continue
        about = f"lock {found.lock.id} of {found.lock.who}, made {found.lock.created} by {describe(owner)}"
        # Noted first: a note of something that did not follow, never the other way round.
        audit_notes.note(session, "unlock", "state freed", rule=rule, reason=about)
        freed = free_lock(s3, place.bucket, place.key, found)
        tell(f"Freed the state's {about}" if freed else "The state's lock was gone already")
        return found.lock.id if freed else ""
    tell(f"The state is locked by {found.lock.who}, and that stays: {'; '.join(reasons)}")
    return ""
