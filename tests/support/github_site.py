"""What tests of the GitHub App share: a server, the App's settings for it, a repository of one's own."""

import secrets
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from ray_platform_sandbox.github.client.testing import LocalGitHub

from ray_platform.config.github_app import GitHubApp
from ray_platform.config.repository import Repository
from ray_platform.git.mirror_store import GitMirror
from ray_platform.github.app_client import AppClient
from ray_platform.github.github_client import GitHubRepository


@contextmanager
def running_github() -> Iterator[LocalGitHub]:
    """A server that a whole file's tests may write to."""
    with LocalGitHub() as server:
        server.limits.content_a_minute = server.limits.content_an_hour = 100_000
        yield server


@dataclass
class GitHubSite:
    """One repository on the server, and a client for it. ``slept``: the pauses, which are not slept."""

    server: LocalGitHub
    repository: Repository
    client: AppClient
    slept: list[float]

    def __post_init__(self) -> None:
        self.forge = GitHubRepository(self.client, self.repository)

    @property
    def name(self) -> str:
        return str(self.repository)

    def calls(self, work: Callable[[], object]) -> dict[str, int]:
        """The calls that some work makes, by method and path, the two of signing in left out."""
        self.forge.may_write("alice")
        self.server.calls.reset()
        work()
        return self.server.calls.by_call()

    def pull_request(self, files: dict[str, str | None] | None = None, **given: Any) -> int:
        return self.server.open_pull_request(self.name, files or {"a.tf": "1"}, **given)

    def mirror(self, home: Path) -> GitMirror:
        return GitMirror(
            home,
            self.repository,
            url=self.forge.git_url(),
            token=lambda write: self.forge.git_token(write=write),
        )


class Sites:
    """Repositories on one server, each with one commit, and one client of the App for all of them."""

    def __init__(self, server: LocalGitHub) -> None:
        self.server = server
        self.app = GitHubApp(
            app_id=str(server.app.id),
            api_url=server.api_url.rstrip("/"),
            repositories=(),
            private_key=server.private_key,
        )
        self.slept: list[float] = []
        self.client = AppClient(self.app, sleep=self.slept.append)

    def new(self, owner: str = "acme") -> GitHubSite:
        """A repository of the organisation."""
        self.slept.clear()
        repository = Repository(owner, f"infra-{secrets.token_hex(4)}")
        self.server.create_repository(repository.owner, repository.name)
        return GitHubSite(self.server, repository, self.client, self.slept)

    def connected(self, session: GitHubSite, **changed: Any) -> GitHubSite:
        """The same repository through a client of its own, with other settings."""
        slept: list[float] = []
        app = replace(self.app, repositories=(session.repository,), **changed)
        client = AppClient(app, sleep=slept.append)
        return GitHubSite(session.server, session.repository, client, slept)
