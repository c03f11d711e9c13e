"""Git: the commits of a local repository, through the git program."""

import shutil
import subprocess
import tempfile
from pathlib import Path

from ray_platform.config.settings import NOT_FOR_GIT, child_environment
from ray_platform.git.revision import Revision
from ray_platform.git.tree_process import write_tree
from ray_platform.text.canonical import digest_files
from ray_platform.text.errors import GitError
from ray_platform.text.redaction import redact_text

_TIMEOUT_SECONDS = 120


class Git:
    """One repository, by its path."""

    def __init__(self, repository: Path) -> None:
        self.repository = repository

    def head(self, branch: str = "") -> str | None:
        """The commit that a branch points at (or that is checked out), or None when it does not exist."""
        name = f"refs/heads/{branch}" if branch else "HEAD"
        found = self._run("rev-parse", "--verify", "--quiet", f"{name}^{{commit}}", check=False)
        return found.stdout.strip() or None

    def current_branch(self) -> str:
        """The branch that is checked out; empty when none is."""
        return self._run("symbolic-ref", "--quiet", "--short", "HEAD", check=False).stdout.strip()

    def subject(self, commit: str) -> str:
        """The first line of a commit's message, secrets masked: it is shown and stored."""
        return redact_text(self._run("log", "-1", "--format=%s", commit, "--").stdout.strip())

    def remote(self) -> str:
        """The URL of ``origin`` without credentials, or the repository folder's name."""
        url = self._run("config", "--get", "remote.origin.url", check=False).stdout.strip()
        if "://" in url:
            scheme, rest = url.split("://", 1)
            return f"{scheme}://{rest.split('@')[-1]}"
        return url or self.repository.name

    def has(self, commit: str) -> bool:
        """Whether the repository still holds a commit (a force push may have dropped it)."""
        found = self._run("cat-file", "-e", f"{commit}^{{commit}}", check=False)
        return found.returncode == 0

    def is_ancestor(self, older: str, newer: str) -> bool:
        return self._run("merge-base", "--is-ancestor", older, newer, check=False).returncode == 0

    def text(self, commit: str, path: str) -> str:
        """The content of a file in a commit.

        Raises:
            GitError: it is not there.
        """
        return self._run("cat-file", "blob", f"{commit}:{path}").stdout

    def merge_base(self, one: str, other: str) -> str:
        """The commit that two commits last had in common; ``one`` where they never had any."""
        found = self._run("merge-base", one, other, check=False)
        return found.stdout.strip() or one

    def count_lacking(self, commit: str, base: str) -> int:
        """How many commits of ``base`` ``commit`` does not have."""
        return int(self._run("rev-list", "--count", f"{commit}..{base}", "--").stdout)

    def changed_paths(self, before: str, after: str) -> tuple[str, ...]:
        """The paths in which two commits' trees differ; a renamed file counts by both names."""
        out = self._run("diff", "--name-only", "--no-renames", "-z", before, after, "--").stdout
        return tuple(path for path in out.split("\0") if path)

    def commits_between(self, before: str, after: str) -> tuple[tuple[str, str], ...]:
        """(commit, subject) of what ``after`` has and ``before`` has not, oldest first."""
        out = self._run("log", "--reverse", "--format=%H %s", f"{before}..{after}", "--").stdout
        return tuple(
            (line.split(" ", 1)[0], redact_text(line.split(" ", 1)[1]) if " " in line else "")
            for line in out.splitlines()
        )

    def commits_apart(
        self, one: str, other: str
    ) -> tuple[tuple[tuple[str, str], ...], tuple[tuple[str, str], ...]]:
        """(commit, subject) of what ``other`` has and ``one`` has not, and the reverse, oldest first.

        Raises:
            GitError: the repository does not have both.
        """
        out = self._run(
            "log", "--reverse", "--left-right", "--format=%m%H %s", f"{one}...{other}", "--"
        ).stdout
        sides: dict[str, list[tuple[str, str]]] = {">": [], "<": []}
        for line in out.splitlines():
            commit, _, subject = line[1:].partition(" ")
            sides[line[0]].append((commit, redact_text(subject)))
        return tuple(sides[">"]), tuple(sides["<"])

    def revision(self) -> Revision:
        """What is checked out, with a digest of what differs from its commit.

        Raises:
            GitError: no repository, or one without a commit.
        """
        commit = self.head()
        if commit is None:
            raise GitError(
                "the repository has no commit yet",
                where=str(self.repository),
                fix="commit something: every infra version names its commit",
            )
        listed = self._run("status", "--porcelain", "-z", "--no-renames", "-uall").stdout
        changed = sorted(entry[3:] for entry in listed.split("\0") if entry)
        return Revision(
            commit=commit,
            branch=redact_text(self.current_branch()),
            subject=self.subject(commit),
            changes_digest=digest_files(self._contents(changed)) if changed else "",
        )

    def checkout(self, commit: str, folder: Path) -> Path:
        """Put the tree of a commit into ``folder`` and return it; done once, safe to repeat.

        The tree is written beside and renamed, so that ``folder`` is whole or absent: each blob as it is in
        Git, whatever the commit's own ``.gitattributes`` say.
        """
        if folder.is_dir():
            return folder
        folder.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        beside = Path(tempfile.mkdtemp(prefix=f".{folder.name}-", dir=folder.parent))
        try:
            tree = beside / "tree"
            write_tree(self.repository, commit, tree, child_environment(without=NOT_FOR_GIT))
            try:
                tree.rename(folder)
            except OSError:
                if not folder.is_dir():  # another process was not faster: a real failure
                    raise
        finally:
            shutil.rmtree(beside, ignore_errors=True)
        return folder

    def _contents(self, paths: list[str]) -> list[tuple[str, bytes]]:
        files = []
        for path in paths:
            full = self.repository / path
            if full.is_symlink():
                files.append((path, b"link " + str(full.readlink()).encode()))
            else:
                files.append((path, full.read_bytes() if full.is_file() else b""))
        return files

    def _run(self, *arguments: str, check: bool = True) -> subprocess.CompletedProcess[str]:
        try:
            done = subprocess.run(
                ["git", "-C", str(self.repository), *arguments],
                capture_output=True,
                text=True,
                timeout=_TIMEOUT_SECONDS,
                env=child_environment(without=NOT_FOR_GIT),
                check=False,
            )
        except FileNotFoundError as error:
            raise GitError("git is not installed", fix="install git") from error
        except subprocess.TimeoutExpired as error:
            raise GitError(
                f"git {arguments[0]} did not end within {_TIMEOUT_SECONDS} s",
                where=str(self.repository),
                fix="see whether another git process holds the repository",
            ) from error
        missing = "not a git repository" in done.stderr or "cannot change to" in done.stderr
        if missing or (check and done.returncode != 0):
            raise GitError(
                f"git {arguments[0]} failed: {done.stderr.strip().splitlines()[-1:]}",
                where=str(self.repository),
                fix="name a Git repository with RAY_PLATFORM_REPOSITORY" if missing else "",
            )
        return done
