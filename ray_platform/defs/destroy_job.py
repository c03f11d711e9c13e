"""Removal of an environment, a job of its own: nothing else ever plans or applies one."""

import dagster as dg

from ray_platform.change.destroy import destroy_environment
from ray_platform.change.make_plan import make_plan
from ray_platform.config.partitions import environments
from ray_platform.defs.facts import RemovalFacts
from ray_platform.defs.resources import EnvironmentSessions
from ray_platform.notify.issue_board import board_of
from ray_platform.pull_requests.removals.removals import outcome_noted, plan_kept
from ray_platform.pull_requests.requests_now import RemovalIssueNow
from ray_platform.records.infra_version import MODULES
from ray_platform.session.lock import change_lock
from ray_platform.text.canonical import digest, short


@dg.op(description="Plan the removal that an issue asks for; nothing is changed.")
def plan_everything_away(context: dg.OpExecutionContext, sessions: EnvironmentSessions) -> None:
    with (
        sessions.open(context) as session,
        change_lock(session, f"plan_removal, run {context.run_id}", tell=context.log.info),
        outcome_noted(session),
    ):
        made = make_plan(session, destroy=True, progress=context.log.info)
        context.log.info(f"Plan {short(made.record.plan_digest)}: {made.plan.counts}")
        if session.issue is not None:
            plan_kept(session, session.issue, made)


@dg.job(
    partitions_def=environments,
    description="Plan the removal of an environment, which an issue asks for; nothing is changed.",
)
def plan_removal() -> None:
    plan_everything_away()


@dg.op(description="Save the state, pass the gates, remove everything.")
def remove_everything(context: dg.OpExecutionContext, sessions: EnvironmentSessions) -> None:
    with (
        sessions.open(context) as session,
        change_lock(session, f"destroy, run {context.run_id}", tell=context.log.info),
    ):
        done = destroy_environment(
            session, progress=context.log.info, request=RemovalIssueNow(board_of)
        )
        facts = RemovalFacts(
            resources_removed=done.removed,
            state_backup=done.backup,
            records_backup=done.records,
            ends_by_itself=done.ending,
            plan_digest=done.plan_digest,
            approved_by=done.approved_by,
        )
        for module in MODULES:
            context.log_event(
                dg.AssetMaterialization(
                    module,
                    partition=session.name,
                    description="removed",
                    # The number of resources is 0, so that the UI plots it over the applies before.
                    metadata={"resources": 0, **facts.to_metadata()},
                    tags={"dagster/data_version": digest({})},
                )
            )


@dg.job(
    partitions_def=environments,
    description="Remove an environment, after its approvals. From the UI only where none is needed.",
)
def destroy() -> None:
    remove_everything()
