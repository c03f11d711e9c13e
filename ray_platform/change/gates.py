"""The gates before an apply. Dagster's blocking checks stop one run; these stop every path to an apply."""

from datetime import UTC, datetime
from decimal import Decimal

from ray_platform.cost.estimate import Estimate
from ray_platform.cost.session_parts import plan_costs
from ray_platform.policy.verdict import Verdict
from ray_platform.records import approval
from ray_platform.records.records_store import PlanRecord
from ray_platform.records.stored_plan import stored_plan
from ray_platform.run_history.live_runs import (
    Disruption,
    LiveRun,
    describe_disruptions,
    disruptions,
)
from ray_platform.run_history.run_history_store import live_bursts
from ray_platform.session import audit_notes
from ray_platform.session.environment_session import EnvironmentSession
from ray_platform.terraform.state import TerraformState
from ray_platform.text.canonical import short
from ray_platform.text.errors import LiveRunsHarmed, OverBudget, PolicyDenied, StalePlan


def verdict(session: EnvironmentSession, record: PlanRecord) -> Verdict:
    """What today's policies say of a stored plan."""
    return session.policies.check_plan(
        stored_plan(session.records, record), environment=session.name, destroy=record.destroy
    )


def staleness(record: PlanRecord, state: TerraformState) -> str:
    """Why a plan no longer fits the state, or an empty string."""
    if (record.state_lineage, record.state_serial) == (state.lineage, state.serial):
        return ""
    return (
        f"the plan was made from state serial {record.state_serial}, "
        f"the state is at {state.serial} now"
    )


def require_fresh(record: PlanRecord, state: TerraformState) -> None:
    """Raises `StalePlan` when the state moved on after the plan was made."""
    if why := staleness(record, state):
        raise StalePlan(
            why,
            where=f"environment {record.environment}, plan {short(record.plan_digest)}",
            fix=f"ray-platform plan --env {record.environment}",
        )


def require_allowed(session: EnvironmentSession, record: PlanRecord) -> Verdict:
    """Raises `PolicyDenied` when a rule denies the plan."""
    found = verdict(session, record)
    if found.denied:
        raise PolicyDenied(
            "policy denies the plan: "
            + "; ".join(
                f"[{item.id}] {item.resource}: {item.message}" for item in found.violations
            ),
            where=f"environment {session.name}, plan {short(record.plan_digest)}",
            fix="; ".join(sorted({item.fix for item in found.violations})),
        )
    return found


def over_budget(session: EnvironmentSession, costs: Estimate) -> str:
    """Why a plan's cost does not fit the environment's budget, or an empty string.

    What counts is a month at the pools' minimum sizes: that is paid even if nothing trains. A plan that
    does not cost more than what stands passes, so that an overspent environment can be mended; nor does
    a resource count whose cost before is not known. A plan that changes a resource without a price does
    not fit where the environment refuses such plans.
    """
    budget = Decimal(str(session.environment.budget.monthly_usd))
    totals = costs.totals
    refused = session.environment.budget.unpriced == "refuse" and unpriced_text(costs)
    if refused:
        return f"the cost is not known: {refused}"
    if totals.after_min <= budget or costs.increase_min <= 0:
        return ""
    return (
        f"a month costs ${totals.after_min:,.2f} at the pools' minimum sizes, "
        f"the budget of {session.name} is ${budget:,.2f}"
    )


def unpriced_text(costs: Estimate, *, most: int = 5) -> str:
    """Which resources a plan changes that have no price, and why; empty where there are none."""
    found = costs.unpriced_changes
    named = "; ".join(f"{item.address}: {item.why}" for item in found[:most])
    return named + (f"; and {len(found) - most} more" if len(found) > most else "")


