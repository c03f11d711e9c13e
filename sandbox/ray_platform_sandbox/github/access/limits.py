"""GitHub's rate limits: so many calls an hour, so much content a minute and an hour, and bursts."""

from collections import deque
from dataclasses import dataclass, field

from ray_platform_sandbox.github.client.caller import Caller
from ray_platform_sandbox.github.problems import Problem

HOUR, MINUTE = 3600, 60
#: Calls an hour: of an installation or a person, of anybody without a token.
LIMIT, ANONYMOUS_LIMIT = 5000, 60
#: Content created by an installation: a minute, an hour.
CONTENT_A_MINUTE, CONTENT_AN_HOUR = 80, 500
_SECONDARY = (
    "You have exceeded a secondary rate limit. Please wait a few minutes before you try again."
)


@dataclass
class _Window:
    used: int
    reset: int


@dataclass
class Limits:
    """Counts calls by caller. Tests set the numbers, or let the next calls run into the secondary limit.

    People's content is not counted: a test that prepares a hundred pull requests is not what the limit
    is about.
    """

    limit: int = LIMIT
    content_a_minute: int = CONTENT_A_MINUTE
    content_an_hour: int = CONTENT_AN_HOUR
    #: 403 or 429: GitHub answers with either.
    exceeded_status: int = 403
    refuse_next: int = 0
    retry_after: int = 60
    refuse_only_writes: bool = False
    _windows: dict[str, _Window] = field(default_factory=dict)
    _content: dict[str, deque[int]] = field(default_factory=dict)

    def headers(self, caller: Caller, now: int) -> dict[str, str]:
        """The x-ratelimit headers of an answer."""
        rate = self.rate(caller, now)
        return {
            **{f"x-ratelimit-{name}": str(value) for name, value in rate.items()},
            "x-ratelimit-resource": "core",
        }

    def rate(self, caller: Caller, now: int) -> dict[str, int]:
        window, limit = self._window(caller, now), self._limit_of(caller)
        used = min(window.used, limit)
        return {"limit": limit, "remaining": limit - used, "reset": window.reset, "used": used}

    def use_up(self, caller_budget: str, now: int, remaining: int = 0) -> None:
        """Leave a caller (`Caller.budget`) so many calls for the hour that begins now."""
        self._windows[caller_budget] = _Window(self.limit - remaining, now + HOUR)

    def take(self, caller: Caller, now: int, *, writes: bool, content: bool) -> None:
        """Count a call.

        Raises:
            Problem: 403 or 429 with what GitHub says, and when to come again.
        """
        window, limit = self._window(caller, now), self._limit_of(caller)
        if window.used >= limit:
            whom = f"installation ID {caller.installation_id}" if caller.installation_id else "user"
            raise Problem(self.exceeded_status, f"API rate limit exceeded for {whom}.")
        if self.refuse_next and (writes or not self.refuse_only_writes):
            self.refuse_next -= 1
            raise self._secondary(self.retry_after)
        if content and caller.kind == "installation":
            self._take_content(caller, now)
        window.used += 1

    def give_back(self, caller: Caller, now: int) -> None:
        """A conditional call that found nothing new is free."""
        self._window(caller, now).used -= 1

    def _take_content(self, caller: Caller, now: int) -> None:
        times = self._content.setdefault(caller.budget, deque())
        while times and times[0] <= now - HOUR:
            times.popleft()
        lately = [at for at in times if at > now - MINUTE]
        if len(lately) >= self.content_a_minute:
            raise self._secondary(lately[-self.content_a_minute] + MINUTE - now)
        if len(times) >= self.content_an_hour:
            raise self._secondary(times[-self.content_an_hour] + HOUR - now)
        times.append(now)

    def _secondary(self, seconds: int) -> Problem:
        headers = {"retry-after": str(max(1, seconds))}
        return Problem(self.exceeded_status, _SECONDARY, headers=headers)

    def _limit_of(self, caller: Caller) -> int:
        return ANONYMOUS_LIMIT if caller.kind == "anonymous" else self.limit

    def _window(self, caller: Caller, now: int) -> _Window:
        window = self._windows.get(caller.budget)
        if window is None or window.reset <= now:
            window = self._windows[caller.budget] = _Window(0, now + HOUR)
        return window
