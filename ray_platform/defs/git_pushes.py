"""Stage `git`: new commits of the watched repository become runs, once for each commit and environment."""

from collections.abc import Mapping
from pathlib import Path

import dagster as dg

from ray_platform.config.partitions import ASKED_BY_TAG, CHANGE_TAG, COMMIT_TAG
from ray_platform.config.settings import Settings, load_settings
from ray_platform.git.git_client import Git
from ray_platform.git.new_commits import Push, read_cursor, watch, write_cursor
from ray_platform.git.revision import Work
from ray_platform.records.infra_version import MODULES
from ray_platform.session.environment_session import open_session
from ray_platform.text.canonical import SHORT_CHARS

_PLAN_CHECKS = ("policy", "plan_is_fresh", "cost_within_budget")

#: What each kind of work selects: assets, and the checks of assets that are not selected themselves.
_WORK: Mapping[Work, tuple[tuple[str, ...], tuple[tuple[str, str], ...]]] = {
    "policy": ((), (("terraform_plan", "policy"),)),
    "change": (
        ("terraform_plan", *MODULES, "ray_cluster"),
        (
            *(("terraform_plan", check) for check in _PLAN_CHECKS),
            *((module, "tags_present") for module in MODULES),
            ("ray_cluster", "cluster_reachable"),
        ),
    ),
    "ray_cluster": (("ray_cluster",), (("ray_cluster", "cluster_reachable"),)),
    "burst": (("burst_run",), (("burst_run", "burst_reached_its_workers"),)),
}

#: What a change selects where people must approve: the plan waits for them.
_PLAN_ONLY = (("terraform_plan",), tuple(("terraform_plan", check) for check in _PLAN_CHECKS))


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
        run_requests=[_request(settings, push) for push in pushes],
        skip_reason=None if pushes else dg.SkipReason(why),
    )


def _request(settings: Settings, push: Push) -> dg.RunRequest:
    waits = settings.environment(push.environment).approval.required > 0
    chosen = (
        [_PLAN_ONLY] if waits and "change" in push.work else [_WORK[work] for work in push.work]
    )
    changes = bool({"change", "ray_cluster"} & set(push.work))
    return dg.RunRequest(
        run_key=push.key,
        partition_key=push.environment,
        asset_selection=[dg.AssetKey(name) for assets, _ in chosen for name in assets],
        asset_check_keys=[
            dg.AssetCheckKey(dg.AssetKey(asset), check)
            for _, checks in chosen
            for asset, check in checks
        ],
        tags={
            COMMIT_TAG: push.commit,
            ASKED_BY_TAG: f"the push of {push.commit[:SHORT_CHARS]}",
            "ray_platform/commits": str(push.commits),
            "ray_platform/work": ", ".join(push.work),
            **({CHANGE_TAG: push.environment} if changes else {}),
        },
    )
