"""What changed between two runs is explained, and the infra version that made a metric worse is found."""

import json
import subprocess
import time
import uuid
from dataclasses import replace
from itertools import islice
from pathlib import Path
from typing import Any

import dagster as dg
import pytest
from click.testing import CliRunner

from ray_platform.change.sources import keep_sources
from ray_platform.cli import lineage_commands as commands
from ray_platform.config.settings import Settings
from ray_platform.cost.session_parts import prices_of
from ray_platform.git.git_client import Git
from ray_platform.lineage.bisect import bisect_runs
from ray_platform.lineage.trace import commit_range, explain
from ray_platform.records.records_store import Records
from ray_platform.run_history.asset_facts import RayClusterFacts
from ray_platform.run_history.run_history_store import RunHistory
from ray_platform.session.environment_session import make_artifacts, open_session
from ray_platform.store.artifact_store import Artifacts, FileStore
from ray_platform.text.errors import SettingsError
from tests.support.burst_history import Story, by_dagster

ROOT = Path(__file__).resolve().parents[3]
STORY = Story(bursts=7, versions=7, picture_bytes=100)


def git(folder: Path, *arguments: str) -> str:
    who = ["-c", "user.name=somebody", "-c", "user.email=somebody@example.com"]
    done = subprocess.run(
        ["git", "-C", str(folder), *who, *arguments], capture_output=True, text=True, check=True
    )
    return done.stdout.strip()


@pytest.fixture
def records(tmp_path: Path) -> Records:
    records = Records(Artifacts(FileStore(tmp_path / "artifacts")), "local")
    STORY.keep_artifacts(records.artifacts)
    return records


def changed(records: Records, version: str, **changes: Any) -> str:
    return records.artifacts.put_content("manifests", {**records.manifest(version), **changes})


def test_the_commits_between_two_versions_are_told_both_ways(
    records: Records, tmp_path: Path
) -> None:
    repository = tmp_path / "repository"
    repository.mkdir()
    git(repository, "init", "-q", "-b", "main")
    commits = []
    for subject in ("First", "A larger pool (#12)", "Merge pull request #13 from x/y"):
        git(repository, "commit", "-q", "--allow-empty", "-m", subject)
        commits.append(git(repository, "rev-parse", "HEAD"))
    git(repository, "checkout", "-q", "-b", "other", commits[0])
    git(repository, "commit", "-q", "--allow-empty", "-m", "Elsewhere")
    elsewhere = git(repository, "rev-parse", "HEAD")
    one, two, three = (
        changed(records, STORY.names[0], commit=commit)
        for commit in (commits[0], commits[2], elsewhere)
    )
    forward = commit_range(records, Git(repository), one, two)
    assert [(c.subject, c.pull_requests) for c in forward.gained] == [
        ("A larger pool (#12)", (12,)),
        ("Merge pull request #13 from x/y", (13,)),
    ]
    assert forward.lost == ()
    apart = commit_range(records, Git(repository), two, three)
    assert [c.subject for c in apart.gained] == ["Elsewhere"]
    assert len(apart.lost) == 2
    gone = changed(records, STORY.names[0], commit="f" * 40)
    unknown = commit_range(records, Git(repository), one, gone)
    assert unknown.gained == () and str(repository) in unknown.why_not


def test_changed_policies_and_prices_are_explained_by_what_they_say(
    records: Records, tmp_path: Path
) -> None:
    session = open_session(
        Settings(ROOT, tmp_path / "home", {}),
        "local",
        parts={make_artifacts: records.artifacts},
    )
    keep_sources(session)
    policies, prices = session.policies.bundle_digest, prices_of(session).version
    bundle = records.artifacts.read(f"policies/{policies}.json")
    book = records.artifacts.read(f"prices/{prices}.json")
    assert bundle and book
    bundle["rules"]["terraform.rego"] += "\n# a rule more"
    bundle["data"]["policy"]["defaults"]["max_gpu_nodes"] = 99
    book["instances"]["m5.large"] = "9.99"
    records.artifacts.write("policies/other.json", bundle)
    records.artifacts.write("prices/other.json", book)
    one = changed(records, STORY.names[0], policy_bundle_digest=policies, price_book_version=prices)
    other = changed(
        records, STORY.names[0], policy_bundle_digest="other", price_book_version="other"
    )
    said = {(item.subject, item.attribute): item.after for item in explain(records, one, other)}
    assert said["policies", "terraform.rego"].strip() == "# a rule more"
    assert said["policies", "policy.defaults.max_gpu_nodes"] == 99
    assert said["prices (US dollars)", "instances.m5.large"] == "9.99"
    never_kept = changed(records, STORY.names[0], policy_bundle_digest="elsewhere")
    (difference,) = [d for d in explain(records, one, never_kept) if "policy" in d.attribute]
    assert (difference.before, difference.after) == (policies, "elsewhere")


