"""One bare repository: its refs, objects and merges, without a work tree.

Commits that the server makes carry the time that they are given, so that the same calls make the same
commits.
"""

import re
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path

from ray_platform_sandbox.github.git import history
from ray_platform_sandbox.github.git.history import Commit, FileChange, Person
from ray_platform_sandbox.github.git.program import GitStoreError, call_git, run_git

EMPTY_TREE = "4b825dc642cb6eb9a060e54bf8d69288fbee4904"
NOTHING = "0" * 40
_SHA = re.compile(r"[0-9a-f]{40}")


class GitStore:
    """A bare repository at ``path``."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def create(self, default_branch: str) -> None:
        run_git(None, "init", "--quiet", "--bare", f"--initial-branch={default_branch}", self.path)
        for name, value in (
            ("http.receivepack", "true"),
            # Only the server writes these.
            ("receive.hideRefs", "refs/pull"),
            # A checkout of little depth can be pushed, too.
            ("receive.shallowUpdate", "true"),
            ("uploadpack.allowAnySHA1InWant", "true"),
            ("core.logAllRefUpdates", "false"),
            ("gc.auto", "0"),
        ):
            self._run("config", name, value)

    def refs(self) -> dict[str, str]:
        """Branches and tags by their full names."""
        out = self._run(
            "for-each-ref", "--format=%(refname) %(objectname)", "refs/heads", "refs/tags"
        )
        return {name: sha for name, sha in (line.split(" ") for line in out.splitlines())}

    def resolve(self, name: str) -> str | None:
        """The commit of a branch, a tag, a full ref or a (shortened) commit id."""
        if _SHA.fullmatch(name):
            return name if self.has(name) else None
        if name.startswith("-") or any(part in name for part in ("..", "@{", "^", "~", ":", " ")):
            return None
        tries = [f"refs/heads/{name}", f"refs/tags/{name}", name if "/" in name else f"refs/{name}"]
        tries += [f"refs/{name}"] if name.startswith(("heads/", "tags/", "pull/")) else []
        tries += [name] if re.fullmatch(r"[0-9a-f]{7,40}", name) else []
        for one in tries:
            done = self._ask("rev-parse", "--verify", "--quiet", f"{one}^{{commit}}")
            if done.returncode == 0:
                return done.stdout.strip()
        return None

    def has(self, sha: str) -> bool:
        return self._ask("cat-file", "-e", f"{sha}^{{commit}}").returncode == 0

    def commit(self, sha: str) -> Commit:
        return history.commits(str(self.path), ("-1", sha))[0]

    def commits(self, base: str, head: str) -> tuple[Commit, ...]:
        """What ``head`` has and ``base`` has not, oldest first."""
        return history.commits(str(self.path), ("--reverse", "--topo-order", head, f"^{base}"))

    def merge_base(self, one: str, other: str) -> str | None:
        return history.merge_base(str(self.path), one, other)

    def is_ancestor(self, older: str, newer: str) -> bool:
        return older == newer or self.merge_base(older, newer) == older

    def changes(self, before: str, after: str) -> tuple[FileChange, ...]:
        """The files that differ between two commits or trees."""
        return history.changes(str(self.path), before, after)

    def diff(self, before: str, after: str) -> str:
        return self._run("diff", "--no-color", "-M", before, after)

    def merge(self, ours: str, theirs: str) -> str | None:
        """The tree of both merged, or None where they conflict."""
        done = self._ask("merge-tree", "--write-tree", "--no-messages", ours, theirs)
        if done.returncode > 1:
            raise GitStoreError(done.stderr.strip())
        return done.stdout.split("\n")[0] if done.returncode == 0 else None

    def pick(self, commit: Commit, onto: str) -> str | None:
        """The tree of ``onto`` with one commit's change, or None where they conflict."""
        parent = commit.parents[0] if commit.parents else EMPTY_TREE
        # merge-tree finds its base by ancestry: three commits of the moment give it the parent's tree.
        base = self.make_commit(f"{parent}^{{tree}}" if commit.parents else parent, (), "base")
        ours = self.make_commit(f"{onto}^{{tree}}", (base,), "ours")
        theirs = self.make_commit(commit.tree, (base,), "theirs")
        return self.merge(ours, theirs)

    def make_commit(
        self,
        tree: str,
        parents: Sequence[str],
        message: str,
        *,
        author: Person | None = None,
        authored: str = "2000-01-01T00:00:00Z",
        committer: Person | None = None,
        committed: str = "2000-01-01T00:00:00Z",
    ) -> str:
        """A commit of a tree; it hangs on no ref yet."""
        nobody = Person("nobody", "nobody@example.invalid")
        named = {
            "GIT_AUTHOR_NAME": (author or nobody).name,
            "GIT_AUTHOR_EMAIL": (author or nobody).email,
            "GIT_AUTHOR_DATE": authored,
            "GIT_COMMITTER_NAME": (committer or nobody).name,
            "GIT_COMMITTER_EMAIL": (committer or nobody).email,
            "GIT_COMMITTER_DATE": committed,
        }
        onto = [word for parent in parents for word in ("-p", parent)]
        return self._run("commit-tree", tree, *onto, "-F", "-", stdin=message, env=named).strip()

    def make_tree(self, base: str | None, entries: Sequence[tuple[str, str, str | None]]) -> str:
        """A tree: ``base`` with entries (mode, path, blob) laid over; blob None removes the path."""
        index = self.path / "index.new"
        index.unlink(missing_ok=True)
        env = {"GIT_INDEX_FILE": str(index)}
        try:
            if base:
                self._run("read-tree", base, env=env)
            lines = "".join(
                f"{mode} {blob}\t{path}\0" if blob else f"0 {NOTHING}\t{path}\0"
                for mode, path, blob in entries
            )
            self._run("update-index", "-z", "--index-info", stdin=lines, env=env)
            return self._run("write-tree", env=env).strip()
        finally:
            index.unlink(missing_ok=True)

    def make_blob(self, content: str) -> str:
        return self._run("hash-object", "-w", "--stdin", stdin=content).strip()

    def kind(self, sha: str) -> str | None:
        """blob, tree, commit or tag; None where there is no such object."""
        done = self._ask("cat-file", "-t", sha)
        return done.stdout.strip() if done.returncode == 0 else None

    def update(self, ref: str, new: str | None, old: str | None = None) -> bool:
        """Point a ref at a commit, or delete it; False where it no longer is at ``old``."""
        words = ["-d", ref] if new is None else [ref, new]
        return self._ask("update-ref", *words, *([old] if old else [])).returncode == 0

    def fetch(self, other: "GitStore", sha: str, ref: str) -> None:
        """Bring a commit of another repository here, under ``ref``."""
        self._run("fetch", "--quiet", "--no-tags", str(other.path), f"+{sha}:{ref}")

    def import_commit(self, source: Path, commit: str, branch: str) -> None:
        """Fill a branch with a commit of a repository on this machine and all that it stands on."""
        self._run(
            *("fetch", "--quiet", "--no-tags", "--update-shallow"),
            *(str(source), f"+{commit}:refs/heads/{branch}"),
        )

    def _run(
        self, *words: str | Path, stdin: str | None = None, env: Mapping[str, str] | None = None
    ) -> str:
        return run_git(self.path, *words, stdin=stdin, env=env)

    def _ask(self, *words: str) -> "subprocess.CompletedProcess[str]":
        return call_git(self.path, words)
