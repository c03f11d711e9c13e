"""The local GitHub as a service, and what it still knows after it was ended or killed."""

import os
import signal
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest
from ray_platform_sandbox.github.client.testing import LocalGitHub
from ray_platform_sandbox.github.hub import Hub
from ray_platform_sandbox.github.service import PORT, ensure_github, find_github, stop_github

from ray_platform.config.settings import Settings
from ray_platform.text.errors import LocalServiceError
from tests.integration.conftest import ROOT
from tests.support.github_callers import as_installation
from tests.support.ports import free_port

pytestmark = pytest.mark.real


@pytest.fixture
def settings(tmp_path: Path) -> Iterator[Settings]:
    home = tmp_path / "home"
    found = Settings(ROOT, home, {"RAY_PLATFORM_PORT_BASE": str(free_port() - PORT)})
    yield found
    stop_github(found)


def test_the_service_is_found_again_and_outlives_down_and_kill(settings: Settings) -> None:
    service = ensure_github(settings)
    assert ensure_github(settings) == service == find_github(settings)
    alice, bob = service.person("alice"), service.person("bob")
    head = alice.create_repository("acme", "infra", ROOT, "HEAD", team="platform")
    assert head == "acme/infra"
    bob.commit(head, "change", {"a.txt": "a"}, "A change")
    number = bob.open_pull_request(head, "change", "A change")
    alice.review(head, number)
    os.kill(service.pid, signal.SIGKILL)
    again = ensure_github(settings)
    assert again.pid != service.pid
    pull = again.person("carol").call("GET", f"/repos/{head}/pulls/{number}")
    assert (pull["title"], pull["mergeable"]) == ("A change", True)
    (review,) = bob.call("GET", f"/repos/{head}/pulls/{number}/reviews")
    assert (review["user"]["login"], review["state"]) == ("alice", "APPROVED")
    assert again.env([head]) == {
        "RAY_PLATFORM_GITHUB_APP_ID": str(service.app_id),
        "RAY_PLATFORM_GITHUB_API_URL": service.api_url,
        "RAY_PLATFORM_GITHUB_PRIVATE_KEY_FILE": str(service.private_key_file),
        "RAY_PLATFORM_GITHUB_WEBHOOK_FILE": str(service.webhook_secret_file),
        "RAY_PLATFORM_GITHUB_REPOSITORIES": head,
    }
    assert stop_github(settings)
    assert find_github(settings) is None
    with pytest.raises(LocalServiceError, match="nobody at the local GitHub"):
        again.person("dave")


def test_its_secrets_are_files_of_their_owner_alone(settings: Settings) -> None:
    service = ensure_github(settings)
    for file in (
        service.private_key_file,
        service.webhook_secret_file,
        service.folder / "people.json",
        service.folder / "state.json",
    ):
        assert stat.S_IMODE(file.stat().st_mode) == 0o600, file
    log = (settings.home / "local" / "github.log").read_text()
    assert "ghp_" not in log
    state = (service.folder / "state.json").read_text()
    assert "ghp_" not in state
    assert "PRIVATE KEY" not in state


def test_a_push_that_the_state_missed_is_found_at_the_next_start(tmp_path: Path) -> None:
    with LocalGitHub(tmp_path) as first:
        repository = first.create_repository("acme", "missed")
        number = first.open_pull_request(repository, {"a.txt": "a"}, branch="change")
        store = first.hub.store(first.hub.repository(repository))
    parent = store.refs()["refs/heads/change"]
    # As a server leaves it that was killed after git took a push and before it wrote that down.
    made = store.make_commit(f"{parent}^{{tree}}", (parent,), "Taken by git alone")
    store.update("refs/heads/change", made)
    with LocalGitHub(tmp_path, key=first.key) as second:
        pull = as_installation(second).get(f"/repos/{repository}/pulls/{number}").json()
        assert pull["head"]["sha"] == made


@pytest.mark.parametrize("killed", ["before git", "after git"])
def test_a_merge_that_was_cut_short_is_whole_or_not_done(tmp_path: Path, killed: str) -> None:
    with LocalGitHub(tmp_path) as first:
        repository = first.create_repository("acme", "cut")
        number = first.open_pull_request(repository, {"a.txt": "a"})
        store = first.hub.store(first.hub.repository(repository))
        tip = store.refs()["refs/heads/main"]

        def begin(hub: Hub) -> str:
            """The first steps of a merge: its commit, and the intention written down."""
            pull = hub.repository(repository).issues[number].pull
            assert pull
            made = store.make_commit(f"{pull.head_sha}^{{tree}}", (tip,), "A change (#1)")
            pull.merging, pull.merged_by = made, "alice"
            return made

        made = first.do(begin)
    if killed == "after git":
        store.update("refs/heads/main", made, tip)
    with LocalGitHub(tmp_path, key=first.key) as second:
        bot = as_installation(second)
        pull = bot.get(f"/repos/{repository}/pulls/{number}").json()
        if killed == "after git":
            assert (pull["merged"], pull["merge_commit_sha"]) == (True, made)
            assert pull["merged_by"]["login"] == "alice"
        else:
            assert pull["merged"] is False
            assert second.person("alice").merge(repository, number, "squash")
        assert bot.get(f"/repos/{repository}/pulls/{number}/merge").status_code == 204
