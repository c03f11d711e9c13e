"""The mirror of a watched repository, fetched and pushed to over HTTP with the App's token."""

import contextlib
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from ray_platform.config.repository import Repository
from ray_platform.git.mirror_store import GitMirror
from ray_platform.git.push_client import Author, push_branch
from ray_platform.text.errors import GitError
from tests.support.github_site import GitHubSite, Sites, running_github

pytestmark = pytest.mark.real

BOT = Author("ray-platform[bot]", "1+ray-platform[bot]@users.noreply.github.com")


@pytest.fixture(scope="module")
def sites() -> Iterator[Sites]:
    with running_github() as server:
        yield Sites(server)


@pytest.fixture
def session(sites: Sites) -> GitHubSite:
    return sites.new()


@pytest.fixture
def mirror(session: GitHubSite, tmp_path: Path) -> GitMirror:
    return session.mirror(tmp_path)


def git(folder: Path, *arguments: str) -> str:
    done = subprocess.run(
        ["git", "-C", str(folder), *arguments], capture_output=True, text=True, check=True
    )
    return done.stdout.strip()


def is_whole(mirror: GitMirror) -> bool:
    return not git(mirror.folder, "fsck", "--full", "--strict", "--no-dangling")


def test_branches_and_the_wanted_heads_come_and_gone_branches_go(
    session: GitHubSite, mirror: GitMirror
) -> None:
    wanted, other = session.pull_request(branch="one"), session.pull_request(branch="two")
    head = session.forge.pull_request(wanted).head
    found = mirror.fetch([wanted])
    assert (found.head("one"), mirror.pull_request_head(wanted)) == (head, head)
    assert found.head("two") and mirror.pull_request_head(other) is None
    alice = session.server.person("alice")
    alice.call("DELETE", f"/repos/{session.name}/git/refs/heads/two")
    main = session.server.push(session.name, "main", {"b.tf": "2"})
    mirror.fetch()
    assert (found.head("two"), found.head("main")) == (None, main)
    assert found.remote() == session.forge.git_url()


def test_the_head_of_a_fork_comes_from_the_repository_itself(
    session: GitHubSite, mirror: GitMirror
) -> None:
    mallory = session.server.person("mallory")
    session.server.do(lambda hub: setattr(hub.repository(session.name), "private", False))
    fork = mallory.fork(session.name)
    head = mallory.commit(fork, "evil", {"a.tf": "2"}, "Mine")
    number = mallory.open_pull_request(session.name, "mallory:evil", "Mine")
    found = mirror.fetch([number])
    assert mirror.pull_request_head(number) == head and found.has(head)
    assert found.head("evil") is None


def test_a_branch_that_was_pushed_over_is_followed(session: GitHubSite, mirror: GitMirror) -> None:
    session.pull_request(branch="one")
    first = mirror.fetch().head("one")
    alice = session.server.person("alice")
    at = f"/repos/{session.name}/git/refs/heads/one"
    main = mirror.git.head("main")
    alice.call("PATCH", at, {"sha": main, "force": True})
    assert mirror.fetch().head("one") == main != first


def test_the_token_is_in_no_argument_no_file_and_no_address(
    session: GitHubSite, mirror: GitMirror, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen = tmp_path / "arguments"
    wrapper = tmp_path / "bin" / "git"
    wrapper.parent.mkdir()
    wrapper.write_text(f'#!/bin/sh\necho "$@" >> {seen}\nexec {shutil.which("git")} "$@"\n')
    wrapper.chmod(0o755)
    monkeypatch.setenv("PATH", f"{wrapper.parent}:{os.environ['PATH']}")
    # What a curious operator's shell may hold: git would write its talk to this file.
    monkeypatch.setenv("GIT_TRACE_CURL", str(tmp_path / "trace"))
    monkeypatch.setenv("GIT_TRACE_REDACT", "0")
    base = mirror.fetch().head("main") or ""
    push_branch(mirror, {"a": b"1"}, branch="adopt/x", message="A", base=base, author=BOT)
    tokens = [str(session.forge.git_token(write=write)) for write in (False, True)]
    assert len(set(tokens)) == 2 and "fetch" in seen.read_text() and "push" in seen.read_text()
    for file in [*mirror.folder.rglob("*"), seen, tmp_path / "trace"]:
        if file.is_file():
            assert not any(token.encode() in file.read_bytes() for token in tokens), file


def test_a_refused_token_is_one_error_that_does_not_show_it(
    session: GitHubSite, tmp_path: Path
) -> None:
    token = "ghs_" + "a1B2" * 9
    wrong = GitMirror(
        tmp_path, session.repository, url=session.forge.git_url(), token=lambda _: token
    )
    with pytest.raises(GitError, match="git fetch failed") as refused:
        wrong.fetch()
    assert token not in str(refused.value) and "doctor --github" in refused.value.fix


@pytest.mark.parametrize(
    "url",
    [
        "http://github.example/acme/infra.git",
        "ssh://git@github.com/acme/infra.git",
        "file:///etc",
        "https://x-access-token:abc@github.com/acme/infra.git",
    ],
)
def test_a_token_is_sent_over_https_alone(url: str, tmp_path: Path) -> None:
    mirror = GitMirror(tmp_path, Repository("acme", "infra"), url=url, token=lambda _: "secret")
    with pytest.raises(GitError, match="https alone") as refused:
        mirror.fetch()
    assert "abc" not in str(refused.value)


def test_two_that_fetch_at_once_both_end_well(session: GitHubSite, mirror: GitMirror) -> None:
    numbers = [session.pull_request(branch=f"b{number}") for number in range(3)]
    failures: list[BaseException] = []

    def fetch() -> None:
        try:
            mirror.fetch(numbers)
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=fetch) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == [] and is_whole(mirror)
    assert all(mirror.pull_request_head(number) for number in numbers)


