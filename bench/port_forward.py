"""A pod's HTTP port by the platform's port forward, by that of Python's `kubernetes`, and without one.

All on the local Kubernetes API, so that what the API server and a kubelet take is left out: only the ways are
compared. The server behind the port is this process. Run: ``.venv/bin/python bench/port_forward.py`` (10 s).
"""

import functools
import http.server
import json
import statistics
import sys
import tempfile
import threading
import time
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any

from ray_platform_sandbox.kubernetes.port_forward import PORTS_ANNOTATION
from ray_platform_sandbox.kubernetes.service import (
    ensure_kubernetes,
    kubernetes_access,
    stop_kubernetes,
)

from ray_platform.config.settings import Settings
from ray_platform.kubernetes.api_client import NAMESPACES, PODS, KubernetesApi
from ray_platform.kubernetes.port_forward_client import PortForward

ROOT = Path(__file__).resolve().parent.parent
PORT_BASE = 5760
PORT = 8265
SMALL, LARGE = b"{}" * 500, bytes(20 * 1000 * 1000)
ROUNDS, LARGE_ROUNDS = 200, 5


class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        body = LARGE if self.path == "/large" else SMALL
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        pass


def by_address(address: str, path: str) -> int:
    with urllib.request.urlopen(f"{address}{path}", timeout=60) as answer:  # noqa: S310
        return len(answer.read())


def by_package(connect: Callable[..., Any], path: str) -> int:
    """One request with `kubernetes.stream.portforward`, which leaves finding the pod to its caller."""
    from kubernetes import stream

    connection = stream.portforward(connect, "web", "bench", ports=str(PORT)).socket(PORT)
    connection.sendall(f"GET {path} HTTP/1.0\r\n\r\n".encode())
    size = sum(map(len, iter(functools.partial(connection.recv, 2**16), b"")))
    connection.close()
    return int(size)


def seconds(get: Callable[[str], int], path: str, rounds: int) -> float:
    """The median of the rounds; each must bring the whole answer."""
    taken = []
    for _ in range(rounds):
        began = time.perf_counter()
        assert get(path) >= len(LARGE if path == "/large" else SMALL)
        taken.append(time.perf_counter() - began)
    return statistics.median(taken)


def main() -> int:
    # This folder's kubernetes.py stands before the package of that name.
    sys.path.remove(str(Path(__file__).resolve().parent))
    from kubernetes import client, config

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    here = int(server.server_address[1])
    with tempfile.TemporaryDirectory() as folder:
        settings = Settings(ROOT, Path(folder), {"RAY_PLATFORM_PORT_BASE": str(PORT_BASE)})
        kubernetes = ensure_kubernetes(settings)
        try:
            api = KubernetesApi(kubernetes_access(settings), "bench")
            api.create(NAMESPACES, {"metadata": {"name": "bench"}})
            metadata = {
                "name": "web",
                "labels": {"app": "web"},
                "annotations": {PORTS_ANNOTATION: json.dumps({PORT: here})},
            }
            api.create(PODS, {"metadata": metadata, "spec": {"containers": []}}, "bench")
            running = {"status": {"phase": "Running"}}
            api.patch(PODS, "web", "bench", running, subresource="status")
            core = client.CoreV1Api(config.new_client_from_config(str(kubernetes.kubeconfig)))
            connect = core.connect_get_namespaced_pod_portforward
            with PortForward(api, "bench", "app=web", PORT) as forward:
                ways: dict[str, Callable[[str], int]] = {
                    "no forward": functools.partial(by_address, f"http://127.0.0.1:{here}"),
                    "the platform's forward": functools.partial(by_address, forward.address),
                    "`kubernetes.stream.portforward`": functools.partial(by_package, connect),
                }
                told = [
                    (way, seconds(get, "/", ROUNDS), seconds(get, "/large", LARGE_ROUNDS))
                    for way, get in ways.items()
                ]
        finally:
            stop_kubernetes(settings)
            server.shutdown()
    print("| way | 1 kB | ratio | 20 MB | ratio |\n|---|--:|--:|--:|--:|")
    for way, small, large in told:
        print(
            f"| {way} | {small * 1000:.1f} ms | {small / told[0][1]:.1f} "
            f"| {large * 1000:.0f} ms | {large / told[0][2]:.1f} |"
        )
    return 0


if __name__ == "__main__":
    sys.exit(main())
