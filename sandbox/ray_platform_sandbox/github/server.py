"""The server as one aiohttp application: REST, Git, pages, and the webhooks' sender."""

import asyncio
import contextlib
import functools
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import TYPE_CHECKING

from ray_platform_sandbox.github.dispatch import Dispatch
from ray_platform_sandbox.github.git.http import READS, WRITES, GitHttp
from ray_platform_sandbox.github.hub import API_ROOT, Hub
from ray_platform_sandbox.github.pages.apps import AppPages
from ray_platform_sandbox.github.pages.pages import Pages
from ray_platform_sandbox.github.problems import not_found
from ray_platform_sandbox.github.rest import routes
from ray_platform_sandbox.github.webhooks import TIMEOUT_SECONDS
from ray_platform_sandbox.services.processes import LOOPBACK

if TYPE_CHECKING:
    from aiohttp import web

#: A body may hold a comment of the greatest length many times over.
_LARGEST_BODY = 8 * 1024 * 1024


def application(hub: Hub) -> "web.Application":
    """The application that serves a hub."""
    from aiohttp import web

    @web.middleware
    async def ours_alone(
        request: "web.Request", handler: Callable[["web.Request"], Awaitable["web.StreamResponse"]]
    ) -> "web.StreamResponse":
        # A foreign name that leads to this machine would let its page in a browser read ours.
        if request.host.rpartition(":")[0] not in (LOOPBACK, "localhost"):
            return web.Response(status=421, text="This server is 127.0.0.1 and nothing else.\n")
        return await handler(request)

    made = web.Application(client_max_size=_LARGEST_BODY, middlewares=[ours_alone])
    dispatch = Dispatch(hub)
    for route in routes():
        handler = functools.partial(dispatch.serve, route=route)
        made.router.add_route(route.method, API_ROOT + route.template, handler)
    made.router.add_route("*", API_ROOT + "/{rest:.*}", functools.partial(_unknown, hub=hub))
    git = GitHttp(hub)
    made.router.add_get("/{owner}/{repo}/info/refs", git.advertise)
    made.router.add_post(f"/{{owner}}/{{repo}}/{{service:{READS}|{WRITES}}}", git.exchange)
    AppPages(hub).add_to(made)
    Pages(hub).add_to(made)
    made.cleanup_ctx.append(functools.partial(_sending, hub=hub))
    return made


async def start(hub: Hub, port: int) -> "web.AppRunner":
    """Listen on the loopback port (0: any free one) and set the hub's address."""
    from aiohttp import web

    runner = web.AppRunner(application(hub), access_log=None, shutdown_timeout=1)
    await runner.setup()
    site = web.TCPSite(runner, LOOPBACK, port)
    await site.start()
    bound = runner.addresses[0][1]
    hub.url = f"http://{LOOPBACK}:{bound}"
    return runner


async def _unknown(request: "web.Request", hub: Hub) -> "web.Response":
    from aiohttp import web

    hub.calls.add(request.method, "(unknown path)", 404)
    return web.json_response(not_found().to_json(), status=404)


async def _sending(application: "web.Application", hub: Hub) -> AsyncIterator[None]:
    """Send webhooks while the application runs."""
    import aiohttp

    timeout = aiohttp.ClientTimeout(total=TIMEOUT_SECONDS)
    async with aiohttp.ClientSession(timeout=timeout) as session:
        task = asyncio.create_task(hub.webhooks.send_all(session))
        yield
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task
