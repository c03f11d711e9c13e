"""One change at a time: holding an environment, and freeing what a dead holder left locked.

The lease in the artifact store keeps changes apart, on whatever machine they run. Terraform's own lock on
the state stands behind it. When a holder died in the middle of a terraform call, that lock stays: the next
holder frees it once owner and terraform are provably dead, if the lock says that it was made under
the owner's lease. One that was made by anybody else is never touched.
"""

import functools
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime

from dagster import DagsterInstance

from ray_platform.config.settings import child_environment
from ray_platform.session import audit_notes
from ray_platform.session.environment_session import EnvironmentSession
from ray_platform.store.held_lease_store import Held
from ray_platform.store.lease import INTERVAL_SECONDS, Child, Owner, RunState, told
from ray_platform.store.lease_keeper_process import Keeper, Kept
from ray_platform.store.lease_store import EnvironmentLease
from ray_platform.store.process_table import process_started
from ray_platform.terraform.state_bucket_store import ensure_state_bucket, has_bucket
from ray_platform.terraform.state_lock import foreign
from ray_platform.terraform.state_lock_store import free_lock, read_lock
from ray_platform.text.errors import ArtifactError


class EnvironmentLock:
    """An environment that is held; keeps account of each terraform that works in it."""

    def __init__(
        self, session: EnvironmentSession, held: Held, tell: Callable[[str], None]
    ) -> None:
        self.session = session
        self.held = held
        self._tell = tell
        self._keeper: Keeper | None = None

    def require(self) -> None:
        """Make sure that it is still held; asked right before anything is changed. Raises `BusyError`."""
        self.held.require()

    def started(self, pid: int, call: str) -> None:
        """Write down a terraform before it becomes one. Raises `BusyError` where the lease is lost."""
        started = process_started(pid) or ""
        since = datetime.now(UTC).isoformat(timespec="milliseconds")
        self.held.record_child(Child(pid, started, call, since))
        kept = Kept(
            store=self.session.artifacts.store.url(""),
            region=self.session.environment.region,
            environment=self.session.name,
            token=self.held.owner.token,
            pid=pid,
            started=started,
            interval_seconds=INTERVAL_SECONDS,
        )
        variables = self.session.cloud_variables if kept.store.startswith("s3://") else {}
        self._keeper = Keeper(kept, {**child_environment(), **variables})

    def check(self) -> None:
        """Raises `BusyError` where the lease was found lost."""
        self.held.check()

    def ended(self, code: int) -> None:
        """Forget a terraform that has ended, after freeing the lock that it left if it was killed.

        One that ended with an exit code has freed its own, or never had it.
        """
        if self._keeper is not None:
            self._keeper.stop()
            self._keeper = None
        if code < 0:
            free_left_lock(self.session, (self.held.owner,), self._tell)
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
    stands behind both.

    Args:
        session: The environment.
        holder: What for, in words.
        tell: Is told whom we wait for, and what a dead holder left that was freed.
        wait_seconds: How long to wait at the most.

    Raises:
        BusyError: somebody else has held it for all of ``wait_seconds``.
        ArtifactError: the artifact store cannot be read or written.
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
    """Hold an environment until the end of the block, waiting for it where somebody else does.

    Raises:
        BusyError: somebody else has held it for all of ``wait_seconds``.
        ArtifactError: the store cannot be read or written.
    """
    _have_store(session)

    lease = EnvironmentLease(
        session.artifacts.store,
        session.name,
        run_id=session.run_id,
        run_state=functools.partial(run_state, session.instance),
    )
    held = lease.acquire(what, wait_seconds=wait_seconds, tell=tell)
    try:
        with held.kept_alive():
            if held.dead is not None:
                reason = f"{told(held.dead)}: it is provably dead"
                tell(f"Took the environment over from {reason}")
                audit_notes.note(session, "unlock", "taken over", rule="dead owner", reason=reason)
            if held.left:
                free_left_lock(session, held.left, tell)
                held.clear_left()
            yield EnvironmentLock(session, held, tell)
    finally:
        try:
            held.release()
        except ArtifactError as error:
            # What was done stays done; nobody renews the lease any more, so it frees itself.
            tell(f"The environment could not be given back yet: {error.what}")


def run_state(instance: DagsterInstance | None, run_id: str) -> RunState:
    """What Dagster's storage says of a run; ``unknown`` where there is none, or it does not know it."""
    run = instance.get_run_by_id(run_id) if instance else None
    if run is None:
        return "unknown"
    return "ended" if run.is_finished else "live"


def _have_store(session: EnvironmentSession) -> None:
    """Make the state bucket where the lease is to lie in it, and this is the first that is done there."""
    bucket = session.environment.state.bucket
    if f"{session.environment.artifacts.uri}/".startswith(f"s3://{bucket}/"):
        s3 = session.aws("s3")
        if not has_bucket(s3, bucket):
            ensure_state_bucket(s3, bucket, session.environment.region)


def free_left_lock(
    session: EnvironmentSession, dead: tuple[Owner, ...], tell: Callable[[str], None]
) -> bool:
    """Free the state's lock if a terraform of one of the dead owners made it; whether it was freed.

    The caller knows that these owners' terraform has ended.

    Raises:
        StateError: the lock cannot be read or freed.
    """
    place = session.environment.state
    s3 = session.aws("s3")
    found = read_lock(s3, place.bucket, place.key)
    if found is None:
        return False
    reasons = []
    for owner in dead:
        if reason := foreign(found.lock, owner):
            reasons.append(reason)
            continue
        about = (
            f"lock {found.lock.id} of {found.lock.who}, made {found.lock.created} by {told(owner)}"
        )
        # Noted first: a note of something that did not follow, never the other way round.
        audit_notes.note(session, "unlock", "state freed", rule="dead owner", reason=about)
        freed = free_lock(s3, place.bucket, place.key, found)
        tell(f"Freed the state's {about}" if freed else "The state's lock went by itself")
        return freed
    tell(f"The state is locked by {found.lock.who}, and that stays: {'; '.join(reasons)}")
    return False
