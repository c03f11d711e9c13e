"""Terraform's own lock on a state, and whose it is by its own content.

The lock is an object beside the state (``use_lockfile``) that names user and host of the terraform that
made it and when it did. It belongs to a lease when all of that fits the terraform that the lease records.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from ray_platform.store.lease import INTERVAL_SECONDS, Owner

#: What Terraform calls the operations that the platform asks for.
OPERATIONS: Mapping[str, str] = {"plan": "OperationTypePlan", "apply": "OperationTypeApply"}
#: A terraform takes its lock some seconds after it was started, and its platform may have died since.
GRACE = timedelta(seconds=3 * INTERVAL_SECONDS)
#: Lease and lock are written by the same clock; this is for its corrections.
CLOCK_STEP = timedelta(seconds=2)


@dataclass(frozen=True)
class StateLock:
    """A lock's content. ``who`` is ``USER@HOST``; ``created`` is ISO 8601 in UTC by the host's clock."""

    id: str
    operation: str
    who: str
    created: str

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> "StateLock":
        """A lock as Terraform writes it.

        Raises:
            ValueError: it is not one.
        """
        try:
            return cls(
                id=str(data["ID"]),
                operation=str(data["Operation"]),
                who=str(data["Who"]),
                created=str(data["Created"]),
            )
        except (KeyError, TypeError) as error:
            raise ValueError(f"not a state lock: {error!r}") from error


def foreign(lock: StateLock, owner: Owner) -> str:
    """Why a lock was not made by the terraform of a lease's owner; empty: it was.

    Both times are by the clock of the owner's host, so they may be compared.
    """
    child = owner.child
    if child is None:
        return "no terraform was running under that lease"
    user, _, host = lock.who.rpartition("@")
    if host != owner.host.name or (owner.user and user and user != owner.user):
        return f"it was made by {lock.who}, the lease was held by {owner.user}@{owner.host.name}"
    if lock.operation != OPERATIONS.get(child.call):
        return f"it is for {lock.operation}, the lease's terraform did a {child.call}"
    try:
        created = datetime.fromisoformat(lock.created)
        first = datetime.fromisoformat(child.since) - CLOCK_STEP
        last = datetime.fromisoformat(owner.heartbeat_at) + GRACE
        outside = not first <= created <= last
    except (ValueError, TypeError):
        return f"its time {lock.created!r} cannot be compared with the lease's"
    if outside:
        return f"it was made at {lock.created}, the lease's terraform ran from {child.since}"
    return ""
