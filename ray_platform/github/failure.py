"""Why a call to GitHub failed, read from what githubkit raised, and told without any credential."""

import time
from collections.abc import Mapping
from dataclasses import dataclass, replace
from email.utils import parsedate_to_datetime
from typing import Any

from ray_platform.text.errors import ForgeError, RateLimited
from ray_platform.text.redaction import redact_text

#: GitHub takes a JWT whose times are this far from its own clock's at most; githubkit allows for a minute.
MAX_CLOCK_SKEW_SECONDS = 60.0

#: What GitHub's documentation says to wait where a refusal does not say for how long.
_UNSAID_WAIT_SECONDS = 60.0

_PERMISSIONS = "docs/reference/github-app.md"


@dataclass(frozen=True)
class GitHubFailure:
    """One failed call.

    ``status`` is 0 where there was no answer. ``as_app``: it was made with the App's JWT, not with an
    installation's token; ``for_token``: it was the call that asks for such a token. ``skew_seconds``:
    this machine's clock minus GitHub's. ``unsent``: GitHub never got it. ``unreadable``: it answered
    with something else than it should.
    """

    status: int
    message: str
    method: str
    path: str
    as_app: bool
    for_token: bool
    unsent: bool
    unreadable: bool
    skew_seconds: float
    wait_seconds: float | None
    accepted_permissions: str

    @property
    def passing(self) -> bool:
        """Another try may go well: no answer, or a fault on GitHub's side."""
        return (self.status == 0 and not self.unreadable) or self.status >= 500

    @property
    def token_refused(self) -> bool:
        return self.status == 401 and not self.as_app

    @property
    def installation_gone(self) -> bool:
        return self.for_token and self.status == 404

    def told(self, doing: str, where: str) -> ForgeError:
        """The failure in one message.

        Args:
            doing: What was tried, as in ``read the pull requests``.
            where: The repository or organisation.
        """
        what, fix = self._reason(doing)
        if self.wait_seconds is not None:
            return RateLimited(what, where=where, fix=fix, wait_seconds=self.wait_seconds)
        return ForgeError(what, where=where, fix=fix)

    def _reason(self, doing: str) -> tuple[str, str]:
        if self.wait_seconds is not None:
            return (
                f"GitHub asks to wait {self.wait_seconds:.0f} s before it lets us {doing}",
                "nothing: it is tried again after that time",
            )
        if self.unreadable:
            return (
                f"GitHub's answer cannot be read ({self.message}): could not {doing}",
                "see that RAY_PLATFORM_GITHUB_API_URL is GitHub's API and no web page",
            )
        if self.status == 0:
            return (
                f"GitHub does not answer: could not {doing}: {self.message}",
                "see https://www.githubstatus.com, the network, and RAY_PLATFORM_GITHUB_API_URL",
            )
        if self.status >= 500:
            return (
                f"GitHub failed with {self.status}: could not {doing}",
                "see https://www.githubstatus.com; it is tried again with the next look",
            )
        if self.as_app and self.status in (401, 403, 404):
            return self._app_refused(doing)
        if self.status == 401:
            return (
                f"GitHub does not take the installation's token: could not {doing}",
                "see that the App is still installed: ray-platform doctor --github",
            )
        if "suspended" in self.message.lower():
            return _SUSPENDED
        if self.status == 403:
            needed = f" (one of: {self.accepted_permissions})" if self.accepted_permissions else ""
            return (
                f"the GitHub App may not {doing}{needed}: {self.message}",
                f"grant it the permissions of {_PERMISSIONS}, and let the owner accept them",
            )
        if self.status == 404:
            return (
                f"GitHub knows nothing there, or the App may not see it: could not {doing}",
                "ray-platform doctor --github names what the App lacks",
            )
        return f"GitHub refuses to {doing}: {self.status} {self.message}", ""

    def _app_refused(self, doing: str) -> tuple[str, str]:
        if self.status == 401 and abs(self.skew_seconds) > MAX_CLOCK_SKEW_SECONDS:
            return skew_told(self.skew_seconds)
        if self.for_token and self.status == 403:
            return _SUSPENDED
        if self.status == 401 or "integration not found" in self.message.lower():
            return (
                f"GitHub does not know the App by this id and key: {self.message}",
                "see that RAY_PLATFORM_GITHUB_APP_ID and the private key are of the same App, "
                "and that the key was not deleted there",
            )
        if self.status == 404:
            return (
                f"the GitHub App is not installed there: could not {doing}",
                "install it: docs/how-to/set-up-the-github-app.md",
            )
        return f"GitHub refuses the App: could not {doing}: {self.message}", ""


