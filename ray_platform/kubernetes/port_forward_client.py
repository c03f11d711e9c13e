"""Reaches an HTTP port of a pod from outside its cluster: a port of this machine, carried by the
Kubernetes API.

Each connection becomes a WebSocket to the pod's `portforward`
(https://kubernetes.io/docs/reference/kubernetes-api/workload-resources/pod-v1/). The client of the
`kubernetes` package does so too, but hangs for good when the API resets a connection.
"""

import asyncio
import atexit
import functools
import logging
import os
import threading
import urllib.parse
from collections.abc import Mapping
from concurrent.futures import Future
from typing import TYPE_CHECKING, Any

from ray_platform.kubernetes.api_client import PODS, KubernetesApi
from ray_platform.kubernetes.forwarded_connection_client import Client, pump
from ray_platform.text.errors import KubernetesError

if TYPE_CHECKING:
    import aiohttp

LOOPBACK = "127.0.0.1"
PROTOCOL = "v4.channel.k8s.io"
CONNECT_SECONDS = 20.0
CLOSE_SECONDS = 5.0


class PortForward:
    """One HTTP port of the pods that a selector names, on a free port of 127.0.0.1.

    The pod is looked up anew for each connection, so that a new pod takes over from one that is gone. A
    connection that cannot be carried gets the reason as an HTTP answer with the code 502.

    Args:
        api: The cluster.
        namespace: Of the pods.
        selector: Their labels, as in ``ray.io/cluster=ray,ray.io/node-type=head``.
        port: The pod's.
    """

    def __init__(self, api: KubernetesApi, namespace: str, selector: str, port: int) -> None:
        self._api = api
        self._namespace = namespace
        self._selector = selector
        self._port = port
        self._listening: Future[int] = Future()
        self._stop: Any = None
        self._thread = threading.Thread(
            target=self._run, name=f"port-forward {namespace}/{selector}", daemon=True
        )

    def __enter__(self) -> "PortForward":
        return self.open()

    def __exit__(self, *_: object) -> None:
        self.close()

    def open(self) -> "PortForward":
        """Listen, once there is a pod to reach.

        Raises:
            KubernetesError: no such pod runs, or the API refuses or does not answer.
        """
        self._pod()
        self._thread.start()
        self._listening.result()
        return self

    @property
    def address(self) -> str:
        """As in ``http://127.0.0.1:41234``."""
        return f"http://{LOOPBACK}:{self._listening.result()}"

    @property
    def is_open(self) -> bool:
        return self._thread.is_alive()

    def close(self) -> None:
        """End every connection, the port and the thread."""
        if self._thread.is_alive() and self._stop is not None:
            self._stop()
            self._thread.join(CLOSE_SECONDS)

    def _run(self) -> None:
        try:
            asyncio.run(self._serve())
        except Exception as error:
            # Before it listens, somebody waits for the answer; after that, the next use opens another.
            if self._listening.done():
                logging.exception("a port forward has ended")
            else:
                self._listening.set_exception(error)

    async def _serve(self) -> None:
        import aiohttp

        over, loop = asyncio.Event(), asyncio.get_running_loop()
        self._stop = functools.partial(loop.call_soon_threadsafe, over.set)
        connections: set[asyncio.Task[None]] = set()
        connector = aiohttp.TCPConnector(ssl=self._api.access.tls(), limit=0, force_close=True)
        async with aiohttp.ClientSession(connector=connector) as session:

            def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
                task = asyncio.create_task(self._carry(session, reader, writer))
                connections.add(task)
                task.add_done_callback(connections.discard)

            server = await asyncio.start_server(accept, LOOPBACK, 0)
            self._listening.set_result(int(server.sockets[0].getsockname()[1]))
            await over.wait()
            server.close()
            for task in connections:
                task.cancel()
            await asyncio.gather(*connections, return_exceptions=True)

    async def _carry(
        self,
        session: "aiohttp.ClientSession",
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
    ) -> None:
        import aiohttp

        client = Client(reader, writer)
        try:
            async with asyncio.timeout(CONNECT_SECONDS):
                socket = await self._connect(session)
            async with socket:
                await pump(socket, client)
        except (KubernetesError, aiohttp.ClientError, TimeoutError) as error:
            why = error.what if isinstance(error, KubernetesError) else f"no way to it: {error!r}"
            # Who got no answer yet gets the reason for one.
            level = logging.WARNING if client.has_answer else logging.INFO
            logging.log(level, "port forward to %s: %s", self._selector, why)
            await client.refuse(why)
        except OSError:
            logging.debug("port forward to %s: the client went away", self._selector)
        finally:
            client.close()

    async def _connect(
        self, session: "aiohttp.ClientSession"
    ) -> "aiohttp.ClientWebSocketResponse[Any]":
        """The WebSocket to the pod; a token that was refused is renewed once.

        Raises:
            KubernetesError: there is no pod, or the API refuses.
        """
        import aiohttp

        access = self._api.access
        pod = await asyncio.to_thread(self._pod)
        path = "/".join(
            ("api/v1/namespaces", self._namespace, "pods", urllib.parse.quote(pod), "portforward")
        )
        for is_again in (False, True):
            headers = await asyncio.to_thread(access.headers, is_again)
            try:
                return await session.ws_connect(
                    f"{access.endpoint}/{path}",
                    params={"ports": str(self._port)},
                    protocols=(PROTOCOL,),
                    headers=headers,
                    max_msg_size=0,
                )
            except aiohttp.WSServerHandshakeError as error:
                if error.status == 401 and not is_again:
                    continue
                raise _refused(error.status, f"pod {self._namespace}/{pod}", self._port) from error
        raise AssertionError("unreachable")

    def _pod(self) -> str:
        """The name of a pod that runs.

        Raises:
            KubernetesError: there is none, or the API refuses or does not answer.
        """
        pods = self._api.list(PODS, self._namespace, labelSelector=self._selector)["items"]
        running = [
            pod
            for pod in pods
            if "deletionTimestamp" not in pod["metadata"]
            and (pod.get("status") or {}).get("phase") == "Running"
        ]
        if running:
            # Of a pod whose node was lost, the phase lasts; readiness does not.
            return str(max(running, key=_is_ready)["metadata"]["name"])
        raise KubernetesError(
            f"no pod with {self._selector} runs to forward port {self._port} of"
            + (f"; {len(pods)} wait or end" if pods else ""),
            where=f"namespace {self._namespace}",
            fix=f"see `kubectl --namespace {self._namespace} get pods`, and try again once it runs",
        )


