"""The webhooks of the local GitHub server: signed, in GitHub's form, faulty when a test asks for it."""

import hashlib
import hmac
import json
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest
from ray_platform_sandbox.github.client.testing import LocalGitHub

from tests.support import openapi, webhook_examples
from tests.support.github_callers import as_app, as_installation, as_person

pytestmark = pytest.mark.real
SECRET = "of the test alone"


@dataclass
class Received:
    event: str
    guid: str
    signature: str
    body: bytes

    @property
    def payload(self) -> Any:
        return json.loads(self.body)

    @property
    def name(self) -> tuple[str, str | None]:
        return self.event, self.payload.get("action")


@dataclass
class Receiver:
    """What came in, and the status that it is answered with."""

    github: LocalGitHub
    url: str = ""
    status: int = 202
    received: list[Received] = field(default_factory=list)

    def names(self) -> list[tuple[str, str | None]]:
        """(event, action) of all that came, once everything was sent."""
        self.github.wait_until_delivered()
        return [one.name for one in self.received]


@pytest.fixture
def receiver(github: LocalGitHub) -> Iterator[Receiver]:
    held = Receiver(github)

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            held.received.append(
                Received(
                    self.headers["X-GitHub-Event"],
                    self.headers["X-GitHub-Delivery"],
                    self.headers["X-Hub-Signature-256"],
                    body,
                )
            )
            self.send_response(held.status)
            self.end_headers()

        def log_message(self, *_: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    held.url = f"http://127.0.0.1:{server.server_port}/webhooks"
    github.send_webhooks_to(held.url, SECRET)
    yield held
    github.wait_until_delivered()
    server.shutdown()
    thread.join()
    server.server_close()


def test_every_event_has_githubs_form_and_signature(
    github: LocalGitHub, receiver: Receiver
) -> None:
    repository = github.create_repository("acme", "told")
    bot, at = as_installation(github), f"/repos/{repository}"
    alice, bob = github.person("alice"), as_person(github, "bob")
    number = github.open_pull_request(repository, {"a.txt": "a"}, branch="change")
    head = github.push(repository, "change", {"b.txt": "b", "a.txt": None})
    review = github.review(repository, number, by="bob", body="good")
    alice.dismiss(repository, number, review, "no")
    bob("PATCH", f"{at}/pulls/{number}", {"title": "Another"})
    bob("POST", f"{at}/issues/{number}/labels", {"labels": ["ready"]})
    bob("DELETE", f"{at}/issues/{number}/labels/ready")
    output = {"title": "t", "summary": "s"}
    run = bot("POST", f"{at}/check-runs", {"name": "plan", "head_sha": head, "output": output})
    bot("PATCH", f"{at}/check-runs/{run.json()['id']}", {"conclusion": "success"})
    alice.close(repository, number)
    bob("PATCH", f"{at}/pulls/{number}", {"state": "open"})
    alice.merge(repository, number)
    issue = alice.open_issue(repository, "destroy dev", labels=("destroy",))
    comment = alice.comment(repository, issue, "please")
    bob("PATCH", f"{at}/issues/comments/{comment}", {"body": "do not"})
    bob("DELETE", f"{at}/issues/comments/{comment}")
    bob("PATCH", f"{at}/issues/{issue}", {"title": "destroy nothing"})
    bob("DELETE", f"{at}/issues/{issue}/labels/destroy")
    alice.close(repository, issue)
    bob("PATCH", f"{at}/issues/{issue}", {"state": "open"})
    bob("DELETE", f"{at}/git/refs/heads/change")
    names = receiver.names()
    wrong = []
    for one in receiver.received:
        signed = hmac.new(SECRET.encode(), one.body, hashlib.sha256).hexdigest()
        assert one.signature == f"sha256={signed}"
        event, action = one.name
        wrong += [f"{one.name}: {line}" for line in webhook_examples.misses(*one.name, one.payload)]
        try:
            openapi.check_webhook(event, action, one.payload)
        except AssertionError as error:
            wrong.append(f"{one.name}: {error}")
        assert one.payload["installation"]["id"] == github.installation.id
    assert not wrong, "\n".join(wrong)
    assert set(names) == {
        ("push", None),
        *(("pull_request", a) for a in ("opened", "synchronize", "edited", "labeled")),
        *(("pull_request", a) for a in ("unlabeled", "closed", "reopened")),
        *(("pull_request_review", a) for a in ("submitted", "dismissed")),
        *(("check_run", a) for a in ("created", "completed")),
        *(("check_suite", a) for a in ("requested", "completed")),
        *(("issues", a) for a in ("opened", "labeled", "unlabeled", "edited", "closed")),
        ("issues", "reopened"),
        *(("issue_comment", a) for a in ("created", "edited", "deleted")),
    }
    assert len({one.guid for one in receiver.received}) == len(names)


def test_the_comparisons_find_what_a_payload_lacks(github: LocalGitHub, receiver: Receiver) -> None:
    github.open_pull_request(github.create_repository("acme", "lacking"), {"a.txt": "a"})
    assert receiver.names()[-1] == ("pull_request", "opened")
    whole = receiver.received[-1].payload
    for key in ("number", "pull_request", "sender"):
        short = {name: value for name, value in whole.items() if name != key}
        assert webhook_examples.misses("pull_request", "opened", short) == [f"{key} is missing"]
        with pytest.raises(AssertionError, match=f"'{key}' is a required property"):
            openapi.check_webhook("pull_request", "opened", short)
    wrong = {**whole, "number": "7"}
    assert webhook_examples.misses("pull_request", "opened", wrong) == [
        "number is string, in the examples ['number']"
    ]


def test_a_dropped_webhook_stands_in_the_log_and_can_be_sent_again(
    github: LocalGitHub, receiver: Receiver
) -> None:
    repository = github.create_repository("acme", "dropped")
    github.webhooks.drop_next = 1
    github.person("alice").open_issue(repository, "one")
    assert receiver.names() == []
    app = as_app(github)
    failed = app.get("/app/hook/deliveries?status=failure&per_page=1").json()[0]
    assert (failed["status_code"], failed["event"], failed["redelivery"]) == (0, "issues", False)
    whole = app.get(f"/app/hook/deliveries/{failed['id']}").json()
    assert whole["request"]["payload"]["issue"]["title"] == "one"
    again = app("POST", f"/app/hook/deliveries/{failed['id']}/attempts")
    assert again.status_code == 202
    assert receiver.names() == [("issues", "opened")]
    newest = app.get("/app/hook/deliveries").json()[0]
    assert (newest["guid"], newest["redelivery"], newest["status_code"]) == (
        failed["guid"],
        True,
        202,
    )
    assert receiver.received[0].guid == failed["guid"]


def test_a_doubled_webhook_comes_twice_with_one_id(github: LocalGitHub, receiver: Receiver) -> None:
    repository = github.create_repository("acme", "doubled")
    github.webhooks.double_next = 1
    github.person("alice").open_issue(repository, "one")
    assert receiver.names() == [("issues", "opened")] * 2
    first, second = receiver.received
    assert (first.guid, first.body) == (second.guid, second.body)


def test_a_lost_webhook_leaves_no_trace(github: LocalGitHub, receiver: Receiver) -> None:
    repository = github.create_repository("acme", "lost")
    before = len(github.webhooks.log)
    github.webhooks.lose_next = 1
    github.person("alice").open_issue(repository, "one")
    assert receiver.names() == []
    assert len(github.webhooks.log) == before


def test_the_log_is_read_by_cursor_and_holds_what_was_answered(
    github: LocalGitHub, receiver: Receiver
) -> None:
    repository = github.create_repository("acme", "logged")
    receiver.status = 500
    for at in range(3):
        github.person("alice").open_issue(repository, str(at))
    receiver.names()
    app = as_app(github)
    page = app.get("/app/hook/deliveries?per_page=2")
    assert [one["status_code"] for one in page.json()] == [500, 500]
    rest = app.get(page.links["next"]["url"].removeprefix(github.api_url.rstrip("/")))
    older = rest.json()[0]
    assert older["id"] < page.json()[1]["id"]
    assert app.get("/app/hook/deliveries?cursor=x").status_code == 400


def test_the_address_and_secret_are_set_by_the_app_itself(
    github: LocalGitHub, receiver: Receiver
) -> None:
    app = as_app(github)
    config = app.get("/app/hook/config").json()
    assert (config["url"], config["secret"]) == (receiver.url, "********")
    app("PATCH", "/app/hook/config", {"secret": "another"})
    repository = github.create_repository("acme", "configured")
    github.person("alice").open_issue(repository, "one")
    receiver.names()
    (one,) = receiver.received
    signed = hmac.new(b"another", one.body, hashlib.sha256).hexdigest()
    assert one.signature == f"sha256={signed}"
