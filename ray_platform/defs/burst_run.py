"""Stage `burst_run`: bursty training on the Ray cluster, tied to the infra version that it runs on."""

import base64
import json
from typing import Any

import dagster as dg

from ray_platform.config.partitions import INFRA_VERSION_TAG, environments
from ray_platform.cost.ledger.usage import watching
from ray_platform.defs.own_report import report_to_judge
from ray_platform.defs.resources import EnvironmentSessions
from ray_platform.defs.run_resources import LIGHT
from ray_platform.lineage.export_run import exported
from ray_platform.lineage.version_page import page_of
from ray_platform.ray.endpoint import ray_endpoint
from ray_platform.ray.jobs_client import entrypoint
from ray_platform.ray.pipes_client import FAILURES, pipes_client, pipes_module, why
from ray_platform.ray.running_jobs import job_of
from ray_platform.run_history.asset_facts import BurstFacts, PhaseFacts
from ray_platform.run_history.burst_metrics import BurstMetrics
from ray_platform.session.environment_session import EnvironmentSession
from ray_platform.text.canonical import short
from ray_platform.text.errors import RayError
from ray_platform.training.autoscaling_trace import plot_png
from ray_platform.training.burst import (
    BurstResult,
    RunBaseline,
    resolve_infra_version,
    store_results,
    workload_command,
)
from ray_platform.whatif.simulate import remember


@dg.asset(
    deps=["ray_cluster"],
    partitions_def=environments,
    group_name="ray",
    kinds={"ray", "python"},
    owners=["team:machine-learning"],
    code_version="1",
    description="Six phases of training that make the Ray cluster grow and shrink.",
)
def burst_run(
    context: dg.AssetExecutionContext, sessions: EnvironmentSessions
) -> dg.MaterializeResult[Any]:
    with sessions.open(context) as session:
        ground = resolve_infra_version(session)
        # Before the job starts, so that a run that dies half-way can be traced too.
        context.instance.add_run_tags(context.run_id, {INFRA_VERSION_TAG: ground.infra_version})
        with exported(session, context.run_id, ground, context.log.warning) as export:
            result = _train(context, session, ground)
            export.finish(result)
        metrics = result.metrics
        facts = BurstFacts(
            infra_version=ground.infra_version,
            commit=str(ground.manifest["commit"]),
            loss=metrics.loss,
            seconds=round(metrics.seconds, 1),
            node_seconds=result.node_seconds,
            usd=float(result.usd),
            failures=metrics.failures,
            retries=metrics.retries,
            phases=tuple(PhaseFacts.of(phase) for phase in metrics.phases),
        )
        plot = base64.b64encode(plot_png(result.trace)).decode()
        return dg.MaterializeResult(
            data_version=dg.DataVersion(f"{short(ground.infra_version)}-{context.run_id}"),
            metadata={
                **facts.to_metadata(),
                # For people alone.
                "autoscaling": dg.MetadataValue.md(
                    f"![workers wanted, nodes up and tasks running](data:image/png;base64,{plot})"
                ),
                "phase table": dg.MetadataValue.md(_phase_table(metrics)),
                "manifest": dg.MetadataValue.md(
                    f"```json\n{json.dumps(ground.manifest, indent=2)}\n```"
                ),
                "infra version page": dg.MetadataValue.md(
                    page_of(session, ground.infra_version, context.instance)
                ),
                **{name: dg.MetadataValue.path(url) for name, url in result.files.items()},
                **(
                    {"MLflow": dg.MetadataValue.url(export.mlflow_url)} if export.mlflow_url else {}
                ),
            },
        )


def _train(
    context: dg.AssetExecutionContext, session: EnvironmentSession, ground: RunBaseline
) -> BurstResult:
    endpoint = ray_endpoint(session, context.log.info)
    context.log.info(f"Training on infra version {short(ground.infra_version)}")
    try:
        client = pipes_client(endpoint.address, endpoint.token_path)
        with watching(session, endpoint, context.run_id, context.log.warning):
            invocation = client.run(
                context=context,
                submit_job_params={
                    "entrypoint": entrypoint(workload_command(session, endpoint, context.run_id)),
                    "submission_id": job_of(context.run_id),
                    "runtime_env": {
                        "working_dir": str(session.settings.workload.parent),
                        "py_modules": [pipes_module()],
                    },
                    "metadata": {"infra_version": ground.infra_version},
                },
            )
    except FAILURES as error:
        raise RayError(
            f"the burst's Ray job failed: {why(error)}",
            where=f"{endpoint.address}, job {job_of(context.run_id)}",
            fix="its log in the run's compute logs says what went wrong",
        ) from error
    result = store_results(
        session, context.run_id, invocation.get_custom_messages(), context.log.warning
    )
    remember(session, context.run_id, ground.infra_version)
    return result


def _phase_table(metrics: BurstMetrics) -> str:
    rows = [
        f"| {p.name} | {p.workers_wanted} | {p.workers_reached} "
        f"| {'' if p.seconds_to_reach is None else f'{p.seconds_to_reach:.1f}'} "
        f"| {p.queue_seconds_mean:.1f} | {p.samples_per_second:.0f} | {p.failures} | {p.retries} "
        f"| {sum(p.node_seconds.values()):.0f} | {p.loss:.6f} |"
        for p in metrics.phases
    ]
    head = (
        "| phase | wanted | reached | s to reach | mean queue s | samples/s | failures | retries "
        "| node-s | loss |\n|---|--:|--:|--:|--:|--:|--:|--:|--:|--:|\n"
    )
    return head + "\n".join(rows)


@dg.asset_check(
    asset=burst_run,
    partitions_def=environments,
    description="Every phase of the burst got the workers that it wanted and finished.",
)
def burst_reached_its_workers(context: dg.AssetCheckExecutionContext) -> dg.AssetCheckResult:
    report = report_to_judge(context, burst_run.key, BurstFacts)
    if isinstance(report, dg.AssetCheckResult):
        return report
    phases = report.facts.phases
    short_of = [f"{phase.name}: {phase.shortfall}" for phase in phases if phase.shortfall]
    return dg.AssetCheckResult(
        passed=not short_of,
        description="; ".join(short_of) or "every phase reached its workers",
        metadata={
            "judged_run": report.run_id,
            "workers": dg.MetadataValue.json(
                {phase.name: [phase.workers_wanted, phase.workers_reached] for phase in phases}
            ),
        },
    )


burst = dg.define_asset_job(
    "burst",
    selection=dg.AssetSelection.assets(burst_run),
    partitions_def=environments,
    description="Train on the Ray cluster as it stands.",
    tags=LIGHT,
)