def _is_ready(pod: Mapping[str, Any]) -> bool:
    conditions = pod["status"].get("conditions") or []
    return any(c.get("type") == "Ready" and c.get("status") == "True" for c in conditions)


def _refused(code: int, where: str, port: int) -> KubernetesError:
    why = {
        401: "the token is not taken",
        403: "this identity may not create pods/portforward",
        404: "it is gone",
    }
    return KubernetesError(
        f"the Kubernetes API does not forward port {port}: {why.get(code, f'it answers {code}')}",
        where=where,
        fix="give this identity the right to create pods/portforward, or set [ray] address",
        code=code,
    )


_open: dict[tuple[Any, ...], PortForward] = {}
_lock = threading.Lock()


def forwarded(api: KubernetesApi, namespace: str, selector: str, port: int) -> str:
    """The address on this machine of a pod's HTTP port, the same for all of this process.

    Args:
        api, namespace, selector, port: As `PortForward`.

    Raises:
        KubernetesError: as `PortForward.open`.
    """
    access = api.access
    # A child of a fork has no threads of its parent's.
    key = (os.getpid(), access.endpoint, access.authority, namespace, selector, port)
    with _lock:
        found = _open.get(key)
        if found is None or not found.is_open:
            if not _open:
                atexit.register(close_all)
            found = _open[key] = PortForward(api, namespace, selector, port).open()
        return found.address


def close_all() -> None:
    """End the forwards of this process."""
    with _lock:
        for forward in _open.values():
            forward.close()
        _open.clear()
