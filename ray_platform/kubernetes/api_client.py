"""A Kubernetes API over HTTPS: the few verbs that the platform needs, on JSON objects.

The `kubernetes` package takes a second to import and knows no server-side apply of custom objects;
this needs neither.
"""

import contextlib
import http.client
import json
import time
import urllib.parse
from collections.abc import Iterator, Mapping
from typing import Any

from ray_platform.kubernetes.api_access import ClusterAccess
from ray_platform.kubernetes.kept_connections_client import exchange
from ray_platform.text.errors import KubernetesError

REQUEST_SECONDS = 15.0
_JSON = "application/json"
#: How long a log that is followed may stay silent.
FOLLOW_SECONDS = 24 * 3600.0
_UNAUTHORIZED, _FIRST_REFUSAL = 401, 300
#: What an API server answers that is starting, ends or has too much to do; nothing was done.
_LATER = (429, 503)
#: The connection ended while nobody knows why: a server that restarts, a balancer that forgot it.
_DROPPED = (ConnectionResetError, BrokenPipeError, http.client.RemoteDisconnected)
_TRIES = 5
_RETRY_SECONDS, _LONGEST_SECONDS = 0.2, 5.0
_PATCHES = {
    "merge": "application/merge-patch+json",
    "json": "application/json-patch+json",
    "apply": "application/apply-patch+yaml",
}
#: apiVersion and plural of the kinds that the platform reads or writes.
NAMESPACES = ("v1", "namespaces")
SECRETS = ("v1", "secrets")
PODS = ("v1", "pods")
SERVICES = ("v1", "services")
SERVICE_ACCOUNTS = ("v1", "serviceaccounts")
EVENTS = ("v1", "events")
RAY_CLUSTERS = ("ray.io/v1", "rayclusters")
RAY_JOBS = ("ray.io/v1", "rayjobs")
Collection = tuple[str, str]


