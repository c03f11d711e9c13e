"""Watches: the objects that stand, then each change, as lines of JSON until the time is up."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

from ray_platform_sandbox.kubernetes.api import Api, Content, Request
from ray_platform_sandbox.kubernetes.failures import ApiFailure
from ray_platform_sandbox.kubernetes.store import ADDED, DELETED, MODIFIED, Event

#: How long a watch lasts when the client says nothing, in seconds.
LONGEST_SECONDS = 1800.0
#: How often a watch without news tells its version, where the client takes bookmarks.
BOOKMARK_SECONDS = 60.0


class Bell:
    """Wakes whoever waits for the next change."""

    def __init__(self) -> None:
        self._event = asyncio.Event()

    def ring(self) -> None:
        self._event.set()
        self._event = asyncio.Event()

    async def wait(self, seconds: float) -> bool:
        """Whether there was a change within the time."""
        try:
            await asyncio.wait_for(self._event.wait(), seconds)
        except TimeoutError:
            return False
        return True


async def watch(api: Api, request: Request, bell: Bell) -> AsyncIterator[tuple[str, Content]]:
    """Type and object of each event that the request asks for.

    An object that comes to be selected is ``ADDED``, one that ceases to be is ``DELETED``.
    """
    query, selects = request.query, api.selection(request)
    clock = asyncio.get_running_loop().time
    end = clock() + float(query.get("timeoutSeconds") or LONGEST_SECONDS)
    initial = query.get("sendInitialEvents") == "true"
    bookmarks = query.get("allowWatchBookmarks") in ("true", "1")
    seen = int(query.get("resourceVersion") or 0)
    if not seen or initial:
        seen = api.store.version
        for content in list(api.list(request)):
            yield ADDED, content
        if initial:
            yield "BOOKMARK", _bookmark(seen, {"k8s.io/initial-events-end": "true"})
    told = clock()
    while clock() < end:
        try:
            events = api.store.since(seen)
        except ApiFailure as failure:
            yield "ERROR", failure.status()
            return
        for event in events:
            seen = event.version
            if kind := _as_selected(event, request, selects):
                told = clock()
                yield kind, event.content
        if bookmarks and clock() - told > BOOKMARK_SECONDS:
            told = clock()
            yield "BOOKMARK", _bookmark(seen, {})
        if seen == api.store.version:
            await bell.wait(min(end - clock(), BOOKMARK_SECONDS))


def _as_selected(event: Event, request: Request, selects: Any) -> str:
    group, plural, namespace, _ = event.key
    if (group, plural) != (request.kind.stored_group, request.kind.plural):
        return ""
    if request.target.namespace not in ("", namespace):
        return ""
    now = event.type != DELETED and selects(event.content)
    before = event.before is not None and selects(event.before)
    if now:
        return MODIFIED if before else ADDED
    return DELETED if before else ""


def _bookmark(version: int, annotations: dict[str, str]) -> Content:
    return {"metadata": {"resourceVersion": str(version), "annotations": annotations}}
