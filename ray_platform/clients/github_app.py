"""The GitHub App: who the platform is to GitHub, where it is installed, and its tokens.

The App's private key signs a JWT (RS256, 10 minutes). With it GitHub gives a token of one installation
(1 hour) that the work is done with. githubkit does both, and asks for the next token a minute before the
last one ends; a token that is refused earlier is renewed once. No person's token is used anywhere.

A 304 is free only while the token is the same: GitHub's ETags hold for one token. So a process keeps
one `AppClient` for its life: `connect`.
"""

import functools
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any

from ray_platform.clients.github_calls import Calls, Refusal
from ray_platform.clients.github_key import SecretText, read_private_key
from ray_platform.core.errors import ForgeError
from ray_platform.core.pull_request.model import Repository
from ray_platform.settings import GitHubApp

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
    from githubkit.auth.base import BaseAuthStrategy
    from githubkit.cache import MemCacheStrategy
    from githubkit.response import Response

    from ray_platform.clients.github_calls import Call

#: A token for Git is good for this long at least: the time that a fetch may take.
_GIT_TOKEN_SECONDS = 600.0
_TOKEN_SECONDS = 3600.0


@dataclass(frozen=True)
class Installation:
    """The App in one organisation or account, as GitHub tells it.

    ``permissions`` are those granted there: ``{"checks": "write"}``.
    """

    id: int
    app_id: int
    slug: str
    account: str
    permissions: Mapping[str, str]
    events: tuple[str, ...]
    suspended: bool

    @property
    def bot(self) -> str:
        """The login under which the App writes."""
        return f"{self.slug}[bot]"


@dataclass
class _GitToken:
    token: SecretText
    good_until: float


class AppClient:
    """The App of this deployment. Its key is read with the first call.

    Nothing here shows the key, a JWT or a token in a message, a log or a ``repr``.

    Args:
        app: From the settings.
        sleep: Waits between tries, for so many seconds.
    """

    def __init__(self, app: GitHubApp, *, sleep: Callable[[float], None] = time.sleep) -> None:
        self.app = app
        self.sleep = sleep
        self._installed: dict[int, Calls] = {}
        self._organisations: dict[str, InstalledApp] = {}
        self._repositories: dict[Repository, InstalledApp] = {}

    def __repr__(self) -> str:
        return f"AppClient({self.app.app_id} at {self.app.api_url})"

    @functools.cached_property
    def key(self) -> "RSAPrivateKey":
        """The private key; githubkit hands it to its signer, which takes text or such an object.

        Raises:
            ForgeError: it is missing or malformed.
        """
        return read_private_key(self.app)

    @functools.cached_property
    def calls(self) -> Calls:
        """Calls made as the App itself: only it, its installations and its webhooks answer to it."""
        from githubkit import AppAuthStrategy

        return self._calls_by(AppAuthStrategy(self.app.app_id, self.key))

    def calls_in(self, installation: int) -> Calls:
        """Calls made with the token of an installation, by its id: one token for all its repositories."""
        from githubkit import AppInstallationAuthStrategy

        if installation not in self._installed:
            self._installed[installation] = self._calls_by(
                AppInstallationAuthStrategy(self.app.app_id, self.key, installation)
            )
        return self._installed[installation]

    @functools.cached_property
    def _tokens(self) -> "MemCacheStrategy":
        from githubkit.cache import MemCacheStrategy

        return MemCacheStrategy()

    def _calls_by(self, auth: "BaseAuthStrategy") -> Calls:
        return Calls(auth, self.app.api_url, tokens=self._tokens, sleep=self.sleep)

    def identity(self) -> Mapping[str, Any]:
        """The App as GitHub knows it: ``slug``, ``name``, ``owner``, ``permissions``. One call."""
        found: Mapping[str, Any] = self.calls.read(
            "read the App", self.app.api_url, lambda rest: rest.apps.get_authenticated()
        )
        return found

    def repository(self, repository: Repository) -> "InstalledApp":
        """The App as it is installed where a repository is. One call, the first time.

        Raises:
            ForgeError: it is not installed there, suspended, or not known by this key.
        """
        if repository not in self._repositories:
            installation = self.find(repository)
            self._repositories[repository] = InstalledApp(self, repository, installation)
        return self._repositories[repository]

    def organisation(self, name: str) -> "InstalledApp":
        """The App as it is installed in an organisation. One call, the first time."""
        known = [
            installed
            for installed in (*self._repositories.values(), *self._organisations.values())
            if installed.installation.account.lower() == name.lower()
        ]
        if known:
            return known[0]
        found = self.calls.read(
            f"find the App's installation in {name}",
            name,
            lambda rest: rest.apps.get_org_installation(name),
        )
        self._organisations[name] = InstalledApp(self, None, _installation(found, name))
        return self._organisations[name]

    def find(self, repository: Repository) -> Installation:
        """The installation that a repository belongs to, as it is now. One call."""
        found = self.calls.read(
            f"find the App's installation for {repository}",
            str(repository),
            lambda rest: rest.apps.get_repo_installation(repository.owner, repository.name),
        )
        return _installation(found, str(repository))


