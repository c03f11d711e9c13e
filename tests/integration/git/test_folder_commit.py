"""A folder of a branch brought to given files: one commit for a change, whoever is killed or pushes."""

import os
import shutil
import signal
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from ray_platform.git.folder_commit_client import Delivered, DeliveryFolder
from ray_platform.git.own_mirror_store import OwnMirror
from ray_platform.git.push_client import Author
from ray_platform.text.errors import GitError
from tests.support.gitops_world import git, make_remote

pytestmark = pytest.mark.real

BOT = Author("bot", "bot@example.com")
FILES = {"a.yaml": "a: 1\n", "deep/b.yaml": "b: é\n"}


@pytest.fixture
def remote(tmp_path: Path) -> Path:
    return make_remote(tmp_path / "git")


def folder_of(home: Path, remote: Path, path: str = "gitops/dev") -> DeliveryFolder:
    return DeliveryFolder(OwnMirror(home, f"file://{remote}"), "main", path)


def deliver(folder: DeliveryFolder, files: Mapping[str, str]) -> Delivered:
    return folder.deliver(files, message="Ours", author=lambda: BOT, check=lambda found: None)


def content(remote: Path, path: str = "gitops/dev") -> dict[str, str]:
    names = git(remote, "ls-tree", "-r", "--name-only", "main", "--", path).splitlines()
    return {
        name.removeprefix(f"{path}/"): git(remote, "show", f"main:{name}") + "\n" for name in names
    }


def test_files_come_and_go_by_one_commit_each_and_nothing_else_changes(
    remote: Path, tmp_path: Path
) -> None:
    folder = folder_of(tmp_path / "home", remote)
    first = deliver(folder, FILES)
    assert first.is_new and content(remote) == FILES
    assert not deliver(folder, FILES).is_new
    other = folder_of(tmp_path / "another home", remote)
    assert deliver(other, FILES) == Delivered(first.commit, first.tree, is_new=False)
    second = deliver(folder, {"a.yaml": "a: 2\n"})
    assert content(remote) == {"a.yaml": "a: 2\n"}
    assert git(remote, "rev-list", "--count", "main") == "3"
    assert git(remote, "show", "main:README.md") == "The cluster's manifests."
    assert [one.commit for one in other.history(20)] == [first.commit, second.commit]
    assert folder.holds(second.commit, second.tree)
    assert not folder.holds(first.commit, second.tree)