class KubernetesApi:
    """The objects of one cluster.

    Args:
        access: How to reach it.
        manager: Who writes, in ``managedFields``.
    """

    def __init__(self, access: ClusterAccess, manager: str) -> None:
        self.access = access
        self._manager = manager

    def get(self, of: Collection, name: str, namespace: str = "") -> dict[str, Any] | None:
        """One object, or None.

        Raises:
            KubernetesError: the API does not answer, or refuses.
        """
        try:
            return self._object("GET", _path(of, namespace, name))
        except KubernetesError as error:
            if error.code == 404:
                return None
            raise

    def list(self, of: Collection, namespace: str = "", **query: str) -> dict[str, Any]:
        """The collection's list: ``items``, and ``metadata`` with its resource version.

        Raises:
            KubernetesError: the API does not answer, or refuses.
        """
        return self._object("GET", _path(of, namespace), query=query)

    def create(self, of: Collection, content: Mapping[str, Any], namespace: str = "") -> Any:
        """A new object.

        Raises:
            KubernetesError: it exists (code 409), or the API refuses or does not answer.
        """
        return self._object("POST", _path(of, namespace), content)

    def apply(self, of: Collection, content: Mapping[str, Any], *, force: bool = True) -> Any:
        """A server-side apply: the object has the fields of ``content``, whatever it had before.

        Raises:
            KubernetesError: another manager owns a field (409), or the API refuses or is silent.
        """
        metadata = content["metadata"]
        query = {"force": "true"} if force else {}
        path = _path(of, metadata.get("namespace", ""), metadata["name"])
        return self._object("PATCH", path, content, query=query, patch="apply")

    def patch(
        self,
        of: Collection,
        name: str,
        namespace: str,
        patch: Any,
        *,
        how: str = "merge",
        subresource: str = "",
        manager: str = "",
    ) -> Any:
        """The object after a ``merge`` or ``json`` patch.

        Raises:
            KubernetesError: a ``test`` of a JSON patch did not hold (422), or the API refuses or is
                silent.
        """
        query = {"fieldManager": manager} if manager else {}
        path = _path(of, namespace, name, subresource)
        return self._object("PATCH", path, patch, query=query, patch=how)

    def delete(self, of: Collection, name: str, namespace: str = "", *, uid: str = "") -> bool:
        """Delete an object, and what it owns with it; whether there was one.

        Args:
            of: Its kind.
            name: Its name.
            namespace: Its namespace.
            uid: Delete it only if it still is this one.

        Raises:
            KubernetesError: it is another one (409), or the API refuses or is silent.
        """
        options: dict[str, Any] = {"propagationPolicy": "Background"}
        if uid:
            options["preconditions"] = {"uid": uid}
        try:
            self._object("DELETE", _path(of, namespace, name), options)
        except KubernetesError as error:
            if error.code == 404:
                return False
            raise
        return True

    def log(
        self,
        pod: str,
        namespace: str,
        *,
        lines: int = 100,
        container: str = "",
        previous: bool = False,
    ) -> str:
        """The last lines of what a pod's container wrote.

        Args:
            pod: Its name.
            namespace: Its namespace.
            lines: How many.
            container: Which; empty: its only one, or the default one.
            previous: Of the container before its last restart.

        Raises:
            KubernetesError: there is no such pod, container or log, or the API refuses or is silent.
        """
        query = _log_query(lines, container, previous=previous)
        with self._open("GET", _path(PODS, namespace, pod, "log"), query=query) as answer:
            return str(answer.read().decode(errors="replace"))

    def follow_log(self, pod: str, namespace: str, *, lines: int, container: str) -> Iterator[str]:
        """The last lines of a container and each new one, with its end of line, until the container ends.

        Raises:
            KubernetesError: as `log`, or the API goes away.
        """
        query = {**_log_query(lines, container, previous=False), "follow": "true"}
        path = _path(PODS, namespace, pod, "log")
        # A container may be silent for long; whoever follows ends it.
        with self._open("GET", path, query=query, timeout=FOLLOW_SECONDS) as answer:
            try:
                for line in answer:
                    yield line.decode(errors="replace")
            except (OSError, http.client.HTTPException) as error:
                raise self._silent(error) from error

    def watch(
        self, of: Collection, version: str, *, seconds: float = 300.0
    ) -> Iterator[tuple[str, dict[str, Any]]]:
        """Type and object of each change after a resource version, until the time is up.

        Raises:
            KubernetesError: the version is too old (410: list again), or the API refuses, is silent
                or goes away.
        """
        query = {"watch": "1", "resourceVersion": version, "timeoutSeconds": str(int(seconds))}
        with self._open("GET", _path(of, ""), query=query, timeout=seconds + 10) as answer:
            try:
                for line in answer:
                    event = json.loads(line)
                    if event["type"] == "ERROR":
                        raise _refusal(self.access.endpoint, event["object"])
                    yield event["type"], event["object"]
            except (OSError, http.client.HTTPException, ValueError) as error:
                raise self._silent(error) from error

    def version(self) -> str:
        """The version of the control plane, as in ``v1.33.5``.

        Raises:
            KubernetesError: the API refuses or does not answer.
        """
        return str(self._object("GET", "/version")["gitVersion"])

    def _object(self, method: str, path: str, body: Any = None, **options: Any) -> dict[str, Any]:
        with self._open(method, path, body, **options) as answer:
            try:
                content: dict[str, Any] = json.loads(answer.read())
            except (OSError, http.client.HTTPException, ValueError) as error:
                raise self._silent(error) from error
        return content

    @contextlib.contextmanager
    def _open(
        self,
        method: str,
        path: str,
        body: Any = None,
        *,
        query: Mapping[str, str] | None = None,
        patch: str = "",
        timeout: float = REQUEST_SECONDS,
    ) -> Iterator[Any]:
        asked = dict(query or {})
        if method in ("POST", "PUT", "PATCH"):
            asked.setdefault("fieldManager", self._manager)
            asked.setdefault("fieldValidation", "Strict")
        target = f"{path}?{urllib.parse.urlencode(asked)}" if asked else path
        data = None if body is None else json.dumps(body).encode()
        content = {"Content-Type": _PATCHES.get(patch, _JSON)} if data is not None else {}
        access = self.access
        was_refused = False
        for attempt in range(_TRIES):
            is_last = attempt == _TRIES - 1
            with contextlib.ExitStack() as stack:
                try:
                    answer = stack.enter_context(
                        exchange(
                            access.endpoint,
                            access.tls,
                            method,
                            target,
                            data,
                            {"Accept": _JSON, **content, **access.headers(was_refused)},
                            named=(access.authority, access.certificate),
                            timeout=timeout,
                        )
                    )
                    status = _status(answer) if answer.status >= _FIRST_REFUSAL else None
                except (OSError, http.client.HTTPException) as error:
                    # What reads is asked again. Whether a write was done is not known: who asked decides.
                    if method == "GET" and isinstance(error, _DROPPED) and not is_last:
                        time.sleep(_pause(attempt))
                        continue
                    raise self._silent(error) from error
                if status is None:
                    yield answer
                    return
            if answer.status == _UNAUTHORIZED and not (was_refused or is_last):
                was_refused = True  # a token that ended meanwhile is renewed once
            elif answer.status in _LATER and not is_last:
                time.sleep(_pause(attempt, answer.headers.get("Retry-After")))
            else:
                raise _refusal(access.endpoint, status)
        raise AssertionError("the last try neither answers nor raises")

    def _silent(self, error: Exception) -> KubernetesError:
        return KubernetesError(
            f"the Kubernetes API does not answer: {getattr(error, 'reason', None) or error!r}",
            where=self.access.endpoint,
            fix="see that it runs and that this machine reaches it; then try again, nothing is lost",
        )


