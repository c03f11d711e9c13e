"""What an administrator sets up at a running server: accounts, repositories, the App, and who may what."""

import secrets
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Literal, TypeVar

from ray_platform_sandbox.github.bulk import add_pull_requests
from ray_platform_sandbox.github.client import setup
from ray_platform_sandbox.github.hub import Hub
from ray_platform_sandbox.github.state import App, Installation, ManifestCode, Webhook
from ray_platform_sandbox.github.world import ORGANIZATION, TEAM

T = TypeVar("T")


class Administrator:
    """Changes of a hub that no call makes; `do` carries them out in the server's own thread."""

    hub: Hub

    def do(self, change: Callable[[Hub], T]) -> T:
        raise NotImplementedError

    @property
    def app(self) -> App:
        return next(iter(self.hub.state.apps.values()))

    @property
    def installation(self) -> Installation:
        """The App's first installation."""
        return next(iter(self.hub.state.installations.values()))

    def create_repository(
        self,
        owner: str,
        name: str,
        *,
        from_git: Path | None = None,
        commit: str = "",
        private: bool = True,
    ) -> str:
        """A repository, from a commit of one on this machine or with an empty first commit; its full name.

        The organisation's team ``platform`` may push to it, other members read.
        """
        made = self.do(
            lambda hub: setup.add_repository(
                hub, owner, name, from_git=from_git, commit=commit, private=private, team=TEAM
            )
        )
        return made.full_name

    def add_pull_requests(self, repository: str, count: int, *, by: str = "alice") -> list[int]:
        """So many open pull requests at once, a file each; their numbers. No event is sent."""
        return self.do(lambda hub: add_pull_requests(hub, hub.repository(repository), count, by))

    def invite(self, repository: str, login: str, role: str = "read") -> None:
        """Give a person a role in a repository: read, triage, write, maintain or admin."""

        def change(hub: Hub) -> None:
            setup.add_account(hub, login)
            hub.repository(repository).roles[login] = role

        self.do(change)

    def create_organization(self, login: str, members: Mapping[str, str]) -> None:
        """An organisation with members (login to member or admin)."""

        def change(hub: Hub) -> None:
            setup.add_account(hub, login, "Organization")
            for member, role in members.items():
                setup.add_account(hub, member)
                setup.add_member(hub, login, member, role)

        self.do(change)

    def install_app(
        self,
        account: str,
        *,
        selection: Literal["all", "selected"] = "all",
        repositories: tuple[str, ...] = (),
    ) -> int:
        """Install the App in an account, for all or some repositories, and say the installation's id."""

        def change(hub: Hub) -> int:
            ids = tuple(hub.repository(name).id for name in repositories)
            return setup.install(hub, self.app, account, selection=selection, repository_ids=ids).id

        return self.do(change)

    def grant(self, permissions: Mapping[str, str], installation: int | None = None) -> None:
        """Give an installation (default: the first) these permissions and no others."""

        def change(hub: Hub) -> None:
            held = hub.state.installations[installation or self.installation.id]
            held.permissions = dict(permissions)

        self.do(change)

    def suspend(self, installation: int | None = None, *, suspended: bool = True) -> None:
        def change(hub: Hub) -> None:
            held = hub.state.installations[installation or self.installation.id]
            held.suspended_at = hub.clock.now() if suspended else None

        self.do(change)

    def uninstall(self, installation: int | None = None) -> None:
        """Remove an installation: its tokens are worth nothing from now on."""
        number = installation or self.installation.id
        self.do(lambda hub: hub.state.installations.pop(number))

    def expire_tokens(self) -> None:
        """End the tokens of all installations now: what a client meets in the middle of long work."""

        def change(hub: Hub) -> None:
            for token in hub.state.tokens.values():
                if token.installation_id:
                    token.expires_at = hub.clock.now()

        self.do(change)

    def send_webhooks_to(self, url: str, secret: str) -> None:
        """Send the App's events to an address, signed with a secret."""

        def change(hub: Hub) -> None:
            self.app.webhook = Webhook(url, secret)

        self.do(change)

    def post_manifest(self, owner: str, manifest: Mapping[str, Any]) -> str:
        """Create an App from a manifest, as a person does in the browser; the code for its conversion."""
        code = secrets.token_hex(20)
        held = ManifestCode(code, owner, dict(manifest), self.hub.clock.now() + 3600)
        self.do(lambda hub: hub.state.manifests.__setitem__(code, held))
        return code

    def add_team(self, slug: str, members: Mapping[str, str]) -> None:
        self.do(lambda hub: setup.add_team(hub, ORGANIZATION, slug, dict(members)))
