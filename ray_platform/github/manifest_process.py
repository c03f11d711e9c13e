"""Making the GitHub App in one step: a page on this machine posts the manifest, GitHub sends the key back.

GitHub takes a manifest from a browser alone. So the page is served on 127.0.0.1 while the command waits;
when the person has said yes at GitHub, the browser comes back with a code that is good once, for an hour,
and the code is changed into the App's id, key and webhook secret. Those are written to files and never shown.
"""

import hmac
import html
import json
import os
import secrets
import time
from collections.abc import Mapping
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, quote, urlsplit

from ray_platform.github.calls_client import Calls
from ray_platform.github.repository_client import web_address
from ray_platform.text.errors import ForgeError

_LOOPBACK = "127.0.0.1"
_LOOK_SECONDS = 0.1

_PAGE = """<!doctype html>
<html lang="en"><meta charset="utf-8"><title>Make the GitHub App</title>
<body><h1>Make the GitHub App</h1>
<p>GitHub shows what the App will be allowed, and asks for its name, before it makes it.</p>
<form action="{action}" method="post">
<input type="hidden" name="manifest" value="{manifest}">
<button>Go on at GitHub</button></form></body></html>
"""
_DONE = """<!doctype html>
<html lang="en"><meta charset="utf-8"><title>The App is made</title>
<body><h1>The App is made</h1>
<p>Its key is on your machine. Now <a href="{install}">install it</a> on the repositories to watch;
the command line says what to set.</p></body></html>
"""


@dataclass(frozen=True)
class NewApp:
    """An App that was just made. ``install_url`` is where its owner installs it."""

    app_id: str
    slug: str
    install_url: str
    key_file: Path
    webhook_secret_file: Path


def read_manifest(root: Path, *, redirect_url: str, webhook_url: str, home_page: str) -> str:
    """The manifest as JSON, from ``docs/reference/github-app-manifest.json``.

    Args:
        root: The checkout.
        redirect_url: Where GitHub sends the browser with the code.
        webhook_url: Where webhooks go; empty: none are sent.
        home_page: The App's home page, which GitHub asks for.
    """
    manifest = json.loads(
        (root / "docs" / "reference" / "github-app-manifest.json").read_text("utf-8")
    )
    manifest |= {"redirect_url": redirect_url, "url": home_page}
    manifest["hook_attributes"] = {"url": webhook_url or home_page, "active": bool(webhook_url)}
    return json.dumps(manifest)


def convert(api_url: str, code: str, folder: Path) -> NewApp:
    """Change the code for the App's credentials, and write them below ``folder``. One call.

    Raises:
        ForgeError: GitHub does not know the code, or its answer cannot be read.
    """
    from githubkit import UnauthAuthStrategy
    from githubkit.cache import MemCacheStrategy

    calls = Calls(UnauthAuthStrategy(), api_url, tokens=MemCacheStrategy(), sleep=time.sleep)
    found = calls.write(
        "make the App from its manifest",
        api_url,
        lambda rest: rest.apps.create_from_manifest(quote(code, safe="")),
    )
    try:
        return NewApp(
            app_id=str(int(found["id"])),
            slug=str(found["slug"]),
            install_url=f"{found['html_url']}/installations/new",
            key_file=_write_secret(folder / "private-key.pem", found["pem"]),
            webhook_secret_file=_write_secret(
                folder / "webhook-secret", found.get("webhook_secret") or secrets.token_hex(32)
            ),
        )
    except (KeyError, TypeError, ValueError):
        raise ForgeError(
            "GitHub's answer about the new App cannot be read",
            where=api_url,
            fix="delete the App at GitHub and make it again",
        ) from None


def refuse_to_overwrite(folder: Path) -> None:
    """
    Raises:
        ForgeError: there is an App's key already: a second App would not be known by it.
    """
    if (folder / "private-key.pem").exists():
        raise ForgeError(
            "there is the private key of an App already",
            where=str(folder / "private-key.pem"),
            fix="use that App, or move its key away",
        )


