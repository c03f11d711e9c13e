"""The Kubernetes API as a process: ``python -m ray_platform_sandbox.kubernetes.server --help``.

It listens on 127.0.0.1 alone and answers nobody who does not show its secret.
"""

import argparse
import asyncio
import datetime
import gzip
import json
import re
import ssl
import sys
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from typing import Any

import yaml
from aiohttp import web

from ray_platform_sandbox.kubernetes import event_shapes
from ray_platform_sandbox.kubernetes.api import Api, Content, Request
from ray_platform_sandbox.kubernetes.authentication import is_allowed
from ray_platform_sandbox.kubernetes.failures import (
    ApiFailure,
    bad_request,
    no_such_path,
    not_found,
)
from ray_platform_sandbox.kubernetes.journal import Journal
from ray_platform_sandbox.kubernetes.paths import Target, parse_path
from ray_platform_sandbox.kubernetes.port_forward import forward
from ray_platform_sandbox.kubernetes.protobuf import MAGIC, decode
from ray_platform_sandbox.kubernetes.schema.discovery import discover
from ray_platform_sandbox.kubernetes.schema.kinds import CRD_GROUP, CRD_PLURAL
from ray_platform_sandbox.kubernetes.tables import table
from ray_platform_sandbox.kubernetes.watching import Bell, watch

LOOPBACK = "127.0.0.1"
CRDS = Path(__file__).with_name("crds")
#: A release of Helm's is a secret of up to 1 MiB, in base64 and JSON.
LARGEST_BODY = 8 * 2**20
#: Ending waits no longer for open watches.
CLOSE_SECONDS = 0.5
_NAME = re.compile(r"[a-z0-9]([-a-z0-9.]*[a-z0-9])?")
Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


class Server:
    """One API over HTTP.

    Args:
        folder: Of its objects, and of ``logs/NAMESPACE/POD.log``.
        secret: What clients must show.
    """

    def __init__(self, folder: Path, secret: str) -> None:
        self._logs = folder / "logs"
        self._secret = secret
        self._bell = Bell()
        self.api = Api(Journal(folder), lambda event: self._bell.ring())

    def application(self) -> web.Application:
        application = web.Application(
            client_max_size=LARGEST_BODY, middlewares=[self._only_who_is_allowed]
        )
        application.router.add_route("*", "/{path:.*}", self._answer)
        return application

    @web.middleware
    async def _only_who_is_allowed(
        self, request: web.Request, handler: Handler
    ) -> web.StreamResponse:
        try:
            header = request.headers.get("Authorization", "")
            if not is_allowed(header, self._secret, datetime.datetime.now(datetime.UTC)):
                raise ApiFailure(401, "Unauthorized", "Unauthorized")
            return await handler(request)
        except ApiFailure as failure:
            return web.json_response(failure.status(), status=failure.code)

    async def _answer(self, http: web.Request) -> web.StreamResponse:
        target = parse_path(http.path)
        if target is None:
            document = discover(http.path, self.api.kinds, self.api.store.version)
            if document is None:
                raise no_such_path()
            return web.json_response(document)
        request = await self._read(http, target)
        if target.subresource == "portforward":
            return await forward(http, self.api.get(request))
        if http.method == "GET":
            return await self._show(http, request)
        if http.method == "POST" and not target.name:
            created = self.api.create(request)
            return web.json_response(_in_version(request, created), status=201)
        if http.method == "PUT" and target.name:
            return web.json_response(_in_version(request, self.api.update(request)))
        if http.method == "PATCH" and target.name:
            is_new = self.api.store.get(request.key) is None
            patched = _in_version(request, self.api.patch(request))
            return web.json_response(patched, status=201 if is_new else 200)
        if http.method == "DELETE":
            return self._delete(request)
        raise ApiFailure(
            405,
            "MethodNotAllowed",
            "the server does not allow this method on the requested resource",
        )

    async def _read(self, http: web.Request, target: Target) -> Request:
        kind = self.api.kinds.find(target.group, target.version, target.plural)
        known = kind and (not target.subresource or target.subresource in kind.subresources)
        if kind is None or not known or (target.namespace and not kind.namespaced):
            raise no_such_path()
        return Request(
            target=target,
            kind=kind,
            query=dict(http.query),
            body=_decoded(await http.read()),
            media_type=http.content_type,
            client=http.headers.get("User-Agent", ""),
        )

    async def _show(self, http: web.Request, request: Request) -> web.StreamResponse:
        if request.query.get("watch", "").lower() in ("1", "true"):
            return await self._stream(http, request)
        if request.target.subresource == "log":
            return self._log(request)
        as_table = "as=Table" in http.headers.get("Accept", "")
        version = self.api.store.version
        if request.target.name:
            content = self.api.get(request)
            if as_table:
                own = int(content["metadata"]["resourceVersion"])
                return web.json_response(table(request.kind, [content], own))
            return web.json_response(_in_version(request, content))
        items = list(self.api.list(request))
        if as_table:
            return web.json_response(table(request.kind, items, version))
        return web.json_response(
            {
                "apiVersion": request.kind.api_version,
                "kind": f"{request.kind.kind}List",
                "metadata": {"resourceVersion": str(version)},
                "items": [_in_version(request, item) for item in items],
            }
        )

    def _delete(self, request: Request) -> web.Response:
        status = {"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success"}
        if not request.target.name:
            self.api.delete_collection(request)
            return web.json_response(status)
        gone = self.api.delete(request)
        if self.api.store.get(request.key) is not None:
            return web.json_response(_in_version(request, gone))
        details = {
            "name": request.target.name,
            "group": request.kind.group,
            "kind": request.kind.plural,
            "uid": gone["metadata"]["uid"],
        }
        return web.json_response({**status, "details": details})

    def _log(self, request: Request) -> web.Response:
        """What a pod wrote; the stand-in for the operator puts it there. Its containers have one log."""
        self.api.get(request)
        if request.query.get("previous") == "true":
            container = request.query.get("container", "")
            raise bad_request(
                f'previous terminated container "{container}" in pod "{request.target.name}" not found'
            )
        names = (request.target.namespace, request.target.name)
        path = self._logs / names[0] / f"{names[1]}.log"
        if not all(_NAME.fullmatch(name) for name in names) or not path.is_file():
            raise not_found("log of pod", names[1])
        text = path.read_text(encoding="utf-8", errors="replace")
        if tail := request.query.get("tailLines"):
            text = "".join(text.splitlines(keepends=True)[-int(tail) :]) if int(tail) else ""
        return web.Response(text=text)

    async def _stream(self, http: web.Request, request: Request) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Type": "application/json"})
        await response.prepare(http)
        as_table = "as=Table" in http.headers.get("Accept", "")
        async for kind, content in watch(self.api, request, self._bell):
            if kind == "ERROR":
                shown: Any = content
            elif as_table and kind != "BOOKMARK":
                own = int(content["metadata"]["resourceVersion"])
                shown = table(request.kind, [content], own)
            else:
                shown = _in_version(request, content)
            line = json.dumps({"type": kind, "object": shown}).encode() + b"\n"
            try:
                await response.write(line)
            except ConnectionError:
                return response
        await response.write_eof()
        return response


