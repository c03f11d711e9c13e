"""Who calls the local GitHub server in its tests: the App, an installation, a person; plain HTTP."""

import time
from collections.abc import Mapping
from typing import Any

import httpx
import jwt

from ray_platform.local.github.testing import LocalGitHub


def assertion(
    github: LocalGitHub, *, key: str = "", issued: int = -60, seconds: int = 540, **claims: Any
) -> str:
    """The App's JWT: issued so many seconds from now, good for so many after that."""
    now = int(time.time())
    held = {"iss": str(github.app.id), "iat": now + issued, "exp": now + issued + seconds}
    return jwt.encode({**held, **claims}, key or github.private_key, algorithm="RS256")


class Caller:
    """One caller with one token."""

    def __init__(self, github: LocalGitHub, token: str = "") -> None:
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        self._client = httpx.Client(
            base_url=github.api_url, headers=headers, trust_env=False, timeout=30
        )

    def __call__(
        self, method: str, path: str, body: Any = None, headers: Mapping[str, str] | None = None
    ) -> httpx.Response:
        return self._client.request(
            method, path.lstrip("/"), json=body, headers=dict(headers or {})
        )

    def get(self, path: str, **headers: str) -> httpx.Response:
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        return self("GET", path, headers=named)


def as_app(github: LocalGitHub) -> Caller:
    return Caller(github, assertion(github))


def token_of(github: LocalGitHub, installation: int = 0, **asked: Any) -> str:
    """A new token of an installation."""
    number = installation or github.installation.id
    answer = as_app(github)("POST", f"/app/installations/{number}/access_tokens", asked or None)
    assert answer.status_code == 201, answer.text
    return str(answer.json()["token"])


def as_installation(github: LocalGitHub, installation: int = 0, **asked: Any) -> Caller:
    return Caller(github, token_of(github, installation, **asked))


def as_person(github: LocalGitHub, login: str) -> Caller:
    return Caller(github, github.token(login))
