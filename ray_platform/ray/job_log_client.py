"""Follows the log of a Ray job to its end, also over connections that break in between."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable

RETRY_SECONDS = 0.5


async def followed(
    tail: Callable[[], AsyncIterator[str]], *, patience_seconds: float
) -> AsyncIterator[str]:
    """The log in pieces, each of its characters once.

    Args:
        tail: Begins to follow the log at its first character; ends with the job.
        patience_seconds: How long a log that cannot be followed on is asked for again.

    Raises:
        RuntimeError, OSError, aiohttp.ClientError: what the last attempt ended with; at once when the
            job is not known there, as to a new head.
    """
    from aiohttp import ClientError, WSServerHandshakeError

    told, deadline = 0, 0.0
    while True:
        at = 0
        try:
            async for text in tail():
                at += len(text)
                if at > told:
                    new = text[told - at :]
                    told, deadline = at, 0.0
                    yield new
            return
        except (ClientError, OSError, RuntimeError) as error:
            deadline = deadline or time.monotonic() + patience_seconds
            is_known_not = isinstance(error, WSServerHandshakeError) and 400 <= error.status < 500
            if is_known_not or time.monotonic() >= deadline:
                raise
            await asyncio.sleep(RETRY_SECONDS)
