"""The HTTP server that webhooks are sent to: small, and hard to keep busy.

It answers ``POST /`` alone. A body is read only up to GitHub's own limit, a connection may last fifteen
seconds however slowly it gives its bytes, and thirty-two may be open at once; one more is closed unheard,
and the poll finds what it would have told.
"""

import socket
import threading
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from ray_platform.github.webhooks.deliveries import MAX_BODY_BYTES, DeliveryVerdict, WebhookDelivery
from ray_platform.github.webhooks.webhooks_store import Inbox

#: How long a connection may last, and how many may be open at once.
SECONDS = 15.0
CONNECTIONS = 32
_MAX_HEADER_LINES = 60


class Receiver(ThreadingHTTPServer):
    """The server; `serve_forever` runs it.

    Args:
        inbox: What judges the deliveries.
        host: The address to listen on; 127.0.0.1 where a proxy that speaks TLS stands before it.
        port: 0 takes a free one; see `server_port`.
        say: Gets one line for each delivery, without anything that its sender chose freely.
    """

    daemon_threads = True
    allow_reuse_address = True
    request_queue_size = 64

    def __init__(self, inbox: Inbox, host: str, port: int, say: Callable[[str], None]) -> None:
        self.inbox = inbox
        self.say = say
        self.open_connections = 0
        self._counting = threading.Lock()
        if ":" in host:
            self.address_family = socket.AF_INET6
        super().__init__((host, port), _Handler)

    def process_request(self, request: Any, client_address: Any) -> None:
        with self._counting:
            is_full = self.open_connections >= CONNECTIONS
            self.open_connections += not is_full
        if is_full:
            self.say("refused a connection: too many are open")
            self.shutdown_request(request)
            return
        try:
            super().process_request(request, client_address)
        except BaseException:
            self._closed()
            raise

    def process_request_thread(self, request: Any, client_address: Any) -> None:
        # Whoever gives a byte now and then passes each wait for a byte, but not this.
        end = threading.Timer(SECONDS, _cut_off, (request,))
        end.daemon = True
        end.start()
        try:
            super().process_request_thread(request, client_address)
        finally:
            end.cancel()
            self._closed()

    def _closed(self) -> None:
        with self._counting:
            self.open_connections -= 1

    def handle_error(self, request: Any, client_address: Any) -> None:
        self.say("a connection broke off")


class _Handler(BaseHTTPRequestHandler):
    timeout = SECONDS
    server: Receiver
    server_version = "ray-platform"
    sys_version = ""

    def do_POST(self) -> None:
        length = self.headers.get("content-length", "")
        if self.path != "/":
            self._answer(404, "webhooks go to /")
        elif not length.isdigit() or "transfer-encoding" in self.headers:
            self._answer(411, "a webhook says its length")
        elif len(length) > 12 or int(length) > MAX_BODY_BYTES:
            self._answer(413, "larger than any webhook of GitHub's")
        elif len(self.headers) > _MAX_HEADER_LINES:
            self._answer(431, "too many headers")
        else:
            self._receive(int(length))

    def _receive(self, length: int) -> None:
        body = self.rfile.read(length)
        if len(body) != length:
            self._answer(400, "the body ended early")
            return
        headers = {name.lower(): value for name, value in self.headers.items()}
        try:
            verdict, delivery = self.server.inbox.receive(headers, body)
        except Exception as error:  # whatever it is, GitHub must hear that it was not taken
            self.server.say(f"500 the delivery could not be noted: {type(error).__name__}")
            self._answer(500, "the delivery could not be noted")
            return
        self.server.say(log_line(verdict, delivery))
        self._answer(verdict.status, verdict.said)

    def _answer(self, status: int, said: str) -> None:
        content = f"{said}\n".encode()
        self.close_connection = True
        self.send_response(status)
        self.send_header("Content-Type", "text/plain; charset=utf-8")
        self.send_header("Content-Length", str(len(content)))
        self.send_header("Connection", "close")
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, format: str, *args: Any) -> None:
        """Nothing: a request's own words are its sender's; `log_line` is what is said."""


def log_line(verdict: DeliveryVerdict, delivery: WebhookDelivery | None) -> str:
    """One line about a delivery. What is shown of it was read from a signed body, or is ours."""
    if delivery is None:
        return f"{verdict.status} {verdict.said}"
    name = f"{delivery.event}.{delivery.action}" if delivery.action else delivery.event
    about = f" of {delivery.repository}" if delivery.repository else ""
    return f"{verdict.status} {name}{about} ({delivery.id}): {verdict.said}"


def _cut_off(request: socket.socket) -> None:
    try:
        request.shutdown(socket.SHUT_RDWR)
    except OSError:
        return  # closed already
