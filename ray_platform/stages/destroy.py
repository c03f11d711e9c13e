"""Removal of an environment: the state is saved first, then the gates, then the plan that was approved."""

import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from ray_platform.core.errors import StateError
from ray_platform.stages import audit, gates
from ray_platform.stages.plan import MadePlan, make_plan
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
    made = make_plan(site, destroy=True, progress=progress)
    with audit.failures_noted(site, "destroy", made.record):
        return _destroy(site, made, progress)


def _destroy(site: Site, made: MadePlan, progress: Callable[[str], None]) -> Destroyed:
    terraform = site.terraform(progress)
    record = made.record
    gates.require_allowed(site, record)
    approvals = gates.require_approved(site, record)
    gates.require_no_harm(site, record)
    stamp = datetime.now(UTC).strftime("%Y%m%dT%H%M%SZ")
    backup = f"backups/{site.name}/{stamp}-serial-{record.state_serial}.tfstate"
    site.artifacts.store.put(backup, terraform.raw_state())
    progress(f"The state is saved in {site.artifacts.store.url(backup)}")
    people = tuple(item.by for item in approvals)
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
