"""The tree that is planned is the tree in Git, byte for byte, whatever the commit's own attributes say."""

import os
import subprocess
from pathlib import Path

import pytest

from ray_platform.git import tree_process
from ray_platform.git.git_client import Git
from ray_platform.text.errors import GitError


class Repository:
    def __init__(self, folder: Path, *, kind: str = "sha1") -> None:
        self.folder = folder
        folder.mkdir()
        self.git("init", "-q", "-b", "main", f"--object-format={kind}")

    def git(self, *arguments: str, text: str = "") -> str:
        identity = ["-c", "user.name=t", "-c", "user.email=t@example.invalid"]
        done = subprocess.run(
            ["git", *identity, "-C", str(self.folder), *arguments],
            input=text,
            capture_output=True,
            text=True,
            check=True,
        )
        return done.stdout.strip()

    def commit(self, message: str = "A change") -> str:
        self.git("add", "-A")
        self.git("commit", "-qm", message)
        return self.git("rev-parse", "HEAD")

    def commit_of(self, *rows: str) -> str:
        """A commit of a tree that ordinary commands do not make: rows of ``git mktree``."""
        tree = self.git("mktree", "--missing", text="".join(f"{row}\n" for row in rows))
        return self.git("commit-tree", "-m", "odd", tree)

    def blob(self, content: str) -> str:
        return self.git("hash-object", "-w", "--stdin", text=content)


@pytest.fixture
def repository(tmp_path: Path) -> Repository:
    return Repository(tmp_path / "repository")


def checkout(repository: Repository, commit: str, folder: Path) -> Path:
    return Git(repository.folder).checkout(commit, folder / "trees" / commit)


def test_attributes_neither_leave_files_out_nor_change_them(
    repository: Repository, tmp_path: Path
) -> None:
    (repository.folder / ".gitattributes").write_text(
        "policies/* export-ignore\n*.tf export-subst eol=crlf ident working-tree-encoding=UTF-16\n"
    )
    (repository.folder / "policies").mkdir()
    (repository.folder / "policies" / "a.rego").write_text("deny")
    content = "$Format:%B$ $Id$\n"
    blob = repository.blob(content)
    commit = repository.commit('provider "evil" {}')
    repository.git("update-index", "--add", "--cacheinfo", f"100644,{blob},main.tf")
    repository.git("commit", "-qm", "provider evil")
    commit = repository.git("rev-parse", "HEAD")
    tree = checkout(repository, commit, tmp_path)
    assert (tree / "policies" / "a.rego").read_text() == "deny"
    assert (tree / "main.tf").read_bytes() == content.encode()


@pytest.mark.parametrize("kind", ["sha1", "sha256"])
def test_modes_links_odd_names_and_submodules_are_as_in_the_commit(
    kind: str, tmp_path: Path
) -> None:
    repository = Repository(tmp_path / "repository", kind=kind)
    (repository.folder / "run").write_text("#!/bin/sh\n")
    (repository.folder / "run").chmod(0o755)
    (repository.folder / "a.b").mkdir()
    (repository.folder / "a.b" / "x y\n\u00fc").write_bytes(b"\0\xff")
    (repository.folder / "a").write_text("")
    (repository.folder / "link").symlink_to("a.b/x")
    repository.commit()
    inner = repository.git("rev-parse", "HEAD")
    repository.git("update-index", "--add", "--cacheinfo", f"160000,{inner},modules/other")
    repository.git("commit", "-qm", "a submodule")
    commit = repository.git("rev-parse", "HEAD")
    tree = checkout(repository, commit, tmp_path)
    assert os.access(tree / "run", os.X_OK) and not os.access(tree / "a", os.X_OK)
    assert (tree / "a.b" / "x y\n\u00fc").read_bytes() == b"\0\xff"
    assert (tree / "link").readlink() == Path("a.b/x")
    assert list((tree / "modules" / "other").iterdir()) == []
    assert tree.stat().st_mode & 0o077 == 0


def test_a_replaced_object_is_not_read(repository: Repository, tmp_path: Path) -> None:
    (repository.folder / "main.tf").write_text("good\n")
    commit = repository.commit()
    good = repository.git("rev-parse", "HEAD:main.tf")
    repository.git("replace", good, repository.blob("evil\n"))
    assert (checkout(repository, commit, tmp_path) / "main.tf").read_text() == "good\n"


@pytest.mark.parametrize("target", ["/etc/passwd", "../../outside", "sub/../../out", "loop/../.."])
def test_a_link_that_leads_out_is_refused_and_nothing_is_left(
    repository: Repository, tmp_path: Path, target: str
) -> None:
    (repository.folder / "sub").mkdir()
    (repository.folder / "sub" / "x").write_text("")
    (repository.folder / "loop").symlink_to("sub")
    (repository.folder / "link").symlink_to(target)
    commit = repository.commit()
    if target == "loop/../..":
        (repository.folder / "link").unlink()
    with pytest.raises(GitError, match="leads out of its own tree: link"):
        checkout(repository, commit, tmp_path)
    assert list((tmp_path / "trees").iterdir()) == []


@pytest.mark.parametrize("name", [".git", ".GIT", "..", "."])
def test_a_path_that_git_itself_would_not_write_is_refused(
    repository: Repository, tmp_path: Path, name: str
) -> None:
    inner = repository.git("mktree", text=f"100644 blob {repository.blob('x')}\tconfig\n")
    commit = repository.commit_of(f"040000 tree {inner}\t{name}")
    with pytest.raises(GitError, match="a path that is not written"):
        checkout(repository, commit, tmp_path)
    assert list((tmp_path / "trees").iterdir()) == []


def test_a_file_through_a_link_of_the_same_name_is_refused(
    repository: Repository, tmp_path: Path
) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    link = repository.blob(str(outside))
    inner = repository.git("mktree", text=f"100644 blob {repository.blob('x')}\tplanted\n")
    commit = repository.commit_of(f"120000 blob {link}\ta", f"040000 tree {inner}\ta")
    with pytest.raises(GitError):
        checkout(repository, commit, tmp_path)
    assert list(outside.iterdir()) == []


def test_what_is_written_and_is_not_the_commit_is_refused(
    repository: Repository, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (repository.folder / "main.tf").write_text("good\n")
    commit = repository.commit()
    real = tree_process._write

    def other(file: Path, mode: str, content: bytes) -> None:
        real(file, mode, content.replace(b"good", b"evil"))

    monkeypatch.setattr(tree_process, "_write", other)
    with pytest.raises(GitError, match="not what the commit says"):
        checkout(repository, commit, tmp_path)
    assert list((tmp_path / "trees").iterdir()) == []
