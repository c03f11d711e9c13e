"""Stage `apply`: the approved saved plan, never a fresh one; then what stands, module by module."""

import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from ray_platform.change import gates
from ray_platform.change.plan_guard import require_no_foreign_code
from ray_platform.change.requests import ApplyRequest
from ray_platform.change.sources import keep_sources
from ray_platform.cost.daily_cost import remember_estimate
from ray_platform.records import approval
from ray_platform.records.infra_version import MODULES, Applied, same_infrastructure, stable
from ray_platform.records.records_store import PlanRecord
from ray_platform.records.version_differences import WHOLE_DIGEST
from ray_platform.session import audit_notes
from ray_platform.session.environment_session import EnvironmentSession
from ray_platform.session.lock import change_lock
from ray_platform.terraform.computed import without_computed
from ray_platform.terraform.plan import top_module, type_of
from ray_platform.terraform.state import TerraformState
from ray_platform.text.canonical import digest, short
from ray_platform.text.errors import NotFoundError, Refused
from ray_platform.text.redaction import redact, redact_address, redact_marked

#: The Terraform outputs that the comment of a pull request shows after an apply.
_TOLD = ("cluster_name", "cluster_version", "artifact_bucket", "vpc_id")


@dataclass(frozen=True)
class AppliedPlan:
    """What an apply left behind.

    ``resources`` are the applied resources by module and address; ``applied`` holds each module's digest.
    """

    record: PlanRecord
    applied: Applied
    resources: Mapping[str, Mapping[str, Any]]
    outputs: Mapping[str, Any]
    infra_version: str
    approved_by: tuple[str, ...]


def apply_plan(
    session: EnvironmentSession,
    plan_digest: str | None,
    *,
    progress: Callable[[str], None],
    request: ApplyRequest,
) -> AppliedPlan:
    """Apply a saved plan once all gates let it through.

    An empty plan is not applied: the state keeps its serial, the modules their versions.

    Args:
        session: The environment.
        plan_digest: The plan's digest or a unique beginning of it; None for the plan made last.
        progress: Is told each resource as it is done.
        request: What the pull request of the plan says, for a plan that comes from one.

    Raises:
        NotFoundError: no such plan.
        Refused: a gate says no.
        PlatformError: Terraform's or the store's.
    """
    record = session.records.plan(plan_digest) if plan_digest else session.records.latest_plan()
    if record is None:
        raise NotFoundError(
            f"{session.name} has no plan", fix=f"ray-platform plan --env {session.name}"
        )
    if record.destroy:
        raise Refused(
            "that plan removes everything: it is not applied here",
            where=f"environment {session.name}, plan {short(record.plan_digest)}",
            fix=f"ray-platform destroy --env {session.name} --confirm {session.name}",
        )
    with (
        change_lock(session, "apply", tell=progress),
        audit_notes.failures_noted(session, "apply", record),
    ):
        return _apply(session, record, progress, request)


