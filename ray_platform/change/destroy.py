"""Removal of an environment: the gates, a backup, the plan that was approved, proof that nothing is left."""

import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from ray_platform.change import gates
from ray_platform.change.backup import back_up
from ray_platform.change.make_plan import MadePlan, make_plan
from ray_platform.change.remains import Remains, weigh
from ray_platform.change.remains_client import tagged
from ray_platform.change.requests import RemovalRequest
from ray_platform.drift.incidents.incident_store import update_incidents
from ray_platform.gitops.deployed import require_nobody_makes_it_again
from ray_platform.ray.endpoint import stop_ray_cluster
from ray_platform.records.records_store import PlanRecord
from ray_platform.session import audit_notes
from ray_platform.session.environment_session import EnvironmentSession
from ray_platform.session.lock import change_lock
from ray_platform.terraform.state import TerraformState
from ray_platform.terraform.terraform_version_process import tag_value
from ray_platform.text.errors import StateError, StillThere

#: AWS lists what is deleted for some minutes more: so long is looked again, and so often.
REMAINS_SECONDS = 300.0
_LOOK_SECONDS = 15.0


@dataclass(frozen=True)
class Destroyed:
    """What a removal removed, and where state and records before it were saved.

    ``ending`` are things that still exist and go by themselves, or were kept on purpose, with the reason.
    """

    plan_digest: str
    removed: int
    backup: str
    records: str
    ending: tuple[str, ...]
    approved_by: tuple[str, ...]


def destroy_environment(
    session: EnvironmentSession, *, progress: Callable[[str], None], request: RemovalRequest
) -> Destroyed:
    """Remove everything that Terraform manages in an environment.

    Safe to repeat: cut short, it goes on with what is left.

    Raises:
        Refused: a gate says no, or Argo CD would make the Ray cluster again.
        StateError: something is left in the state afterwards.
        StillThere: something is left in the cloud afterwards.
    """
    with change_lock(session, "destroy", tell=progress), request.outcome_noted(session) as tell:
        made = make_plan(session, destroy=True, progress=progress)
        with audit_notes.failures_noted(session, "destroy", made.record):
            done = _destroy(session, made, progress, request)
        tell(
            f"{done.removed} resources were removed; the state before is saved as {done.backup}, the "
            f"records as {done.records}; nothing that bears the environment's tags is left"
        )
        return done


def approved_by(
    session: EnvironmentSession, record: PlanRecord, request: RemovalRequest
) -> tuple[str, ...]:
    """Who approves a removal: by command, or where an issue asks for it by comments in that."""
    if session.issue is None:
        return tuple(item.by for item in gates.require_approved(session, record))
    people = request.approvals(session, record)
    for person in people:
        gates.give_approval(session, record, by=person, source=f"comment in {session.issue}")
    return people


def _destroy(
    session: EnvironmentSession,
    made: MadePlan,
    progress: Callable[[str], None],
    request: RemovalRequest,
) -> Destroyed:
    terraform = session.terraform(progress)
    record = made.record
    gates.require_allowed(session, record)
    people = approved_by(session, record, request)
    gates.require_no_harm(session, record)
    before = terraform.state()
    # A repeat may find the cluster gone already, and nobody to ask.
    if any("aws_eks_cluster." in address for address in before.resources):
        require_nobody_makes_it_again(session)
    saved = back_up(session, terraform.raw_state(), record.state_serial)
    progress(f"The state is saved in {saved.state}, {saved.count} records in {saved.records}")
    audit_notes.note(
        session, "destroy", "admitted", record=record, reason=f"approved by {', '.join(people)}"
    )
    session.require_held()
    stop_ray_cluster(session)
    if not record.empty:
        with tempfile.TemporaryDirectory(prefix="ray-platform-destroy-") as folder:
            file = Path(folder) / "plan.tfplan"
            file.write_bytes(session.records.plan_file(record))
            terraform.apply(file)
    if left := terraform.state().resources:
        raise StateError(
            f"{len(left)} resources are left: {', '.join(sorted(left)[:5])}",
            where=session.name,
            fix="see why they could not be removed, then run destroy again",
        )
    session.require_held()
    session.records.forget_applied()
    update_incidents(session.artifacts, session.name, (), board=request.board(session, progress))
    audit_notes.note(
        session, "destroy", "removed", record=record, reason=f"saved in {saved.folder}"
    )
    progress("Looking for what is left in the cloud")
    remains = prove_nothing_left(session, before)
    ending = f"; {', '.join(remains.ending)}" if remains.ending else ""
    audit_notes.note(
        session, "destroy", "proven", record=record, reason=f"nothing tagged is left{ending}"
    )
    return Destroyed(
        plan_digest=record.plan_digest,
        removed=made.plan.counts.delete,
        backup=saved.state,
        records=saved.records,
        ending=remains.ending,
        approved_by=people,
    )


def prove_nothing_left(
    session: EnvironmentSession,
    before: TerraformState,
    *,
    pause: Callable[[float], None] = time.sleep,
) -> Remains:
    """Ask the cloud what still bears the environment's tags, until that is nothing.

    The state bucket bears no tags and stays: it holds the state's versions and the backup.

    Args:
        session: The environment.
        before: Its state before the removal, which knows the tags.
        pause: Waits so many seconds.

    Raises:
        StillThere: something is left; it is named.
        ToolError: the cloud does not say.
    """
    cluster = str(before.outputs.get("cluster_name") or f"ray-platform-{session.name}")
    repositories = {
        str((attributes.get("tags_all") or {}).get("repo"))
        for attributes in before.resources.values()
    } | {tag_value(session.git.remote())}
    looks = 1 if session.cloud.is_disposable else int(REMAINS_SECONDS / _LOOK_SECONDS)
    for look in range(looks):
        remains = weigh(
            tagged(session.aws, environment=session.name, cluster=cluster),
            environment=session.name,
            cluster=cluster,
            repositories=repositories,
        )
        if not remains.left:
            return remains
        if look + 1 < looks:
            pause(_LOOK_SECONDS)
    raise StillThere(
        f"Terraform has removed all that it knew, but {len(remains.left)} things with the tags of "
        f"{session.name} are left: {', '.join(remains.left)}",
        where=f"{session.environment.region}, tags environment = {session.name} and those of {cluster}",
        fix="they cost money: see who made them, remove them, then run destroy again: it looks again",
    )
