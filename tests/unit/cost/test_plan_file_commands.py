"""`ray-platform policy FILE` and `estimate FILE`: on any plan file, without an environment that exists."""

import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from ray_platform.cli import cli
from tests.support.plans import CASES, case

COUNTED = {"create", "update", "replace", "delete", "move", "import", "forget", "read"}


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.setenv("RAY_PLATFORM_HOME", str(tmp_path / "home"))

    def call(*arguments: str) -> Result:
        return CliRunner().invoke(cli, list(arguments))

    return call


def path(name: str) -> str:
    return str(CASES / f"{name}.json")


def test_policy_says_what_the_plan_is(run: Any) -> None:
    done = run("policy", path("moved-only"), "--json")
    answer = json.loads(done.stdout)
    assert done.exit_code == 0
    assert answer["applyable"] is True and answer["complete"] is True and answer["empty"] is False
    assert set(answer["counts"]) == COUNTED and answer["counts"]["move"] == 1
    assert answer["violations"] == answer["advice"] == []


@pytest.mark.parametrize("name", ["incomplete", "deferred"])
def test_policy_refuses_a_plan_that_is_not_whole(run: Any, name: str) -> None:
    done = run("policy", path(name), "--json")
    answer = json.loads(done.stdout)
    assert done.exit_code == 2 and answer["complete"] is False and answer["empty"] is False
    text = run("policy", path(name))
    assert text.exit_code == 2
    assert "no rule denies" not in text.stdout and "not whole" in text.stdout


def test_policy_names_each_violation(run: Any) -> None:
    answer = json.loads(run("policy", path("forget-cluster"), "--json").stdout)
    found = [item for item in answer["violations"] if item["id"] == "deletion"]
    assert [set(item) >= {"id", "resource", "message", "fix"} for item in found] == [True]


def test_estimate_gives_the_four_amounts_and_what_lacks(run: Any) -> None:
    done = run("estimate", path("unpriced-fsx"), "--json")
    answer = json.loads(done.stdout)
    assert done.exit_code == 0
    assert answer["monthly_usd"] == dict.fromkeys(
        ("before_min", "before_max", "after_min", "after_max"), 73.0
    )
    assert [item["type"] for item in answer["unpriced"]] == [
        "aws_fsx_lustre_file_system",
        "aws_rds_cluster_instance",
    ]
    assert answer["priced"][0]["monthly_usd"]["after_min"] == 73.0
    assert set(answer) >= {"priced", "by_use", "free", "unpriced", "notes"}
    assert "$73.00 + 2 not priced" in run("estimate", path("unpriced-fsx")).stdout


def test_estimate_says_null_where_the_plan_leaves_a_size_open(run: Any) -> None:
    answer = json.loads(run("estimate", path("min-unknown"), "--json").stdout)
    assert answer["monthly_usd"]["after_min"] is None
    assert answer["monthly_usd"]["after_max"] == pytest.approx(780.80)


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-32"])
@pytest.mark.parametrize("command", ["policy", "estimate"])
def test_a_file_that_windows_wrote_is_read(
    run: Any, tmp_path: Path, encoding: str, command: str
) -> None:
    file = tmp_path / "plan.json"
    file.write_bytes(json.dumps(case("moved-only")).encode(encoding))
    assert run(command, str(file), "--json").exit_code == 0


@pytest.mark.parametrize("content", [b"", b"\xff\xfe\x00", b"{", b"[]", b"\x00\x01\x02"])
@pytest.mark.parametrize("command", ["policy", "estimate"])
def test_a_file_that_is_no_plan_is_refused_in_one_message(
    run: Any, tmp_path: Path, content: bytes, command: str
) -> None:
    file = tmp_path / "plan.json"
    file.write_bytes(content)
    done = run(command, str(file))
    assert done.exit_code != 0
    assert type(done.exception).__name__ == "PlanFormatError"
