"""The page of an infra version, put together from the records: a few reads, and one question to Dagster."""

from datetime import UTC, datetime
from urllib.parse import urlencode

from dagster import DagsterInstance, RunsFilter

from ray_platform.config.partitions import INFRA_VERSION_TAG
from ray_platform.cost.session_parts import plan_costs
from ray_platform.lineage.version_markdown import MonthlyCost, RunOnVersion, version_page
from ray_platform.records.stored_plan import stored_plan
from ray_platform.session.environment_session import EnvironmentSession
from ray_platform.text.errors import PlatformError

_RUNS = 20


def page_of(session: EnvironmentSession, version: str, instance: DagsterInstance) -> str:
    """An infra version of an environment as Markdown for the Dagster UI.

    What was applied or trained does not fail for want of its page: the page says then what it lacks.

    Args:
        session: The environment.
        version: The infra version, in full.
        instance: Whose storage knows the runs on it; one query, whatever their number.
    """
    try:
        return _page(session, version, instance)
    except PlatformError as error:
        return f"The page of infra version `{version}` could not be made: {error.what}."


def _page(session: EnvironmentSession, version: str, instance: DagsterInstance) -> str:
    manifest = session.records.manifest(version)
    records = instance.get_run_records(
        RunsFilter(tags={INFRA_VERSION_TAG: version}), limit=_RUNS + 1
    )
    return version_page(
        version,
        manifest,
        every_run=f"/runs?{urlencode({'q[0]': f'tag:{INFRA_VERSION_TAG}={version}'})}",
        subject=_subject(session, manifest["commit"]),
        approvals=session.records.approvals(manifest["plan_digest"]),
        cost=_cost(session, manifest["plan_digest"]),
        runs=[
            RunOnVersion(
                record.dagster_run.run_id, record.dagster_run.status.value, _time(record.start_time)
            )
            for record in records[:_RUNS]
        ],
        more_runs=len(records) > _RUNS,
    )


def _subject(session: EnvironmentSession, commit: str) -> str:
    return session.git.subject(commit) if session.git.has(commit) else ""


def _cost(session: EnvironmentSession, plan_digest: str) -> MonthlyCost | None:
    """What the plan's estimate says by today's prices; None for a plan that cannot be read any more."""
    try:
        costs = plan_costs(session, stored_plan(session.records, session.records.plan(plan_digest)))
    except PlatformError:
        return None
    totals = costs.totals
    return MonthlyCost(totals.after_min, totals.after_max, len(costs.unpriced))


def _time(seconds: float | None) -> str:
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%d %H:%M UTC") if seconds else ""
