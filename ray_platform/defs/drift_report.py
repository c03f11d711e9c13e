"""Stage `drift_report`: what changed behind Terraform's and Helm's back, looked for every hour."""

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import dagster as dg

from ray_platform.config.partitions import (
    ASKED_BY_TAG,
    CHANGE_TAG,
    COMMIT_TAG,
    day_key,
    days_by_environment,
)
from ray_platform.config.settings import load_settings
from ray_platform.defs import ray_cluster_asset, terraform_plan, walk_jobs
from ray_platform.defs.run_context import stage
from ray_platform.defs.run_resources import REPEATABLE
from ray_platform.drift import items as drifts
from ray_platform.drift.detect import find_drift
from ray_platform.drift.incidents.incident_store import Revert, reverts_of, update_incidents
from ray_platform.notify.issue_board import board_of
from ray_platform.pull_requests.drift_pull_request import propose
from ray_platform.records.infra_version import MODULES
from ray_platform.session.environment_session import open_session
from ray_platform.session.lock import change_lock
from ray_platform.text.canonical import digest


@dg.asset(
    pool="terraform",
    deps=[
        dg.AssetDep(
            module,
            partition_mapping=dg.MultiToSingleDimensionPartitionMapping("environment"),
        )
        for module in (*MODULES, "ray_cluster")
    ],
    partitions_def=days_by_environment,
    group_name="watch",
    kinds={"terraform"},
    owners=["team:platform"],
    code_version="1",
    description="Each difference of what lives from state and release: its cause, severity, incidents.",
)
def drift_report(context: dg.AssetExecutionContext) -> dg.MaterializeResult[Any]:
    with (
        stage(context) as session,
        change_lock(session, f"drift, run {context.run_id}", tell=context.log.info),
    ):
        items = find_drift(session, progress=context.log.info)
        report = drifts.to_json(items)
        counts = report["counts"]
        summary = (
            f"{counts['major']} major, {counts['minor']} minor, {counts['none']} expected"
            if items
            else "none"
        )
        context.log.info(f"Drift: {summary}")
        now = datetime.now(UTC).isoformat(timespec="seconds")
        session.artifacts.write(f"drift/{session.name}/{now}.json", report)
        # The one refresh serves the report, the check and the incidents.
        lasting = update_incidents(
            session.artifacts, session.name, items, board=board_of(session, context.log.warning)
        )
        adopting = session.environment.drift.response == "adopt"
        proposed = propose(session, items, context.log.warning) if adopting else ""
        for incident in lasting:
            context.log.info(
                f"Incident {incident.key}, open since {incident.opened_at}: {incident.title}"
            )
        return dg.MaterializeResult(
            data_version=dg.DataVersion(digest(report)),
            metadata={
                "summary": summary,
                "severity": report["severity"],
                "major": counts["major"],
                "minor": counts["minor"],
                "causes": dg.MetadataValue.json(report["causes"]),
                "open incidents": dg.MetadataValue.json([i.key for i in lasting]),
                "report": dg.MetadataValue.md(drifts.to_markdown(items)),
                "items": dg.MetadataValue.json(report["items"]),
                "seen at": now,
                **({"proposed": dg.MetadataValue.url(proposed)} if proposed else {}),
            },
        )


@dg.asset_check(
    asset=drift_report,
    partitions_def=days_by_environment,
    description="Nothing was removed or opened up behind Terraform's back.",
)
def no_major_drift(context: dg.AssetCheckExecutionContext) -> dg.AssetCheckResult:
    event = context.instance.fetch_materializations(
        dg.AssetRecordsFilter(
            asset_key=drift_report.key, asset_partitions=[str(context.partition_key)]
        ),
        limit=1,
    ).records[0]
    metadata = event.asset_materialization.metadata
    major = int(metadata["major"].value)
    return dg.AssetCheckResult(
        passed=major == 0,
        description=f"{major} major drift items" if major else "no major drift",
        metadata={"major": major, "report": metadata["report"]},
    )


drift = dg.define_asset_job(
    "drift",
    selection=dg.AssetSelection.assets(drift_report),
    partitions_def=days_by_environment,
    description="Look for drift in one environment.",
    tags=REPEATABLE,
)


@dg.schedule(
    job=drift,
    cron_schedule="7 * * * *",
    execution_timezone="UTC",
    default_status=dg.DefaultScheduleStatus.RUNNING,
    description="Every hour, in each environment that has watch.hourly_drift = true.",
)
def hourly_drift(context: dg.ScheduleEvaluationContext) -> Iterator[dg.RunRequest | dg.SkipReason]:
    at = context.scheduled_execution_time.astimezone(UTC)
    settings = load_settings()
    watched = [n for n in settings.environment_names if settings.environment(n).watch.hourly_drift]
    if not watched:
        yield dg.SkipReason("no environment has watch.hourly_drift = true")
    for name in watched:
        yield dg.RunRequest(
            run_key=f"drift-{at:%Y-%m-%dT%H}-{name}",
            partition_key=day_key(at.date().isoformat(), name),
        )


@dg.sensor(
    jobs=[walk_jobs.change, terraform_plan.plan, ray_cluster_asset.deploy_ray_cluster],
    minimum_interval_seconds=60,
    default_status=dg.DefaultSensorStatus.RUNNING,
    description='Applies major drift away where drift.response = "revert", through all gates; deploys Ray.',
)
def drift_reverts(context: dg.SensorEvaluationContext) -> Iterator[dg.RunRequest | dg.SkipReason]:
    settings = load_settings()
    names = settings.environment_names
    asked = [n for n in names if settings.environment(n).drift.response == "revert"]
    found = [answer for name in asked for answer in reverts_of(open_session(settings, name))]
    for answer in found:
        if isinstance(answer, Revert):
            yield _revert(
                answer, waits=settings.environment(answer.environment).approval.required > 0
            )
    reasons = [answer for answer in found if isinstance(answer, str)]
    if not any(isinstance(answer, Revert) for answer in found):
        nothing = (
            "no major drift by hand" if asked else 'no environment has drift.response = "revert"'
        )
        yield dg.SkipReason("; ".join(reasons) or nothing)


def _revert(revert: Revert, *, waits: bool) -> dg.RunRequest:
    # Where people must approve, the plan waits for them; the run key lets each episode ask once.
    infrastructure = "plan" if waits else "change"
    job = "deploy_ray_cluster" if revert.what == "ray" else infrastructure
    return dg.RunRequest(
        run_key=revert.key,
        job_name=job,
        partition_key=revert.environment,
        tags={
            COMMIT_TAG: revert.commit,
            ASKED_BY_TAG: f"drift, incident {revert.incident}",
            **({} if job == "plan" else {CHANGE_TAG: revert.environment}),
        },
    )
