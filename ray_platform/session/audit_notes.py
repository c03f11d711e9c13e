"""Decisions as they fall, written to the audit log of the environment."""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime

from ray_platform.records.audit import AuditEvent
from ray_platform.records.records_store import PlanRecord
from ray_platform.session.environment_session import EnvironmentSession
from ray_platform.text.errors import PlatformError, Refused
from ray_platform.text.redaction import redact_text

_REASON_CHARS = 500


def note(
    session: EnvironmentSession,
    action: str,
    decision: str,
    *,
    record: PlanRecord | None = None,
    rule: str = "",
    reason: str = "",
    by: str = "",
) -> None:
    """Write one decision down.

    Args:
        session: The environment, with who asks.
        action: As in `AuditEvent`.
        decision: What came of it.
        record: The plan that it is about.
        rule: The rules or the gate that decided.
        reason: For people; secrets are masked.
        by: Who decided, where that is not who asked.
    """
    session.audit.append(
        AuditEvent(
            environment=session.name,
            action=action,
            decision=decision,
            asked_by=redact_text(by or session.asked_by),
            at=datetime.now(UTC).isoformat(timespec="milliseconds"),
            rule=rule,
            reason=redact_text(reason)[:_REASON_CHARS],
            plan_digest=record.plan_digest if record else "",
            state_serial=record.state_serial if record else 0,
            commit=record.commit.commit if record else "",
            run_id=session.run_id,
        )
    )


@contextmanager
def failures_noted(session: EnvironmentSession, action: str, record: PlanRecord) -> Iterator[None]:
    """Write down why an action was refused or failed, and let the error go on."""
    try:
        yield
    except PlatformError as error:
        decision = "refused" if isinstance(error, Refused) else "failed"
        note(session, action, decision, record=record, rule=type(error).__name__, reason=error.what)
        raise
