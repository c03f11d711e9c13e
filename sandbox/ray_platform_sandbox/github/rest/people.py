"""Calls about people, teams, and the caller's own rate limit."""

from ray_platform_sandbox.github.access.rights import allows
from ray_platform_sandbox.github.call import Answer, Call, Route
from ray_platform_sandbox.github.problems import Problem, not_accessible, not_found
from ray_platform_sandbox.github.shapes import accounts
from ray_platform_sandbox.github.state import Team

_MEMBERS = ("members:read",)
ANYBODY = ("anonymous", "app", "installation", "user")


def get_user(call: Call) -> Answer:
    return Answer(accounts.public_user(call.hub, call.caller.login))


def get_by_name(call: Call) -> Answer:
    account = call.hub.state.account(call.values["username"])
    if account is None:
        raise not_found()
    return Answer(accounts.public_user(call.hub, account.login))


def list_members(call: Call) -> Answer:
    role = call.asked("role", ("all", "member", "maintainer"))
    members = _team(call).members
    found = [login for login, held in sorted(members.items()) if role in ("all", held)]
    return call.page_of(found, lambda login: accounts.simple_user(call.hub, login))


def get_membership(call: Call) -> Answer:
    team = _team(call)
    wanted = call.values["username"].lower()
    for login, role in team.members.items():
        if login.lower() == wanted:
            at = call.hub.api(f"/orgs/{team.organization}/teams/{team.slug}/memberships/{login}")
            return Answer({"url": at, "role": role, "state": "active"})
    raise not_found()


def list_organization_members(call: Call) -> Answer:
    _require_inside(call)
    account = call.hub.state.account(call.values["org"])
    members = sorted(account.members) if account else []
    return call.page_of(members, lambda login: accounts.simple_user(call.hub, login))


def get_rate_limit(call: Call) -> Answer:
    rate = call.hub.limits.rate(call.caller, call.hub.clock.now())
    return Answer({"resources": {"core": rate, "search": {**rate, "limit": 30}}, "rate": rate})


def grant_team(call: Call) -> Answer:
    """Give a team a permission in a repository of its organisation."""
    team = _team(call)
    repository = call.repository
    if repository.owner.lower() != team.organization.lower():
        raise not_found()
    words = ("push", "pull", "triage", "maintain", "admin")
    team.repositories[repository.full_name] = call.choice("permission", words) or words[0]
    return Answer(status=204)


def _team(call: Call) -> Team:
    _require_inside(call)
    team = call.hub.state.team(call.values["org"], call.values["team_slug"])
    if team is None:
        raise not_found()
    return team


def _require_inside(call: Call) -> None:
    """Only members, and Apps that are installed there and may read members, see an organisation's."""
    state, organization = call.hub.state, call.values["org"]
    account = state.account(organization)
    if account is None or account.kind != "Organization":
        raise not_found()
    if call.caller.kind == "installation":
        installation = state.installations[call.caller.installation_id]
        if installation.account.lower() != organization.lower():
            raise not_found()
        if not allows(call.caller, "members:read"):
            raise not_accessible(_MEMBERS)
    elif call.caller.login.lower() not in {login.lower() for login in account.members}:
        raise Problem(404, "Not Found")


_TEAM = "/orgs/{org}/teams/{team_slug}"
_INSIDE = ("installation", "user")
ROUTES = (
    Route("GET", "/user", get_user, by=("user",)),
    Route("GET", "/users/{username}", get_by_name, by=ANYBODY),
    Route("GET", f"{_TEAM}/members", list_members, _MEMBERS, by=_INSIDE),
    Route("GET", f"{_TEAM}/memberships/{{username}}", get_membership, _MEMBERS, by=_INSIDE),
    Route(
        "PUT",
        f"{_TEAM}/repos/{{owner}}/{{repo}}",
        grant_team,
        ("administration:write",),
        "admin",
        by=("user",),
    ),
    Route("GET", "/orgs/{org}/members", list_organization_members, _MEMBERS, by=_INSIDE),
    Route("GET", "/rate_limit", get_rate_limit, by=ANYBODY, free=True, steady=False),
)
