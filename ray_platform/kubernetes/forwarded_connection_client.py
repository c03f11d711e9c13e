"""One connection of a port forward: bytes of a client to and from a WebSocket of the Kubernetes API.

Protocol ``v4.channel.k8s.io``: the first byte of a message is its channel, 0 for data and 1 for errors, and
each channel begins with two bytes that name the port
(https://github.com/kubernetes/kubernetes, `pkg/kubelet/cri/streaming/portforward/websocket.go`).
"""

import asyncio
import contextlib
from typing import TYPE_CHECKING, Any

from ray_platform.text.errors import KubernetesError

if TYPE_CHECKING:
    import aiohttp

DATA, ERROR = 0, 1
CHUNK_BYTES = 64 * 1024
#: How long a client that cannot be served may take to ask what it is refused.
ASK_SECONDS = 2.0


class Client:
    """Who connected here; whether it has asked anything, and got an answer."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer
        self.has_asked = False
        self.has_answer = False

    async def read(self) -> bytes:
        content = await self._reader.read(CHUNK_BYTES)
        self.has_asked = self.has_asked or bool(content)
        return content

    async def write(self, content: bytes) -> None:
        self.has_answer = True
        self._writer.write(content)
        await self._writer.drain()

    async def refuse(self, why: str) -> None:
        """Answer what was asked with the reason, which clients show; after half an answer, nothing."""
        reason = "".join(letter if " " <= letter <= "~" else " " for letter in why)
        with contextlib.suppress(TimeoutError, OSError):
            async with asyncio.timeout(ASK_SECONDS):
                # An answer to nobody's question would be lost.
                if not self.has_asked:
                    await self.read()
                if not self.has_answer:
                    await self.write(
                        f"HTTP/1.1 502 {reason}\r\nContent-Type: text/plain\r\n"
                        f"Content-Length: {len(reason)}\r\nConnection: close\r\n\r\n{reason}".encode()
                    )

    def close(self) -> None:
        self._writer.close()


async def pump(socket: "aiohttp.ClientWebSocketResponse[Any]", client: Client) -> None:
    """Carry bytes both ways until either side ends; over a WebSocket, one side ends both."""
    ways = [asyncio.create_task(_up(socket, client)), asyncio.create_task(_down(socket, client))]
    try:
        done, _ = await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for way in ways:
            way.cancel()
        await asyncio.gather(*ways, return_exceptions=True)
    for way in done:
        way.result()


async def _up(socket: "aiohttp.ClientWebSocketResponse[Any]", client: Client) -> None:
    while content := await client.read():
        await socket.send_bytes(bytes((DATA,)) + content)


async def _down(socket: "aiohttp.ClientWebSocketResponse[Any]", client: Client) -> None:
    from aiohttp import WSMsgType

    named: set[int] = set()
    async for message in socket:
        if message.type is not WSMsgType.BINARY or not message.data:
            continue
        channel, content = message.data[0], message.data[1:]
        if channel not in named:
            named.add(channel)  # its first message names the port
        elif channel == ERROR:
            raise KubernetesError(
                f"the pod's port is not reached: {content.decode(errors='replace')}",
                fix="see that the pod is well; its events and log say more",
            )
        else:
            await client.write(content)
