"""Calls about repositories: themselves, branches, commits, comparisons, forks, who may do what."""

from typing import Any

from ray_platform_sandbox.github.access.rights import role_in
from ray_platform_sandbox.github.call import Answer, Call, Route, require
from ray_platform_sandbox.github.client import setup
from ray_platform_sandbox.github.git.history import Commit
from ray_platform_sandbox.github.git.store import EMPTY_TREE
from ray_platform_sandbox.github.problems import (
    Problem,
    invalid_request,
    not_found,
    validation_failed,
)
from ray_platform_sandbox.github.shapes import accounts, repositories
from ray_platform_sandbox.github.state import Repository

DIFF = "application/vnd.github.diff"
_MOST_FILES = 300


def get_repository(call: Call) -> Answer:
    return Answer(repositories.full_repository(call.hub, call.repository))


def create_in_organization(call: Call) -> Answer:
    """An empty repository; what is in it comes by a push."""
    hub, account = call.hub, call.hub.state.account(call.values["org"])
    if account is None or account.members.get(call.caller.login) != "admin":
        raise not_found()
    name = call.required("name", str)
    setup.require_name(name)
    if hub.state.repository(account.login, name):
        text = "name already exists on this account"
        raise validation_failed("Repository", "name", "custom", text)
    made = setup.add_repository(
        hub, account.login, name, private=bool(call.given("private", bool)), empty=True
    )
    return Answer(repositories.full_repository(hub, made), 201)


def list_branches(call: Call) -> Answer:
    prefix = "refs/heads/"
    names = sorted(ref for ref in call.repository.refs if ref.startswith(prefix))
    at = call.hub.api(f"/repos/{call.repository.full_name}/commits")

    def shape(ref: str) -> dict[str, Any]:
        sha = call.repository.refs[ref]
        commit = {"sha": sha, "url": f"{at}/{sha}"}
        return {"name": ref.removeprefix(prefix), "commit": commit, "protected": False}

    return call.page_of(names, shape)


def get_branch(call: Call) -> Answer:
    name = call.values["branch"]
    sha = call.repository.refs.get(f"refs/heads/{name}")
    if sha is None:
        raise Problem(404, "Branch not found")
    hub, repository = call.hub, call.repository
    at = hub.api(f"/repos/{repository.full_name}/branches/{name}")
    page = hub.html(f"/{repository.full_name}/tree/{name}")
    return Answer(
        {
            "name": name,
            "commit": repositories.commit(hub, repository, hub.store(repository).commit(sha)),
            "_links": {"self": at, "html": page},
            "protected": False,
            "protection": {
                "enabled": False,
                "required_status_checks": {
                    "enforcement_level": "off",
                    "contexts": [],
                    "checks": [],
                },
            },
            "protection_url": f"{at}/protection",
        }
    )


def get_commit(call: Call) -> Answer:
    store = call.hub.store(call.repository)
    found = store.commit(commit_of(call, call.values["ref"]))
    parent = found.parents[0] if found.parents else EMPTY_TREE
    if call.accept == DIFF:
        return Answer(store.diff(parent, found.sha), content_type=DIFF)
    changes = store.changes(parent, found.sha)
    added, removed = sum(c.additions for c in changes), sum(c.deletions for c in changes)
    body = repositories.commit(call.hub, call.repository, found)
    body["stats"] = {"total": added + removed, "additions": added, "deletions": removed}
    body["files"] = [
        repositories.file_change(call.hub, call.repository, one, found.sha) for one in changes
    ]
    return Answer(body)


def list_commits(call: Call) -> Answer:
    """The commits that a branch or commit (``sha``) stands on, the newest first."""
    store = call.hub.store(call.repository)
    head = commit_of(call, call.query.get("sha") or call.repository.default_branch)
    found = list(reversed(store.commits(EMPTY_TREE, head)))
    return call.page_of(found, lambda one: repositories.commit(call.hub, call.repository, one))