def _in_version(request: Request, content: Content) -> dict[str, Any]:
    """An object as the version that was asked for: all versions of a kind have one shape here."""
    if request.kind.group == event_shapes.GROUP:
        content = event_shapes.as_new_event(content)
    return {**content, "apiVersion": request.kind.api_version, "kind": request.kind.kind}


def _decoded(body: bytes) -> Any:
    if not body:
        return None
    if body.startswith(MAGIC):
        return decode(body)
    try:
        # A server-side apply may be YAML; JSON is much faster to read.
        if body[:1] in (b"{", b"["):
            return json.loads(body)
        return yaml.load(body, Loader=yaml.CSafeLoader)
    except (ValueError, yaml.YAMLError) as error:
        raise bad_request(f"the body is neither JSON nor YAML: {error}") from error


def register_kuberay(api: Api) -> None:
    """Register KubeRay's CRDs where they are missing, as the chart of its operator does."""
    kind = api.kinds.find(CRD_GROUP, "v1", CRD_PLURAL)
    assert kind is not None  # noqa: S101  (it is built in)
    for path in sorted(CRDS.glob("*.yaml.gz")):
        group, _, plural = path.name.removesuffix(".yaml.gz").partition("_")
        if api.store.get((CRD_GROUP, CRD_PLURAL, "", f"{plural}.{group}")) is None:
            crd = yaml.load(gzip.decompress(path.read_bytes()), Loader=yaml.CSafeLoader)
            target = Target(CRD_GROUP, "v1", CRD_PLURAL)
            query: Mapping[str, str] = {"fieldManager": "kuberay-operator-chart"}
            api.create(Request(target, kind, query, crd))


async def serve(folder: Path, secret: str, certificate: Path, port: int) -> None:
    """Answer on the loopback port until cancelled."""
    server = Server(folder, secret)
    register_kuberay(server.api)
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(certificate)
    runner = web.AppRunner(server.application(), access_log=None, shutdown_timeout=CLOSE_SECONDS)
    await runner.setup()
    await web.TCPSite(runner, LOOPBACK, port, reuse_address=True, ssl_context=context).start()
    await asyncio.Event().wait()


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(description="A Kubernetes API, on 127.0.0.1 only.")
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--folder", type=Path, required=True, help="where the objects are kept")
    parser.add_argument("--secret", type=Path, required=True, help="the file of the token")
    parser.add_argument("--certificate", type=Path, required=True, help="certificate and key, PEM")
    asked = parser.parse_args(arguments)
    secret = asked.secret.read_text(encoding="utf-8").strip()
    asyncio.run(serve(asked.folder, secret, asked.certificate, asked.port))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
