"""The page of an infra version, put together from the records: a few reads, and one question to Dagster."""

from datetime import UTC, datetime
from urllib.parse import urlencode

from dagster import DagsterInstance, RunsFilter

from ray_platform.change.gates import stored_plan
from ray_platform.config.partitions import INFRA_VERSION_TAG
from ray_platform.cost.estimate import estimate
from ray_platform.lineage.version_markdown import MonthlyCost, RunOnVersion, version_page
from ray_platform.session.environment_session import Site
from ray_platform.text.errors import PlatformError

_RUNS = 20


def page_of(site: Site, version: str, instance: DagsterInstance) -> str:
    """An infra version of an environment as Markdown for the Dagster UI.

    What was applied or trained does not fail for want of its page: the page says then what it lacks.

    Args:
        site: The environment.
        version: The infra version, in full.
        instance: Whose storage knows the runs on it; one query, whatever their number.
    """
    try:
        return _page(site, version, instance)
    except PlatformError as error:
        return f"The page of infra version `{version}` could not be made: {error.what}."


def _page(site: Site, version: str, instance: DagsterInstance) -> str:
    manifest = site.records.manifest(version)
    records = instance.get_run_records(
        RunsFilter(tags={INFRA_VERSION_TAG: version}), limit=_RUNS + 1
    )
    return version_page(
        version,
        manifest,
        every_run=f"/runs?{urlencode({'q[0]': f'tag:{INFRA_VERSION_TAG}={version}'})}",
        subject=_subject(site, manifest["commit"]),
        approvals=site.records.approvals(manifest["plan_digest"]),
        cost=_cost(site, manifest["plan_digest"]),
        runs=[
            RunOnVersion(
                record.dagster_run.run_id, record.dagster_run.status.value, _time(record.start_time)
            )
            for record in records[:_RUNS]
        ],
        more_runs=len(records) > _RUNS,
    )


def _subject(site: Site, commit: str) -> str:
    return site.git.subject(commit) if site.git.has(commit) else ""


def _cost(site: Site, plan_digest: str) -> MonthlyCost | None:
    """What the plan's estimate says by today's prices; None for a plan that cannot be read any more."""
    try:
        totals = estimate(stored_plan(site, site.records.plan(plan_digest)), site.prices).totals
    except PlatformError:
        return None
    return MonthlyCost(totals.after_min, totals.after_max)


def _time(seconds: float | None) -> str:
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%d %H:%M UTC") if seconds else ""
