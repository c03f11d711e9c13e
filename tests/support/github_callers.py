"""Who calls the local GitHub server in its tests: the App, an installation, a person; plain HTTP."""

import functools
from collections.abc import Mapping
from typing import Any

import httpx
import jwt
from ray_platform_sandbox.github.client.testing import LocalGitHub


def assertion(
    github: LocalGitHub, *, key: str = "", issued: int = -60, seconds: int = 540, **claims: Any
) -> str:
    """The App's JWT: issued so many seconds from the server's now, good for so many after that."""
    now = github.clock.now()
    held = {"iss": str(github.app.id), "iat": now + issued, "exp": now + issued + seconds}
    return jwt.encode({**held, **claims}, key or github.private_key, algorithm="RS256")


@functools.cache
def _client() -> httpx.Client:
    return httpx.Client(trust_env=False, timeout=30)  # making one loads certificates: 50 ms


class Caller:
    """One caller with one token."""

    def __init__(self, github: LocalGitHub, token: str = "") -> None:
        self._root = github.api_url.rstrip("/")
        self._headers = {"Authorization": f"Bearer {token}"} if token else {}

    def __call__(
        self, method: str, path: str, body: Any = None, headers: Mapping[str, str] | None = None
    ) -> httpx.Response:
        headers = {**self._headers, **(headers or {})}
        return _client().request(method, self._root + path, json=body, headers=headers)

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
