"""A GitHub server in a thread, for tests: with people, an App that is installed, a clock and faults."""

import asyncio
import secrets
import shutil
import tempfile
import threading
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TypeVar

from ray_platform_sandbox.github.access.keys import KeyPair, new_key_pair
from ray_platform_sandbox.github.access.limits import Limits
from ray_platform_sandbox.github.access.tokens import INSTALLATION_TOKEN_SECONDS, add_person_token
from ray_platform_sandbox.github.calls import Calls
from ray_platform_sandbox.github.client import setup
from ray_platform_sandbox.github.client.administrator import Administrator
from ray_platform_sandbox.github.client.person import Person, Verdict
from ray_platform_sandbox.github.clock import Clock
from ray_platform_sandbox.github.git.program import require_git
from ray_platform_sandbox.github.hub import API_ROOT, Hub
from ray_platform_sandbox.github.server import start
from ray_platform_sandbox.github.state import Webhook
from ray_platform_sandbox.github.webhooks import Webhooks
from ray_platform_sandbox.github.world import PEOPLE, furnish

T = TypeVar("T")


class LocalGitHub(Administrator):
    """A running server; use it with ``with``.

    It has the organisation ``acme`` (alice its owner, bob and carol members), whose team ``platform`` they
    are, the App ``ray-platform`` installed there, and mallory, who belongs to nothing.

    Args:
        folder: Where the state is kept, so that another server finds it; default: kept nowhere.
        port: The loopback port; default: any free one.
        key: The App's keys; making new ones takes a tenth of a second.
    """

    def __init__(
        self, folder: Path | None = None, *, port: int = 0, key: KeyPair | None = None
    ) -> None:
        require_git()
        self._temporary = Path(tempfile.mkdtemp(prefix="github-")) if folder is None else None
        place = folder or self._temporary
        assert place is not None  # noqa: S101  (one of the two)
        self.clock = Clock()
        self.hub = Hub(place, self.clock, keep=folder is not None)
        self.key = key or new_key_pair()
        self._port = port
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._run, name="local GitHub", daemon=True)
        self._stop = asyncio.Event()
        self._started = threading.Event()
        self._failure: BaseException | None = None
        self._tokens: dict[str, str] = {}

    def __enter__(self) -> "LocalGitHub":
        self._thread.start()
        self._started.wait()
        if self._failure:
            raise self._failure
        if not self.hub.state.apps:
            self.do(lambda hub: furnish(hub, self.key.public))
        for login in PEOPLE:
            self.token(login)
        return self

    def __exit__(self, *_: object) -> None:
        self._loop.call_soon_threadsafe(self._stop.set)
        self._thread.join()
        if self._temporary:
            shutil.rmtree(self._temporary, ignore_errors=True)

    # Addresses, and what a client needs ------------------------------------------------------

    @property
    def url(self) -> str:
        """The address of pages and Git, without a slash at its end."""
        return self.hub.url

    @property
    def api_url(self) -> str:
        """The REST root, as GitHub Enterprise Server has it; githubkit's ``base_url``."""
        return f"{self.hub.url}{API_ROOT}/"

    @property
    def private_key(self) -> str:
        """The App's private key as PEM text."""
        return self.key.private

    def clone_url(self, repository: str, token: str = "") -> str:
        """Where git clones a repository, with a token in the address where one is given."""
        scheme, _, host = self.url.partition("://")
        user = f"x-access-token:{token}@" if token else ""
        return f"{scheme}://{user}{host}/{repository}.git"

    # What tests set and read -------------------------------------------------------------------

    @property
    def calls(self) -> Calls:
        return self.hub.calls

    @property
    def limits(self) -> Limits:
        return self.hub.limits

    @property
    def webhooks(self) -> Webhooks:
        """The faults (``drop_next``, ``lose_next``, ``double_next``, ``delay_seconds``) and the log."""
        return self.hub.webhooks

    def do(self, change: Callable[[Hub], T]) -> T:
        """Change the hub between two calls, in the server's own thread."""

        async def run() -> T:
            try:
                return change(self.hub)
            finally:
                self.hub.save()

        return asyncio.run_coroutine_threadsafe(run(), self._loop).result()

    def wait_until_delivered(self, timeout_seconds: float = 10) -> None:
        """Wait until every webhook was attempted.

        Raises:
            TimeoutError: they were not in time.
        """
        deadline = time.monotonic() + timeout_seconds
        while not self.hub.webhooks.settled:
            if time.monotonic() > deadline:
                raise TimeoutError(f"webhooks are still under way after {timeout_seconds:.0f} s")
            time.sleep(0.005)

    # What people do --------------------------------------------------------------------------------

    def token(self, login: str) -> str:
        """The token of a person, who is made where there is none of that name."""
        if login not in self._tokens:
            text = f"ghp_{secrets.token_hex(18)}"

            def change(hub: Hub) -> None:
                setup.add_account(hub, login)
                add_person_token(hub.state, login, text)

            self.do(change)
            self._tokens[login] = text
        return self._tokens[login]

    def person(self, login: str) -> Person:
        return Person(self.api_url, self.token(login))

    def push(
        self,
        repository: str,
        branch: str,
        files: Mapping[str, str | None],
        message: str = "A change",
        *,
        by: str = "alice",
        onto: str = "",
    ) -> str:
        """Commit files to a branch and say the commit."""
        return self.person(by).commit(repository, branch, files, message, onto=onto)

    def open_pull_request(
        self,
        repository: str,
        files: Mapping[str, str | None],
        *,
        branch: str = "",
        title: str = "A change",
        body: str = "",
        base: str = "main",
        by: str = "alice",
    ) -> int:
        """Commit files to a new branch, open a pull request from it and say its number."""
        branch = branch or f"change-{secrets.token_hex(4)}"
        person = self.person(by)
        person.commit(repository, branch, files, title, onto=base)
        return person.open_pull_request(repository, branch, title, base=base, body=body)

    def review(
        self,
        repository: str,
        number: int,
        verdict: Verdict = "APPROVE",
        *,
        by: str = "bob",
        body: str = "",
        commit: str = "",
    ) -> int:
        """Review a pull request and say the review's id."""
        text = body or ("" if verdict == "APPROVE" else "see above")
        return self.person(by).review(repository, number, verdict, text, commit=commit)

    def comments(self, repository: str, number: int) -> list[dict[str, Any]]:
        """The comments of an issue or pull request."""
        at = f"/repos/{repository}/issues/{number}/comments?per_page=100"
        found: list[dict[str, Any]] = self.person("alice").call("GET", at)
        return found

    def _run(self) -> None:
        asyncio.set_event_loop(self._loop)
        try:
            self._loop.run_until_complete(self._serve())
        except BaseException as error:  # told to the thread that waits for the start
            self._failure = error
            self._started.set()
        finally:
            self._loop.close()

    async def _serve(self) -> None:
        runner = await start(self.hub, self._port)
        setup.catch_up(self.hub)
        self._started.set()
        await self._stop.wait()
        await runner.cleanup()


def reset(hub: Hub) -> None:
    """Clock, limits, faults and permissions as at the start; what stands in the repositories stays."""
    hub.clock.reset()
    hub.limits, hub.token_seconds = Limits(), INSTALLATION_TOKEN_SECONDS
    hub.webhooks.clear_faults()
    hub.calls.reset()
    for installation in hub.state.installations.values():
        app = hub.state.apps[installation.app_id]
        app.webhook = Webhook()
        installation.permissions = dict(app.permissions)
        installation.suspended_at = None
