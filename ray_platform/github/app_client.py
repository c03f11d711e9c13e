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
from typing import TYPE_CHECKING, Any

from ray_platform.config.github_app import GitHubApp
from ray_platform.config.repository import Repository
from ray_platform.github.app_key import read_private_key
from ray_platform.github.calls_client import Calls
from ray_platform.github.installation_client import (
    Installation,
    InstalledApp,
    read_installation,
)

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
    from githubkit.auth.base import BaseAuthStrategy
    from githubkit.cache import MemCacheStrategy


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

    def repository(self, repository: Repository) -> InstalledApp:
        """The App as it is installed where a repository is. One call, the first time.

        Raises:
            ForgeError: it is not installed there, suspended, or not known by this key.
        """
        if repository not in self._repositories:
            installation = self.find(repository)
            self._repositories[repository] = InstalledApp(self, repository, installation)
        return self._repositories[repository]

    def organisation(self, name: str) -> InstalledApp:
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
        self._organisations[name] = InstalledApp(self, None, read_installation(found, name))
        return self._organisations[name]

    def find(self, repository: Repository) -> Installation:
        """The installation that a repository belongs to, as it is now. One call."""
        found = self.calls.read(
            f"find the App's installation for {repository}",
            str(repository),
            lambda rest: rest.apps.get_repo_installation(repository.owner, repository.name),
        )
        return read_installation(found, str(repository))


@functools.cache
def connect(app: GitHubApp) -> AppClient:
    """The App's client of this process: one for its life, so that its token stays the same."""
    return AppClient(app)
