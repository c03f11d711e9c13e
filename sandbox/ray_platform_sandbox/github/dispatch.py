"""One REST call from its HTTP form to its answer: who calls, the limits, the permissions, the ETag."""

import hashlib
import json
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl

from ray_platform_sandbox.github.access import rights
from ray_platform_sandbox.github.access.tokens import ANONYMOUS, caller_of
from ray_platform_sandbox.github.call import Answer, Call, Route
from ray_platform_sandbox.github.client.caller import Caller, Sent
from ray_platform_sandbox.github.git.program import GitStoreError
from ray_platform_sandbox.github.hub import API_ROOT, Hub
from ray_platform_sandbox.github.problems import Problem, not_found

if TYPE_CHECKING:
    from aiohttp import web

JSON = "application/json; charset=utf-8"
VERSION = "2022-11-28"
_MOST_SEEN = 10_000


class Dispatch:
    """Serves the REST calls of a hub. Handlers are not interrupted: one call is answered whole."""

    def __init__(self, hub: Hub) -> None:
        self.hub = hub
        #: What a caller was last answered, so that "nothing new" costs no work: (version, ETag).
        self._seen: dict[tuple[str, str, str], tuple[int, str]] = {}

    async def serve(self, request: "web.Request", route: Route) -> "web.Response":
        from aiohttp import web

        body = await request.read()
        sent = self.answer(request, route, body)
        template = _plain(route.template)
        self.hub.calls.add(route.method, template, sent.status)
        self.hub.answered(route.method, template, request.path.removeprefix(API_ROOT), sent)
        return web.Response(status=sent.status, body=sent.body, headers=sent.headers)

    def answer(self, request: "web.Request", route: Route, body: bytes) -> Sent:
        caller, now = ANONYMOUS, self.hub.clock.now()
        try:
            caller = caller_of(self.hub.state, request.headers.get("Authorization", ""), now)
            if not route.free:
                writes = route.method != "GET"
                self.hub.limits.take(caller, now, writes=writes, content=route.content)
            call = self._call(request, route, caller, body)
            rights.check(self.hub.state, caller, route, call.found)
            if sent := self._unchanged(request, route, caller):
                return sent
            try:
                answer = route.handler(call)
            finally:
                if route.method != "GET":
                    self.hub.save()
        except Problem as problem:
            return self._problem(problem, caller, now)
        except GitStoreError as error:
            return self._problem(Problem(500, str(error)), caller, now)
        return self._sent(request, route, caller, answer)

    def _call(self, request: "web.Request", route: Route, caller: Caller, body: bytes) -> Call:
        content: Any = {}
        if body and route.method != "GET":
            try:
                content = json.loads(body)
            except ValueError as error:
                raise Problem(400, "Problems parsing JSON") from error
            if isinstance(content, list):  # labels may come as a bare list
                content = {"labels": content}
            if not isinstance(content, dict):
                raise Problem(400, "Body should be a JSON object")
        values = dict(request.match_info)
        found = None
        if "owner" in values and "repo" in values:
            found = self.hub.state.repository(values["owner"], values["repo"])
            if found is None:
                raise not_found()
        return Call(
            hub=self.hub,
            caller=caller,
            values=values,
            query=dict(parse_qsl(request.query_string)),
            body=content,
            accept=_accepted(request.headers.get("Accept", "")),
            url=self.hub.url + request.path_qs,
            found=found,
        )

    def _unchanged(self, request: "web.Request", route: Route, caller: Caller) -> Sent | None:
        """304 without asking the handler, where nothing at all changed since the same question."""
        if route.method != "GET" or not route.steady:
            return None
        version, tag = self._seen.get(self._key(request), (-1, ""))
        if version != self.hub.version or not _matches(request, tag):
            return None
        return self._not_modified(caller, {"ETag": tag})

    def _sent(self, request: "web.Request", route: Route, caller: Caller, answer: Answer) -> Sent:
        headers = {**self._common(caller), **answer.headers}
        if answer.body is None:
            return Sent(answer.status, b"", headers)
        if isinstance(answer.body, str):
            body = answer.body.encode()
            headers["Content-Type"] = f"{answer.content_type}; charset=utf-8"
        else:
            body = json.dumps(answer.body, separators=(",", ":")).encode()
            headers["Content-Type"] = JSON
        if route.method == "GET" and answer.status == 200:
            # As with GitHub, a tag holds for one token.
            seen = body + request.headers.get("Authorization", "").encode()
            tag = f'W/"{hashlib.sha256(seen).hexdigest()}"'
            headers |= {"ETag": tag, "Cache-Control": "private, max-age=60, s-maxage=60"}
            headers["Vary"] = "Accept, Authorization"
            if len(self._seen) >= _MOST_SEEN:
                self._seen.clear()
            self._seen[self._key(request)] = (self.hub.version, tag)
            if _matches(request, tag) or _not_newer(request, headers):
                kept = ("ETag", "Last-Modified", "Link")
                return self._not_modified(caller, {k: headers[k] for k in kept if k in headers})
        return Sent(answer.status, body, headers)

    def _not_modified(self, caller: Caller, headers: dict[str, str]) -> Sent:
        self.hub.limits.give_back(caller, self.hub.clock.now())
        return Sent(304, b"", {**self._common(caller), **headers})

    def _problem(self, problem: Problem, caller: Caller, now: int) -> Sent:
        headers = {"Content-Type": JSON, **self._common(caller), **problem.headers}
        return Sent(problem.status, json.dumps(problem.to_json()).encode(), headers)

    def _common(self, caller: Caller) -> dict[str, str]:
        from email.utils import formatdate

        now = self.hub.clock.now()
        return {
            # By this server's clock: from it clients learn how far off their own is.
            "Date": formatdate(now, usegmt=True),
            "X-GitHub-Media-Type": "github.v3; format=json",
            "X-GitHub-Api-Version-Selected": VERSION,
            **self.hub.limits.headers(caller, now),
        }

    @staticmethod
    def _key(request: "web.Request") -> tuple[str, str, str]:
        token = request.headers.get("Authorization", "")
        return token, request.path_qs, request.headers.get("Accept", "")


def _plain(template: str) -> str:
    """The template without the patterns of its parts: as GitHub's description has it."""
    import re

    return re.sub(r"\{(\w+):[^}]*\}", r"{\1}", template)


def _accepted(header: str) -> str:
    """The media type that decides the form of the answer."""
    kind = header.split(",")[0].split(";")[0].strip()
    return {"application/vnd.github.v3.diff": "application/vnd.github.diff"}.get(kind, kind)


def _matches(request: "web.Request", tag: str) -> bool:
    given = request.headers.get("If-None-Match", "")
    wanted = tag.removeprefix("W/")
    return bool(tag) and any(one.strip().removeprefix("W/") == wanted for one in given.split(","))


def _not_newer(request: "web.Request", headers: dict[str, str]) -> bool:
    from email.utils import parsedate_to_datetime

    given, ours = request.headers.get("If-Modified-Since"), headers.get("Last-Modified")
    if not given or not ours or "If-None-Match" in request.headers:
        return False
    try:
        return parsedate_to_datetime(ours) <= parsedate_to_datetime(given)
    except (ValueError, TypeError):
        return False
