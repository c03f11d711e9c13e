"""Accounts, Apps and installations as GitHub's REST interface shows them."""

from typing import Any

from ray_platform_sandbox.github.clock import spell, spell_if
from ray_platform_sandbox.github.hub import Hub, node_id
from ray_platform_sandbox.github.state import Account, App, Installation

_LISTS = {
    "followers_url": "/followers",
    "following_url": "/following{/other_user}",
    "gists_url": "/gists{/gist_id}",
    "starred_url": "/starred{/owner}{/repo}",
    "subscriptions_url": "/subscriptions",
    "organizations_url": "/orgs",
    "repos_url": "/repos",
    "events_url": "/events{/privacy}",
    "received_events_url": "/received_events",
}


def simple_user(hub: Hub, login: str) -> dict[str, Any]:
    account = hub.account(login)
    at = hub.api(f"/users/{account.login}")
    return {
        "login": account.login,
        "id": account.id,
        "node_id": node_id("U", account.id),
        "avatar_url": hub.html("/static/person.svg"),
        "gravatar_id": "",
        "url": at,
        "html_url": hub.html(f"/{account.login}"),
        **{name: at + path for name, path in _LISTS.items()},
        "type": account.kind,
        "user_view_type": "public",
        "site_admin": False,
    }


def public_user(hub: Hub, login: str) -> dict[str, Any]:
    account = hub.account(login)
    created = spell(account.created_at)
    return {
        **simple_user(hub, login),
        "name": account.name,
        "company": None,
        "blog": "",
        "location": None,
        "email": account.email or None,
        "hireable": None,
        "bio": None,
        "public_repos": 0,
        "public_gists": 0,
        "followers": 0,
        "following": 0,
        "created_at": created,
        "updated_at": created,
    }


def collaborator(hub: Hub, login: str, role: str) -> dict[str, Any]:
    """A person's permission in a repository."""
    order = ("none", "read", "triage", "write", "maintain", "admin")
    rank = order.index(role)
    permissions = {
        name: rank >= order.index(level)
        for name, level in (
            ("admin", "admin"),
            ("maintain", "maintain"),
            ("push", "write"),
            ("triage", "triage"),
            ("pull", "read"),
        )
    }
    # GitHub's older word for triage is read, for maintain write.
    permission = {"triage": "read", "maintain": "write"}.get(role, role)
    user = {**simple_user(hub, login), "permissions": permissions, "role_name": role}
    return {"permission": permission, "role_name": role, "user": user}


def event_organization(hub: Hub, account: Account) -> dict[str, Any]:
    at = hub.api(f"/orgs/{account.login}")
    return {
        "login": account.login,
        "id": account.id,
        "node_id": node_id("O", account.id),
        "url": at,
        "repos_url": f"{at}/repos",
        "events_url": f"{at}/events",
        "hooks_url": f"{at}/hooks",
        "issues_url": f"{at}/issues",
        "members_url": f"{at}/members{{/member}}",
        "public_members_url": f"{at}/public_members{{/member}}",
        "avatar_url": hub.html("/static/person.svg"),
        "description": None,
    }


def integration(hub: Hub, app: App, *, count: bool = False) -> dict[str, Any]:
    """An App; ``count`` adds how often it is installed."""
    shown = {
        "id": app.id,
        "slug": app.slug,
        "client_id": app.client_id,
        "node_id": node_id("A", app.id),
        "owner": simple_user(hub, app.owner),
        "name": app.name,
        "description": app.description,
        "external_url": app.external_url or hub.html(f"/apps/{app.slug}"),
        "html_url": hub.html(f"/apps/{app.slug}"),
        "created_at": spell(app.created_at),
        "updated_at": spell(app.created_at),
        "permissions": app.permissions,
        "events": app.events,
    }
    if count:
        held = [i for i in hub.state.installations.values() if i.app_id == app.id]
        shown["installations_count"] = len(held)
    return shown


def integration_or_none(hub: Hub, app_id: int) -> dict[str, Any] | None:
    app = hub.state.apps.get(app_id)
    return integration(hub, app) if app else None


def installation(hub: Hub, found: Installation) -> dict[str, Any]:
    app = hub.state.apps[found.app_id]
    account = hub.account(found.account)
    suspended = found.suspended_at is not None
    return {
        "id": found.id,
        "account": simple_user(hub, found.account),
        "repository_selection": found.repository_selection,
        "access_tokens_url": hub.api(f"/app/installations/{found.id}/access_tokens"),
        "repositories_url": hub.api("/installation/repositories"),
        "html_url": hub.html(f"/organizations/{found.account}/settings/installations/{found.id}"),
        "app_id": app.id,
        "client_id": app.client_id,
        "app_slug": app.slug,
        "target_id": account.id,
        "target_type": account.kind,
        "permissions": found.permissions,
        "events": found.events,
        "created_at": spell(found.created_at),
        "updated_at": spell(found.created_at),
        "single_file_name": None,
        "has_multiple_single_files": False,
        "single_file_paths": [],
        "suspended_by": simple_user(hub, found.account) if suspended else None,
        "suspended_at": spell_if(found.suspended_at),
    }