def _pause(attempt: int, asked: str | None = None) -> float:
    """Seconds until the next try: what the server asks for, within bounds, or longer each time."""
    wished = float(asked) if asked and asked.isdigit() else _RETRY_SECONDS * 2**attempt
    return min(max(wished, _RETRY_SECONDS), _LONGEST_SECONDS)


def is_passing(error: KubernetesError) -> bool:
    """Whether the same request may succeed a little later: the API is away, starts or is too busy."""
    return error.code in (0, *_LATER)


def _log_query(lines: int, container: str, *, previous: bool) -> dict[str, str]:
    return {
        "tailLines": str(lines),
        **({"container": container} if container else {}),
        **({"previous": "true"} if previous else {}),
    }


def _path(of: Collection, namespace: str, name: str = "", subresource: str = "") -> str:
    api_version, plural = of
    parts = ["apis" if "/" in api_version else "api", api_version]
    parts += ["namespaces", namespace] if namespace else []
    parts += [plural, *filter(None, (name, subresource))]
    return "/" + "/".join(urllib.parse.quote(part, safe="/") for part in parts)


def _status(answer: http.client.HTTPResponse) -> Mapping[str, Any]:
    content = answer.read()
    try:
        status = json.loads(content)
    except ValueError:
        status = None
    if isinstance(status, Mapping) and "code" in status:
        return status
    return {"code": answer.status, "message": answer.reason}


def _refusal(endpoint: str, status: Mapping[str, Any]) -> KubernetesError:
    code = int(status.get("code", 0))
    fix = {
        401: "sign in again: the token is not taken",
        403: "give this identity the right (docs/how-to/set-up-aws.md)",
        409: "read the object again and repeat the change",
        422: "mend what the message names",
    }
    return KubernetesError(
        f"the Kubernetes API refuses: {status.get('message', 'no reason given')}",
        where=endpoint,
        fix=fix.get(code, "read the message; `kubectl` shows the same object"),
        code=code,
        reason=str(status.get("reason", "")),
    )
