"""Drift becomes one pull request against the local GitHub, however often it is seen."""

from ray_platform.session.environment_session import open_session
import secrets
from collections.abc import Iterator
from pathlib import Path

import pytest

from ray_platform.github.app_client import connect
from ray_platform.drift.items import DriftItem
from ray_platform.config.repository import Repository
from ray_platform_sandbox.github.client.testing import LocalGitHub
from ray_platform.config.settings import Settings
from ray_platform.pull_requests.drift_pull_request import propose
from ray_platform.session.environment_session import EnvironmentSession
from tests.integration.conftest import ROOT
from tests.support.github_site import running_github

pytestmark = pytest.mark.real
NAME = "terraform/environments/local.tfvars"
CPU = 'module.node_pools.aws_eks_node_group.this["cpu"]'


@pytest.fixture(scope="module")
def github() -> Iterator[LocalGitHub]:
    with running_github() as server:
        yield server


def make_session(github: LocalGitHub, home: Path) -> tuple[EnvironmentSession, str]:
    """`local` of this checkout, with its variables in a new repository."""
    repository = Repository("acme", f"adopt-{secrets.token_hex(4)}")
    github.create_repository(repository.owner, repository.name)
    github.push(str(repository), "main", {NAME: (ROOT / NAME).read_text(encoding="utf-8")})
    variables = {
        "RAY_PLATFORM_GITHUB_APP_ID": str(github.app.id),
        "RAY_PLATFORM_GITHUB_API_URL": github.api_url,
        "RAY_PLATFORM_GITHUB_PRIVATE_KEY": github.private_key,
        "RAY_PLATFORM_GITHUB_REPOSITORIES": str(repository),
    }
    return open_session(Settings(ROOT, home, variables), "local"), str(repository)


def raised_to(size: int) -> DriftItem:
    return DriftItem(
        CPU, "scaling_config[0].max_size", 10, size, "minor", "by_hand", "changed", who="bob"
    )


def test_a_change_by_hand_is_one_pull_request_that_follows_it(
    github: LocalGitHub, tmp_path: Path
) -> None:
    session, repository = make_session(github, tmp_path)
    said: list[str] = []
    first = propose(session, [raised_to(12)], said.append)
    assert propose(session, [raised_to(12)], said.append) == first
    assert propose(session, [raised_to(14)], said.append) == first
    alice = github.person("alice")
    (pull,) = alice.call("GET", f"/repos/{repository}/pulls")
    assert pull["html_url"] == first
    assert pull["user"]["type"] == "Bot"
    (file,) = alice.call("GET", f"/repos/{repository}/pulls/{pull['number']}/files")
    added = [line for line in file["patch"].splitlines() if line.startswith("+")]
    assert [line.split() for line in added] == [["+", "max_size", "=", "14"]]
    assert "`node_pools.cpu.max_size`" in pull["body"]
    assert said == []


def test_without_an_app_it_is_said_that_nothing_was_proposed(tmp_path: Path) -> None:
    said: list[str] = []
    assert propose(open_session(Settings(ROOT, tmp_path, {}), "local"), [raised_to(12)], said.append) == ""
    assert "no GitHub App is set up" in said[0]


def test_a_github_that_does_not_answer_is_said_and_harms_nothing(
    github: LocalGitHub, tmp_path: Path
) -> None:
    session, _ = make_session(github, tmp_path)
    github.suspend()
    connect.cache_clear()
    try:
        said: list[str] = []
        assert propose(session, [raised_to(12)], said.append) == ""
        assert "drift is not proposed for adoption" in said[0]
    finally:
        github.suspend(suspended=False)
