"""A rollback takes an earlier commit's files and none of its rules."""

import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from click.testing import CliRunner

from ray_platform.cli import cli
from ray_platform.config.settings import load_settings
from ray_platform.records.records_store import Records
from ray_platform.session.environment_session import open_session
from ray_platform.store.artifact_store import Artifacts, FileStore
from ray_platform.text.errors import Refused
from tests.unit.git.test_watch import ROOT, committed, git
from tests.unit.records.test_records_store import APPLIED


@pytest.fixture
def checkout(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A committed checkout with a home of its own, as the settings of this process."""
    root = tmp_path / "checkout"
    root.mkdir()
    for part in ("environments", "terraform/environments"):
        shutil.copytree(ROOT / part, root / part)
    shutil.copy(ROOT / "workspace.yaml", root)
    git(root, "init", "--quiet", "--initial-branch=main")
    committed(root)
    monkeypatch.setenv("RAY_PLATFORM_ROOT", str(root))
    monkeypatch.setenv("RAY_PLATFORM_HOME", str(tmp_path / "home"))
    load_settings.cache_clear()
    yield root
    load_settings.cache_clear()


def edit(root: Path, old: str, new: str) -> str:
    file = root / "environments" / "local.toml"
    text = file.read_text(encoding="utf-8")
    assert old in text
    file.write_text(text.replace(old, new), encoding="utf-8")
    return committed(root)


def test_a_commit_that_was_left_behind_is_judged_by_todays_rules(checkout: Path) -> None:
    before = git(checkout, "rev-parse", "HEAD")
    edit(checkout, "required = 0", "required = 2")
    edit(checkout, "monthly_usd = 2500.0", "monthly_usd = 1.0")
    session = open_session(load_settings(), "local", before)
    assert session.environment.approval.required == 2
    assert session.environment.budget.monthly_usd == 1.0
    assert session.policy_root == checkout / "policies"
    assert session.settings.root != checkout  # its files are its own


def test_the_newest_commit_is_judged_by_its_own_rules(checkout: Path) -> None:
    commit = edit(checkout, "required = 0", "required = 2")
    git(checkout, "checkout", "--quiet", "--detach", "HEAD")
    edit(checkout, "required = 2", "required = 0")  # what is checked out asks nobody
    git(checkout, "checkout", "--quiet", "main")
    session = open_session(load_settings(), "local", commit)
    assert session.environment.approval.required == 2
    assert session.policy_root == session.settings.policy_root != checkout / "policies"


def recorded(checkout: Path, *, commit: str, changes: str = "", env: str = "local") -> str:
    records = Records(Artifacts(FileStore(load_settings().home / "artifacts")), env)
    records.save_applied(replace(APPLIED, commit=commit, changes_digest=changes))
    version = records.record_infra_version()
    assert version
    return version


@pytest.mark.parametrize(
    ("case", "said"),
    [
        ("dirty", "never committed"),
        ("another environment", "is one of dev"),
        ("lost", "does not hold commit"),
    ],
)
def test_a_version_that_cannot_be_had_again_is_refused(
    checkout: Path, case: str, said: str
) -> None:
    head = git(checkout, "rev-parse", "HEAD")
    version = recorded(
        checkout,
        commit="f" * 40 if case == "lost" else head,
        changes="ab" * 32 if case == "dirty" else "",
        env="dev" if case == "another environment" else "local",
    )
    with pytest.raises(Refused, match=said):
        CliRunner().invoke(cli, ["rollback", "--to", version[:12]], catch_exceptions=False)
