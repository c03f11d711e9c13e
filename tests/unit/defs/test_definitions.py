"""What Dagster shows: a snapshot, so that no asset, check, job, sensor or schedule changes unseen.

After a change that is meant: ``python -m tests.unit.defs.test_definitions`` writes the snapshot again.
"""

import json
from pathlib import Path
from typing import Any

import dagster as dg
from dagster._core.definitions.freshness import TimeWindowFreshnessPolicy

from ray_platform.definitions import defs

SNAPSHOT = Path(__file__).resolve().parents[2] / "data" / "definitions.json"


def described() -> dict[str, Any]:
    """The definitions as plain data."""
    definitions = defs()
    graph = definitions.resolve_asset_graph()
    repository = definitions.get_repository_def()
    assets = {}
    for key in sorted(graph.get_all_asset_keys()):
        node = graph.get(key)
        assets[key.to_user_string()] = {
            "group": node.group_name,
            "kinds": sorted(node.kinds),
            "owners": sorted(node.owners),
            "code_version": node.code_version,
            "depends_on": sorted(parent.to_user_string() for parent in node.parent_keys),
            "partitions": _partitions(node.partitions_def),
            "freshness": _freshness(node.freshness_policy),
            "described": bool(node.description),
        }
    checks = {
        f"{key.asset_key.to_user_string()}:{key.name}": {
            "blocking": graph.get_check_spec(key).blocking,
        }
        for key in sorted(graph.asset_check_keys, key=str)
    }
    jobs = {
        job.name: sorted(node.name for node in job.nodes)
        for job in repository.get_all_jobs()
        if not job.name.startswith("__")
    }
    return {
        "assets": assets,
        "checks": checks,
        "jobs": dict(sorted(jobs.items())),
        "sensors": {s.name: s.default_status.value for s in repository.sensor_defs},
        "schedules": {
            s.name: [s.cron_schedule, s.default_status.value] for s in repository.schedule_defs
        },
    }


def _partitions(definition: dg.PartitionsDefinition[Any] | None) -> list[str]:
    if isinstance(definition, dg.MultiPartitionsDefinition):
        return sorted(dimension.name for dimension in definition.partitions_defs)
    return ["environment"] if definition else []


def _freshness(policy: dg.FreshnessPolicy | None) -> dict[str, float]:
    """Hours since the last materialization after which Dagster warns and fails; empty without a policy."""
    if policy is None:
        return {}
    assert isinstance(policy, TimeWindowFreshnessPolicy)
    windows = {"warn": policy.warn_window, "fail": policy.fail_window}
    return {
        name: window.to_timedelta().total_seconds() / 3600
        for name, window in windows.items()
        if window is not None
    }


def test_the_definitions_are_those_of_the_snapshot() -> None:
    assert described() == json.loads(SNAPSHOT.read_text(encoding="utf-8"))


def test_the_dagster_plus_file_is_one_that_dagster_plus_reads() -> None:
    from dagster_cloud_cli.config.models import load_dagster_cloud_yaml

    text = (Path(__file__).resolve().parents[3] / "dagster_cloud.yaml").read_text(encoding="utf-8")
    (location,) = load_dagster_cloud_yaml(text).locations
    assert location.code_source.module_name == "ray_platform.definitions"
    assert location.build.directory == "."


def test_whatever_can_be_shown_is_described() -> None:
    definitions = defs()
    repository = definitions.get_repository_def()
    silent = [asset for asset, facts in described()["assets"].items() if not facts["described"]]
    silent += [s.name for s in repository.sensor_defs if not s.description]
    silent += [s.name for s in repository.schedule_defs if not s.description]
    silent += [
        job.name
        for job in repository.get_all_jobs()
        if not job.name.startswith("__") and not job.description
    ]
    assert silent == []


if __name__ == "__main__":
    SNAPSHOT.write_text(json.dumps(described(), indent=1) + "\n", encoding="utf-8")