def require_within_budget(session: EnvironmentSession, record: PlanRecord) -> None:
    """Raises `OverBudget` when a month at minimum size costs more than the environment's budget."""
    if why := over_budget(session, plan_costs(session, stored_plan(session.records, record))):
        raise OverBudget(
            why,
            where=f"environment {session.name}, plan {short(record.plan_digest)}",
            fix="lower the pools' min_size, or raise budget.monthly_usd in "
            f'environments/{session.name}.toml; for what has no price: budget.unpriced = "approve" there',
        )


def harmed_runs(
    session: EnvironmentSession, record: PlanRecord
) -> tuple[str, tuple[LiveRun, ...], tuple[Disruption, ...]]:
    """Why a plan harms live burst runs, or an empty string; the live runs; what they would lose.

    Raises:
        LiveRunsHarmed: it is not known which runs are live.
    """
    if session.instance is None:
        raise LiveRunsHarmed(
            "it is not known which burst runs are live: this was started outside Dagster",
            where=session.name,
            fix="start it by a job of the code location",
        )
    live = live_bursts(session.instance, session.name, besides=session.run_id)
    found = disruptions(stored_plan(session.records, record)) if live else ()
    return describe_disruptions(live, found), live, found


def require_no_harm(session: EnvironmentSession, record: PlanRecord) -> None:
    """Raises `LiveRunsHarmed` when live burst runs would lose what they run on, unless told otherwise.

    That somebody told otherwise is noted in the audit log.
    """
    why, _, _ = harmed_runs(session, record)
    if not why:
        return
    if session.despite_live_runs:
        audit_notes.note(session, "live-runs", "overruled", record=record, reason=why)
        return
    raise LiveRunsHarmed(
        why,
        where=f"environment {session.name}, plan {short(record.plan_digest)}",
        fix="wait until they have ended or cancel them; or say --despite-live-runs, which is recorded",
    )


def require_approved(
    session: EnvironmentSession, record: PlanRecord
) -> tuple[approval.Approval, ...]:
    """The approvals that let the plan be applied; in an environment that needs none, an automatic one.

    Destroying needs an approval even where applying needs none on a real cloud: see `approvals_required`.

    Raises:
        NotApproved: fewer people than the environment requires.
    """
    required = approvals_required(session, record)
    if required == 0:
        give_approval(session, record, by=approval.AUTOMATIC, source="automatic")
    return approval.require(
        session.records.approvals(record.plan_digest),
        required=required,
        environment=record.environment,
        plan_digest=record.plan_digest,
        state_lineage=record.state_lineage,
        state_serial=record.state_serial,
        policy_digest=session.policies.bundle_digest,
    )


def approvals_required(session: EnvironmentSession, record: PlanRecord) -> int:
    """People who must approve: as the environment says, one more for a change without a price; a destroy
    outside the emulator at least one."""
    required = session.environment.approval.required
    if record.destroy:
        return required if session.cloud.is_disposable else max(required, 1)
    return required + more_approvals(
        session, plan_costs(session, stored_plan(session.records, record))
    )


def more_approvals(session: EnvironmentSession, costs: Estimate) -> int:
    """How many approvals more a plan needs than the environment asks for: one for what has no price."""
    asks = session.environment.budget.unpriced == "approve"
    return 1 if asks and costs.unpriced_changes else 0


def give_approval(session: EnvironmentSession, record: PlanRecord, *, by: str, source: str) -> None:
    """Approve a plan on the state that it was made from; the same person's yes again changes nothing."""
    given = approval.Approval(
        environment=record.environment,
        plan_digest=record.plan_digest,
        state_lineage=record.state_lineage,
        state_serial=record.state_serial,
        by=by,
        at=datetime.now(UTC).isoformat(timespec="milliseconds"),
        source=source,
        policy_digest=session.policies.bundle_digest,
    )
    # Noted first: a process killed in between notes it twice, and never keeps an approval unnoted.
    if not session.records.has_approved(given):
        audit_notes.note(session, "approve", "approved", record=record, rule=source, by=by)
        session.records.approve(given)
