"""Ports of pods, forwarded by the Kubernetes API: the local API, and two clients that share no code."""

import functools
import http.client
import http.server
import json
import os
import signal
import socket
import threading
import urllib.request
from collections.abc import Iterator
from typing import Any

import pytest
from ray_platform_sandbox.kubernetes.port_forward import PORTS_ANNOTATION
from ray_platform_sandbox.kubernetes.service import (
    ensure_kubernetes,
    find_kubernetes,
    kubernetes_access,
    stop_kubernetes,
)

from ray_platform.config.settings import Settings
from ray_platform.kubernetes import port_forward_client
from ray_platform.kubernetes.api_access import ClusterAccess
from ray_platform.kubernetes.api_client import NAMESPACES, PODS, KubernetesApi
from ray_platform.kubernetes.port_forward_client import PortForward, forwarded
from ray_platform.ray.cluster_client import get_json
from ray_platform.text.errors import KubernetesError, RayError
from tests.integration.conftest import make_settings
from tests.support.ports import free_port

pytestmark = [pytest.mark.real, pytest.mark.xdist_group("kubernetes")]

NAMESPACE, SELECTOR, PORT = "team", "app=web", 8265
LARGE = bytes(range(256)) * 12_000


class Process:
    """What runs in a pod: an HTTP server of this machine that says its name."""

    def __init__(self, name: str) -> None:
        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                body = LARGE if self.path == "/large" else json.dumps({"name": name}).encode()
                self._answer(body)

            def do_POST(self) -> None:
                self._answer(self.rfile.read(int(self.headers["Content-Length"])))

            def _answer(self, body: bytes) -> None:
                self.send_response(200)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_: object) -> None:
                pass

        self._server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.port = int(self._server.server_address[1])
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def end(self) -> None:
        self._server.shutdown()
        self._server.server_close()


@pytest.fixture(scope="module")
def settings(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Settings]:
    settings = make_settings(tmp_path_factory.mktemp("forward"))
    ensure_kubernetes(settings)
    yield settings
    stop_kubernetes(settings)


@pytest.fixture
def api(settings: Settings) -> Iterator[KubernetesApi]:
    api = KubernetesApi(kubernetes_access(settings), "test")
    api.create(NAMESPACES, {"metadata": {"name": NAMESPACE}})
    yield api
    port_forward_client.close_all()
    api.delete(NAMESPACES, NAMESPACE)


@pytest.fixture
def process() -> Iterator[Process]:
    process = Process("first")
    yield process
    process.end()


def run_pod(api: KubernetesApi, name: str, here: int, phase: str = "Running") -> None:
    content: dict[str, Any] = {
        "metadata": {
            "name": name,
            "labels": {"app": "web"},
            "annotations": {PORTS_ANNOTATION: json.dumps({PORT: here})},
        },
        "spec": {"containers": [{"name": "web", "image": "web:1"}]},
    }
    api.create(PODS, content, NAMESPACE)
    status = {"status": {"phase": phase}}
    api.patch(PODS, name, NAMESPACE, status, subresource="status")


def read(address: str, path: str = "/", body: bytes | None = None) -> bytes:
    with urllib.request.urlopen(f"{address}{path}", body, timeout=20) as answer:  # noqa: S310
        return bytes(answer.read())


def test_small_and_large_answers_and_bodies_come_through_unchanged(
    api: KubernetesApi, process: Process
) -> None:
    run_pod(api, "web-0", process.port)
    with PortForward(api, NAMESPACE, SELECTOR, PORT) as forward:
        assert get_json(forward.address, "/") == {"name": "first"}
        assert read(forward.address, "/large") == LARGE
        assert read(forward.address, "/", LARGE) == LARGE
        host, _, port = forward.address.removeprefix("http://").partition(":")
        assert host == "127.0.0.1"
        kept = http.client.HTTPConnection(host, int(port), timeout=20)
        for _ in range(2):
            kept.request("GET", "/")
            assert json.loads(kept.getresponse().read()) == {"name": "first"}
        kept.close()
    with pytest.raises(ConnectionRefusedError), socket.create_connection((host, int(port))):
        pass
    assert not forward.is_open


def test_the_client_of_the_kubernetes_package_reaches_the_same_port(
    api: KubernetesApi, settings: Settings, process: Process
) -> None:
    """That client was written against real clusters: what it reads is the protocol, not our idea of it."""
    from kubernetes import client, config, stream

    run_pod(api, "web-0", process.port)
    kubernetes = find_kubernetes(settings)
    assert kubernetes is not None
    core = client.CoreV1Api(config.new_client_from_config(str(kubernetes.kubeconfig)))
    asked = functools.partial(
        stream.portforward, core.connect_get_namespaced_pod_portforward, "web-0", NAMESPACE
    )
    forward = asked(ports=str(PORT))
    connection = forward.socket(PORT)
    connection.sendall(b"GET / HTTP/1.0\r\n\r\n")
    answer = b"".join(iter(functools.partial(connection.recv, 4096), b""))
    assert answer.endswith(b'{"name": "first"}')
    assert forward.error(PORT) is None
    # The second of two ports has channels of its own, and nothing listens on it.
    both = asked(ports=f"{PORT},9999")
    assert both.socket(9999).recv(1) == b""
    assert "error forwarding port 9999 to pod web-0" in both.error(9999)
    both.close()


