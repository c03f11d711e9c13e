"""The local GitHub server as githubkit, its people and git see it."""

import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from githubkit import AppAuthStrategy, AppInstallationAuthStrategy, GitHub
from githubkit.exception import RequestFailed

from ray_platform.local.github.testing import LocalGitHub

pytestmark = pytest.mark.real


@pytest.fixture(scope="module")
def server() -> Iterator[LocalGitHub]:
    with LocalGitHub() as running:
        yield running


def as_app(server: LocalGitHub) -> GitHub[Any]:
    strategy = AppAuthStrategy(server.app.id, server.private_key)
    return GitHub(strategy, base_url=server.api_url)


def as_installation(server: LocalGitHub) -> GitHub[Any]:
    strategy = AppInstallationAuthStrategy(
        server.app.id, server.private_key, server.installation.id
    )
    return GitHub(strategy, base_url=server.api_url)


def test_a_change_goes_from_the_app_to_the_merge_with_githubkit(server: LocalGitHub) -> None:
    repository = server.create_repository("acme", "walk")
    app = as_app(server)
    found = app.rest.apps.get_repo_installation("acme", "walk").parsed_data
    assert found.id == server.installation.id
    number = server.open_pull_request(repository, {"main.tf": "a = 1\n"}, body="**why**")
    github = as_installation(server)
    pull = github.rest.pulls.get("acme", "walk", number).parsed_data
    assert (pull.mergeable, pull.changed_files, pull.commits) == (True, 1, 1)
    check = github.rest.checks.create(
        "acme", "walk", name="plan", head_sha=pull.head.sha, status="in_progress"
    ).parsed_data
    github.rest.checks.update(
        "acme", "walk", check.id, status="completed", conclusion="success"
    )
    server.review(repository, number, by="bob")
    (review,) = github.rest.pulls.list_reviews("acme", "walk", number).parsed_data
    assert (review.state, review.commit_id) == ("APPROVED", pull.head.sha)
    merged = github.rest.pulls.merge(
        "acme", "walk", number, sha=pull.head.sha, merge_method="squash"
    ).parsed_data
    assert github.rest.pulls.get("acme", "walk", number).parsed_data.merged
    branch = github.rest.repos.get_branch("acme", "walk", "main").parsed_data
    assert branch.commit.sha == merged.sha
    with pytest.raises(RequestFailed, match="405"):
        github.rest.pulls.merge("acme", "walk", number)


def git(folder: Path, *words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["git", "-c", "user.name=t", "-c", "user.email=t@example.invalid", *words],
        cwd=folder,
        capture_output=True,
        text=True,
        env={"PATH": "/usr/bin:/bin", "GIT_TERMINAL_PROMPT": "0", "HOME": str(folder)},
        check=False,
    )


def test_git_clones_pushes_and_moves_the_pull_request(server: LocalGitHub, tmp_path: Path) -> None:
    repository = server.create_repository("acme", "cloned")
    number = server.open_pull_request(repository, {"a.txt": "one\n"}, branch="change")
    anonymous = git(tmp_path, "clone", server.clone_url(repository), "none")
    assert anonymous.returncode != 0
    done = git(tmp_path, "clone", server.clone_url(repository, server.token("bob")), "clone")
    assert done.returncode == 0, done.stderr
    clone = tmp_path / "clone"
    assert git(clone, "checkout", "change").returncode == 0
    (clone / "a.txt").write_text("two\n")
    assert git(clone, "commit", "-am", "two").returncode == 0
    pushed = git(clone, "push", "origin", "change")
    assert pushed.returncode == 0, pushed.stderr
    head = git(clone, "rev-parse", "HEAD").stdout.strip()
    at = f"/repos/{repository}/pulls/{number}"
    assert server.person("bob").call("GET", at)["head"]["sha"] == head
    refs = git(clone, "ls-remote", "origin", f"refs/pull/{number}/*").stdout
    assert f"{head}\trefs/pull/{number}/head" in refs
    assert f"refs/pull/{number}/merge" in refs
