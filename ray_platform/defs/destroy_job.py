"""Removal of an environment, a job of its own: nothing else ever plans or applies one."""

import dagster as dg

from ray_platform.change.destroy import destroy_environment
from ray_platform.change.make_plan import make_plan
from ray_platform.config.partitions import environments
from ray_platform.defs.run_context import stage
from ray_platform.notify.issue_board import board_of
from ray_platform.pull_requests.removals.removals import outcome_noted, plan_kept
from ray_platform.pull_requests.requests_now import RemovalIssueNow
from ray_platform.records.infra_version import MODULES
from ray_platform.session.lock import change_lock
from ray_platform.text.canonical import digest, short


@dg.op(description="Plan the removal that an issue asks for; nothing is changed.")
def plan_everything_away(context: dg.OpExecutionContext) -> None:
    with (
        stage(context) as session,
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
def remove_everything(context: dg.OpExecutionContext) -> None:
    with (
        stage(context) as session,
        change_lock(session, f"destroy, run {context.run_id}", tell=context.log.info),
    ):
        done = destroy_environment(
            session, progress=context.log.info, request=RemovalIssueNow(board_of)
        )
        for module in MODULES:
            context.log_event(
                dg.AssetMaterialization(
                    module,
                    partition=session.name,
                    description="removed",
                    metadata={
                        "resources": 0,
                        "resources removed": done.removed,
                        "state backup": done.backup,
                        "records backup": done.records,
                        "ends by itself": dg.MetadataValue.json(list(done.ending)),
                        "plan digest": done.plan_digest,
                        "approved by": ", ".join(done.approved_by),
                    },
                    tags={"dagster/data_version": digest({})},
                )
            )


@dg.job(
    partitions_def=environments,
    description="Remove an environment, after its approvals. From the UI only where none is needed.",
)
def destroy() -> None:
    remove_everything()