_SUSPENDED = (
    "the GitHub App's installation is suspended",
    "its owner takes the suspension back under Settings, GitHub Apps",
)


def skew_told(seconds: float) -> tuple[str, str]:
    """(What, fix) of a clock that is off by ``seconds`` (positive: ahead of GitHub's)."""
    off = f"{abs(seconds) / 60:.0f} minutes" if abs(seconds) >= 120 else f"{abs(seconds):.0f} s"
    side = "ahead of" if seconds > 0 else "behind"
    return (
        f"this machine's clock is {off} {side} GitHub's, so the App's signature is not valid",
        "set the clock: timedatectl set-ntp true",
    )


def clock_skew(headers: Mapping[str, str], now: float) -> float:
    """This machine's clock minus that of an answer's ``Date`` header, in seconds; 0 without one."""
    try:
        return now - parsedate_to_datetime(headers["date"]).timestamp()
    except (KeyError, ValueError, TypeError):
        return 0.0


def read_failure(raised: Exception) -> GitHubFailure:
    """What githubkit raised, as a `Failure`. Errors within its sign-in are unwrapped."""
    from githubkit.exception import GitHubException, RequestError, RequestFailed

    while isinstance(raised, RequestError) and isinstance(raised.exc, GitHubException):
        raised = raised.exc
    if isinstance(raised, RequestFailed):
        return _refused(raised.response.raw_response)
    cause = raised.exc if isinstance(raised, RequestError) else raised
    return _unanswered(cause)


def _refused(response: Any) -> GitHubFailure:
    request = response.request
    path = str(request.url.path)
    message = _message(response)
    return GitHubFailure(
        status=int(response.status_code),
        message=message,
        method=str(request.method),
        path=path,
        as_app=str(request.headers.get("authorization", "")).startswith("Bearer "),
        for_token=path.endswith("/access_tokens"),
        unsent=False,
        unreadable=False,
        skew_seconds=clock_skew(response.headers, time.time()),
        wait_seconds=_wait(int(response.status_code), response.headers, message),
        accepted_permissions=str(response.headers.get("x-accepted-github-permissions", "")),
    )


#: What is known of a call without an answer, before it is looked at.
_NO_ANSWER = GitHubFailure(
    status=0,
    message="",
    method="",
    path="",
    as_app=False,
    for_token=False,
    unsent=False,
    unreadable=False,
    skew_seconds=0.0,
    wait_seconds=None,
    accepted_permissions="",
)


def _unanswered(cause: Exception) -> GitHubFailure:
    import httpx

    if not isinstance(cause, httpx.TransportError):
        # Not the network: a fault in signing or reading. Its words might quote what it worked on.
        return replace(_NO_ANSWER, message=type(cause).__name__, unreadable=True)
    try:
        request = cause.request
    except RuntimeError:
        return replace(_NO_ANSWER, message=type(cause).__name__)
    return replace(
        _NO_ANSWER,
        message=f"{type(cause).__name__} at {request.url.scheme}://{request.url.netloc.decode()}",
        method=str(request.method),
        path=str(request.url.path),
        for_token=str(request.url.path).endswith("/access_tokens"),
        unsent=isinstance(cause, httpx.ConnectError | httpx.ConnectTimeout | httpx.PoolTimeout),
    )


def _message(response: Any) -> str:
    try:
        body = response.json()
    except ValueError:
        return str(response.reason_phrase)
    if not isinstance(body, dict):
        return str(response.reason_phrase)
    parts = [str(body.get("message", ""))]
    errors = body.get("errors")
    for error in errors if isinstance(errors, list) else []:
        parts.append(str(error.get("message") or error) if isinstance(error, dict) else str(error))
    return redact_text("; ".join(part for part in parts if part))[:300].replace("\n", " ")


def _wait(status: int, headers: Mapping[str, str], message: str) -> float | None:
    """For how long GitHub asks to wait, None where it does not; by its own clock, not by ours.

    Source: GitHub's documentation of the REST API's rate limits, "Exceeding the rate limit".
    """
    if status not in (403, 429):
        return None
    if (said := headers.get("retry-after", "")).isdigit():
        return float(said)
    if headers.get("x-ratelimit-remaining") == "0":
        reset = headers.get("x-ratelimit-reset", "")
        if not reset.isdigit():
            return _UNSAID_WAIT_SECONDS
        now = time.time()
        return max(1.0, float(reset) - (now - clock_skew(headers, now)))
    if status == 429 or "rate limit" in message.lower():
        return _UNSAID_WAIT_SECONDS
    return None
