"""Stage `drift_report`: what changed behind Terraform's and Helm's back, looked for every hour.

The report's partition is the environment, and each look is one event of it. A look says what is so at
that moment, and no later run can look at an hour that is over: a partition of an hour or a day would
promise that. The events of a partition are the history, in order, with no bound on their number. Hours
times environments would pass Dagster's 100,000 partitions an asset within three years.
"""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import dagster as dg

from ray_platform.config.partitions import (
    ASKED_BY_TAG,
    CHANGE_TAG,
    COMMIT_TAG,
    environments,
)
from ray_platform.config.settings import load_settings
from ray_platform.defs import ray_cluster_asset, terraform_plan, walk_jobs
from ray_platform.defs.facts import DriftFacts
from ray_platform.defs.own_report import report_to_judge
from ray_platform.defs.resources import EnvironmentSessions
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

#: A look an hour: two missed looks are a warning, and four mean that the schedule has stopped. Dagster
#: counts any environment's look, so one environment that is no longer looked at is seen in its
#: partition's last event.
FRESHNESS = dg.FreshnessPolicy.time_window(
    warn_window=timedelta(hours=2, minutes=15), fail_window=timedelta(hours=4, minutes=15)
)


@dg.asset(
    pool="terraform",
    deps=[*MODULES, "ray_cluster"],
    partitions_def=environments,
    freshness_policy=FRESHNESS,
    group_name="watch",
    kinds={"terraform"},
    owners=["team:platform"],
    code_version="1",
    description="Each difference of what lives from state and release: its cause, severity, incidents.",
)
def drift_report(
    context: dg.AssetExecutionContext, sessions: EnvironmentSessions
) -> dg.MaterializeResult[Any]:
    with (
        sessions.open(context) as session,
        change_lock(session, f"drift, run {context.run_id}", tell=context.log.info),
    ):
        items = find_drift(session, progress=context.log.info)
        report = drifts.to_json(items)
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
        facts = DriftFacts.of(
            items,
            report,
            open_incidents=tuple(incident.key for incident in lasting),
            seen_at=now,
            proposed=proposed or None,
        )
        context.log.info(f"Drift: {facts.summary}")
        return dg.MaterializeResult(
            data_version=dg.DataVersion(digest(report)),
            metadata={
                **facts.to_metadata(),
                **({"proposed": dg.MetadataValue.url(proposed)} if proposed else {}),
                # For people alone.
                "summary": facts.summary,
                "table": dg.MetadataValue.md(drifts.to_markdown(items)),
            },
        )


@dg.asset_check(
    asset=drift_report,
    partitions_def=environments,
    description="Nothing was removed or opened up behind Terraform's back.",
)
def no_major_drift(context: dg.AssetCheckExecutionContext) -> dg.AssetCheckResult:
    report = report_to_judge(context, drift_report.key, DriftFacts)
    if isinstance(report, dg.AssetCheckResult):
        return report
    facts = report.facts
    return dg.AssetCheckResult(
        passed=facts.major == 0,
        description=facts.verdict,
        metadata={
            "judged_run": report.run_id,
            "major": facts.major,
            "seen_at": facts.seen_at,
            "table": dg.MetadataValue.md(drifts.to_markdown(facts.items)),
        },
    )


drift = dg.define_asset_job(
    "drift",
    selection=dg.AssetSelection.assets(drift_report),
    partitions_def=environments,
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
            partition_key=name,
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