def test_a_new_pod_takes_over_on_the_same_address(api: KubernetesApi, process: Process) -> None:
    run_pod(api, "web-0", process.port)
    address = forwarded(api, NAMESPACE, SELECTOR, PORT)
    assert get_json(address, "/")["name"] == "first"
    api.delete(PODS, "web-0", NAMESPACE)
    with pytest.raises(
        RayError, match=r"answers 502 no pod with app=web runs to forward port 8265"
    ):
        get_json(address, "/")
    second = Process("second")
    try:
        # One whose node was lost still says that it runs, but not that it is ready.
        run_pod(api, "web-lost", free_port())
        run_pod(api, "web-second", second.port)
        ready = {"status": {"conditions": [{"type": "Ready", "status": "True"}]}}
        api.patch(PODS, "web-second", NAMESPACE, ready, subresource="status")
        assert get_json(address, "/")["name"] == "second"
        assert forwarded(api, NAMESPACE, SELECTOR, PORT) == address
    finally:
        second.end()


def test_a_pod_that_waits_is_told_before_anything_listens(api: KubernetesApi) -> None:
    with pytest.raises(KubernetesError, match="no pod with app=web runs") as refused:
        forwarded(api, NAMESPACE, SELECTOR, PORT)
    assert "get pods" in refused.value.fix
    run_pod(api, "web-0", free_port(), phase="Pending")
    with pytest.raises(KubernetesError, match="1 wait or end"):
        forwarded(api, NAMESPACE, SELECTOR, PORT)


def test_a_process_that_does_not_listen_is_said_in_the_answer(api: KubernetesApi) -> None:
    run_pod(api, "web-0", free_port())
    address = forwarded(api, NAMESPACE, SELECTOR, PORT)
    with pytest.raises(RayError, match=r"502 the pod's port is not reached: error forwarding"):
        get_json(address, "/")


def test_a_token_that_has_ended_is_renewed_and_one_that_is_not_taken_is_said(
    api: KubernetesApi, process: Process
) -> None:
    good = api.access
    run_pod(api, "web-0", process.port)
    asked: list[bool] = []

    def token(was_refused: bool) -> str:
        asked.append(was_refused)
        # The first look at the pods gets through; by the connection's the token has ended.
        return good.token(False) if was_refused or len(asked) == 1 else "ended"

    renewed = KubernetesApi(ClusterAccess(good.endpoint, good.authority, token, "", ""), "test")
    with PortForward(renewed, NAMESPACE, SELECTOR, PORT) as forward:
        assert get_json(forward.address, "/") == {"name": "first"}
    assert asked == [False, False, True, False, True]


def test_the_api_goes_away_and_comes_back_under_an_open_forward(
    api: KubernetesApi, settings: Settings, process: Process
) -> None:
    run_pod(api, "web-0", process.port)
    address = forwarded(api, NAMESPACE, SELECTOR, PORT)
    host, _, port = address.removeprefix("http://").partition(":")
    with socket.create_connection((host, int(port)), timeout=20) as half_asked:
        half_asked.sendall(b"GET / HTTP/1.0\r\n")
        assert get_json(address, "/")["name"] == "first"
        kubernetes = find_kubernetes(settings)
        assert kubernetes is not None
        os.kill(kubernetes.pid, signal.SIGKILL)
        # Nobody waits for an answer that cannot come.
        assert half_asked.recv(1) in (b"", b"H")
    with pytest.raises(RayError, match="502 the Kubernetes API does not answer"):
        get_json(address, "/")
    ensure_kubernetes(settings)
    assert get_json(address, "/")["name"] == "first"


def test_what_is_no_forward_of_a_running_pod_is_refused_by_the_local_api(
    api: KubernetesApi, process: Process
) -> None:
    run_pod(api, "web-0", process.port)
    path = f"/api/v1/namespaces/{NAMESPACE}/pods/web-0/portforward"
    host, _, port = api.access.endpoint.removeprefix("https://").partition(":")

    def asked(query: str, **headers: str) -> tuple[int, str]:
        connection = http.client.HTTPSConnection(host, int(port), context=api.access.tls())
        connection.request("POST", path + query, headers={**api.access.headers(), **headers})
        answer = connection.getresponse()
        said = json.loads(answer.read())["message"]
        connection.close()
        return answer.status, said

    code, said = asked("", Upgrade="SPDY/3.1", Connection="Upgrade")
    assert (code, "not by SPDY, which kubectl speaks" in said) == (400, True)
    websocket = {
        "Upgrade": "websocket",
        "Connection": "Upgrade",
        "Sec-WebSocket-Version": "13",
        "Sec-WebSocket-Key": "MDEyMzQ1Njc4OWFiY2RlZg==",
    }
    assert "not by SPDY" in asked(f"?ports={PORT}", **websocket)[1]
    websocket["Sec-WebSocket-Protocol"] = "v5.channel.k8s.io, v4.channel.k8s.io"
    assert asked("", **websocket) == (400, "you must specify at least 1 port")
    assert asked("?ports=0", **websocket)[1] == "a port is not one: 0"
    status = {"status": {"phase": "Succeeded"}}
    api.patch(PODS, "web-0", NAMESPACE, status, subresource="status")
    assert "pod is not running" in asked(f"?ports={PORT}", **websocket)[1]
