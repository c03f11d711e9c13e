"""The server's clock: real time, which tests may move forward or stop."""

import time
from datetime import UTC, datetime


class Clock:
    """Whole seconds since the epoch, as GitHub's times are."""

    def __init__(self) -> None:
        self._ahead = 0.0
        self._stopped: float | None = None

    def reset(self) -> None:
        """Back to real time."""
        self._ahead, self._stopped = 0.0, None

    def now(self) -> int:
        return int((time.time() if self._stopped is None else self._stopped) + self._ahead)

    def advance(self, seconds: float) -> None:
        """Move the clock forward; back, by a negative number."""
        self._ahead += seconds

    def stop(self, at: float | None = None) -> None:
        """Let time pass only by `advance`, from ``at`` (seconds since the epoch) or from now on."""
        if at is not None:
            self._ahead = 0.0
        self._stopped = time.time() if at is None else at


def spell(seconds: int) -> str:
    """The time as GitHub writes it: ``2026-11-21T17:34:11Z``."""
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def spell_if(seconds: int | None) -> str | None:
    return None if seconds is None else spell(seconds)


def read(text: str) -> int:
    """Seconds since the epoch of an ISO 8601 time.

    Raises:
        ValueError: it is none.
    """
    found = datetime.fromisoformat(text.replace("Z", "+00:00"))
    return int((found if found.tzinfo else found.replace(tzinfo=UTC)).timestamp())
