"""Git over HTTP: clone, fetch and push, by git's own ``http-backend``."""

import asyncio
import contextlib
from typing import TYPE_CHECKING

from ray_platform_sandbox.github.access import rights
from ray_platform_sandbox.github.access.tokens import caller_of
from ray_platform_sandbox.github.client.caller import Caller
from ray_platform_sandbox.github.git import merges, pushes
from ray_platform_sandbox.github.git.program import git_environment
from ray_platform_sandbox.github.hub import Hub
from ray_platform_sandbox.github.problems import Problem
from ray_platform_sandbox.github.state import Repository

if TYPE_CHECKING:
    from aiohttp import web

READS, WRITES = "git-upload-pack", "git-receive-pack"
_CHUNK = 64 * 1024


class GitHttp:
    """Serves ``/{owner}/{repo}.git/...``. Names are looked up in the state; none becomes a path."""

    def __init__(self, hub: Hub) -> None:
        self.hub = hub

    async def advertise(self, request: "web.Request") -> "web.StreamResponse":
        """``info/refs``: what there is."""
        service = request.query.get("service", "")
        if service not in (READS, WRITES):
            return _refused(403, "Please upgrade your git client.\n")
        return await self._serve(request, service, "/info/refs")

    async def exchange(self, request: "web.Request") -> "web.StreamResponse":
        """``git-upload-pack`` and ``git-receive-pack``."""
        service = request.match_info["service"]
        return await self._serve(request, service, f"/{service}")

    async def _serve(self, request: "web.Request", service: str, path: str) -> "web.StreamResponse":
        try:
            caller = caller_of(
                self.hub.state, request.headers.get("Authorization", ""), self.hub.clock.now()
            )
        except Problem:
            return _refused(401, "Invalid username or token.\n")
        owner, name = request.match_info["owner"], request.match_info["repo"]
        repository = self.hub.state.repository(owner, name.removesuffix(".git"))
        refused = _refusal(self.hub, caller, repository, service)
        if refused is not None or repository is None:
            return refused or _refused(404, "Repository not found.\n")
        if service == READS and path == "/info/refs":
            merges.refresh_all(self.hub, repository)
        self.hub.calls.git[f"{request.method} {service}"] += 1
        try:
            response = await self._run_backend(request, repository, caller, path)
        finally:
            # Also when the client went away: git may have taken the push by then.
            if path == f"/{WRITES}":
                pushes.take_in(self.hub, repository, caller.login)
                self.hub.save()
        await response.write_eof()
        return response

    async def _run_backend(
        self, request: "web.Request", repository: Repository, caller: Caller, path: str
    ) -> "web.StreamResponse":
        from aiohttp import web

        store = self.hub.store(repository)
        child = await asyncio.create_subprocess_exec(
            "git",
            "http-backend",
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            env={
                **git_environment(),
                "GIT_PROJECT_ROOT": str(store.path.parent),
                "GIT_HTTP_EXPORT_ALL": "1",
                "PATH_INFO": f"/{store.path.name}{path}",
                "REQUEST_METHOD": request.method,
                "QUERY_STRING": request.query_string,
                "CONTENT_TYPE": request.headers.get("Content-Type", ""),
                # aiohttp has undone it: git packs a body of more than 1,024 bytes, as for many references.
                "HTTP_CONTENT_ENCODING": "",
                "GIT_PROTOCOL": request.headers.get("Git-Protocol", ""),
                "REMOTE_USER": caller.login,
                "REMOTE_ADDR": "127.0.0.1",
            },
        )
        assert child.stdin and child.stdout  # noqa: S101  (they were asked for)
        feeding = asyncio.create_task(_feed(request, child.stdin))
        try:
            status, headers = await _read_head(child.stdout)
            response = web.StreamResponse(status=status, headers=headers)
            await response.prepare(request)
            while chunk := await child.stdout.read(_CHUNK):
                await response.write(chunk)
            await feeding
            await child.wait()
        finally:
            feeding.cancel()
            if child.returncode is None:
                child.kill()
                await child.wait()
        return response


def _refusal(
    hub: Hub, caller: Caller, repository: Repository | None, service: str
) -> "web.StreamResponse | None":
    """Why a caller may not fetch from or push to a repository, or None."""
    if repository is None or not rights.can_see(hub.state, caller, repository):
        # Whether it exists is nobody's business; a token may show that it is the caller's.
        if caller.kind == "anonymous":
            return _refused(401, "Repository not found.\n")
        return _refused(404, "Repository not found.\n")
    writes = service == WRITES
    if caller.kind == "anonymous":
        return _refused(401, "Authentication required.\n") if writes else None
    if caller.kind == "installation":
        need = "contents:write" if writes else "contents:read"
        covered = rights.covers(hub.state, caller, repository)
        allowed = rights.allows(caller, need) and (covered or not writes)
    elif caller.kind == "user":
        role = rights.role_in(hub.state, repository, caller.login)
        rank = rights.ROLES.index(role)
        allowed = rank >= rights.ROLES.index("write" if writes else "read")
    else:
        allowed = False
    if allowed:
        return None
    text = f"Permission to {repository.full_name}.git denied to {caller.login}.\n"
    return _refused(403, text)


def _refused(status: int, text: str) -> "web.Response":
    from aiohttp import web

    headers = {"WWW-Authenticate": 'Basic realm="GitHub"'} if status == 401 else None
    return web.Response(status=status, text=text, headers=headers)


async def _feed(request: "web.Request", stdin: asyncio.StreamWriter) -> None:
    """Hand the request's body on while the answer is read: neither side waits for the other's end."""
    with contextlib.suppress(BrokenPipeError, ConnectionResetError):
        async for chunk in request.content.iter_chunked(_CHUNK):
            stdin.write(chunk)
            await stdin.drain()
    stdin.close()


async def _read_head(stdout: asyncio.StreamReader) -> tuple[int, dict[str, str]]:
    """(status, headers) of a CGI answer."""
    status, headers = 200, {}
    while line := (await stdout.readline()).decode("latin-1").strip():
        name, _, value = line.partition(":")
        if name.lower() == "status":
            status = int(value.split()[0])
        else:
            headers[name] = value.strip()
    return status, headers