def _apply(
    session: EnvironmentSession,
    record: PlanRecord,
    progress: Callable[[str], None],
    request: ApplyRequest,
) -> AppliedPlan:
    require_no_foreign_code(
        session
    )  # the base branch may have forbidden since what it allowed then
    terraform = session.terraform(progress)
    terraform.init()
    state = terraform.state()
    gates.require_fresh(record, state)
    allowed = gates.require_allowed(session, record)
    gates.require_within_budget(session, record)
    people = _approved(session, record, request)
    gates.require_no_harm(session, record)  # last: a run may start at any time
    if record.empty:
        progress("The plan is empty: nothing to apply")
    else:
        # Before anything changes, so that an apply that is cut short has been noted.
        audit_notes.note(
            session, "apply", "admitted", record=record, reason=f"approved by {', '.join(people)}"
        )
        request.begin(session, record)
        with tempfile.TemporaryDirectory(prefix="ray-platform-apply-") as folder:
            file = Path(folder) / "plan.tfplan"
            file.write_bytes(session.records.plan_file(record))
            session.require_held()
            terraform.apply(file)
        state = terraform.state()
    resources = by_module(state, session.records.plan_json(record))
    outputs = state.clean_outputs
    applied = Applied(
        commit=record.commit.commit,
        changes_digest=record.commit.changes_digest,
        configuration_digest=record.configuration_digest,
        variables_digest=record.variables_digest,
        provider_lock_digest=record.provider_lock_digest,
        plan_digest=record.plan_digest,
        state_lineage=state.lineage,
        state_serial=state.serial,
        modules={
            module: session.artifacts.put_content("modules", resources.get(module, {}))
            for module in MODULES
        },
        policy_bundle_digest=allowed.bundle_digest,
        price_book_version=record.price_book_version,
    )
    before = session.records.applied()
    if before is not None and record.empty and same_infrastructure(before, applied):
        applied = before  # nothing changed: what stands is still what the earlier commit made
    keep_sources(session)
    session.require_held()
    session.records.save_applied(applied)
    if not record.empty:
        remember_estimate(session, record)
    session.records.stands_since(datetime.now(UTC).timestamp(), state.lineage)
    session.artifacts.write(f"environments/{session.name}/outputs.json", outputs)
    version = session.records.record_infra_version()
    if version is None:
        raise NotFoundError("what was applied is not in the artifact store", where=session.name)
    request.applied(session, record, version, {name: str(outputs.get(name, "")) for name in _TOLD})
    done = "unchanged" if record.empty else "applied"
    audit_notes.note(session, "apply", done, record=record, reason=f"infra version {version}")
    return AppliedPlan(
        record=record,
        applied=applied,
        resources=resources,
        outputs=outputs,
        infra_version=version,
        approved_by=people,
    )


def _approved(
    session: EnvironmentSession, record: PlanRecord, request: ApplyRequest
) -> tuple[str, ...]:
    """Who approves: by command, or for a pull request's plan by all that speaks for its apply now."""
    if record.pull_request:
        people = request.approvals(session, record)
        for person in people:
            gates.give_approval(
                session, record, by=person, source=f"review of {record.pull_request}"
            )
        return people or (approval.AUTOMATIC,)
    approvals = gates.require_approved(session, record)
    return tuple(item.by for item in approvals) or (approval.AUTOMATIC,)


def by_module(
    state: TerraformState, plan_json: Mapping[str, Any] | None = None
) -> dict[str, dict[str, Any]]:
    """Attributes of every managed resource, by module and address: masked, without what moves by itself
    and what the provider alone sets.

    `WHOLE_DIGEST` stands beside them for the unmasked attributes, so that a changed secret is a change.

    Args:
        state: The state.
        plan_json: The plan that was applied, which marks what the provider calls sensitive, where
            the state marks only what the configuration does.
    """
    planned = _marks_of(plan_json or {})
    found: dict[str, dict[str, Any]] = {}
    for address, attributes in state.resources.items():
        lasting = stable(without_computed(type_of(address), attributes))
        clean = redact_marked(lasting, state.marks.get(address))
        for marks in planned.get(redact_address(address, state.secrets), ()):
            clean = redact_marked(clean, marks)
        module = found.setdefault(top_module(address), {})
        module[_free_name(module, redact_address(address, state.secrets))] = {
            **redact(clean, state.secrets),
            WHOLE_DIGEST: digest(lasting),
        }
    return found


def _marks_of(plan_json: Mapping[str, Any]) -> dict[str, tuple[Any, Any]]:
    """The sensitive marks of a stored plan, by masked address, before and after."""
    return {
        str(entry["address"]): (
            entry["change"].get("before_sensitive"),
            entry["change"].get("after_sensitive"),
        )
        for entry in plan_json.get("resource_changes", ())
    }


def _free_name(taken: Mapping[str, Any], name: str) -> str:
    """Two addresses may be one when what told them apart is masked."""
    number = 2
    free = name
    while free in taken:
        free, number = f"{name} {number}", number + 1
    return free