def _write_secret(path: Path, content: str) -> Path:
    """Written beside and renamed, readable by its owner alone from the first byte on."""
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    beside = path.with_name(f".{path.name}-{secrets.token_hex(4)}")
    with os.fdopen(os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
        file.write(content)
    beside.rename(path)
    return path


class SetUp(ThreadingHTTPServer):
    """The page and the way back; `wait` serves until the App is made.

    Args:
        api_url: Where GitHub's API is.
        organization: Who will own the App; empty: the person's own account.
        folder: Where the credentials go.
        port: 0 takes a free one.
    """

    # A browser opens connections ahead of time, and says nothing on them.
    daemon_threads = True

    def __init__(
        self,
        api_url: str,
        organization: str,
        folder: Path,
        *,
        root: Path,
        webhook_url: str = "",
        port: int = 0,
    ) -> None:
        super().__init__((_LOOPBACK, port), _Handler)
        self.api_url = api_url
        self.folder = folder
        self.made: NewApp | None = None
        self.failure: ForgeError | None = None
        self.state = secrets.token_urlsafe(24)
        self.url = f"http://{_LOOPBACK}:{self.server_port}/"
        web = web_address(api_url)
        owner = f"/organizations/{quote(organization, safe='')}" if organization else ""
        action = f"{web}{owner}/settings/apps/new?state={self.state}"
        manifest = read_manifest(
            root,
            redirect_url=f"{self.url}made",
            webhook_url=webhook_url,
            home_page=f"{web}/{quote(organization, safe='')}",
        )
        self.page = _PAGE.format(action=html.escape(action), manifest=html.escape(manifest))

    def wait(self, seconds: float) -> NewApp:
        """The App, once the person has made it.

        Raises:
            ForgeError: GitHub refused the code, or nobody came back in time.
        """
        deadline = time.monotonic() + seconds
        while self.made is None and self.failure is None:
            if time.monotonic() > deadline:
                raise ForgeError(
                    f"nobody made the App within {seconds:.0f} s",
                    where=self.url,
                    fix="run the command again and open the address in a browser of this machine",
                )
            self.timeout = _LOOK_SECONDS
            self.handle_request()
        if self.made is None:
            raise self.failure or ForgeError("the App was not made", where=self.url)
        return self.made


class _Handler(BaseHTTPRequestHandler):
    server: SetUp
    timeout = 10

    def do_GET(self) -> None:
        address = urlsplit(self.path)
        # Another name for this machine would let a foreign page read ours.
        if self.headers.get("host") != f"{_LOOPBACK}:{self.server.server_port}":
            self._answer(400, "open the address as the command shows it")
        elif address.path == "/":
            self._answer(200, self.server.page)
        elif address.path == "/made":
            self._made(parse_qs(address.query))
        else:
            self._answer(404, "there is no such page")

    def _made(self, query: Mapping[str, list[str]]) -> None:
        state, code = (query.get(name, [""])[0] for name in ("state", "code"))
        if not code or not hmac.compare_digest(state.encode(), self.server.state.encode()):
            self._answer(400, "this is not the answer to our form")
            return
        try:
            made = convert(self.server.api_url, code, self.server.folder)
        except ForgeError as error:
            self._answer(502, html.escape(error.what))
            self.server.failure = error
            return
        self._answer(200, _DONE.format(install=html.escape(made.install_url)))
        # Last: the command ends with it, and this answer must be out by then.
        self.server.made = made

    def _answer(self, status: int, page: str) -> None:
        content = page.encode()
        self.send_response(status)
        self.send_header("Content-Type", "text/html; charset=utf-8")
        self.send_header("Content-Length", str(len(content)))
        self.send_header("Cache-Control", "no-store")
        self.send_header("Referrer-Policy", "no-referrer")
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, format: str, *args: Any) -> None:
        """Nothing: the address of the way back holds the code."""
