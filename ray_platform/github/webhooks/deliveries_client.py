"""GitHub's own log of the webhooks it sent: what failed is made up for."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs, urlsplit

from ray_platform.github.app_client import AppClient
from ray_platform.github.calls_client import PER_PAGE
from ray_platform.github.webhooks.webhooks_store import Inbox

if TYPE_CHECKING:
    from githubkit.response import Response

_MAX_PAGES = 10
_MAX_REDELIVERED = 10


@dataclass(frozen=True)
class Reconciled:
    """What the log came to: the deliveries that failed, and those that GitHub was asked to send again."""

    failed: tuple[str, ...]
    redelivered: tuple[str, ...]


def reconcile_deliveries(client: AppClient, inbox: Inbox) -> Reconciled:
    """Find the deliveries that failed since the last look, and make up for them.

    Every watched repository is marked where one failed: the look finds whatever it was about. GitHub is
    asked to send a failed one again, once, ten at most, which shows whether the receiver is well now.
    One call for each hundred deliveries since the last look, a thousand at most, and one for each that
    is sent again. Safe to repeat: how far the log was read is noted last.

    Raises:
        RateLimited, ForgeError: GitHub did not give the log.
    """
    log = _log(client, inbox.looked_until())
    arrived = {one["guid"] for one in log if _is_good(one)}
    failed = [one for one in log if not _is_good(one) and one["guid"] not in arrived]
    if failed:
        for repository in client.app.repositories:
            inbox.marks.mark(repository)
    tried_again = {one["guid"] for one in failed if one.get("redelivery")}
    first_tries = {one["guid"]: int(one["id"]) for one in failed if one["guid"] not in tried_again}
    to_send = dict(list(first_tries.items())[:_MAX_REDELIVERED])
    for number in to_send.values():
        _send_again(client, number)
    if log:
        inbox.note_looked(max(int(one["id"]) for one in log))
    return Reconciled(tuple(dict.fromkeys(str(one["guid"]) for one in failed)), tuple(to_send))


def _send_again(client: AppClient, number: int) -> None:
    client.calls.write(
        "have a webhook sent again",
        client.app.api_url,
        lambda rest: rest.apps.redeliver_webhook_delivery(number),
    )


def _log(client: AppClient, until: int) -> list[Mapping[str, Any]]:
    """The deliveries after ``until``, the newest first."""
    log: list[Mapping[str, Any]] = []
    cursor = ""
    for _ in range(_MAX_PAGES):
        answer = _page(client, cursor)
        page = [one for one in answer.json() if int(one["id"]) > until]
        log += page
        cursor = _next_cursor(str(answer.headers.get("link", "")))
        if not cursor or len(page) < PER_PAGE:
            break
    return log


def _page(client: AppClient, cursor: str) -> "Response[Any, Any]":
    given = {"cursor": cursor} if cursor else {}
    return client.calls.answer(
        "read the log of webhook deliveries",
        client.app.api_url,
        lambda rest: rest.apps.list_webhook_deliveries(per_page=PER_PAGE, **given),
        repeatable=True,
    )


def _next_cursor(link: str) -> str:
    """The cursor of the next page, from a ``Link`` header."""
    for part in link.split(","):
        address, _, relation = part.partition(";")
        if 'rel="next"' in relation:
            return parse_qs(urlsplit(address.strip(" <>")).query).get("cursor", [""])[0]
    return ""


def _is_good(one: Mapping[str, Any]) -> bool:
    return 200 <= int(one.get("status_code") or 0) < 400