_FETCH = """
import sys
from pathlib import Path
from ray_platform.git.mirror_store import GitMirror
from ray_platform.config.repository import Repository
home, owner, name, url, token = sys.argv[1:]
GitMirror(Path(home), Repository(owner, name), url=url, token=lambda _: token).fetch()
"""


def git_below(parent: int) -> int:
    """The git fetch that a process runs, waited for."""
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline:
        for child in Path(f"/proc/{parent}/task/{parent}/children").read_text().split():
            with contextlib.suppress(FileNotFoundError):
                if b"fetch" in Path(f"/proc/{child}/cmdline").read_bytes():
                    return int(child)
    raise TimeoutError("no git fetch was started")


def test_a_fetch_that_was_killed_with_its_git_or_alone_leaves_a_good_mirror(
    session: GitHubSite, mirror: GitMirror, tmp_path: Path
) -> None:
    big = {f"file-{number}": os.urandom(40_000).hex() for number in range(3)}
    given = [session.repository.name, session.forge.git_url(), session.forge.git_token()]
    # No event tells how far a fetch is: three moments of it.
    for pause, git_too in ((0.0, True), (0.02, True), (0.01, False)):
        head = session.server.push(session.name, "main", {**big, "round": str(pause)})
        child = subprocess.Popen(
            [sys.executable, "-c", _FETCH, str(tmp_path), session.repository.owner, *given]
        )
        fetching = git_below(child.pid)
        time.sleep(pause)
        if git_too:
            with contextlib.suppress(ProcessLookupError):  # it was quicker
                os.killpg(fetching, signal.SIGKILL)
        child.kill()
        child.wait()
        assert mirror.fetch().head("main") == head
        assert is_whole(mirror)


def test_what_a_killed_git_left_half_written_is_removed(
    session: GitHubSite, mirror: GitMirror
) -> None:
    mirror.fetch()
    left = [
        mirror.folder / "packed-refs.lock",
        mirror.folder / "refs" / "heads" / "main.lock",
        mirror.folder / "objects" / "pack" / "tmp_pack_a1b2c3",
        mirror.folder.parent / f".{mirror.folder.name}-left",
    ]
    for path in left[:3]:
        path.write_bytes(b"half")
    left[3].mkdir()
    head = session.server.push(session.name, "main", {"b.tf": "2"})
    assert mirror.fetch().head("main") == head
    assert not [path for path in left if path.exists()]


# Pushing a branch of ours ------------------------------------------------------------------------


def push(mirror: GitMirror, files: dict[str, bytes | None], base: str) -> str:
    return push_branch(
        mirror, files, branch="adopt/dev", message="Adopt drift\n\nAs found.", base=base, author=BOT
    )


def test_a_branch_holds_the_files_on_its_base_and_nothing_else_changed(
    session: GitHubSite, mirror: GitMirror
) -> None:
    base = session.server.push(session.name, "main", {"a.tf": "1", "b.tf": "2", "gone.tf": "3"})
    commit = push(mirror, {"a.tf": b"one", "new/c.tf": b"three", "gone.tf": None}, base)
    alice = session.server.person("alice")
    there = alice.call("GET", f"/repos/{session.name}/git/ref/heads/adopt/dev")["object"]["sha"]
    assert there == commit == mirror.git.head("adopt/dev")
    files = {
        name: git(mirror.folder, "show", f"{commit}:{name}")
        for name in git(mirror.folder, "ls-tree", "-r", "--name-only", commit).splitlines()
    }
    assert files == {"a.tf": "one", "b.tf": "2", "new/c.tf": "three"}
    assert git(mirror.folder, "log", "-1", "--format=%an %ae %P %s", commit) == (
        f"{BOT.name} {BOT.email} {base} Adopt drift"
    )


def test_pushing_the_same_again_changes_nothing_and_other_content_replaces_it(
    session: GitHubSite, mirror: GitMirror
) -> None:
    base = mirror.fetch().head("main") or ""
    first = push(mirror, {"a.tf": b"1"}, base)
    assert push(mirror, {"a.tf": b"1"}, base) == first
    second = push(mirror, {"a.tf": b"2"}, base)
    assert mirror.fetch().head("adopt/dev") == second != first
    assert git(mirror.folder, "rev-parse", f"{second}^") == base


def test_what_a_person_added_to_the_branch_is_never_pushed_over(
    session: GitHubSite, mirror: GitMirror
) -> None:
    base = mirror.fetch().head("main") or ""
    push(mirror, {"a.tf": b"1"}, base)
    theirs = session.server.push(session.name, "adopt/dev", {"b.tf": "2"}, "Mine", by="alice")
    with pytest.raises(GitError, match="a commit by somebody else"):
        push(mirror, {"a.tf": b"2"}, base)
    assert mirror.fetch().head("adopt/dev") == theirs


@pytest.mark.parametrize(
    "path", ["../a", "/etc/passwd", ".git/config", "a/.GIT/x", "a//b", "a\nb", ""]
)
def test_a_path_that_leaves_the_repository_is_refused(path: str, tmp_path: Path) -> None:
    mirror = GitMirror(
        tmp_path, Repository("acme", "infra"), url="https://github.com/a/b.git", token=lambda _: ""
    )
    with pytest.raises(GitError, match="no path inside the repository"):
        push(mirror, {path: b"1"}, "0" * 40)