def compare(call: Call) -> Answer:
    """What ``head`` has since it left ``base``."""
    hub, repository = call.hub, call.repository
    base_name, dots, head_name = call.values["basehead"].partition("...")
    if not dots:
        raise not_found()
    store = hub.store(repository)
    base, head = commit_of(call, base_name), commit_of(call, head_name)
    fork = store.merge_base(base, head)
    if fork is None:
        raise Problem(404, f"No common ancestor between {base_name} and {head_name}.")
    if call.accept == DIFF:
        return Answer(store.diff(fork, head), content_type=DIFF)
    ahead, behind = store.commits(base, head), len(store.commits(head, base))
    status = "diverged" if ahead and behind else "ahead" if ahead else "behind"
    page = hub.html(f"/{repository.full_name}/compare/{base_name}...{head_name}")

    def shape(one: Commit) -> dict[str, Any]:
        return repositories.commit(hub, repository, one)

    paged = call.page_of(list(ahead), shape) if call.query.get("page") else None
    return Answer(
        {
            "url": hub.api(f"/repos/{repository.full_name}/compare/{base_name}...{head_name}"),
            "html_url": page,
            "permalink_url": hub.html(
                f"/{repository.full_name}/compare/{repository.owner}:{base[:12]}..."
                f"{repository.owner}:{head[:12]}"
            ),
            "diff_url": f"{page}.diff",
            "patch_url": f"{page}.patch",
            "base_commit": shape(store.commit(base)),
            "merge_base_commit": shape(store.commit(fork)),
            "status": "identical" if base == head else status,
            "ahead_by": len(ahead),
            "behind_by": behind,
            "total_commits": len(ahead),
            "commits": paged.body if paged else [shape(one) for one in ahead[-250:]],
            "files": [
                repositories.file_change(hub, repository, one, head)
                for one in store.changes(fork, head)[:_MOST_FILES]
            ],
        },
        headers=paged.headers if paged else {},
    )


def get_permission(call: Call) -> Answer:
    login = call.values["username"]
    if call.hub.state.account(login) is None:
        raise Problem(404, f"{login} is not a user")
    role = role_in(call.hub.state, call.repository, login)
    return Answer(accounts.collaborator(call.hub, login, role))


def fork(call: Call) -> Answer:
    """A fork, whole at once; GitHub's own may take minutes."""
    hub = call.hub
    owner = call.given("organization", str) or call.caller.login
    account = hub.state.account(owner)
    if account is None or (
        owner.lower() != call.caller.login.lower() and call.caller.login not in account.members
    ):
        raise invalid_request(f"'{owner}' is the login for a user who cannot own this fork.")
    if owner.lower() == call.repository.owner.lower():
        raise Problem(403, "A repository cannot be forked into its own account.")
    name = call.given("name", str) or call.repository.name
    setup.require_name(name)
    made = setup.add_fork(hub, call.repository, account.login, name)
    return Answer(repositories.full_repository(hub, made), 202)


def commit_of(call: Call, name: str) -> str:
    """The commit that a name means: a branch, tag, ref, commit id, or ``owner:branch`` of a fork."""
    owner, colon, branch = name.partition(":")
    store = call.hub.store(call.repository)
    if colon:
        other = network_repository(call, owner)
        sha = other.refs.get(f"refs/heads/{branch}")
        if sha is None:
            raise not_found()
        if other is not call.repository and not store.has(sha):
            store.fetch(call.hub.store(other), sha, f"refs/compared/{sha}")
        return sha
    return require(store.resolve(name), Problem(404, "Not Found"))


def network_repository(call: Call, owner: str) -> Repository:
    """The repository of an account in this one's network: itself, a fork, or what it was forked from."""
    here = call.repository
    for other in call.hub.state.repositories.values():
        related = other is here or other.fork_of == here.id or here.fork_of == other.id
        if related and other.owner.lower() == owner.lower():
            return other
    raise not_found()


ROUTES = (
    Route("POST", "/orgs/{org}/repos", create_in_organization, by=("user",), content=True),
    Route("GET", "/repos/{owner}/{repo}", get_repository),
    Route("GET", "/repos/{owner}/{repo}/branches", list_branches, ("contents:read",)),
    Route("GET", "/repos/{owner}/{repo}/branches/{branch:.+}", get_branch, ("contents:read",)),
    Route("GET", "/repos/{owner}/{repo}/commits", list_commits, ("contents:read",)),
    Route("GET", "/repos/{owner}/{repo}/commits/{ref:.+}", get_commit, ("contents:read",)),
    Route("GET", "/repos/{owner}/{repo}/compare/{basehead:.+}", compare, ("contents:read",)),
    Route("GET", "/repos/{owner}/{repo}/collaborators/{username}/permission", get_permission),
    Route("POST", "/repos/{owner}/{repo}/forks", fork, ("administration:write",), by=("user",)),
)
