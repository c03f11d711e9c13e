"""A bare mirror of a repository that this user signs in to by himself: SSH, a credential helper, a path."""

from collections.abc import Sequence
from pathlib import Path

from ray_platform.config.repository import Repository
from ray_platform.git.mirror_store import GitMirror
from ray_platform.git.push_client import Author
from ray_platform.git.remote_process import run_git
from ray_platform.text.canonical import digest, short
from ray_platform.text.errors import GitError

#: Who a commit is by where this user's Git has no name for him.
_NOBODY = Author("ray-platform", "ray-platform@localhost")


class OwnMirror(GitMirror):
    """The mirror of one repository, by its address.

    ::

        mirrors/by-address/DIGEST.git   the mirror

    Args:
        home: The folder of local state.
        url: The address, without credentials: ``https``, ``ssh``, ``git@HOST:PATH`` or ``file``.
    """

    def __init__(self, home: Path, url: str) -> None:
        super().__init__(
            home, Repository("by-address", short(digest(url))), url=url, token=lambda _write: ""
        )

    def talk(self, arguments: Sequence[str], *, lock: int, write: bool) -> str:
        return run_git(self.folder, arguments, url=self.url, keep_open=lock, own_sign_in=True)

    def author(self) -> Author:
        """Who this user is to Git."""
        try:
            name, email = (
                run_git(self.folder, ["config", "--get", f"user.{part}"], own_sign_in=True).strip()
                for part in ("name", "email")
            )
        except GitError:  # it is not set
            return _NOBODY
        return Author(name, email)
