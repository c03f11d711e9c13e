"""One folder of a branch brought to given files by one commit, and what became of that commit.

The commit stands on the branch as it is and is pushed only while the branch is there: whoever moved it
meanwhile is built upon, nobody's commit is lost. Nothing but the folder changes. The same files make no
commit, so a process that was killed at any point is repeated safely.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import PurePosixPath

from ray_platform.git.mirror_store import GitMirror
from ray_platform.git.push_client import Author, write_commit, write_tree
from ray_platform.git.remote_process import run_git, run_git_bytes
from ray_platform.text.errors import GitError

#: How often a branch that others push to is built upon anew.
TRIES = 5
_BLOB = "blob"


@dataclass(frozen=True)
class Delivered:
    """The commit that holds the files; ``is_new``: this call made it. ``tree`` names the folder's content.

    Of files that were there already it is the last commit that changed the folder.
    """

    commit: str
    tree: str
    is_new: bool


@dataclass(frozen=True)
class FolderCommit:
    """A commit that changed the folder; ``at`` is ISO 8601."""

    commit: str
    at: str
    subject: str


class DeliveryFolder:
    """A folder of one branch.

    Args:
        mirror: The repository.
        branch: The branch's name.
        path: The folder, from the repository's root.
    """

    def __init__(self, mirror: GitMirror, branch: str, path: str) -> None:
        self.mirror = mirror
        self.branch = branch
        self.path = path
        self._reference = f"refs/heads/{branch}"

    def deliver(
        self,
        files: Mapping[str, str],
        *,
        message: str,
        author: Callable[[], Author],
        check: Callable[[Mapping[str, bytes]], None],
    ) -> Delivered:
        """Make the folder hold the files and nothing else.

        Args:
            files: Path in the folder -> content.
            message: The commit's.
            author: Gives who it is by; asked only where a commit is made.
            check: Sees what the folder holds now, path -> content, and raises where it must stay, or
                nothing may be changed now. Asked again on each new base, right before the push.

        Raises:
            GitError: the branch is not there, the push is refused, or the server does not answer.
        """
        for _ in range(TRIES):
            with self.mirror.writing() as lock:
                base = self._fetched(lock)
                found = self._content(base)
                wanted = {path: text.encode() for path, text in files.items()}
                check(found)
                if found == wanted:
                    return Delivered(self._last_change(base), self._tree(base), is_new=False)
                changes: dict[str, bytes | None] = {
                    f"{self.path}/{path}": wanted.get(path)
                    for path in {*found, *wanted}
                    if found.get(path) != wanted.get(path)
                }
                tree = write_tree(self.mirror, changes, base)
                self._require_nothing_else_changed(base, tree)
                commit = write_commit(self.mirror, tree, base, message, author())
                if self._pushed(commit, base, lock):
                    return Delivered(commit, self._tree(commit), is_new=True)
        raise GitError(
            f"others pushed to {self.branch} each of {TRIES} times that we were about to",
            where=self._where,
            fix="try again; nothing was pushed",
        )

    def head(self) -> str:
        """The branch's commit as the server says now, fetched.

        Raises:
            GitError: the branch is not there, or the server does not answer.
        """
        with self.mirror.writing() as lock:
            return self._fetched(lock)

    def holds(self, commit: str, tree: str) -> bool:
        """Whether the folder has this content in a commit that was fetched."""
        return self.mirror.has(commit) and self._tree(commit) == tree

    def is_ancestor(self, older: str, newer: str) -> bool:
        """Whether ``newer`` stands on ``older``, or is it; both as they were fetched."""
        return all(self.mirror.has(commit) for commit in (older, newer)) and (
            self.mirror.git.is_ancestor(older, newer)
        )

    def history(self, most: int) -> tuple[FolderCommit, ...]:
        """The commits that changed the folder, the oldest first, ``most`` at most.

        Raises:
            GitError: as `head`.
        """
        head = self.head()
        listed = run_git(
            self.mirror.folder,
            ["log", f"-{most}", "--format=%H%x09%cI%x09%s", head, "--", self._literal],
        )
        rows = [line.split("\t", 2) for line in listed.splitlines()]
        return tuple(FolderCommit(*row) for row in reversed(rows))

    @property
    def _where(self) -> str:
        return f"{self.mirror.url}, branch {self.branch}"

    @property
    def _literal(self) -> str:
        return f":(literal){self.path}"

    def _fetched(self, lock: int) -> str:
        reference = self._reference
        run_git(self.mirror.folder, ["check-ref-format", reference])
        listed = self.mirror.talk(["ls-remote", self.mirror.url, reference], lock=lock, write=False)
        if not listed.strip():
            raise GitError(
                f"there is no branch {self.branch}",
                where=self.mirror.url,
                fix=f"set gitops.revision to a branch, or make this one: `git push origin HEAD:{reference}`",
            )
        head = listed.split()[0]
        # The name comes after all objects: a fetch that was cut short left none.
        if self.mirror.git.head(self.branch) != head:
            self.mirror.receive([], [f"+{reference}:{reference}"], lock=lock)
        return head

    def _content(self, commit: str) -> dict[str, bytes]:
        """Path in the folder -> content; of what is no file (a link, a module) its target or nothing."""
        for above in (PurePosixPath(self.path), *PurePosixPath(self.path).parents):
            if str(above) != "." and self._kind(commit, str(above)) == _BLOB:
                raise GitError(
                    f"{above} is a file, and the export's folder is to be there",
                    where=self._where,
                    fix="set gitops.path to another folder, or take the file away",
                )
        listed = run_git(self.mirror.folder, ["ls-tree", "-r", "-z", commit, "--", self.path])
        names = {}
        for entry in filter(None, listed.split("\0")):
            kind, path = entry.split("\t", 1)
            _mode, of, name = kind.split(" ")
            names[path.removeprefix(f"{self.path}/")] = name if of == _BLOB else ""
        contents = self._blobs(sorted({*names.values()} - {""}))
        return {path: contents.get(name, b"") for path, name in names.items()}

    def _blobs(self, names: list[str]) -> dict[str, bytes]:
        """Name -> content."""
        given = "".join(f"{name}\n" for name in names).encode()
        told = run_git_bytes(self.mirror.folder, ["cat-file", "--batch"], given=given)
        found = {}
        for name in names:
            head, told = told.split(b"\n", 1)  # NAME blob SIZE
            size = int(head.split(b" ")[2])
            found[name], told = told[:size], told[size + 1 :]
        return found

    def _kind(self, commit: str, path: str) -> str:
        listed = run_git(self.mirror.folder, ["ls-tree", "-z", commit, "--", path])
        return listed.split("\t")[0].split(" ")[1] if listed else ""

    def _tree(self, commit: str) -> str:
        listed = run_git(self.mirror.folder, ["ls-tree", "-d", "-z", commit, "--", self.path])
        return listed.split("\t")[0].split(" ")[2] if listed else ""

    def _last_change(self, head: str) -> str:
        found = run_git(self.mirror.folder, ["log", "-1", "--format=%H", head, "--", self._literal])
        return found.strip() or head

    def _require_nothing_else_changed(self, base: str, tree: str) -> None:
        changed = run_git(
            self.mirror.folder, ["diff", "--name-only", "--no-renames", "-z", base, tree, "--"]
        )
        outside = [
            path
            for path in filter(None, changed.split("\0"))
            if not path.startswith(f"{self.path}/")
        ]
        if outside:
            raise GitError(
                f"the commit would change {outside[0]}, which is not in {self.path}",
                where=self._where,
                fix="set gitops.path to a folder that holds nothing else",
            )

    def _pushed(self, commit: str, base: str, lock: int) -> bool:
        """Whether the branch is the commit now; not: somebody else moved it meanwhile."""
        # Nobody moved the branch since we looked; the commit stands on that, so that nothing is lost.
        lease = f"--force-with-lease={self._reference}:{base}"
        pushed = f"{commit}:{self._reference}"
        try:
            self.mirror.talk(
                ["push", "--quiet", lease, self.mirror.url, pushed], lock=lock, write=True
            )
        except GitError as error:
            head = self._fetched(lock)
            if head == commit:
                return True  # it was pushed, only the answer was lost
            if head != base:
                return False
            raise GitError(
                f"the export could not be pushed: {error.what}",
                where=self._where,
                fix="let this identity push there: write access to the repository, and an exception in "
                "the branch's protection; or set gitops.revision to a branch of its own",
            ) from error
        run_git(self.mirror.folder, ["update-ref", self._reference, commit])
        return True
