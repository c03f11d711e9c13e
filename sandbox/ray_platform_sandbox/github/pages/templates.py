"""Filling the templates of the pages: whole, or the part that renews itself."""

import functools
import hashlib
import secrets
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ray_platform_sandbox.github.pages.markdown import render

if TYPE_CHECKING:
    import jinja2
    from aiohttp import web

_FOLDER = Path(__file__).resolve().parent


def answer(
    request: "web.Request", template: str, *, status: int = 200, **values: Any
) -> "web.Response":
    """A page, or its main part alone where the page's own script asks for that.

    Nothing from elsewhere is loaded, and no script runs but the page's own.
    """
    from aiohttp import web

    part = request.headers.get("X-Part") == "main"
    nonce = secrets.token_urlsafe(12)
    text = (
        _templates()
        .get_template(template)
        .render(
            wrapper="part.html" if part else "page.html",
            style=_style(),
            nonce=nonce,
            **{"repository": None, "here": "", **values},
        )
    )
    forms = "*" if values.get("forms_lead_anywhere") else "'self'"
    policy = (
        f"default-src 'none'; style-src 'unsafe-inline'; script-src 'nonce-{nonce}'; "
        "connect-src 'self'; img-src 'self' data:; base-uri 'none'; frame-ancestors 'none'; "
        # A browser judges where a form's answer sends it on by this, too.
        f"form-action {forms}"
    )
    headers = {
        "Content-Security-Policy": policy,
        "Cache-Control": "no-store",
        "X-Content-Type-Options": "nosniff",
    }
    return web.Response(text=text, status=status, content_type="text/html", headers=headers)


@functools.cache
def _templates() -> "jinja2.Environment":
    import jinja2
    from markupsafe import Markup

    made = jinja2.Environment(
        loader=jinja2.FileSystemLoader(_FOLDER),
        autoescape=True,
        trim_blocks=True,
        undefined=jinja2.StrictUndefined,
    )
    # It was made safe where it was rendered.
    made.filters["markdown"] = lambda text: Markup(render(text))  # noqa: S704
    made.filters["colour"] = _colour
    made.filters["ink"] = _ink
    return made


@functools.cache
def _style() -> str:
    return (_FOLDER / "style.css").read_text(encoding="utf-8")


def _colour(login: str) -> str:
    """A colour of a login, the same always, dark enough for white letters."""
    hue = int(hashlib.sha256(login.encode()).hexdigest()[:4], 16) % 360
    return f"hsl({hue}, 45%, 42%)"


def _ink(color: str) -> str:
    """Black or white, whichever can be read on a label's colour."""
    red, green, blue = (int(color[at : at + 2], 16) for at in (0, 2, 4))
    return "#000" if 0.299 * red + 0.587 * green + 0.114 * blue > 140 else "#fff"
