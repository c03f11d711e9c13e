"""Who calls: App JWTs checked by RS256, installation tokens that end, people's tokens."""

import base64
import binascii
import hashlib
import secrets
from collections.abc import Mapping

from ray_platform_sandbox.github.client.caller import Caller
from ray_platform_sandbox.github.problems import Problem, not_found, unauthorized
from ray_platform_sandbox.github.state import App, Installation, State, Token

JWT_SECONDS = 600
INSTALLATION_TOKEN_SECONDS = 3600
#: What GitHub forgives a clock. It documents no number; its advice is to set iat 60 s back.
FORGIVEN_SECONDS = 5

_NOT_DECODED = "A JSON web token could not be decoded"
_IAT = "'Issued at' claim ('iat') must be an Integer representing the time that the assertion was issued"
_EXP = (
    "'Expiration time' claim ('exp') must be a numeric value representing the future time at which "
    "the assertion expires"
)
_EXP_FAR = "'Expiration time' claim ('exp') is too far in the future"
ANONYMOUS = Caller("anonymous")


def digest(token: str) -> str:
    return hashlib.sha256(token.encode()).hexdigest()


def caller_of(state: State, header: str, now: int) -> Caller:
    """Who an Authorization header stands for (Bearer, token, or Basic with the token as password).

    Raises:
        Problem: 401, in GitHub's words.
    """
    if not header:
        return ANONYMOUS
    scheme, _, value = header.partition(" ")
    token = value.strip()
    if scheme.lower() == "basic":
        token = _password(token)
    if token.count(".") == 2:
        return Caller("app", app_id=app_of(state, token, now).id)
    return caller_of_token(state, token, now)


def caller_of_token(state: State, token: str, now: int) -> Caller:
    found = state.tokens.get(digest(token))
    if found is None or (found.expires_at is not None and found.expires_at <= now):
        raise unauthorized()
    if not found.installation_id:
        return Caller("user", login=found.login)
    installation = state.installations.get(found.installation_id)
    if installation is None:
        raise unauthorized()
    if installation.suspended_at is not None:
        raise Problem(403, "This installation has been suspended")
    chosen = found.repository_ids
    return Caller(
        "installation",
        login=found.login,
        app_id=installation.app_id,
        installation_id=installation.id,
        permissions=found.permissions,
        repository_ids=None if chosen is None else frozenset(chosen),
    )


def app_of(state: State, assertion: str, now: int) -> App:
    """The App that signed a JWT.

    Raises:
        Problem: 401 for a wrong key, algorithm or time; 404 for an App that does not exist.
    """
    import jwt

    try:
        claims = jwt.decode(assertion, options={"verify_signature": False})
    except jwt.PyJWTError as error:
        raise unauthorized(_NOT_DECODED) from error
    issuer = str(claims.get("iss", ""))
    if not issuer:
        raise unauthorized("Missing 'issuer' claim ('iss') in assertion")
    app = next((a for a in state.apps.values() if issuer in (str(a.id), a.client_id)), None)
    if app is None:
        raise Problem(404, "Integration not found")
    try:
        # Times are judged below, by this server's clock.
        options = {"verify_exp": False, "verify_iat": False, "verify_nbf": False}
        jwt.decode(assertion, app.public_key, algorithms=["RS256"], options=options)  # type: ignore[arg-type]
    except jwt.PyJWTError as error:
        raise unauthorized(_NOT_DECODED) from error
    issued, expires = claims.get("iat"), claims.get("exp")
    if not isinstance(expires, int | float) or expires <= now:
        raise unauthorized(_EXP)
    if expires > now + JWT_SECONDS + FORGIVEN_SECONDS:
        raise unauthorized(_EXP_FAR)
    if not isinstance(issued, int | float) or issued > now + FORGIVEN_SECONDS:
        raise unauthorized(_IAT)
    return app


def issue_installation_token(
    state: State,
    installation: Installation,
    now: int,
    permissions: Mapping[str, str] | None,
    repository_ids: list[int] | None,
    seconds: int = INSTALLATION_TOKEN_SECONDS,
) -> tuple[str, Token]:
    """A new token of an installation, with all of its permissions or some of them."""
    app = state.apps[installation.app_id]
    text = f"ghs_{secrets.token_hex(18)}"
    token = Token(
        digest=digest(text),
        login=app.bot,
        installation_id=installation.id,
        permissions=dict(installation.permissions if permissions is None else permissions),
        repository_ids=repository_ids,
        expires_at=now + seconds,
    )
    for key in [k for k, t in state.tokens.items() if t.expires_at and t.expires_at <= now]:
        del state.tokens[key]
    state.tokens[token.digest] = token
    return text, token


def add_person_token(state: State, login: str, token: str) -> None:
    if state.account(login) is None:
        raise not_found()
    state.tokens[digest(token)] = Token(digest(token), login)


def _password(encoded: str) -> str:
    try:
        user, _, password = base64.b64decode(encoded).decode().partition(":")
    except (binascii.Error, UnicodeDecodeError) as error:
        raise unauthorized() from error
    # Git's own helpers also put the token where the name belongs.
    return password if password and password != "x-oauth-basic" else user  # noqa: S105
