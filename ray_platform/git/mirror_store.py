"""A bare mirror of a watched repository, fetched with the App's token.

::

    mirrors/OWNER/NAME.git        the mirror: branches, and the pull requests' heads that were asked for
    mirrors/OWNER/NAME.git.lock   held by who writes to it; the kernel frees it with its process

A process killed in a fetch leaves a good mirror: objects come before the names that point to them, and
what it left half-written is removed by the next one.
"""

import fcntl
import shutil
import tempfile
import time
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from ray_platform.config.repository import Repository
from ray_platform.git.git_client import Git
from ray_platform.git.remote_process import run_git
from ray_platform.text.errors import GitError

#: Longer than git may take for a fetch.
_LOCK_SECONDS = 660.0


class GitMirror:
    """The mirror of one repository.

    Args:
        home: The folder of local state.
        repository: Which one.
        url: Where Git reads it, without credentials.
        token: Gives a token for it when asked, to read and to write (``write=True``).
    """

    def __init__(
        self, home: Path, repository: Repository, *, url: str, token: Callable[[bool], str]
    ) -> None:
        self.repository = repository
        self.url = url
        self.folder = home / "mirrors" / repository.owner / f"{repository.name}.git"
        self._token = token

    @property
    def git(self) -> Git:
        """The mirror's commits, as they were fetched last."""
        return Git(self.folder)

    def fetch(self, pull_requests: Collection[int] = ()) -> Git:
        """Bring all branches up to date, and the heads of some pull requests; one talk with the server.

        Branches that are gone there go here too. A pull request's head is ``refs/pull/NUMBER/head``, also
        a fork's. Of two processes that fetch at once the second waits, then fetches what is new.

        Raises:
            GitError: git failed; the mirror stays as it was.
        """
        heads = [
            f"+refs/pull/{int(number)}/head:refs/pull/{int(number)}/head"
            for number in pull_requests
        ]
        with self.writing() as lock:
            self.receive(["--prune"], ["+refs/heads/*:refs/heads/*", *heads], lock=lock)
        return self.git

    def receive(self, options: Sequence[str], references: Sequence[str], *, lock: int) -> None:
        """Fetch some references; who calls holds `writing`, and gives its descriptor."""
        arguments = ["fetch", "--quiet", "--no-tags", "--no-write-fetch-head", *options]
        self.talk([*arguments, self.url, *references], lock=lock, write=False)

    def talk(self, arguments: Sequence[str], *, lock: int, write: bool) -> str:
        """Run a git that talks with the server, with a token to read, or to write.

        Who calls holds `writing`, and gives its descriptor.
        """
        return run_git(
            self.folder, arguments, url=self.url, token=self._token(write), keep_open=lock
        )

    def has(self, commit: str) -> bool:
        """Whether a commit was fetched."""
        return self.folder.is_dir() and self.git.has(commit)

    def pull_request_head(self, number: int) -> str | None:
        """The head that was fetched last of a pull request, or None."""
        try:
            out = run_git(
                self.folder, ["rev-parse", "--verify", "--quiet", f"refs/pull/{int(number)}/head"]
            )
        except GitError:
            return None
        return out.strip() or None

    @contextmanager
    def writing(self) -> Iterator[int]:
        """Hold the mirror alone, made where there is none, and without a dead process's leftovers.

        Raises:
            GitError: another process held it for too long.
        """
        self.folder.parent.mkdir(parents=True, exist_ok=True)
        with Path(f"{self.folder}.lock").open("a") as lock:
            # The child gets the descriptor too: a git that outlives us still holds the lock.
            self._take(lock.fileno())
            if self.folder.is_dir():
                self._sweep()
            else:
                self._make()
            yield lock.fileno()

    def _take(self, lock: int) -> None:
        deadline = time.monotonic() + _LOCK_SECONDS
        while True:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                return
            except BlockingIOError:
                if time.monotonic() > deadline:
                    raise GitError(
                        f"another process has written to the mirror for more than {_LOCK_SECONDS:.0f} s",
                        where=str(self.folder),
                        fix="see whether a git fetch hangs there",
                    ) from None
                time.sleep(0.1)

    def _make(self) -> None:
        beside = Path(tempfile.mkdtemp(prefix=f".{self.folder.name}-", dir=self.folder.parent))
        try:
            run_git(beside, ["init", "--quiet", "--bare", "--initial-branch=main", "."])
            run_git(beside, ["config", "remote.origin.url", self.url])
            beside.rename(self.folder)
        finally:
            shutil.rmtree(beside, ignore_errors=True)

    def _sweep(self) -> None:
        """Remove what a killed git left: nobody else writes while we hold the lock."""
        for left in (
            *self.folder.glob("*.lock"),
            *(self.folder / "refs").rglob("*.lock"),
            *(self.folder / "objects").glob("pack/tmp_*"),
        ):
            left.unlink(missing_ok=True)
        for beside in self.folder.parent.glob(f".{self.folder.name}-*"):
            shutil.rmtree(beside, ignore_errors=True)