@pytest.fixture
def history(tmp_path: Path, instance: dg.DagsterInstance) -> RunHistory:
    """Seven infra versions deployed in order; a run on the first, one on the last, loss 0.1 and 0.9."""
    history = RunHistory(instance, tmp_path / "lineage")
    train(history, 0, 0.1)
    for version in STORY.names[1:]:
        deploy(history, version)
    train(history, 6, 0.9)
    return history


def deploy(history: RunHistory, version: str) -> None:
    facts = RayClusterFacts(
        address="http://127.0.0.1:8265",
        ray_version="2.60.0",
        image="rayproject/ray:2.60.0",
        release="ray",
        release_revision=1,
        git_commit=None,
        manifest_digest="1" * 64,
        chart_digest="2" * 64,
        values_digest="3" * 64,
        infra_version=version,
    )
    history.instance.report_runless_asset_event(
        dg.AssetMaterialization("ray_cluster", partition="local", metadata=facts.to_metadata())
    )


def train(history: RunHistory, version: int, loss: float, *, seconds_ago: float = 0) -> str:
    run = replace(
        next(islice(STORY.runs(), 0, None)),
        run_id=str(uuid.uuid4()),
        started=time.time() - seconds_ago,
        version=STORY.names[version],
        loss=loss,
    )
    if version == 0:
        deploy(history, run.version)
        run = replace(run, started=time.time())
    by_dagster(history.instance, STORY, run)
    return run.run_id


def test_bisect_names_the_versions_between_in_order_and_finds_the_culprit(
    history: RunHistory,
) -> None:
    bad, good = (run.run_id for run in history.bursts())
    found = bisect_runs(history, good, bad, "loss")
    assert tuple(step.tried.infra_version for step in found.steps) == STORY.names
    assert found.next == STORY.names[3]
    for version, loss, then in ((3, 0.12, 5), (5, 0.88, 4), (4, 0.91, None)):
        train(history, version, loss)
        found = bisect_runs(history, good, bad, "loss")
        assert found.next == (None if then is None else STORY.names[then])
    assert (found.last_good, found.first_bad) == (STORY.names[3], STORY.names[4])
    back = bisect_runs(history, bad, good, "loss")
    assert [s.tried.infra_version for s in back.steps] == list(reversed(STORY.names))
    with pytest.raises(SettingsError, match="no metric 'lost'"):
        bisect_runs(history, good, bad, "lost")
    with pytest.raises(SettingsError, match="the same infra version"):
        bisect_runs(history, good, good, "loss")


def test_the_commands_answer_in_json(
    history: RunHistory, records: Records, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(commands, "load_settings", lambda: Settings(ROOT, tmp_path, {}))
    monkeypatch.setattr(commands, "open_history", lambda: history)
    bad, good = (run.run_id for run in history.bursts())

    def ask(command: Any, *arguments: str) -> Any:
        done = CliRunner().invoke(command, [*arguments, "--json"], catch_exceptions=False)
        assert done.exit_code == 0
        return json.loads(done.output)

    assert ask(commands.runs)["runs"][0]["run_id"] == bad
    assert ask(commands.lineage, good[:8])["infra_version"] == STORY.names[0]
    assert ask(commands.lineage, "--rebuild-index") == {"burst_runs": 2, "results": 2}
    between = ask(commands.diff, good[:8], bad[:8])
    assert {"runs", "same", "identity", "differences", "commits", "metrics"} <= between.keys()
    loss = next(item for item in between["metrics"] if item["metric"] == "loss")
    assert (loss["before"], loss["after"]) == (0.1, 0.9)
    assert between["identity"]["state_serial"] == {"before": 1, "after": 7}
    next_one = ask(commands.bisect, "--good", good, "--bad", bad, "--metric", "loss")
    assert next_one["next"] == STORY.names[3]
    assert next_one["next_commit"] == records.manifest(STORY.names[3])["commit"]
    for command, arguments in (
        (commands.diff, [good, bad]),
        (commands.bisect, ["--good", good, "--bad", bad, "--metric", "loss"]),
    ):
        text = CliRunner().invoke(command, arguments, catch_exceptions=False)
        assert text.exit_code == 0 and STORY.names[0][:12] in text.output
