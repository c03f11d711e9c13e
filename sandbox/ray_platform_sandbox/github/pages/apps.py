"""The pages on which a person makes an App from a manifest and installs it.

On GitHub a login decides who may; here whoever can reach the port may, but only from this server's own page.
"""

import json
import secrets
from typing import TYPE_CHECKING
from urllib.parse import urlencode, urlsplit

from ray_platform_sandbox.github.client import setup
from ray_platform_sandbox.github.hub import Hub
from ray_platform_sandbox.github.pages.templates import answer
from ray_platform_sandbox.github.state import App, ManifestCode

if TYPE_CHECKING:
    from aiohttp import web

#: A code must be converted within an hour, as on GitHub.
_CODE_SECONDS = 3600
#: Who owns an App that no organisation does.
_PERSON = "alice"


class AppPages:
    """Where a manifest is posted, and where its App is installed."""

    def __init__(self, hub: Hub) -> None:
        self.hub = hub

    def add_to(self, application: "web.Application") -> None:
        router = application.router
        router.add_post("/settings/apps/new", self.new)
        router.add_post("/organizations/{org}/settings/apps/new", self.new)
        router.add_get("/apps/{slug}", self.show)
        router.add_get("/apps/{slug}/installations/new", self.show)
        router.add_post("/apps/{slug}/installations/new", self.install)

    async def new(self, request: "web.Request") -> "web.StreamResponse":
        """Show what the App wants to do; once that is confirmed, send the browser back with a code."""
        from aiohttp import web

        owner = self.hub.state.account(request.match_info.get("org", _PERSON))
        form = await request.post()
        try:
            manifest = json.loads(str(form.get("manifest", "")))
            back = urlsplit(str(manifest["redirect_url"]))
            name = str(manifest["name"])
        except (ValueError, KeyError, TypeError):
            return self._message(request, 422, "This is no manifest of an App")
        if owner is None or back.scheme not in ("http", "https") or not back.netloc:
            return self._message(request, 422, "This manifest cannot be used here")
        if not self._own(request) or "confirmed" not in form:
            fields = [("manifest", json.dumps(manifest)), ("confirmed", "yes")]
            return answer(
                request,
                "apps.html",
                title=f"Create {name}",
                heading=f"Create the GitHub App {name}?",
                text=f"It will belong to {owner.login}, and may do nothing until it is installed.",
                permissions=sorted((manifest.get("default_permissions") or {}).items()),
                forms=[{"action": request.path_qs, "fields": fields, "button": "Create it"}],
                forms_lead_anywhere=True,
            )
        code = secrets.token_hex(20)
        ends = self.hub.clock.now() + _CODE_SECONDS
        self.hub.state.manifests[code] = ManifestCode(code, owner.login, manifest, ends)
        self.hub.save()
        given = {
            "code": code,
            **({"state": request.query["state"]} if "state" in request.query else {}),
        }
        joint = "&" if back.query else "?"
        raise web.HTTPFound(f"{manifest['redirect_url']}{joint}{urlencode(given)}")

    async def show(self, request: "web.Request") -> "web.StreamResponse":
        """An App, and the accounts in which it can be installed."""
        app = self._app(request)
        if app is None:
            return self._message(request, 404, "There is no such App")
        state = self.hub.state
        held = [i.account for i in state.installations.values() if i.app_id == app.id]
        accounts = [a.login for a in state.accounts.values() if a.kind == "Organization"]
        forms = [
            {
                "action": f"/apps/{app.slug}/installations/new",
                "fields": [("account", login)],
                "button": f"Install in {login}",
            }
            for login in accounts
            if login not in held
        ]
        return answer(
            request,
            "apps.html",
            title=app.name,
            heading=app.name,
            text=f"Installed in {', '.join(held)}." if held else "Not installed anywhere yet.",
            permissions=sorted(app.permissions.items()),
            forms=forms,
        )

    async def install(self, request: "web.Request") -> "web.StreamResponse":
        from aiohttp import web

        app, form = self._app(request), await request.post()
        account = self.hub.state.account(str(form.get("account", "")))
        if app is None or account is None or account.kind != "Organization":
            return self._message(request, 404, "There is no such App or organisation")
        if not self._own(request):
            return self._message(request, 403, "Only this server's own page may install an App")
        if self.hub.state.installation_of(app.id, account.login) is None:
            setup.install(self.hub, app, account.login)
            self.hub.save()
        raise web.HTTPFound(f"/apps/{app.slug}")

    def _app(self, request: "web.Request") -> App | None:
        slug = request.match_info["slug"]
        return next((app for app in self.hub.state.apps.values() if app.slug == slug), None)

    def _own(self, request: "web.Request") -> bool:
        """Whether a form was sent by a page of this server: other pages could send one, too."""
        return request.headers.get("Origin", "") == f"http://{request.host}"

    def _message(self, request: "web.Request", status: int, text: str) -> "web.Response":
        return answer(request, "message.html", status=status, title=text, text="")
