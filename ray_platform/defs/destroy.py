"""Removal of an environment, a job of its own: nothing else ever plans or applies one."""

import dagster as dg

from ray_platform.core.canonical import digest
from ray_platform.core.infra_version import MODULES
from ray_platform.partitions import environments
from ray_platform.run_context import stage
from ray_platform.stages.destroy import destroy_environment


@dg.op(description="Save the state, pass the gates, remove everything.")
def remove_everything(context: dg.OpExecutionContext) -> None:
    with (
        stage(context) as site,
        site.change_lock(f"destroy, run {context.run_id}", tell=context.log.info),
    ):
        done = destroy_environment(site, progress=context.log.info)
        for module in MODULES:
            context.log_event(
                dg.AssetMaterialization(
                    module,
                    partition=site.name,
                    description="removed",
                    metadata={
                        "resources": 0,
                        "resources removed": done.removed,
                        "state backup": done.backup,
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
