"""The audit log: every decision about an environment, each record bound to the one before it by its hash.

A record that is changed, removed or put between others breaks the chain. What the chain alone cannot show
is the loss of its end; the head, kept beside it, does. Whoever may rewrite the whole store could also
rewrite the whole chain: against that, export it, or keep its bucket under S3 Object Lock.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from typing import Any

from ray_platform.text.canonical import digest, short

#: What the first record names as its previous one.
GENESIS = "0" * 64


@dataclass(frozen=True)
class AuditEvent:
    """One decision.

    ``action`` is ``plan``, ``fresh``, ``policy``, ``budget``, ``live-runs``, ``approve``, ``apply``,
    ``destroy``, ``unlock``, ``ray-rollback`` or ``ray-upgrade``; ``decision`` what came of it;
    ``asked_by`` who or what asked; ``rule`` which rules or gate decided; ``at`` an ISO 8601 time in UTC.
    What does not apply is empty, a serial 0.
    """

    environment: str
    action: str
    decision: str
    asked_by: str
    at: str
    rule: str = ""
    reason: str = ""
    plan_digest: str = ""
    state_serial: int = 0
    commit: str = ""
    run_id: str = ""


@dataclass(frozen=True)
class AuditRecord:
    """An event in its place: its number from 1, and the digest of the record before it."""

    sequence: int
    previous: str
    event: AuditEvent

    @property
    def digest(self) -> str:
        """Hex SHA-256 over number, previous digest and event."""
        return digest(
            {"sequence": self.sequence, "previous": self.previous, "event": asdict(self.event)}
        )

    def to_json(self) -> dict[str, Any]:
        return {
            "sequence": self.sequence,
            "previous": self.previous,
            "event": asdict(self.event),
            "digest": self.digest,
        }

    def to_row(self) -> dict[str, Any]:
        """One flat row of an export."""
        return {
            "sequence": self.sequence,
            **asdict(self.event),
            "previous": self.previous,
            "digest": self.digest,
        }


#: The columns of an export, in order.
COLUMNS: tuple[str, ...] = (
    "sequence",
    *(field.name for field in fields(AuditEvent)),
    "previous",
    "digest",
)


@dataclass(frozen=True)
class Fault:
    """Where a chain is not what it should be."""

    sequence: int
    what: str


def read_record(value: Mapping[str, Any]) -> AuditRecord:
    """A stored record.

    Raises:
        ValueError: it has not the shape of one.
    """
    try:
        return AuditRecord(
            int(value["sequence"]), str(value["previous"]), AuditEvent(**value["event"])
        )
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise ValueError(f"not an audit record: {error!r}") from error


def faults(
    stored: Sequence[tuple[int, Mapping[str, Any] | None]], head: tuple[int, str] | None
) -> tuple[Fault, ...]:
    """Every fault of a chain; none, if it is whole.

    Args:
        stored: (number in its key, content; None: not JSON) in the order of their numbers.
        head: Number and digest of the last record, as kept beside the chain. It may lag behind by what was
            appended when a process was killed, never be ahead.
    """
    found: list[Fault] = []
    previous, expected = GENESIS, 1
    digests: dict[int, str] = {}
    for number, value in stored:
        found += [Fault(missing, "is missing") for missing in range(expected, number)]
        expected = number + 1
        try:
            record = read_record(value or {})
        except ValueError:
            found.append(Fault(number, "cannot be read"))
            previous = ""
            continue
        told = str((value or {}).get("digest"))
        digests[number] = told
        if record.digest != told or record.sequence != number:
            found.append(Fault(number, "was changed"))
        if previous and record.previous != previous:
            found.append(Fault(number, "does not follow the record before it"))
        previous = told
    if head is None:
        if stored:
            found.append(Fault(expected - 1, "is the last, but the head is missing"))
    elif head[0] >= expected:
        found += [Fault(missing, "is missing") for missing in range(expected, head[0] + 1)]
    elif digests.get(head[0]) != head[1]:
        found.append(Fault(head[0], "is not the record that the head names"))
    return tuple(found)


def between(
    records: Iterable[AuditRecord], first: str | None, last: str | None
) -> tuple[AuditRecord, ...]:
    """The records of the days from ``first`` to ``last`` (``YYYY-MM-DD``, both included, UTC)."""
    return tuple(
        record
        for record in records
        if (first is None or record.event.at[:10] >= first)
        and (last is None or record.event.at[:10] <= last)
    )


def describe(record: AuditRecord) -> str:
    """One line for people."""
    event = record.event
    about = f" plan {short(event.plan_digest)}" if event.plan_digest else ""
    why = f": {event.reason}" if event.reason else ""
    return f"{event.action} {event.decision}{about} by {event.asked_by}{why}"
