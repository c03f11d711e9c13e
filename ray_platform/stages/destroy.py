"""Removal of an environment: the state is saved first, then the gates, then the plan that was approved."""

import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from ray_platform.clients.records import PlanRecord
from ray_platform.core.errors import StateError
from ray_platform.stages import audit, gates
from ray_platform.stages.plan import MadePlan, make_plan
from ray_platform.stages.pull_requests.removals import outcome_noted, require_removal_approved
from ray_platform.stages.site import Site


@dataclass(frozen=True)
class Destroyed:
    """What a removal removed, and where the state before it was saved."""

    plan_digest: str
    removed: int
    backup: str
    approved_by: tuple[str, ...]


def destroy_environment(site: Site, *, progress: Callable[[str], None]) -> Destroyed:
    """Remove everything that Terraform manages in an environment.

    Safe to repeat: cut short, it goes on with what is left.

    Raises:
        Refused: a gate says no.
        StateError: something is left in the state afterwards.
    """
    with outcome_noted(site) as tell:
        made = make_plan(site, destroy=True, progress=progress)
        with audit.failures_noted(site, "destroy", made.record):
            done = _destroy(site, made, progress)
        tell(f"{done.removed} resources were removed; the state before is saved as {done.backup}")
        return done


def approved_by(site: Site, record: PlanRecord) -> tuple[str, ...]:
    """Who approves a removal: by command, or where an issue asks for it by comments in that."""
    if site.issue is None:
        return tuple(item.by for item in gates.require_approved(site, record))
    people = require_removal_approved(site, record)
    for person in people:
        gates.give_approval(site, record, by=person, source=f"comment in {site.issue}")
    return people


def _destroy(site: Site, made: MadePlan, progress: Callable[[str], None]) -> Destroyed:
    terraform = site.terraform(progress)
    record = made.record
    gates.require_allowed(site, record)
    people = approved_by(site, record)
    gates.require_no_harm(site, record)
    stamp = datetime.now(UTC).strftime("%Y%m%dT%H%M%SZ")
    backup = f"backups/{site.name}/{stamp}-serial-{record.state_serial}.tfstate"
    site.artifacts.store.put(backup, terraform.raw_state())
    progress(f"The state is saved in {site.artifacts.store.url(backup)}")
    audit.note(
        site, "destroy", "admitted", record=record, reason=f"approved by {', '.join(people)}"
    )
    site.stop_ray()
    if not record.empty:
        with tempfile.TemporaryDirectory(prefix="ray-platform-destroy-") as folder:
            file = Path(folder) / "plan.tfplan"
            file.write_bytes(site.records.plan_file(record))
            terraform.apply(file)
    if left := terraform.state().resources:
        raise StateError(
            f"{len(left)} resources are left: {', '.join(sorted(left)[:5])}",
            where=site.name,
            fix="see why they could not be removed, then run destroy again",
        )
    site.records.forget_applied()
    audit.note(site, "destroy", "removed", record=record, reason=f"state saved in {backup}")
    return Destroyed(
        plan_digest=record.plan_digest,
        removed=made.plan.counts.delete,
        backup=site.artifacts.store.url(backup),
        approved_by=people,
    )
