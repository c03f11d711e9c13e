"""HTTPS connections to a Kubernetes API, kept for the next request: a handshake costs more than an answer.

A connection carries one request at a time and belongs to the process that made it: a forked child makes
its own.
"""

import contextlib
import http.client
import os
import select
import ssl
import time
import urllib.parse
from collections.abc import Callable, Iterator, Mapping

#: Idle for longer, a balancer on the way may have forgotten it without a word.
IDLE_SECONDS = 30.0
#: Idle connections to one API.
MOST = 4
#: Process, address, and what names authority and client.
Who = tuple[int, str, str, str]

#: Taking and giving are one step each for all threads; a lock might be held in the moment of a fork.
_idle: dict[Who, list[tuple[http.client.HTTPSConnection, float]]] = {}


@contextlib.contextmanager
def exchange(
    endpoint: str,
    tls: Callable[[], ssl.SSLContext],
    method: str,
    target: str,
    data: bytes | None,
    headers: Mapping[str, str],
    *,
    named: tuple[str, str] = ("", ""),
    timeout: float,
) -> Iterator[http.client.HTTPResponse]:
    """The answer to one request. Read to its end, its connection is kept; else it ends with this block.

    No proxy is asked and no redirect followed.

    Args:
        endpoint: The API's address, as in ``https://127.0.0.1:5584``.
        tls: Gives the context of a new connection.
        method: As in ``GET``.
        target: Path and query below the address.
        data: The body.
        headers: The request's.
        named: Whom ``tls`` trusts, and who it says we are: connections are shared among the same alone.
        timeout: Seconds to connect, and between two parts of the answer.

    Raises:
        OSError: nobody answers, or not in time; the certificate is not trusted.
        http.client.HTTPException: what answers does not speak HTTP, or ends in the middle.
    """
    place = urllib.parse.urlsplit(endpoint)
    who = (os.getpid(), endpoint, *named)
    path = place.path.rstrip("/") + target

    def asked(connection: http.client.HTTPSConnection) -> http.client.HTTPResponse:
        try:
            connection.request(method, path, body=data, headers=dict(headers))
            return connection.getresponse()
        except BaseException:
            connection.close()
            raise

    answer = None
    if (connection := _taken(who)) is not None:
        connection.timeout = timeout
        connection.sock.settimeout(timeout)
        try:
            answer = asked(connection)
        except (OSError, http.client.HTTPException) as error:
            # It ended while nobody looked. What only reads is asked again; what writes may have arrived.
            if method != "GET" or isinstance(error, TimeoutError):
                raise
    if connection is None or answer is None:
        connection = http.client.HTTPSConnection(
            place.hostname or "", place.port, timeout=timeout, context=tls()
        )
        answer = asked(connection)
    try:
        yield answer
    except BaseException:
        connection.close()
        raise
    if answer.isclosed() and not answer.will_close:
        _keep(who, connection)
    else:
        connection.close()


def _taken(who: Who) -> http.client.HTTPSConnection | None:
    """An idle connection that still stands, if there is one."""
    idle = _idle.setdefault(who, [])
    while True:
        try:
            connection, since = idle.pop()
        except IndexError:
            return None
        if time.monotonic() - since < IDLE_SECONDS and not _has_ended(connection):
            return connection
        connection.close()


def _keep(who: Who, connection: http.client.HTTPSConnection) -> None:
    idle = _idle.setdefault(who, [])
    if len(idle) < MOST:
        idle.append((connection, time.monotonic()))
    else:
        connection.close()


def _has_ended(connection: http.client.HTTPSConnection) -> bool:
    """Whether the other side has closed it: nothing is under way, so all that can come is its end."""
    if connection.sock is None:
        return True
    looked = select.poll()
    looked.register(connection.sock, select.POLLIN)
    return bool(looked.poll(0))
