"""The trees of commits below the home: unpacked once, whole or absent, gone when nobody uses them."""

import os
import time
from pathlib import Path

import pytest

from ray_platform.git import commit_tree_store
from ray_platform.git.commit_tree_store import KEPT_SECONDS, commit_tree
from ray_platform.git.git_client import Git
from ray_platform.text.errors import GitError
from tests.unit.git.test_git_pushes import Repository


@pytest.fixture
def repository(tmp_path: Path) -> Repository:
    return Repository(tmp_path / "repository")


@pytest.fixture
def git(repository: Repository) -> Git:
    return Git(repository.folder)


def age(tree: Path, seconds: float) -> None:
    os.utime(tree, (time.time() - seconds,) * 2)


def names(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


def test_a_tree_goes_when_nobody_used_it_for_long_and_comes_back_when_asked_for(
    repository: Repository, git: Git, tmp_path: Path
) -> None:
    folder = tmp_path / "checkouts"
    one, two, three = (repository.commit("a", text) for text in "123")
    for commit in (one, two):
        age(commit_tree(git, commit, folder), KEPT_SECONDS + 60)
    assert commit_tree(git, two, folder).is_dir()  # used: its time begins anew
    commit_tree(git, three, folder)
    assert names(folder) == {two, three}
    assert (commit_tree(git, one, folder) / "a").read_text(encoding="utf-8") == "1"


def test_nothing_is_looked_through_or_removed_when_a_tree_is_there(
    repository: Repository, git: Git, tmp_path: Path
) -> None:
    folder = tmp_path / "checkouts"
    one, two = (repository.commit("a", text) for text in "12")
    for commit in (one, two):
        commit_tree(git, commit, folder)
    age(folder / one, KEPT_SECONDS + 60)
    commit_tree(git, two, folder)
    assert names(folder) == {one, two}


def test_what_a_killed_process_left_goes_and_what_one_unpacks_now_stays(
    repository: Repository, git: Git, tmp_path: Path
) -> None:
    folder = tmp_path / "checkouts"
    commit = repository.commit("a", "1")
    for name in (".dead-x", ".unused-y", ".alive-z"):
        (folder / name / "tree").mkdir(parents=True)
    for name in (".dead-x", ".unused-y"):
        age(folder / name, KEPT_SECONDS + 60)
    commit_tree(git, commit, folder)
    assert names(folder) == {".alive-z", commit}


def test_a_tree_that_somebody_asks_for_while_it_is_removed_is_kept(
    repository: Repository, git: Git, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "checkouts"
    one, two = (repository.commit("a", text) for text in "12")
    tree = commit_tree(git, one, folder)
    age(tree, KEPT_SECONDS + 60)
    looked = commit_tree_store._is_unused

    def asked_for_right_after(entry: Path) -> bool:
        unused = looked(entry)
        if entry == tree:
            commit_tree(git, one, folder)
        return unused

    monkeypatch.setattr(commit_tree_store, "_is_unused", asked_for_right_after)
    commit_tree(git, two, folder)
    assert names(folder) == {one, two}
    assert (tree / "a").read_text(encoding="utf-8") == "1"


def test_a_commit_that_is_not_there_leaves_nothing(git: Git, tmp_path: Path) -> None:
    folder = tmp_path / "checkouts"
    with pytest.raises(GitError):
        commit_tree(git, "0" * 40, folder)
    assert names(folder) == set()
