"""What is applied in an environment, compared with its state."""

from ray_platform.records.infra_version import Applied
from ray_platform.session.environment_session import EnvironmentSession
from ray_platform.terraform.terraform_client import Terraform
from ray_platform.text.canonical import short
from ray_platform.text.errors import NotFoundError, StalePlan


def require_applied(session: EnvironmentSession, terraform: Terraform) -> Applied:
    """What is applied, after a look at the state: an apply that was cut short is no ground to run on.

    Raises:
        NotFoundError: nothing is applied.
        StalePlan: the state moved on after the last recorded apply.
    """
    applied = session.records.applied()
    fix = f"ray-platform apply --env {session.name}"
    if applied is None:
        raise NotFoundError(f"nothing is applied in {session.name}", fix=fix)
    state = terraform.state()
    if not state.lineage:
        raise NotFoundError(
            f"nothing stands in {session.name} any more: its state is empty",
            where="the AWS emulator was started anew since" if session.cloud.is_disposable else "",
            fix=f"ray-platform up --env {session.name}",
        )
    if (state.lineage, state.serial) != (applied.state_lineage, applied.state_serial):
        raise StalePlan(
            f"the state is at serial {state.serial}, the last recorded apply left {applied.state_serial}: "
            "an apply was cut short, or made outside the platform",
            where=f"{session.name}, infra of plan {short(applied.plan_digest)}",
            fix=fix,
        )
    return applied