def test_killed_before_or_after_any_of_its_git_calls_a_repeat_leaves_one_commit(
    remote: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A git on the path counts its calls and kills its caller around the one that the round is about."""
    real = shutil.which("git")
    rounds, count = tmp_path / "round", tmp_path / "count"
    wrapper = tmp_path / "bin" / "git"
    wrapper.parent.mkdir()
    wrapper.write_text(
        f"""#!/bin/sh
echo x >> {count}
read at when < {rounds}
[ "$(wc -l < {count})" = "$at" ] || exec {real} "$@"
[ "$when" = before ] && kill -9 $PPID && exit 1
{real} "$@"
kill -9 $PPID
"""
    )
    wrapper.chmod(0o755)
    path = os.environ["PATH"]
    folder = folder_of(tmp_path / "home", remote)
    killed, commits = 0, 1
    for at in range(1, 100):
        for when in ("before", "after"):
            files = {**FILES, "round.yaml": f"{at} {when}\n"}
            rounds.write_text(f"{at} {when}\n")
            count.write_text("")
            monkeypatch.setenv("PATH", f"{wrapper.parent}:{path}")
            if (child := os.fork()) == 0:
                deliver(folder, files)
                os._exit(0)
            _, status = os.waitpid(child, 0)
            monkeypatch.setenv("PATH", path)
            killed += os.WIFSIGNALED(status) and os.WTERMSIG(status) == signal.SIGKILL
            deliver(folder, files)
            commits += 1
            assert git(remote, "rev-list", "--count", "main") == str(commits), (at, when)
            assert content(remote) == files
        if not os.WIFSIGNALED(status):
            break  # it makes fewer calls than that
    assert killed >= 20
    assert not git(folder.mirror.folder, "fsck", "--full", "--strict", "--no-dangling")


def test_two_environments_that_deliver_to_one_branch_at_once_both_come_through(
    remote: Path, tmp_path: Path
) -> None:
    folders = [
        folder_of(tmp_path / name, remote, f"gitops/{name}") for name in ("dev", "staging", "prod")
    ]
    with ThreadPoolExecutor(3) as pool:
        done = list(pool.map(lambda folder: deliver(folder, FILES), folders))
    assert all(one.is_new for one in done)
    assert git(remote, "rev-list", "--count", "main") == "4"
    assert all(content(remote, folder.path) == FILES for folder in folders)


def test_a_branch_that_moves_each_time_is_given_up_with_nothing_pushed(
    remote: Path, tmp_path: Path
) -> None:
    folder = folder_of(tmp_path / "home", remote)
    tree = git(remote, "rev-parse", "main^{tree}")

    def somebody_pushes(found: Mapping[str, bytes]) -> None:
        moved = git(remote, "commit-tree", tree, "-p", "main", "-m", "Bob's")
        git(remote, "update-ref", "refs/heads/main", moved)

    with pytest.raises(GitError, match="others pushed to main each of 5 times"):
        folder.deliver(FILES, message="Ours", author=lambda: BOT, check=somebody_pushes)
    assert set(git(remote, "log", "--format=%s", "main").splitlines()) == {"Bob's", "First"}


@pytest.mark.parametrize("path", ["README.md", "README.md/dev"])
def test_a_file_in_the_folders_place_is_told_and_kept(
    remote: Path, tmp_path: Path, path: str
) -> None:
    with pytest.raises(GitError, match=r"README\.md is a file"):
        deliver(folder_of(tmp_path / "home", remote, path), FILES)
    assert git(remote, "rev-list", "--count", "main") == "1"


def test_over_ssh_it_is_this_users_own_sign_in_and_name(
    remote: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An ssh that runs here what it is asked to run there."""
    ssh = tmp_path / "ssh"
    ssh.write_text('#!/bin/sh\nfor last; do :; done\nexec sh -c "$last"\n')
    ssh.chmod(0o755)
    settings = tmp_path / "gitconfig"
    settings.write_text("[user]\n  name = carol\n  email = carol@example.com\n")
    monkeypatch.setenv("GIT_SSH_COMMAND", str(ssh))
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", str(settings))
    mirror = OwnMirror(tmp_path / "home", f"git@git.example.com:{remote}")
    folder = DeliveryFolder(mirror, "main", "gitops/dev")
    folder.deliver(FILES, message="Ours", author=mirror.author, check=lambda found: None)
    assert content(remote) == FILES
    assert git(remote, "log", "-1", "--format=%an %ae", "main") == "carol carol@example.com"


@pytest.mark.parametrize(
    "url", ["http://git.example.com/infra.git", "ext::sh -c id", "git://example.com/infra.git"]
)
def test_no_other_way_to_a_server_is_taken(tmp_path: Path, url: str) -> None:
    folder = DeliveryFolder(OwnMirror(tmp_path, url), "main", "gitops/dev")
    with pytest.raises(GitError):
        deliver(folder, FILES)


def test_a_link_in_the_folder_is_seen_as_what_it_is(remote: Path, tmp_path: Path) -> None:
    clone = remote.with_name("clone")
    (clone / "gitops" / "dev").mkdir(parents=True)
    (clone / "gitops" / "dev" / "a.yaml").symlink_to("/etc/hostname")
    git(clone, "add", "--all")
    git(clone, "commit", "--quiet", "--message", "Link")
    git(clone, "push", "--quiet", "origin", "HEAD:main")
    seen: list[Mapping[str, bytes]] = []
    folder = folder_of(tmp_path / "home", remote)
    folder.deliver(FILES, message="Ours", author=lambda: BOT, check=seen.append)
    assert seen == [{"a.yaml": b"/etc/hostname"}]
    assert content(remote) == FILES
