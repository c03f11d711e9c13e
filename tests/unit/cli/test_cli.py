"""The command: one message a failure, exit codes, and nothing but JSON on stdout where JSON is asked for."""

import copy
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from ray_platform.store.artifact_store import FileStore
from ray_platform.store.lease_store import EnvironmentLease

ROOT = Path(__file__).resolve().parents[3]
DATA = ROOT / "tests" / "data"


def run(tmp_path: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """``ray-platform ARGUMENTS`` with a home of its own."""
    return subprocess.run(
        [sys.executable, "-m", "ray_platform.cli", *arguments],
        cwd=ROOT,
        env={**os.environ, "RAY_PLATFORM_HOME": str(tmp_path / "home")},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


@pytest.fixture
def plan(tmp_path: Path) -> Any:
    """A real first plan, and a way to write a changed one."""
    content = json.loads((DATA / "plan_local.json").read_text(encoding="utf-8"))

    def write(change: Any = None) -> Path:
        changed = copy.deepcopy(content)
        if change:
            change(changed)
        path = tmp_path / "plan.json"
        path.write_text(json.dumps(changed), encoding="utf-8")
        return path

    return write


def test_a_plan_that_no_rule_denies_is_good(tmp_path: Path, plan: Any) -> None:
    done = run(tmp_path, "policy", str(plan()), "--json")
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["violations"] == []


def test_a_denied_plan_exits_2_and_names_rule_resource_and_value(tmp_path: Path, plan: Any) -> None:
    def too_many(content: Any) -> None:
        for item in content["resource_changes"]:
            if item["address"].endswith('["gpu"]') and item["type"] == "aws_eks_node_group":
                item["change"]["after"]["scaling_config"][0]["max_size"] = 11

    done = run(tmp_path, "policy", str(plan(too_many)))
    assert done.returncode == 2
    assert "gpu-nodes" in done.stdout
    assert 'aws_eks_node_group.this["gpu"]' in done.stdout
    assert "11" in done.stdout
    assert "fix:" in done.stdout


def test_a_plan_of_another_format_version_is_refused(tmp_path: Path, plan: Any) -> None:
    done = run(tmp_path, "policy", str(plan(lambda content: content.update(format_version="2.0"))))
    assert done.returncode == 1
    assert "format version 2.0" in done.stderr
    assert "what to do" in done.stderr


@pytest.mark.parametrize("content", ["", "{", "[]", "{}", '{"format_version": "1.0"}'])
def test_what_is_no_plan_is_told_in_one_message(tmp_path: Path, content: str) -> None:
    file = tmp_path / "x.json"
    file.write_text(content, encoding="utf-8")
    done = run(tmp_path, "policy", str(file), "--json")
    assert (done.returncode, done.stdout) == (1, "")
    assert str(file) in done.stderr
    assert "Traceback" not in done.stderr


def test_a_missing_file_is_told(tmp_path: Path) -> None:
    done = run(tmp_path, "policy", "nowhere.json")
    assert done.returncode == 1
    assert "nowhere.json" in done.stderr


@pytest.mark.parametrize(
    "command", ["plan", "apply", "burst", "drift", "cost", "up", "status", "doctor"]
)
def test_an_unknown_environment_is_answered_with_the_known_ones(
    tmp_path: Path, command: str
) -> None:
    done = run(tmp_path, command, "--env", "locl", "--json")
    assert (done.returncode, done.stdout) == (1, "")
    assert "local, dev, staging, prod" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_destroy_that_is_not_confirmed_removes_nothing(tmp_path: Path) -> None:
    done = run(tmp_path, "destroy", "--env", "prod", "--confirm", "dev")
    assert done.returncode == 2
    assert "nothing was removed" in done.stderr


@pytest.mark.parametrize("arguments", [["lineage", "nothing"], ["diff", "one", "two"]])
def test_an_unknown_run_is_told(tmp_path: Path, arguments: list[str]) -> None:
    done = run(tmp_path, *arguments)
    assert done.returncode == 1
    assert "no burst run has the id" in done.stderr


def test_runs_of_an_empty_history_are_none(tmp_path: Path) -> None:
    done = run(tmp_path, "runs", "--json")
    assert (done.returncode, json.loads(done.stdout)) == (0, {"runs": []})


@pytest.mark.parametrize("day", ["yesterday", "2026-13-01", "2025-12-31", "2999-01-01"])
def test_a_day_without_a_report_is_refused(tmp_path: Path, day: str) -> None:
    done = run(tmp_path, "cost", "--date", day)
    assert done.returncode == 1
    assert "--date" in done.stderr


def test_approving_a_plan_that_does_not_exist_is_refused(tmp_path: Path) -> None:
    done = run(tmp_path, "approve", "0123456789ab", "--env", "local", "--by", "alice")
    assert done.returncode == 1
    assert "0 plans of local begin with '0123456789ab'" in done.stderr


def test_an_environment_that_is_not_set_up_yet_says_what_is_missing(tmp_path: Path) -> None:
    done = run(tmp_path, "approve", "0123456789ab", "--env", "staging", "--by", "alice")
    assert done.returncode == 1
    assert "state.bucket = 'CHANGE-ME" in done.stderr
    assert "docs/how-to/set-up-aws.md" in done.stderr


def test_status_of_nothing_says_so(tmp_path: Path) -> None:
    done = run(tmp_path, "status", "--json")
    answer = json.loads(done.stdout)
    assert (answer["infra_version"], answer["emulator"], answer["ray"]) == (None, None, None)
    assert answer["held_by"] is None


def test_status_names_who_changes_the_environment_now(tmp_path: Path) -> None:
    store = FileStore(tmp_path / "home" / "artifacts")
    held = EnvironmentLease(store, "local", run_id="4f").acquire("apply, run 4f", wait_seconds=0)
    answer = json.loads(run(tmp_path, "status", "--json").stdout)
    assert answer["held_by"].startswith("apply, run 4f by ")
    assert f"(process {os.getpid()}), since {held.owner.acquired_at}" in answer["held_by"]
    assert (answer["held_for"], answer["held_since"]) == ("apply, run 4f", held.owner.acquired_at)
    assert answer["owner"] == held.owner.token
    assert held.owner.token in run(tmp_path, "status").stdout


def test_down_with_nothing_running_ends_nothing(tmp_path: Path) -> None:
    done = run(tmp_path, "down", "--json")
    assert (done.returncode, json.loads(done.stdout)) == (
        0,
        {
            "ended": {
                "kuberay": False,
                "ray": False,
                "kubernetes": False,
                "emulator": False,
                "github": False,
                "postgres": False,
            }
        },
    )


def test_doctor_names_a_port_in_use_and_how_to_move(tmp_path: Path) -> None:
    import os
    import socket

    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        done = subprocess.run(
            [sys.executable, "-m", "ray_platform.cli", "doctor", "--json"],
            cwd=ROOT,
            env={
                **os.environ,
                "RAY_PLATFORM_HOME": str(tmp_path),
                "RAY_PLATFORM_PORT_BASE": str(port),
            },
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
    assert done.returncode == 1
    bad = [finding for finding in json.loads(done.stdout)["findings"] if not finding["good"]]
    # The ports above it are whoever's the kernel gave them to.
    assert {finding["subject"] for finding in bad} == {"Port"}
    bad = [finding for finding in bad if finding["found"].startswith(f"{port} ")]
    assert "RAY_PLATFORM_PORT_BASE" in bad[0]["fix"]


@pytest.mark.parametrize(
    "command", ["up", "plan", "policy", "approve", "apply", "burst", "destroy"]
)
def test_help_shows_examples(tmp_path: Path, command: str) -> None:
    done = run(tmp_path, command, "--help")
    assert done.returncode == 0
    assert "Examples:" in done.stdout
