"""The subresource `portforward` of a pod: its ports are ports of this machine's loopback.

Protocol ``v4.channel.k8s.io`` over a WebSocket: of the n-th port that is asked for, channel 2n is data and
2n + 1 tells errors; each begins with the port's number in two bytes, the lower one first
(https://github.com/kubernetes/kubernetes, `pkg/kubelet/cri/streaming/portforward/websocket.go`).
"""

import asyncio
import contextlib
import json
from collections.abc import Mapping, Sequence
from typing import Any

from aiohttp import WSMsgType, web

from ray_platform_sandbox.kubernetes.failures import ApiFailure, bad_request

PROTOCOL = "v4.channel.k8s.io"
#: On a pod, which port of this machine each of its own is, in JSON: ``{"8265": 5582}``.
PORTS_ANNOTATION = "ray-platform.local/ports"
LOOPBACK = "127.0.0.1"
CHUNK_BYTES = 64 * 1024


async def forward(http: web.Request, pod: Mapping[str, Any]) -> web.WebSocketResponse:
    """Carry the ports that a request names until it ends or they do.

    Raises:
        ApiFailure: it names no port, speaks another protocol, or the pod does not run.
    """
    socket = web.WebSocketResponse(protocols=(PROTOCOL,), max_msg_size=0)
    offered = http.headers.get("Sec-WebSocket-Protocol", "")
    if not socket.can_prepare(http) or PROTOCOL not in [p.strip() for p in offered.split(",")]:
        raise bad_request(
            f"ports are forwarded by a WebSocket with the protocol {PROTOCOL} here, and not by SPDY, "
            "which kubectl speaks"
        )
    ports = _ports(http)
    phase = (pod.get("status") or {}).get("phase")
    if phase != "Running" or "deletionTimestamp" in pod["metadata"]:
        raise ApiFailure(
            400, "BadRequest", f"pod is not running: it is {phase}, and a port needs a process"
        )
    await socket.prepare(http)
    here = json.loads((pod["metadata"].get("annotations") or {}).get(PORTS_ANNOTATION, "{}"))
    carried = [
        _Port(socket, number, port, here.get(str(port)), pod["metadata"])
        for number, port in enumerate(ports)
    ]
    hearing = asyncio.create_task(_hear(socket, carried))
    carrying = asyncio.create_task(_carry(carried))
    try:
        await asyncio.wait([hearing, carrying], return_when=asyncio.FIRST_COMPLETED)
    finally:
        hearing.cancel()
        carrying.cancel()
        await asyncio.gather(hearing, carrying, return_exceptions=True)
        for port in carried:
            port.close()
    await socket.close()
    return socket


def _ports(http: web.Request) -> Sequence[int]:
    texts = [text for value in http.query.getall("ports", []) for text in value.split(",")]
    if not texts:
        raise bad_request("you must specify at least 1 port")
    if not all(text.isdigit() and 0 < int(text) < 65536 for text in texts):
        raise bad_request(f"a port is not one: {','.join(texts)}")
    return [int(text) for text in texts]


class _Port:
    """One port: the WebSocket's two channels of it, and the connection on this machine."""

    def __init__(
        self,
        socket: web.WebSocketResponse,
        number: int,
        port: int,
        here: int | None,
        pod: Mapping[str, Any],
    ) -> None:
        self._socket = socket
        self._data, self._error = bytes((2 * number,)), bytes((2 * number + 1,))
        self._port = port
        self._here = here
        self._pod = pod
        self._writer: asyncio.StreamWriter | None = None
        self._connected = asyncio.Event()

    async def carry(self) -> None:
        """Connect, and carry what the process writes until it ends."""
        for channel in (self._data, self._error):
            await self._socket.send_bytes(channel + self._port.to_bytes(2, "little"))
        try:
            if self._here is None:
                raise ConnectionRefusedError("the pod has no such port on this machine")
            reader, self._writer = await asyncio.open_connection(LOOPBACK, self._here)
        except OSError as error:
            message = (
                f"error forwarding port {self._port} to pod {self._pod['name']}, uid "
                f"{self._pod['uid']}: {error}"
            )
            await self._socket.send_bytes(self._error + message.encode())
            return
        finally:
            self._connected.set()
        with contextlib.suppress(ConnectionError):
            while content := await reader.read(CHUNK_BYTES):
                await self._socket.send_bytes(self._data + content)

    async def write(self, content: bytes) -> None:
        await self._connected.wait()
        if self._writer is not None:
            self._writer.write(content)
            await self._writer.drain()

    def close(self) -> None:
        if self._writer is not None:
            self._writer.close()


async def _carry(ports: Sequence[_Port]) -> None:
    await asyncio.gather(*(port.carry() for port in ports))


async def _hear(socket: web.WebSocketResponse, ports: Sequence[_Port]) -> None:
    async for message in socket:
        if message.type is not WSMsgType.BINARY or not message.data:
            continue
        number, is_error = divmod(message.data[0], 2)
        if not is_error and number < len(ports):
            with contextlib.suppress(ConnectionError):
                await ports[number].write(message.data[1:])
