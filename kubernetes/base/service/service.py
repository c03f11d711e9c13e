"""A sample service: says hello, tells whether it lives and whether it may be sent requests.

`/healthz` is 200 while the process works; `/readyz` is 503 from the moment it is told to end, so that no new
request comes while the open ones are answered. It needs nothing but Python.
"""

import json
import os
import signal
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

#: Until the endpoints of the Service no longer name this pod.
DRAIN_SECONDS = float(os.environ.get("DRAIN_SECONDS", "5"))

ending = threading.Event()


class Handler(BaseHTTPRequestHandler):
    """Answers in JSON, on HTTP/1.1 so that connections are kept."""

    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        if self.path == "/healthz":
            self._answer(200, {"status": "alive"})
        elif self.path == "/readyz":
            ready = not ending.is_set()
            self._answer(200 if ready else 503, {"status": "ready" if ready else "ending"})
        elif self.path == "/":
            self._answer(200, {"hello": os.environ.get("GREETING", "world")})
        else:
            self._answer(404, {"error": f"there is no {self.path}"})

    def _answer(self, status: int, body: dict[str, Any]) -> None:
        content = json.dumps(body).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, format: str, *args: object) -> None:
        """No line for each question of a probe."""


def main() -> None:
    """Serve until SIGTERM; then turn unready, wait for the drain, and end."""
    address = (os.environ.get("HOST", "127.0.0.1"), int(os.environ.get("PORT", "8080")))
    server = ThreadingHTTPServer(address, Handler)

    def end() -> None:
        time.sleep(DRAIN_SECONDS)
        server.shutdown()

    def told_to_end(*_: object) -> None:
        if not ending.is_set():
            ending.set()
            threading.Thread(target=end).start()

    signal.signal(signal.SIGTERM, told_to_end)
    server.serve_forever(poll_interval=0.1)
    server.server_close()


if __name__ == "__main__":
    main()
