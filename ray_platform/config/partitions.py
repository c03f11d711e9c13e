"""Environments and days as Dagster partitions, and the run tags that the stages share."""

import dagster as dg

from ray_platform.config.settings import load_settings

#: The name of the code location: workspace.yaml, pyproject.toml, dagster_cloud.yaml and deploy/ use it too.
CODE_LOCATION = "ray_platform"

#: The first day that a report can be made for.
FIRST_DAY = "2026-01-01"

environments = dg.StaticPartitionsDefinition(list(load_settings().environment_names))

#: Days end at midnight UTC; today's report exists while the day is not over.
days = dg.DailyPartitionsDefinition(start_date=FIRST_DAY, timezone="UTC", end_offset=1)

days_by_environment = dg.MultiPartitionsDefinition({"day": days, "environment": environments})

#: The environment that a run changes: at most one such run at a time (dagster.yaml).
CHANGE_TAG = "ray_platform/change"
#: The commit that a run takes its files from; without it, the working tree.
COMMIT_TAG = "ray_platform/commit"
#: The digest of the saved plan that a run applies; without it, the latest.
PLAN_TAG = "ray_platform/plan"
#: Who or what asked for a run, for the audit log.
ASKED_BY_TAG = "ray_platform/asked_by"
#: The pull request that a run is about, as ``OWNER/NAME#7``; its repository; the base branch's commit.
PULL_TAG = "ray_platform/pull_request"
REPOSITORY_TAG = "ray_platform/repository"
BASE_TAG = "ray_platform/base"
#: The issue that asks for the removal of an environment, as ``OWNER/NAME#12``.
ISSUE_TAG = "ray_platform/issue"
#: Why a pull request is planned again, and what its plan is of (`Facts.asks_for`).
WHY_TAG = "ray_platform/why"
ASKED_FOR_TAG = "ray_platform/asked_for"
#: "true" on a run that may harm live burst runs: somebody said so.
DESPITE_LIVE_RUNS_TAG = "ray_platform/despite_live_runs"
#: How the pods of the Ray cluster are replaced (`UpgradeWish`); without it, as the environment says.
RAY_UPGRADE_TAG = "ray_platform/ray_upgrade"
#: The infra version that a burst run ran on.
INFRA_VERSION_TAG = "ray_platform/infra_version"


def despite(live_runs: bool) -> dict[str, str]:
    """The tag of a run that may harm live burst runs, where somebody said so."""
    return {DESPITE_LIVE_RUNS_TAG: "true"} if live_runs else {}


def day_key(day: str, environment: str) -> dg.MultiPartitionKey:
    """The partition of one day (``YYYY-MM-DD``) in one environment."""
    return dg.MultiPartitionKey({"day": day, "environment": environment})
