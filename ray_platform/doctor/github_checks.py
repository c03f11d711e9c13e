"""What the GitHub App must have before pull requests can be watched; nothing is changed anywhere."""

import time
from collections.abc import Iterator, Mapping
from typing import Any

from ray_platform.config.github_app import GitHubApp
from ray_platform.config.repository import Repository
from ray_platform.config.settings import Settings
from ray_platform.doctor.machine_checks import Finding
from ray_platform.github import permissions
from ray_platform.github.app_client import AppClient
from ray_platform.github.app_key import read_private_key
from ray_platform.github.failure import MAX_CLOCK_SKEW_SECONDS, clock_skew, skew_told
from ray_platform.github.installation_client import Installation
from ray_platform.github.repository_client import web_address
from ray_platform.github.webhooks.deliveries import EVENTS
from ray_platform.github.webhooks.webhooks_store import read_webhook_secret
from ray_platform.text.errors import ForgeError, PlatformError

#: Below this part of the hour's calls, a busy hour may run out of them.
_LOW_RATE = 0.1


def examine_github(settings: Settings) -> tuple[Finding, ...]:
    """Every finding about the App: its key, the clock, where it is installed, what it may, its webhooks.

    At most eight calls for the first repository, one for each more of the same installation.
    """
    try:
        app = settings.github
    except PlatformError as error:
        return (Finding("App", False, error.what, error.fix),)
    if app is None:
        fix = "make one and set its variables: docs/how-to/set-up-the-github-app.md"
        return (Finding("App", False, "RAY_PLATFORM_GITHUB_APP_ID is not set", fix),)
    return tuple(_examine(app))


def _examine(app: GitHubApp) -> Iterator[Finding]:
    try:
        read_private_key(app)
    except ForgeError as error:
        yield _bad("Key", error)
        return
    yield _good("Key", f"an RSA key, from {_source(app)}")
    client = AppClient(app)
    try:
        answer = client.calls.answer(
            "read the App", app.api_url, lambda rest: rest.apps.get_authenticated(), repeatable=True
        )
        identity = answer.json()
    except ForgeError as error:
        yield _bad("Clock" if "clock" in error.what else "App", error)
        return
    yield _clock(answer.headers)
    yield _good("App", f"{identity['name']} ({identity['slug']}), owned by {_owner(identity)}")
    if not app.repositories:
        yield Finding(
            "Repository", False, "none is watched", "name them in RAY_PLATFORM_GITHUB_REPOSITORIES"
        )
    seen: set[int] = set()
    for repository in app.repositories:
        yield from _repository(client, repository, identity, seen)
    yield from _webhooks(client, app)


def _repository(
    client: AppClient, repository: Repository, identity: Mapping[str, Any], seen: set[int]
) -> Iterator[Finding]:
    try:
        installation = client.find(repository)
    except ForgeError as error:
        yield _bad("Repository", error, about=f"{repository}: ")
        return
    if installation.suspended:
        yield Finding(
            "Repository",
            False,
            f"{repository}: the installation in {installation.account} is suspended",
            "its owner takes the suspension back under Settings, GitHub Apps",
        )
        return
    yield _good("Repository", f"{repository}: installed in {installation.account}")
    if installation.id in seen:
        return
    seen.add(installation.id)
    yield from _permissions(client.app.api_url, installation, identity)
    yield _rate(client, repository)


def _permissions(
    api_url: str, installation: Installation, identity: Mapping[str, Any]
) -> Iterator[Finding]:
    lacking = permissions.missing(installation.permissions)
    if not lacking:
        held = ", ".join(f"{one.name} {one.level}" for one in permissions.NEEDED)
        yield _good("Permissions", f"in {installation.account}: {held}")
    web = web_address(api_url)
    asked = identity.get("permissions") or {}
    for one in lacking:
        # What the App asks for and an owner has not accepted yet is granted in another place.
        fix = (
            f"accept it at {web}/organizations/{installation.account}/settings/installations/"
            f"{installation.id}"
            if one.is_met_by(asked)
            else f"give it {one.shown}: {one.level} at {web}/organizations/{_owner(identity)}/"
            f"settings/apps/{installation.slug}/permissions, then accept it as {installation.account}"
        )
        has = installation.permissions.get(one.name, "nothing")
        found = f"in {installation.account}: {one.name} {one.level} is missing (it has {has})"
        yield Finding("Permissions", False, found, fix)


def _rate(client: AppClient, repository: Repository) -> Finding:
    try:
        found = client.repository(repository).read(
            "read the rate limit", str(repository), lambda rest: rest.rate_limit.get()
        )
        rate = found["resources"]["core"]
        left, limit = int(rate["remaining"]), int(rate["limit"])
    except ForgeError as error:
        return _bad("Rate limit", error)
    minutes = max(0, int(rate["reset"]) - time.time()) / 60
    return Finding(
        "Rate limit",
        left >= limit * _LOW_RATE,
        f"{left} of {limit} calls are left, all again in {minutes:.0f} minutes",
        "see what else uses the App; one look costs nothing while nothing changes",
    )


def _clock(headers: Mapping[str, str]) -> Finding:
    skew = clock_skew(headers, time.time())
    if abs(skew) <= MAX_CLOCK_SKEW_SECONDS:
        return _good("Clock", f"{abs(skew):.0f} s from GitHub's")
    return Finding("Clock", False, *skew_told(skew))


def _webhooks(client: AppClient, app: GitHubApp) -> Iterator[Finding]:
    if app.webhook_secret_file is None:
        yield _good("Webhooks", "none: changes are found by polling alone")
        return
    try:
        read_webhook_secret(app)
        config = client.calls.read(
            "read the webhook's settings",
            app.api_url,
            lambda rest: rest.apps.get_webhook_config_for_app(),
        )
    except ForgeError as error:
        yield _bad("Webhooks", error)
        return
    fix = "set the address, and the secret of RAY_PLATFORM_GITHUB_WEBHOOK_FILE, in the App"
    if not config.get("url"):
        yield Finding("Webhooks", False, "the App has no webhook address", fix)
    elif not config.get("secret"):
        yield Finding("Webhooks", False, "the App's webhooks are not signed", fix)
    else:
        yield _good("Webhooks", f"signed, to {config['url']}")
    for repository in app.repositories[:1]:
        try:
            events = client.find(repository).events
        except ForgeError:
            return  # told with the repository
        for event in sorted(set(EVENTS) - set(events)):
            found = f"the App does not hear of {event}; the poll finds it later"
            yield Finding("Webhooks", False, found, "subscribe to it on the App's page")


def _source(app: GitHubApp) -> str:
    if app.private_key_file:
        return str(app.private_key_file)
    return f"secret {app.private_key_secret}" if app.private_key_secret else "its variable"


def _owner(identity: Mapping[str, Any]) -> str:
    owner = identity.get("owner") or {}
    return str(owner.get("login") or owner.get("slug") or "?")


def _good(subject: str, found: str) -> Finding:
    return Finding(subject, True, found)


def _bad(subject: str, error: PlatformError, about: str = "") -> Finding:
    return Finding(subject, False, about + error.what, error.fix)
