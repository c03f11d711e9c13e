"""Stage `git`: new commits of the watched repository become runs, once for each commit and environment."""

from collections.abc import Mapping
from pathlib import Path

import dagster as dg

from ray_platform.config.partitions import ASKED_BY_TAG, CHANGE_TAG, COMMIT_TAG
from ray_platform.config.settings import Settings, load_settings
from ray_platform.defs import terraform_plan as plan_stage
from ray_platform.git.git_client import Git
from ray_platform.git.new_commits import Push, read_cursor, watch, write_cursor
from ray_platform.git.revision import Work
from ray_platform.records.infra_version import MODULES
from ray_platform.session.environment_session import open_session
from ray_platform.text.canonical import SHORT_CHARS
from ray_platform.text.errors import PlatformError

#: What each kind of work selects. Assets come with their checks, whichever those are: Dagster knows them.
_WORK: Mapping[Work, dg.AssetSelection] = {
    "policy": dg.AssetSelection.checks(plan_stage.policy),
    "change": dg.AssetSelection.assets("terraform_plan", *MODULES, "ray_cluster"),
    "ray_cluster": dg.AssetSelection.assets("ray_cluster"),
    "burst": dg.AssetSelection.assets("burst_run"),
}

#: What a change selects where people must approve: the plan waits for them.
_PLAN_ONLY = dg.AssetSelection.assets("terraform_plan")


@dg.sensor(
    job_name="up",
    minimum_interval_seconds=15,
    description="Watches the repository's branch and starts the work that new commits ask for.",
)
def git_pushes(context: dg.SensorEvaluationContext) -> dg.SensorResult:
    settings = load_settings()
    cursor = read_cursor(context.cursor)
    watched = [
        name for name in settings.environment_names if settings.environment(name).watch.git_pushes
    ]
    applied = {
        name: found.commit
        for name in watched
        if name not in cursor and (found := open_session(settings, name).records.applied())
    }
    cursor, pushes, why = watch(
        Git(Path(settings.repository)), settings.branch, cursor, watched, applied
    )
    if not watched:
        why = "no environment has watch.git_pushes = true"
    return dg.SensorResult(
        cursor=write_cursor(cursor),
        run_requests=[_request(settings, push, _code_location(context)) for push in pushes],
        skip_reason=None if pushes else dg.SkipReason(why),
    )


def _code_location(context: dg.SensorEvaluationContext) -> dg.RepositoryDefinition:
    if context.repository_def is None:
        raise PlatformError(
            "the sensor does not know the assets of its code location",
            where="sensor git_pushes",
            fix="evaluate it with the code location's definitions",
        )
    return context.repository_def


def _request(
    settings: Settings, push: Push, code_location: dg.RepositoryDefinition
) -> dg.RunRequest:
    assets = code_location.asset_graph
    waits = settings.environment(push.environment).approval.required > 0
    chosen = (
        [_PLAN_ONLY] if waits and "change" in push.work else [_WORK[work] for work in push.work]
    )
    changes = bool({"change", "ray_cluster"} & set(push.work))
    return dg.RunRequest(
        run_key=push.key,
        partition_key=push.environment,
        asset_selection=sorted({key for one in chosen for key in one.resolve(assets)}),
        asset_check_keys=sorted({key for one in chosen for key in one.resolve_checks(assets)}),
        tags={
            COMMIT_TAG: push.commit,
            ASKED_BY_TAG: f"the push of {push.commit[:SHORT_CHARS]}",
            "ray_platform/commits": str(push.commits),
            "ray_platform/work": ", ".join(push.work),
            **({CHANGE_TAG: push.environment} if changes else {}),
        },
    )
