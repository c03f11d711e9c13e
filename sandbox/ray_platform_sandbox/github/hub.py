"""One GitHub server's parts together: state, clock, repositories, limits, webhooks, and its addresses."""

from collections.abc import Callable
from pathlib import Path

from ray_platform_sandbox.github import snapshot
from ray_platform_sandbox.github.access.limits import Limits
from ray_platform_sandbox.github.access.tokens import INSTALLATION_TOKEN_SECONDS
from ray_platform_sandbox.github.calls import Calls
from ray_platform_sandbox.github.client.caller import Sent
from ray_platform_sandbox.github.clock import Clock
from ray_platform_sandbox.github.git.store import GitStore
from ray_platform_sandbox.github.state import Account, Issue, Repository, State
from ray_platform_sandbox.github.webhooks import Webhooks

#: As on GitHub Enterprise Server: REST below this path, Git and pages beside it.
API_ROOT = "/api/v3"


class Hub:
    """Everything that handlers need. They run one after another, so each sees and leaves a whole state.

    Args:
        folder: Where the bare repositories lie.
        keep: Whether the state is written there too, after each call that may have changed it.
    """

    def __init__(self, folder: Path, clock: Clock, *, keep: bool = False) -> None:
        self.folder = folder
        self.keep = keep
        self.state = snapshot.load(folder) if keep else State()
        self.clock = clock
        self.limits = Limits()
        self.calls = Calls()
        self.webhooks = Webhooks(clock)
        if keep:
            self.webhooks.restore(snapshot.load_deliveries(folder))
            self.webhooks.sent = lambda delivery: snapshot.append_delivery(folder, delivery)
        #: How long an installation's token is good for; tests shorten it.
        self.token_seconds = INSTALLATION_TOKEN_SECONDS
        self.url = ""
        #: Told of each answer: method, path template, path, answer.
        self.answered: Callable[[str, str, str, Sent], None] = lambda *_: None
        #: Grows with each call that may have changed something.
        self.version = 0

    def save(self) -> None:
        """Note that something changed, and write it down where that is asked for."""
        self.version += 1
        if self.keep:
            snapshot.save(self.folder, self.state)

    def api(self, path: str) -> str:
        return f"{self.url}{API_ROOT}{path}"

    def html(self, path: str) -> str:
        return f"{self.url}{path}"

    def store(self, repository: Repository) -> GitStore:
        """The Git side of a repository. Its folder is named by id: no name from outside reaches a path."""
        return GitStore(self.folder / "git" / f"{repository.id}.git")

    def account(self, login: str) -> Account:
        """Raises:
        KeyError: nobody has that login.
        """
        found = self.state.account(login)
        if found is None:
            raise KeyError(login)
        return found

    def repository(self, full_name: str) -> Repository:
        """Raises:
        KeyError: there is no such repository.
        """
        owner, _, name = full_name.partition("/")
        found = self.state.repository(owner, name)
        if found is None:
            raise KeyError(full_name)
        return found

    def touch(self, issue: Issue) -> None:
        """Whoever polls by `updated` must see it again."""
        issue.updated_at = self.clock.now()


def node_id(kind: str, number: int) -> str:
    """A node id; the same for the same thing always."""
    return f"{kind}_kwLOCAL{number:08d}"
