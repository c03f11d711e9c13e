"""Git over HTTP to the local GitHub server, and what pushes, forks and merges do to pull requests."""

import base64
import http.client
import os
import subprocess
from dataclasses import dataclass
from pathlib import Path

import pytest
from ray_platform_sandbox.github.client.testing import LocalGitHub

from tests.support.github_callers import as_installation, as_person, token_of

pytestmark = pytest.mark.real


@dataclass(frozen=True)
class Clone:
    """A clone, and git in it."""

    folder: Path

    def __call__(self, *words: str, fails: bool = False) -> str:
        done = subprocess.run(
            ["git", "-c", "user.name=t", "-c", "user.email=t@example.invalid", *words],
            cwd=self.folder,
            capture_output=True,
            text=True,
            env={
                "PATH": os.environ["PATH"],
                "HOME": str(self.folder),
                "GIT_TERMINAL_PROMPT": "0",
                "NO_PROXY": "127.0.0.1",
            },
            check=False,
        )
        assert (done.returncode != 0) == fails, done.stderr
        return (done.stderr if fails else done.stdout).strip()

    def commit(self, name: str, text: str) -> str:
        (self.folder / name).write_text(text)
        self("add", name)
        self("commit", "--quiet", "-m", f"{name}: {text}")
        return self("rev-parse", "HEAD")


def clone(github: LocalGitHub, repository: str, token: str, folder: Path) -> Clone:
    folder.mkdir()
    Clone(folder)("clone", "--quiet", github.clone_url(repository, token), ".")
    return Clone(folder)


def test_a_push_moves_the_pull_request_and_its_refs(github: LocalGitHub, tmp_path: Path) -> None:
    repository = github.create_repository("acme", "pushed")
    number = github.open_pull_request(repository, {"a.txt": "one\n"}, branch="change")
    mine = clone(github, repository, token_of(github), tmp_path / "mine")
    mine("checkout", "--quiet", "change")
    before = as_installation(github).get(f"/repos/{repository}/pulls/{number}").json()
    github.clock.advance(5)
    head = mine.commit("a.txt", "two\n")
    mine("push", "--quiet", "origin", "change")
    assert github.calls.git["POST git-receive-pack"] == 1
    after = as_installation(github).get(f"/repos/{repository}/pulls/{number}").json()
    assert (after["head"]["sha"], after["commits"]) == (head, 2)
    assert after["updated_at"] > before["updated_at"]
    refs = mine("ls-remote", "origin", f"refs/pull/{number}/*")
    assert f"{head}\trefs/pull/{number}/head" in refs
    mine("fetch", "--quiet", "origin", f"refs/pull/{number}/merge")
    parents = mine("rev-list", "--parents", "-1", "FETCH_HEAD").split()[1:]
    assert parents == [mine("rev-parse", "origin/main"), head]
    # Those refs are the server's own.
    assert "deny updating a hidden ref" in mine(
        "push", "origin", f"HEAD:refs/pull/{number}/head", fails=True
    )


def test_a_push_to_the_base_renews_the_merge_ref_and_shows_a_conflict(
    github: LocalGitHub, tmp_path: Path
) -> None:
    repository = github.create_repository("acme", "moving")
    number = github.open_pull_request(repository, {"a.txt": "theirs\n"})
    mine = clone(github, repository, github.token("bob"), tmp_path / "mine")
    ref, at = f"refs/pull/{number}/merge", f"/repos/{repository}/pulls/{number}"
    first = mine("ls-remote", "origin", ref)
    base = mine.commit("b.txt", "b\n")
    mine("push", "--quiet", "origin", "main")
    assert mine("ls-remote", "origin", ref) != first
    mine("fetch", "--quiet", "origin", ref)
    assert mine("rev-parse", "FETCH_HEAD^1") == base
    mine.commit("a.txt", "ours\n")
    mine("push", "--quiet", "origin", "main")
    bob = as_person(github, "bob")
    pull = bob.get(at).json()
    assert (pull["mergeable"], pull["mergeable_state"]) == (False, "dirty")
    for method in ("merge", "squash", "rebase"):
        refused = bob("PUT", f"{at}/merge", {"merge_method": method})
        assert refused.status_code == 405, method
    assert mine("ls-remote", "origin", ref) == ""


@pytest.mark.parametrize(("method", "parents"), [("merge", 2), ("squash", 1), ("rebase", 1)])
def test_a_merge_is_a_real_one(
    github: LocalGitHub, tmp_path: Path, method: str, parents: int
) -> None:
    repository = github.create_repository("acme", f"merged-by-{method}")
    number = github.open_pull_request(repository, {"a.txt": "a\n"}, branch="change")
    head = github.push(repository, "change", {"b.txt": "b\n"}, "The second")
    github.push(repository, "main", {"c.txt": "c\n"}, "Meanwhile")
    bob, at = as_person(github, "bob"), f"/repos/{repository}/pulls/{number}"
    stale = bob("PUT", f"{at}/merge", {"sha": "0" * 40})
    assert (stale.status_code, stale.json()["message"].split(".")[0]) == (
        409,
        "Head branch was modified",
    )
    made = bob("PUT", f"{at}/merge", {"sha": head, "merge_method": method}).json()["sha"]
    mine = clone(github, repository, github.token("bob"), tmp_path / "mine")
    assert mine("rev-parse", "HEAD") == made
    assert {path.name for path in mine.folder.glob("*.txt")} == {"a.txt", "b.txt", "c.txt"}
    assert len(mine("rev-list", "--parents", "-1", "HEAD").split()) == 1 + parents
    commits = int(mine("rev-list", "--count", "--first-parent", "HEAD"))
    assert commits == {"merge": 3, "squash": 3, "rebase": 4}[method]
    pull = bob.get(at).json()
    assert (pull["merged"], pull["merge_commit_sha"], pull["merged_by"]["login"]) == (
        True,
        made,
        "bob",
    )


