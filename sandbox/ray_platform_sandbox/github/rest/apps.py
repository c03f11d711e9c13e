"""Calls of Apps: themselves, their installations, the tokens of these, and Apps made from a manifest."""

import itertools
import re
import secrets
from typing import Any

from ray_platform_sandbox.github.access.keys import new_key_pair
from ray_platform_sandbox.github.access.rights import covers
from ray_platform_sandbox.github.access.tokens import issue_installation_token
from ray_platform_sandbox.github.call import Answer, Call, Route, require
from ray_platform_sandbox.github.client.setup import add_app
from ray_platform_sandbox.github.clock import spell
from ray_platform_sandbox.github.problems import Problem, not_found
from ray_platform_sandbox.github.shapes import accounts
from ray_platform_sandbox.github.shapes.repositories import repository_shape
from ray_platform_sandbox.github.state import App, Installation, Webhook

_LEVELS = {"read": 1, "write": 2, "admin": 3}


def calling_app(call: Call) -> App:
    return call.hub.state.apps[call.caller.app_id]


def get_app(call: Call) -> Answer:
    return Answer(accounts.integration(call.hub, calling_app(call), count=True))


def list_installations(call: Call) -> Answer:
    found = [i for i in call.hub.state.installations.values() if i.app_id == call.caller.app_id]
    return call.page_of(found, lambda one: accounts.installation(call.hub, one))


def get_installation(call: Call) -> Answer:
    return Answer(accounts.installation(call.hub, _installation(call)))


def create_token(call: Call) -> Answer:
    """A token for an hour, of all the installation's permissions and repositories or of some."""
    hub, installation = call.hub, _installation(call)
    if installation.suspended_at is not None:
        raise Problem(403, "This installation has been suspended")
    text, token = issue_installation_token(
        hub.state,
        installation,
        hub.clock.now(),
        _asked_permissions(call, installation),
        _asked_repositories(call, installation),
        hub.token_seconds,
    )
    assert token.expires_at is not None  # noqa: S101  (an installation's token ends)
    body: dict[str, Any] = {
        "token": text,
        "expires_at": spell(token.expires_at),
        "permissions": token.permissions,
        "repository_selection": installation.repository_selection,
    }
    if token.repository_ids is not None:
        body["repository_selection"] = "selected"
        body["repositories"] = [
            repository_shape(hub, hub.state.repositories[one]) for one in token.repository_ids
        ]
    return Answer(body, 201)


def _asked_permissions(call: Call, installation: Installation) -> dict[str, str] | None:
    asked: dict[str, str] | None = call.given("permissions", dict)
    for name, level in (asked or {}).items():
        if _LEVELS.get(level, 9) > _LEVELS.get(installation.permissions.get(name, ""), 0):
            raise Problem(422, "The permissions requested are not granted to this installation.")
    return {"metadata": "read", **asked} if asked else None


def _asked_repositories(call: Call, installation: Installation) -> list[int] | None:
    names, numbers = call.given("repositories", list), call.given("repository_ids", list)
    if not names and not numbers:
        return None
    found = list(numbers or [])
    for name in names or []:
        repository = call.hub.state.repository(installation.account, str(name))
        found.append(repository.id if repository else 0)
    reach = {
        one.id for one in call.hub.state.repositories.values() if _reaches(installation, one.id)
    }
    owned = {
        one.id
        for one in call.hub.state.repositories.values()
        if one.owner.lower() == installation.account.lower()
    }
    if not set(found) <= reach & owned:
        raise Problem(
            422,
            "There is at least one repository that does not exist or is not accessible to the "
            "parent installation.",
        )
    return found


def _reaches(installation: Installation, repository_id: int) -> bool:
    selected = installation.repository_selection == "selected"
    return not selected or repository_id in installation.repository_ids


def _installation(call: Call) -> Installation:
    found = call.hub.state.installations.get(call.number("installation_id"))
    if found is None or found.app_id != call.caller.app_id:
        raise not_found()
    return found


def installation_of_repository(call: Call) -> Answer:
    state = call.hub.state
    repository = require(state.repository(call.values["owner"], call.values["repo"]), not_found())
    found = require(state.installation_of(call.caller.app_id, repository.owner), not_found())
    if not _reaches(found, repository.id):
        raise not_found()
    return Answer(accounts.installation(call.hub, found))


def installation_of_organization(call: Call) -> Answer:
    found = call.hub.state.installation_of(call.caller.app_id, call.values["org"])
    return Answer(accounts.installation(call.hub, require(found, not_found())))


def list_repositories(call: Call) -> Answer:
    """The repositories that the token reaches."""
    state = call.hub.state
    found = [one for one in state.repositories.values() if covers(state, call.caller, one)]
    answer = call.page_of(found, lambda one: repository_shape(call.hub, one), wrap="repositories")
    return answer


def convert_manifest(call: Call) -> Answer:
    """The App that a manifest describes: made once, with its private key shown once."""
    hub = call.hub
    held = hub.state.manifests.pop(call.values["code"], None)
    if held is None or held.expires_at <= hub.clock.now():
        raise not_found()
    manifest = held.manifest
    pair = new_key_pair()
    secret = secrets.token_hex(20)
    hook = manifest.get("hook_attributes") or {}
    slug = _free_slug(call, str(manifest.get("name", "app")))
    app = add_app(
        hub,
        slug,
        held.owner,
        pair.public,
        permissions={"metadata": "read", **(manifest.get("default_permissions") or {})},
        events=tuple(manifest.get("default_events") or ()),
        webhook=Webhook(str(hook.get("url", "")) if hook.get("active", True) else "", secret),
    )
    app.description = str(manifest.get("description", ""))
    app.external_url = str(manifest.get("url", ""))
    shown = accounts.integration(hub, app)
    client_secret = secrets.token_hex(20)
    return Answer(
        {**shown, "client_secret": client_secret, "webhook_secret": secret, "pem": pair.private},
        201,
    )


def _free_slug(call: Call, name: str) -> str:
    """The App's name as addresses hold it; a number is added where an App has it already."""
    plain = re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-") or "app"
    taken = {app.slug for app in call.hub.state.apps.values()}
    numbered = (f"{plain}-{number}" for number in itertools.count(2))
    return next(one for one in itertools.chain([plain], numbered) if one not in taken)


ROUTES = (
    Route("GET", "/app", get_app, by=("app",)),
    Route("GET", "/app/installations", list_installations, by=("app",)),
    Route("GET", "/app/installations/{installation_id}", get_installation, by=("app",)),
    Route(
        "POST",
        "/app/installations/{installation_id}/access_tokens",
        create_token,
        by=("app",),
        free=True,
    ),
    Route("GET", "/repos/{owner}/{repo}/installation", installation_of_repository, by=("app",)),
    Route("GET", "/orgs/{org}/installation", installation_of_organization, by=("app",)),
    Route("GET", "/installation/repositories", list_repositories, by=("installation",)),
    Route(
        "POST",
        "/app-manifests/{code}/conversions",
        convert_manifest,
        by=("anonymous", "user", "app", "installation"),
    ),
)
