"""A job's log over connections that break: every line once, in order, to the end."""

import asyncio
import itertools
from collections.abc import AsyncIterator, Callable, Iterable

import pytest
from aiohttp import RequestInfo, WSServerHandshakeError
from multidict import CIMultiDict, CIMultiDictProxy
from yarl import URL

from ray_platform.ray import job_log_client
from ray_platform.ray.job_log_client import followed

BROKEN = RuntimeError("WebSocket connection closed unexpectedly with close code 1006")


@pytest.fixture(autouse=True)
def _no_pause(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(job_log_client, "RETRY_SECONDS", 0)


def refused(status: int) -> WSServerHandshakeError:
    url = URL("http://127.0.0.1/api/jobs/burst/logs/tail")
    asked = RequestInfo(url, "GET", CIMultiDictProxy(CIMultiDict()), url)
    return WSServerHandshakeError(asked, (), status=status)


def attempts(*each: Iterable[str | Exception]) -> Callable[[], AsyncIterator[str]]:
    """One attempt after the other: its pieces, and what it breaks with."""
    left = iter(each)

    async def tail() -> AsyncIterator[str]:
        for piece in next(left):
            if isinstance(piece, Exception):
                raise piece
            yield piece

    return tail


def read(tail: Callable[[], AsyncIterator[str]], patience: float = 60) -> list[str]:
    async def whole() -> list[str]:
        return [text async for text in followed(tail, patience_seconds=patience)]

    return asyncio.run(whole())


def test_what_was_read_before_the_break_is_not_read_again() -> None:
    tail = attempts(
        ["one\n", "two\n", BROKEN],
        ["one\ntwo\nthree\n", ConnectionResetError()],
        ["one\n", refused(502)],
        ["one\ntwo\n", "three\nfour\n", "five\n"],
    )
    assert read(tail) == ["one\n", "two\n", "three\n", "four\n", "five\n"]


def test_a_log_that_never_comes_back_ends_with_the_last_reason() -> None:
    again = itertools.chain([["one\n", BROKEN]], itertools.repeat([refused(502)]))
    with pytest.raises(WSServerHandshakeError, match="502"):
        read(attempts(*itertools.islice(again, 100_000)), patience=0.05)
    # To read the same again is no progress.
    same = itertools.repeat(["one\n", BROKEN], 100_000)
    with pytest.raises(RuntimeError, match="1006"):
        read(attempts(*same), patience=0.05)


def test_a_new_head_that_does_not_know_the_job_is_not_asked_again() -> None:
    with pytest.raises(WSServerHandshakeError, match="404"):
        read(attempts(["one\n", BROKEN], [refused(404)]))
