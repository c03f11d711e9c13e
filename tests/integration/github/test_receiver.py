"""Webhooks that a GitHub server sends to the receiver, over HTTP."""

import hashlib
import hmac
import http.client
import json
import secrets
import socket
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from ray_platform.config.github_app import GitHubApp
from ray_platform.github.app_client import AppClient
from ray_platform.github.webhooks import receiver_process, webhooks_store
from ray_platform.github.webhooks.deliveries import MAX_BODY_BYTES
from ray_platform.github.webhooks.deliveries_client import reconcile_deliveries
from ray_platform.github.webhooks.receiver_process import Receiver
from ray_platform.github.webhooks.webhooks_store import DirtyMarks, Inbox, read_webhook_secret
from ray_platform.text.errors import ForgeError
from tests.support.github_site import GitHubSite, Sites, running_github

pytestmark = pytest.mark.real


@pytest.fixture(scope="module")
def sites() -> Iterator[Sites]:
    with running_github() as server:
        yield Sites(server)


@dataclass
class Hooked:
    """A repository whose webhooks go to a receiver of its own."""

    session: GitHubSite
    home: Path
    app: GitHubApp
    secret: str
    receiver: Receiver
    said: list[str]

    @property
    def marks(self) -> DirtyMarks:
        return DirtyMarks(self.home)

    def dirty(self) -> bool:
        """Whether the repository is marked once all webhooks were sent; the mark is taken away."""
        self.session.server.wait_until_delivered()
        return self.marks.take(self.session.repository)

    def post(self, body: bytes, **headers: str) -> int:
        """Post a body signed with the secret, and say the status."""
        signature = hmac.new(self.secret.encode(), body, hashlib.sha256).hexdigest()
        given = {
            "X-GitHub-Delivery": secrets.token_hex(8),
            "X-GitHub-Event": "push",
            "X-Hub-Signature-256": f"sha256={signature}",
        } | {name.replace("_", "-"): value for name, value in headers.items()}
        connection = http.client.HTTPConnection("127.0.0.1", self.receiver.server_port, timeout=60)
        connection.request("POST", "/", body, given)
        status = connection.getresponse().status
        connection.close()
        return status

    def body(self) -> bytes:
        return json.dumps(
            {"repository": {"full_name": self.session.name}, "after": secrets.token_hex(20)}
        ).encode()