class InstalledApp:
    """The App in one installation: the calls that work is done with.

    An installation that was taken away and made again has another number: it is looked up again, once.
    """

    def __init__(
        self, client: AppClient, repository: Repository | None, installation: Installation
    ) -> None:
        self._client = client
        self._repository = repository
        self.installation = installation
        self._git_tokens: dict[bool, _GitToken] = {}

    def __repr__(self) -> str:
        return f"InstalledApp({self.installation.id} in {self.installation.account})"

    def read(self, doing: str, where: str, call: "Call") -> Any:
        """As `Calls.read`."""
        return self._again(lambda calls: calls.read(doing, where, call))

    def write(self, doing: str, where: str, call: "Call", *, repeatable: bool = False) -> Any:
        """As `Calls.write`."""
        return self._again(lambda calls: calls.write(doing, where, call, repeatable=repeatable))

    def answer(self, doing: str, where: str, call: "Call") -> "Response[Any, Any]":
        """As `Calls.answer`, of a call that changes nothing."""
        found: Response[Any, Any] = self._again(
            lambda calls: calls.answer(doing, where, call, repeatable=True)
        )
        return found

    def pages(self, doing: str, where: str, call: Any) -> list[Mapping[str, Any]]:
        """As `Calls.pages`, all of them."""
        found: list[Mapping[str, Any]] = self._again(
            lambda calls: list(calls.pages(doing, where, call))
        )
        return found

    def git_token(self, *, write: bool) -> SecretText:
        """A token for Git: this repository's content alone, good for ten minutes at least.

        One call, the first time and once in 50 minutes. It goes into a child's environment only.

        Args:
            write: For a push; else it reads only.
        """
        kept = self._git_tokens.get(write)
        if kept is None or kept.good_until < time.monotonic() + _GIT_TOKEN_SECONDS:
            kept = self._git_tokens[write] = self._ask_git_token(write=write)
        return kept.token

    def _ask_git_token(self, *, write: bool) -> _GitToken:
        where = str(self._repository or self.installation.account)
        names = [self._repository.name] if self._repository else []
        access: Any = {"contents": "write" if write else "read"}
        asked = time.monotonic()

        def ask(_: Calls) -> Any:
            number = self.installation.id
            return self._client.calls.write(
                "get a token for Git",
                where,
                lambda rest: rest.apps.create_installation_access_token(
                    number, repositories=names, permissions=access
                ),
                repeatable=True,
            )

        found = self._again(ask)
        try:
            life = datetime.fromisoformat(found["expires_at"]).timestamp() - time.time()
            # A clock that is behind here makes it look longer than it is.
            return _GitToken(SecretText(found["token"]), asked + min(life, _TOKEN_SECONDS))
        except (KeyError, TypeError, ValueError):
            raise ForgeError("GitHub gave no token that can be read", where=where) from None

    def _again(self, work: Any) -> Any:
        """Do the work, and once more where the installation has another number now."""
        try:
            return work(self._client.calls_in(self.installation.id))
        except Refusal as refusal:
            if not refusal.failure.installation_gone or self._repository is None:
                raise
            found = self._client.find(self._repository)
            if found.id == self.installation.id:
                raise
            self.installation = found
            return work(self._client.calls_in(self.installation.id))


@functools.cache
def connect(app: GitHubApp) -> AppClient:
    """The App's client of this process: one for its life, so that its token stays the same."""
    return AppClient(app)


def _installation(found: Any, where: str) -> Installation:
    try:
        installation = Installation(
            id=int(found["id"]),
            app_id=int(found["app_id"]),
            slug=str(found["app_slug"]),
            account=str((found.get("account") or {}).get("login", "")),
            permissions=dict(found.get("permissions") or {}),
            events=tuple(found.get("events") or ()),
            suspended=bool(found.get("suspended_at")),
        )
    except (KeyError, TypeError, ValueError):
        raise ForgeError("GitHub's answer about the App cannot be read", where=where) from None
    return installation
