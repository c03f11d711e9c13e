"""Calls to GitHub through githubkit: signed, timed, tried again where that is safe, failures told."""

import functools
from collections.abc import Callable, Iterator, Mapping
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from ray_platform.github.failure import GitHubFailure, read_failure
from ray_platform.text.errors import ForgeError

if TYPE_CHECKING:
    import ssl

    from githubkit.auth.base import BaseAuthStrategy
    from githubkit.cache import MemCacheStrategy
    from githubkit.response import Response
    from githubkit.versions import RestVersionSwitcher

    Call = Callable[[RestVersionSwitcher], Response[Any, Any]]

#: The version whose pull requests still say their merge commit; 2026-03-10 does not.
API_VERSION = "2022-11-28"

PER_PAGE = 100

#: No call sleeps longer than this in all; who is asked to wait longer raises ``RateLimited``.
_MAX_SLEEP_SECONDS = 5.0
_PAUSES_SECONDS = (0.3, 1.5)
_TIMEOUT_SECONDS = 20.0
_CONNECT_SECONDS = 5.0


class Calls:
    """Every call that is made with one proof of identity.

    Nothing but the tokens is kept between calls: githubkit's store of answers is switched off, so that
    a review is never an old one.

    Args:
        auth: What signs in.
        api_url: Where GitHub's API is.
        tokens: Where JWTs and tokens are kept, in this process's memory.
        sleep: Waits between tries, for so many seconds.
    """

    def __init__(
        self,
        auth: "BaseAuthStrategy",
        api_url: str,
        *,
        tokens: "MemCacheStrategy",
        sleep: Callable[[float], None],
    ) -> None:
        from githubkit import GitHub
        from httpx import Request, Timeout

        def say_version(request: Request) -> None:
            request.headers["X-GitHub-Api-Version"] = API_VERSION

        self.api_url = api_url
        self._sleep = sleep
        self._tokens = tokens
        self._github: GitHub[Any] = GitHub(
            auth,
            base_url=api_url,
            user_agent="ray-platform",
            timeout=Timeout(_TIMEOUT_SECONDS, connect=_CONNECT_SECONDS),
            ssl_verify=_certificates(),
            # A proxy of the environment is for GitHub, not for a server on this machine.
            trust_env=urlsplit(api_url).hostname not in ("127.0.0.1", "localhost", "::1"),
            event_hooks={"request": [say_version]},
            cache_strategy=self._tokens,
            http_cache=False,
            auto_retry=False,
            rest_api_validate_body=False,
        )
        # githubkit keeps one open connection for each context (thread) that entered it.
        self._entered: ContextVar[bool] = ContextVar("entered", default=False)

    def read(self, doing: str, where: str, call: "Call") -> Any:
        """The JSON of a call that changes nothing; tried three times in all.

        Args:
            doing: What it is for, as in ``read the pull requests``; it stands in messages.
            where: The repository or organisation.
            call: Makes the call.

        Raises:
            RateLimited, ForgeError
        """
        return self._json(self.answer(doing, where, call, repeatable=True), doing, where)

    def write(self, doing: str, where: str, call: "Call", *, repeatable: bool = False) -> Any:
        """The JSON of a call that changes something.

        It is sent again only where GitHub surely did nothing (no connection, a refused token, a limit),
        or where it is ``repeatable``: it says what is to be, and saying so twice is the same.

        Raises:
            RateLimited, ForgeError
        """
        return self._json(self.answer(doing, where, call, repeatable=repeatable), doing, where)

    def pages(
        self,
        doing: str,
        where: str,
        call: "Callable[[RestVersionSwitcher, int], Response[Any, Any]]",
    ) -> Iterator[Mapping[str, Any]]:
        """Every item of a listing; one call for each hundred."""
        page = 1
        while True:
            number = page

            def one(rest: "RestVersionSwitcher", number: int = number) -> "Response[Any, Any]":
                return call(rest, number)

            response = self.answer(doing, where, one, repeatable=True)
            yield from self._items(self._json(response, doing, where), doing, where)
            if not has_next(response):
                return
            page += 1

    def answer(
        self, doing: str, where: str, call: "Call", *, repeatable: bool
    ) -> "Response[Any, Any]":
        """The answer with its headers; 304 counts as one.

        Raises:
            RateLimited, ForgeError
        """
        failures, renewed, waited = 0, False, False
        while True:
            outcome = self._once(call)
            if not isinstance(outcome, GitHubFailure):
                return outcome
            if outcome.token_refused and not renewed:
                renewed = True
                self.forget_token()
            elif (wait := outcome.wait_seconds) is not None:
                if waited or wait > _MAX_SLEEP_SECONDS:
                    raise outcome.told(doing, where)
                waited = True
                self._sleep(wait)
            elif (
                outcome.passing
                and failures < len(_PAUSES_SECONDS)
                and (repeatable or outcome.unsent or outcome.for_token)
            ):
                self._sleep(_PAUSES_SECONDS[failures])
                failures += 1
            else:
                raise (
                    Refusal(outcome, doing, where) if outcome.status else outcome.told(doing, where)
                )

    def forget_token(self) -> None:
        """Ask for a new token with the next call."""
        self._tokens.cleanup()

    def _once(self, call: "Call") -> "Response[Any, Any] | GitHubFailure":
        from githubkit.exception import GitHubException

        if not self._entered.get():
            self._github.__enter__()
            self._entered.set(True)
        try:
            return call(self._github.rest)
        except (GitHubException, ValueError) as raised:
            # Returned and not raised from: the original holds the request with its token. A ValueError
            # is githubkit's, of a header that is no number.
            return read_failure(raised)

    def _json(self, response: "Response[Any, Any]", doing: str, where: str) -> Any:
        if not response.content:
            return None
        try:
            return response.json()
        except ValueError:
            raise _unreadable(doing, where) from None

    def _items(self, listed: Any, doing: str, where: str) -> list[Mapping[str, Any]]:
        if isinstance(
            listed, dict
        ):  # as check runs are listed: {"total_count": 1, "check_runs": []}
            listed = next((value for value in listed.values() if isinstance(value, list)), None)
        if not isinstance(listed, list):
            raise _unreadable(doing, where)
        return listed


@functools.cache
def _certificates() -> "ssl.SSLContext":
    """Whom to trust, read once a process: 40 ms."""
    from httpx import create_ssl_context

    return create_ssl_context()


class Refusal(ForgeError):
    """GitHub's refusal of one call, with its status, for who knows what to do about it."""

    def __init__(self, failure: GitHubFailure, doing: str, where: str) -> None:
        told = failure.told(doing, where)
        self.failure = failure
        super().__init__(told.what, where=told.where, fix=told.fix)


def has_next(response: "Response[Any, Any]") -> bool:
    """Whether a listing has another page, by its ``Link`` header."""
    return 'rel="next"' in str(response.headers.get("link", ""))


def _unreadable(doing: str, where: str) -> ForgeError:
    return ForgeError(
        f"GitHub's answer cannot be read: could not {doing}",
        where=where,
        fix="see that RAY_PLATFORM_GITHUB_API_URL is GitHub's API and no web page",
    )
