"""Who may do what: roles of people in a repository, permissions and reach of installations."""

from ray_platform_sandbox.github.call import Route
from ray_platform_sandbox.github.client.caller import Caller
from ray_platform_sandbox.github.problems import Problem, forbidden, not_accessible, not_found
from ray_platform_sandbox.github.state import Repository, State

ROLES = ("none", "read", "triage", "write", "maintain", "admin")
_TEAM_ROLES = {"pull": "read", "triage": "triage", "push": "write", "maintain": "maintain"}
_LEVELS = ("none", "read", "write", "admin")


def role_in(state: State, repository: Repository, login: str) -> str:
    """A person's role: the highest that ownership, membership, teams or an invitation give."""
    login = login.lower()
    if repository.owner.lower() == login:
        return "admin"
    found = ["none" if repository.private else "read"]
    owner = state.account(repository.owner)
    if owner is not None and login in (members := _lower(owner.members)):
        found.append("admin" if members[login] == "admin" else "read")
    if login in (roles := _lower(repository.roles)):
        found.append(roles[login])
    for team in state.teams:
        permission = team.repositories.get(repository.full_name)
        if permission and login in _lower(team.members):
            found.append(_TEAM_ROLES.get(permission, permission))
    return max(found, key=ROLES.index)


def association(state: State, repository: Repository, login: str) -> str:
    """What GitHub calls the author's association with the repository."""
    low = login.lower()
    owner = state.account(repository.owner)
    if repository.owner.lower() == low:
        return "OWNER"
    if owner is not None and low in _lower(owner.members):
        return "MEMBER"
    if low in _lower(repository.roles):
        return "COLLABORATOR"
    merged = any(
        issue.user.lower() == low and issue.pull is not None and issue.pull.merged_at is not None
        for issue in repository.issues.values()
    )
    return "CONTRIBUTOR" if merged else "NONE"


def covers(state: State, caller: Caller, repository: Repository) -> bool:
    """Whether an installation's token reaches a repository."""
    installation = state.installations.get(caller.installation_id)
    if installation is None or installation.account.lower() != repository.owner.lower():
        return False
    chosen = installation.repository_selection == "all"
    if not chosen and repository.id not in installation.repository_ids:
        return False
    return caller.repository_ids is None or repository.id in caller.repository_ids


def can_see(state: State, caller: Caller, repository: Repository) -> bool:
    if not repository.private:
        return True
    if caller.kind == "installation":
        return covers(state, caller, repository)
    return caller.kind == "user" and role_in(state, repository, caller.login) != "none"


def allows(caller: Caller, need: str) -> bool:
    """Whether an installation was given a permission, as ``name:level``."""
    name, _, level = need.partition(":")
    given = caller.permissions.get(name, "none")
    return _LEVELS.index(given) >= _LEVELS.index(level)


def check(state: State, caller: Caller, route: Route, repository: Repository | None) -> None:
    """Whether a caller may make a call.

    Raises:
        Problem: 401, 403 or 404, in GitHub's words.
    """
    if caller.kind not in route.by:
        raise _wrong_kind(caller, route)
    if caller.kind == "app":
        return  # what it asks about is its own installations
    if repository is not None and not can_see(state, caller, repository):
        raise not_found()
    reads = all(need.endswith(":read") for need in route.needs)
    if caller.kind == "anonymous":
        if not reads:
            raise _requires_authentication()
    elif caller.kind == "installation":
        covered = repository is None or covers(state, caller, repository)
        if not covered and not reads:
            raise not_accessible(route.needs)
        if covered and not any(allows(caller, need) for need in route.needs):
            raise not_accessible(route.needs)
    elif caller.kind == "user" and repository is not None:
        role = role_in(state, repository, caller.login)
        if ROLES.index(role) < ROLES.index(route.role):
            raise (
                not_found()
                if role == "none"
                else forbidden("Must have write access to Repository.")
            )


def _wrong_kind(caller: Caller, route: Route) -> Problem:
    if route.by == ("app",):
        return Problem(401, "A JSON web token could not be decoded")
    if route.by == ("installation",):
        return forbidden("You must authenticate via a GitHub App.")
    if caller.kind == "app":
        return Problem(
            403,
            "You must authenticate with an installation access token to use this endpoint"
            if "installation" in route.by
            else "Resource not accessible by integration",
        )
    return _requires_authentication()


def _requires_authentication() -> Problem:
    return Problem(401, "Requires authentication")


def _lower(names: dict[str, str]) -> dict[str, str]:
    return {name.lower(): value for name, value in names.items()}
