"""The App where it is installed: what it may there, the calls that work is done with, tokens for Git."""

import time
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any, Protocol

from ray_platform.config.repository import Repository
from ray_platform.github.app_key import SecretText
from ray_platform.github.calls_client import Calls, Refusal
from ray_platform.text.errors import ForgeError

if TYPE_CHECKING:
    from githubkit.response import Response

    from ray_platform.github.calls_client import Call


class _Client(Protocol):
    """What an installation asks of the App's client."""

    @property
    def calls(self) -> Calls: ...

    def calls_in(self, installation: int) -> Calls: ...

    def find(self, repository: Repository) -> "Installation": ...


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


class InstalledApp:
    """The App in one installation: the calls that work is done with.

    An installation that was taken away and made again has another number: it is looked up again, once.
    """

    def __init__(
        self, client: "_Client", repository: Repository | None, installation: Installation
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


def read_installation(found: Any, where: str) -> Installation:
    """GitHub's answer about an installation.

    Raises:
        ForgeError: it is none.
    """
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