def test_commits_that_reach_the_base_by_git_count_as_merged(
    github: LocalGitHub, tmp_path: Path
) -> None:
    repository = github.create_repository("acme", "by-hand")
    number = github.open_pull_request(repository, {"a.txt": "a\n"}, branch="change")
    mine = clone(github, repository, github.token("bob"), tmp_path / "mine")
    mine("push", "--quiet", "origin", "origin/change:main")
    at = f"/repos/{repository}/pulls/{number}"
    assert as_person(github, "bob").get(at).json()["merged"] is True


def test_a_fork_opens_a_pull_request_and_follows_its_branch(
    github: LocalGitHub, tmp_path: Path
) -> None:
    repository = github.create_repository("acme", "forked")
    github.invite(repository, "mallory")
    mallory = github.person("mallory")
    fork = mallory.fork(repository)
    theirs = clone(github, fork, github.token("mallory"), tmp_path / "theirs")
    theirs("checkout", "--quiet", "-b", "evil")
    first = theirs.commit("a.txt", "a\n")
    theirs("push", "--quiet", "origin", "evil")
    number = mallory.open_pull_request(repository, "mallory:evil", "From a fork")
    at = f"/repos/{repository}/pulls/{number}"
    pull = as_installation(github).get(at).json()
    assert (pull["head"]["repo"]["full_name"], pull["head"]["sha"]) == (fork, first)
    assert pull["author_association"] == "COLLABORATOR"
    second = theirs.commit("a.txt", "b\n")
    theirs("push", "--quiet", "origin", "evil")
    assert as_installation(github).get(at).json()["head"]["sha"] == second
    # The base has the commits under its own ref, and mallory cannot write anything else there.
    mine = clone(github, repository, token_of(github), tmp_path / "mine")
    mine("fetch", "--quiet", "origin", f"refs/pull/{number}/head")
    assert mine("rev-parse", "FETCH_HEAD") == second
    theirs("remote", "add", "base", github.clone_url(repository, github.token("mallory")))
    assert "denied to mallory" in theirs("push", "base", "evil:main", fails=True)


def test_a_private_repository_is_closed_to_strangers(github: LocalGitHub, tmp_path: Path) -> None:
    private = github.create_repository("acme", "closed")
    public = github.create_repository("acme", "open", private=False)
    here = Clone(tmp_path)
    here("ls-remote", github.clone_url(public))
    assert "could not read Username" in here("ls-remote", github.clone_url(private), fails=True)
    stranger = github.clone_url(private, github.token("mallory"))
    assert "not found" in here("ls-remote", stranger, fails=True)
    reader = token_of(github, permissions={"contents": "read"})
    mine = clone(github, private, reader, tmp_path / "mine")
    mine.commit("a.txt", "a")
    assert "denied to ray-platform[bot]" in mine("push", "origin", "main", fails=True)
    ended = token_of(github)
    github.clock.advance(3600)
    assert "Authentication failed" in here(
        "ls-remote", github.clone_url(private, ended), fails=True
    )


@pytest.mark.parametrize(
    "path",
    [
        "/acme/../../state.json/info/refs",
        "/acme/%2e%2e%2f%2e%2e/info/refs",
        "/../../etc/passwd",
        "/acme/climb.git/../../../state.json",
        "/acme/climb.git/HEAD",
        "/acme/climb.git/config",
        "/acme/climb.git/objects/info/packs",
    ],
)
def test_no_path_leads_out_of_the_repositories(github: LocalGitHub, path: str) -> None:
    if github.hub.state.repository("acme", "climb") is None:
        github.create_repository("acme", "climb", private=False)
    basic = base64.b64encode(f"x:{github.token('alice')}".encode()).decode()
    # A client of its own: others tidy the path before they send it.
    asked = http.client.HTTPConnection("127.0.0.1", int(github.url.rpartition(":")[2]))
    query = "?service=git-upload-pack"
    asked.request("GET", path + query, headers={"Authorization": f"Basic {basic}"})
    answer = asked.getresponse()
    answer.read()
    asked.close()
    assert answer.status == 404


def test_a_repository_is_made_from_a_commit_of_another_one(
    github: LocalGitHub, tmp_path: Path
) -> None:
    source = Clone(tmp_path)
    source("init", "--quiet", "--initial-branch=trunk")
    first = source.commit("a.txt", "one")
    source.commit("a.txt", "two")
    repository = github.create_repository("acme", "imported", from_git=tmp_path, commit=first)
    branch = as_installation(github).get(f"/repos/{repository}/branches/main").json()
    assert branch["commit"]["sha"] == first
    # The same by an owner over HTTP, as the service does it; and once more.
    alice = github.person("alice")
    for _ in range(2):
        made = alice.create_repository("acme", "by-push", tmp_path, first, team="platform")
        found = as_installation(github).get(f"/repos/{made}/branches/main").json()
        assert found["commit"]["sha"] == first
