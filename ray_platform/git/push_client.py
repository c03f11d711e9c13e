"""A commit made of given files on top of another, pushed as a branch: no work tree is used."""

import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from ray_platform.git.mirror_store import GitMirror
from ray_platform.git.remote_process import run_git
from ray_platform.text.errors import GitError

_FILE, _EXECUTABLE = "100644", "100755"


@dataclass(frozen=True)
class Author:
    """Who a commit is by."""

    name: str
    email: str


def push_branch(
    mirror: GitMirror,
    files: Mapping[str, bytes | None],
    *,
    branch: str,
    message: str,
    base: str,
    author: Author,
) -> str:
    """Make the branch hold one commit by us on top of ``base``; its commit.

    Safe to repeat: where the branch is that already, nothing is pushed. A branch of ours with another
    content is replaced, one that somebody else wrote to is not.

    Args:
        mirror: The repository.
        files: Path from the root -> content; None removes the file. A file that is executable stays so.
        branch: The branch's name.
        message: The commit's message.
        base: The commit that it stands on.
        author: Who the commit is by, the App's bot.

    Raises:
        GitError: a path leaves the repository, the base is not there, somebody else wrote to the branch,
            or the server refused.
    """
    for path in files:
        _check_path(path)
    if not mirror.has(base):
        mirror.fetch()
    tree = write_tree(mirror, files, base)
    with mirror.writing() as lock:
        reference = f"refs/heads/{branch}"
        run_git(mirror.folder, ["check-ref-format", reference])
        listed = mirror.talk(["ls-remote", mirror.url, reference], lock=lock, write=False)
        there = listed.split()[0] if listed.strip() else ""
        if there:
            mirror.receive([], [f"+{reference}:{reference}"], lock=lock)
            parents, same, writer = _describe(mirror.folder, there)
            if writer != author.email:
                raise GitError(
                    f"the branch {branch} has a commit by somebody else",
                    where=str(mirror.repository),
                    fix=f"merge or delete the branch {branch}; then a new one is made",
                )
            if (parents, same) == (base, tree):
                return there
        commit = write_commit(mirror, tree, base, message, author)
        # The lease: nobody moved the branch since we looked.
        lease = f"--force-with-lease={reference}:{there}"
        mirror.talk(
            ["push", "--quiet", lease, mirror.url, f"{commit}:{reference}"], lock=lock, write=True
        )
        run_git(mirror.folder, ["update-ref", reference, commit])
    return commit


def write_tree(mirror: GitMirror, files: Mapping[str, bytes | None], base: str) -> str:
    """The tree of ``base`` with some files changed; ``files`` as `push_branch` takes them.

    Raises:
        GitError: git failed.
    """
    with tempfile.TemporaryDirectory(prefix="index-") as folder:
        index = {"GIT_INDEX_FILE": str(Path(folder) / "index")}
        run_git(mirror.folder, ["read-tree", f"{base}^{{commit}}"], extra=index)
        entries = []
        for path, content in sorted(files.items()):
            if content is None:
                entries.append(f"0 {'0' * 40}\t{path}")
                continue
            blob = run_git(
                mirror.folder, ["hash-object", "-w", "--stdin", "--no-filters"], given=content
            ).strip()
            entries.append(f"{_mode(mirror, base, path)} {blob}\t{path}")
        run_git(
            mirror.folder,
            ["update-index", "-z", "--index-info"],
            given="".join(f"{entry}\0" for entry in entries).encode(),
            extra=index,
        )
        return run_git(mirror.folder, ["write-tree"], extra=index).strip()


def _mode(mirror: GitMirror, base: str, path: str) -> str:
    listed = run_git(mirror.folder, ["ls-tree", "-z", base, "--", f":(literal){path}"])
    return _EXECUTABLE if listed.startswith(_EXECUTABLE) else _FILE


def _describe(folder: Path, commit: str) -> tuple[str, str, str]:
    """(Its parents, its tree, its author's e-mail address)."""
    out = run_git(folder, ["log", "-1", "--format=%P%n%T%n%ae", commit, "--"])
    parents, tree, email = out.rstrip("\n").split("\n")
    return parents, tree, email


def write_commit(mirror: GitMirror, tree: str, base: str, message: str, author: Author) -> str:
    """A commit on ``base`` that no branch holds yet.

    Raises:
        GitError: git failed.
    """
    who = {
        f"GIT_{role}_{part}": value
        for role in ("AUTHOR", "COMMITTER")
        for part, value in (("NAME", author.name), ("EMAIL", author.email))
    }
    arguments = ["commit-tree", tree, "-p", base, "-F", "-"]
    return run_git(mirror.folder, arguments, given=message.encode(), extra=who).strip()


def _check_path(path: str) -> None:
    parts = PurePosixPath(path).parts
    if (
        not parts
        or path != "/".join(parts)
        or path.startswith("/")
        or any(part == ".." or part.lower() == ".git" for part in parts)
        or any(character in path for character in "\0\n\\")
    ):
        raise GitError(
            f"{path!r} is no path inside the repository",
            where="a file to commit",
            fix="give paths from the repository's root, without .. and .git",
        )
