"""Webhooks: whether a delivery is GitHub's, what it is about, and whether it matters.

A webhook only makes the next look come sooner. What changed is read from GitHub's API, never from a
webhook's body, so a forged or lost one can neither start nor hide anything.
"""

import hashlib
import hmac
import json
import re
from dataclasses import dataclass
from enum import Enum
from typing import Any

from ray_platform.config.repository import Repository

#: GitHub sends no larger ones; a pull request's are some 30 kB.
MAX_BODY_BYTES = 25 * 1024 * 1024

#: Each of these may give the platform something to do.
EVENTS = (
    "issues",
    "pull_request",
    "pull_request_review",
    "push",
)

#: What GitHub sends to an App without being asked.
ABOUT_THE_APP = frozenset({"ping", "installation", "installation_repositories"})

_SIGNATURE = re.compile(r"sha256=[0-9a-f]{64}")
_NAME = re.compile(r"[A-Za-z0-9_.-]{1,100}")
_DELIVERY = re.compile(r"[A-Za-z0-9-]{1,64}")


class DeliveryVerdict(Enum):
    """What a delivery came to, with the HTTP status that its sender gets."""

    MARKED = ("the repository is looked at with the next tick", 202)
    NOT_OURS = ("the repository is not watched", 200)
    NO_MATTER = ("nothing follows from this event", 200)
    SEEN = ("this delivery came before", 200)
    REPLAYED = ("this body came before under another delivery id", 409)
    FORGED = ("the signature is wrong or missing", 401)
    MALFORMED = ("this is no webhook of GitHub's", 400)

    @property
    def said(self) -> str:
        return self.value[0]

    @property
    def status(self) -> int:
        return self.value[1]


@dataclass(frozen=True)
class WebhookDelivery:
    """One webhook. ``digest`` is over its body; ``repository`` is None for one about the App itself."""

    id: str
    event: str
    action: str
    repository: Repository | None
    digest: str


def is_signed(secret: bytes, body: bytes, signature: str) -> bool:
    """Whether ``X-Hub-Signature-256`` is the body's, compared in constant time.

    Source: GitHub's documentation, "Validating webhook deliveries".
    """
    if not secret or not _SIGNATURE.fullmatch(signature):
        return False
    expected = "sha256=" + hmac.new(secret, body, hashlib.sha256).hexdigest()
    return hmac.compare_digest(expected, signature)


def read_delivery(delivery: str, event: str, body: bytes) -> WebhookDelivery | None:
    """A signed delivery; None where it is no webhook that GitHub sends.

    Args:
        delivery: The header ``X-GitHub-Delivery``; the signature does not cover it.
        event: The header ``X-GitHub-Event``; nor that.
        body: The payload as JSON.
    """
    if not _DELIVERY.fullmatch(delivery) or not _NAME.fullmatch(event):
        return None
    try:
        payload = json.loads(body)
    except (ValueError, RecursionError):
        return None
    if not isinstance(payload, dict):
        return None
    action = payload.get("action")
    return WebhookDelivery(
        id=delivery,
        event=event,
        action=action if isinstance(action, str) and _NAME.fullmatch(action) else "",
        repository=_repository(payload.get("repository")),
        digest=hashlib.sha256(body).hexdigest(),
    )


def _repository(value: Any) -> Repository | None:
    full_name = value.get("full_name") if isinstance(value, dict) else None
    if not isinstance(full_name, str):
        return None
    owner, _, name = full_name.partition("/")
    if all(_NAME.fullmatch(part) and part not in (".", "..") for part in (owner, name)):
        return Repository(owner, name)
    return None


def judge(delivery: WebhookDelivery, watched: tuple[Repository, ...]) -> DeliveryVerdict:
    """What a signed delivery, not seen before, asks for."""
    if delivery.event in ABOUT_THE_APP or delivery.event not in EVENTS:
        return DeliveryVerdict.NO_MATTER
    if delivery.repository is None:
        return DeliveryVerdict.MALFORMED
    if find_watched(delivery.repository, watched) is None:
        return DeliveryVerdict.NOT_OURS
    return DeliveryVerdict.MARKED


def find_watched(repository: Repository, watched: tuple[Repository, ...]) -> Repository | None:
    """The repository as the settings spell it: GitHub's names know no capitals."""
    named = str(repository).lower()
    return next((one for one in watched if str(one).lower() == named), None)