@pytest.fixture
def hooked(sites: Sites, tmp_path: Path) -> Iterator[Hooked]:
    session = sites.new()
    secret = secrets.token_hex(32)
    (tmp_path / "secret").write_text(secret + "\n")
    app = replace(
        sites.app, repositories=(session.repository,), webhook_secret_file=tmp_path / "secret"
    )
    said: list[str] = []
    receiver = Receiver(Inbox(tmp_path, app), "127.0.0.1", 0, said.append)
    thread = threading.Thread(target=receiver.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    sites.server.send_webhooks_to(f"http://127.0.0.1:{receiver.server_port}/", secret)
    yield Hooked(session, tmp_path, app, secret, receiver, said)
    sites.server.wait_until_delivered()
    receiver.shutdown()
    thread.join()
    receiver.server_close()


def test_a_push_a_pull_request_and_a_review_each_mark_the_repository(hooked: Hooked) -> None:
    number = hooked.session.pull_request()
    assert hooked.dirty() and not hooked.dirty()
    hooked.session.server.review(hooked.session.name, number)
    assert hooked.dirty()
    hooked.session.server.push(hooked.session.name, "main", {"b.tf": "2"})
    assert hooked.dirty()
    assert any(line.startswith("202 pull_request.opened of acme/infra-") for line in hooked.said)


def test_a_webhook_that_came_twice_counts_once_also_after_a_restart(hooked: Hooked) -> None:
    hooked.session.server.webhooks.double_next = 100
    hooked.session.server.push(hooked.session.name, "main", {"b.tf": "2"})
    assert hooked.dirty()
    hooked.session.server.webhooks.double_next = 0
    assert [line[:3] for line in hooked.said if " push of " in line] == ["202", "200"]
    body, one = hooked.body(), "0a1b2c3d"
    assert hooked.post(body, X_GitHub_Delivery=one) == 202
    hooked.receiver.inbox = Inbox(hooked.home, hooked.app)
    assert hooked.post(body, X_GitHub_Delivery=one) == 200
    assert "came before" in hooked.said[-1]


def test_a_recorded_body_under_another_delivery_id_is_refused(hooked: Hooked) -> None:
    body = hooked.body()
    assert hooked.post(body) == 202
    hooked.marks.take(hooked.session.repository)
    assert hooked.post(body) == 409
    assert not hooked.marks.take(hooked.session.repository)


def test_a_wrong_signature_marks_nothing_and_shows_nothing_of_the_sender(hooked: Hooked) -> None:
    for signature in ("sha256=" + "0" * 64, "sha1=00", ""):
        assert hooked.post(hooked.body(), X_Hub_Signature_256=signature) == 401
    assert not hooked.marks.take(hooked.session.repository)
    assert hooked.said == ["401 the signature is wrong or missing"] * 3


def test_a_repository_that_is_not_watched_is_left_alone(sites: Sites, hooked: Hooked) -> None:
    other = sites.new()
    sites.server.push(other.name, "main", {"b.tf": "2"})
    assert not hooked.dirty() and not hooked.marks.take(other.repository)


def test_only_so_many_deliveries_are_remembered(
    hooked: Hooked, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(webhooks_store, "MAX_REMEMBERED", 3)
    bodies = [hooked.body() for _ in range(5)]
    assert [hooked.post(body, X_GitHub_Delivery=f"d{n}") for n, body in enumerate(bodies)] == (
        [202] * 5
    )
    # The last three are known, and what is older than them no more.
    again = [hooked.post(bodies[number], X_GitHub_Delivery=f"d{number}") for number in (4, 3, 2, 0)]
    assert again == [200, 200, 200, 202]


@pytest.mark.parametrize(
    ("request_line", "headers", "status"),
    [
        ("POST /", {"Content-Length": str(MAX_BODY_BYTES + 1)}, 413),
        ("POST /", {"Content-Length": "9" * 30}, 413),
        ("POST /", {"Content-Length": "-5"}, 411),
        ("POST /", {"Transfer-Encoding": "chunked"}, 411),
        ("POST /other", {"Content-Length": "0"}, 404),
        ("GET /", {}, 501),
    ],
)
def test_what_is_no_webhook_is_refused_before_its_body_is_read(
    hooked: Hooked, request_line: str, headers: dict[str, str], status: int
) -> None:
    lines = [f"{request_line} HTTP/1.1", "Host: x", *(f"{k}: {v}" for k, v in headers.items())]
    with socket.create_connection(("127.0.0.1", hooked.receiver.server_port), 60) as client:
        client.sendall("\r\n".join([*lines, "", ""]).encode())
        assert client.recv(100).split()[1] == str(status).encode()


def test_who_gives_a_byte_now_and_then_is_cut_off(
    hooked: Hooked, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(receiver_process, "SECONDS", 0.2)
    with socket.create_connection(("127.0.0.1", hooked.receiver.server_port), 60) as client:
        client.sendall(b"POST / HTTP/1.1\r\nContent-Length: 1000\r\n\r\nx")
        assert client.recv(100) == b""
    assert hooked.post(hooked.body()) == 202


def test_one_connection_too_many_is_closed_and_the_others_go_on(hooked: Hooked) -> None:
    address = ("127.0.0.1", hooked.receiver.server_port)
    idle = [socket.create_connection(address, 60) for _ in range(receiver_process.CONNECTIONS)]
    try:
        with socket.create_connection(address, 60) as one_more:
            assert one_more.recv(1) == b""
    finally:
        for client in idle:
            client.close()
    deadline = time.monotonic() + 60
    while hooked.receiver.open_connections and time.monotonic() < deadline:
        time.sleep(0.01)
    assert hooked.post(hooked.body()) == 202


def test_a_delivery_that_failed_is_found_in_githubs_log_and_sent_again_once(
    hooked: Hooked,
) -> None:
    server = hooked.session.server
    inbox = Inbox(hooked.home, hooked.app)
    client = AppClient(hooked.app)
    hooked.session.pull_request()
    hooked.dirty()
    reconcile_deliveries(client, inbox)
    server.webhooks.drop_next = 1
    server.push(hooked.session.name, "main", {"b.tf": "2"})
    assert not hooked.dirty()
    found = reconcile_deliveries(client, inbox)
    assert len(found.failed) == 1 and found.redelivered == found.failed
    assert hooked.dirty()
    assert any(found.failed[0] in line and line.startswith("202 push") for line in hooked.said)
    server.calls.reset()
    again = reconcile_deliveries(client, Inbox(hooked.home, hooked.app))
    assert (again.failed, again.redelivered) == ((), ())
    assert server.calls.total == 1


def test_a_receiver_that_stays_down_is_not_sent_the_same_again_and_again(hooked: Hooked) -> None:
    server, inbox, client = (
        hooked.session.server,
        Inbox(hooked.home, hooked.app),
        AppClient(hooked.app),
    )
    reconcile_deliveries(client, inbox)
    server.webhooks.drop_next = 100
    server.push(hooked.session.name, "main", {"b.tf": "2"})
    server.wait_until_delivered()
    first = reconcile_deliveries(client, inbox)
    server.wait_until_delivered()
    second = reconcile_deliveries(client, inbox)
    server.webhooks.drop_next = 0
    assert first.failed and first.redelivered == first.failed
    assert (set(second.failed), second.redelivered) == (set(first.failed), ())
    assert hooked.marks.take(hooked.session.repository)


def test_webhooks_without_a_good_secret_are_not_received(sites: Sites, tmp_path: Path) -> None:
    with pytest.raises(ForgeError, match="no secret"):
        read_webhook_secret(sites.app)
    path = tmp_path / "secret"
    with pytest.raises(ForgeError, match="cannot be read"):
        read_webhook_secret(replace(sites.app, webhook_secret_file=path))
    path.write_text("short")
    with pytest.raises(ForgeError, match="shorter") as refused:
        read_webhook_secret(replace(sites.app, webhook_secret_file=path))
    assert "short\n" not in str(refused.value) and "openssl" in refused.value.fix
