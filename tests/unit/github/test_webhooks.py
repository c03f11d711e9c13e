"""Webhooks: what is GitHub's, what matters."""

import hashlib
import hmac
import json

import pytest

from ray_platform.config.repository import Repository
from ray_platform.github.webhooks.deliveries import (
    DeliveryVerdict,
    is_signed,
    judge,
    read_delivery,
)

SECRET = b"It's a Secret to Everybody"
INFRA = Repository("acme", "infra")


def body(**given: object) -> bytes:
    return json.dumps({"repository": {"full_name": "acme/infra"}, **given}).encode()


def test_the_signature_is_the_one_of_githubs_documentation() -> None:
    signature = "sha256=757107ea0eb2509fc211221cce984b8a37570b6d7586c22c46f4379c8b043e17"
    assert is_signed(SECRET, b"Hello, World!", signature)
    assert not is_signed(SECRET, b"Hello, World?", signature)
    assert not is_signed(b"another secret", b"Hello, World!", signature)


@pytest.mark.parametrize("signature", ["", "sha256=", "sha1=abc", "sha256=" + "g" * 64, "é" * 71])
def test_what_is_no_signature_is_refused(signature: str) -> None:
    assert not is_signed(SECRET, b"Hello, World!", signature)


def test_an_empty_secret_signs_nothing() -> None:
    signature = "sha256=" + hmac.new(b"", b"x", hashlib.sha256).hexdigest()
    assert not is_signed(b"", b"x", signature)


@pytest.mark.parametrize(
    ("event", "watched", "verdict"),
    [
        ("push", (INFRA,), DeliveryVerdict.MARKED),
        ("pull_request_review", (Repository("Acme", "Infra"),), DeliveryVerdict.MARKED),
        ("push", (Repository("acme", "other"),), DeliveryVerdict.NOT_OURS),
        ("star", (INFRA,), DeliveryVerdict.NO_MATTER),
        ("ping", (INFRA,), DeliveryVerdict.NO_MATTER),
    ],
)
def test_only_events_of_watched_repositories_matter(
    event: str, watched: tuple[Repository, ...], verdict: DeliveryVerdict
) -> None:
    delivery = read_delivery("0a1b-2c", event, body(action="opened"))
    assert delivery and judge(delivery, watched) is verdict


@pytest.mark.parametrize(
    ("delivery", "event", "content"),
    [
        ("", "push", body()),
        ("a b\r\nfaked: line", "push", body()),
        ("0a1b", "push\n", body()),
        ("0a1b", "push", b"not json"),
        ("0a1b", "push", b"[]"),
        ("0a1b", "push", b"[" * 100_000),
    ],
)
def test_what_github_does_not_send_is_no_delivery(
    delivery: str, event: str, content: bytes
) -> None:
    assert read_delivery(delivery, event, content) is None


@pytest.mark.parametrize("name", ["acme/..", "../infra", "acme/infra\n", "acme", 7, None])
def test_a_repository_of_no_good_name_is_none(name: object) -> None:
    delivery = read_delivery(
        "0a1b", "push", json.dumps({"repository": {"full_name": name}}).encode()
    )
    assert (
        delivery
        and delivery.repository is None
        and judge(delivery, (INFRA,)) is DeliveryVerdict.MALFORMED
    )
