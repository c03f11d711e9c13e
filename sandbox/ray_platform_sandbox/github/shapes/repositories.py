"""Repositories, branches, commits and file changes as GitHub's REST interface shows them."""

from typing import Any
from urllib.parse import quote

from ray_platform_sandbox.github.clock import spell
from ray_platform_sandbox.github.git.history import Commit, FileChange, Person
from ray_platform_sandbox.github.hub import Hub, node_id
from ray_platform_sandbox.github.shapes.accounts import simple_user
from ray_platform_sandbox.github.state import Repository

_LISTS = {
    "forks_url": "/forks",
    "keys_url": "/keys{/key_id}",
    "collaborators_url": "/collaborators{/collaborator}",
    "teams_url": "/teams",
    "hooks_url": "/hooks",
    "issue_events_url": "/issues/events{/number}",
    "events_url": "/events",
    "assignees_url": "/assignees{/user}",
    "branches_url": "/branches{/branch}",
    "tags_url": "/tags",
    "blobs_url": "/git/blobs{/sha}",
    "git_tags_url": "/git/tags{/sha}",
    "git_refs_url": "/git/refs{/sha}",
    "trees_url": "/git/trees{/sha}",
    "statuses_url": "/statuses/{sha}",
    "languages_url": "/languages",
    "stargazers_url": "/stargazers",
    "contributors_url": "/contributors",
    "subscribers_url": "/subscribers",
    "subscription_url": "/subscription",
    "commits_url": "/commits{/sha}",
    "git_commits_url": "/git/commits{/sha}",
    "comments_url": "/comments{/number}",
    "issue_comment_url": "/issues/comments{/number}",
    "contents_url": "/contents/{+path}",
    "compare_url": "/compare/{base}...{head}",
    "merges_url": "/merges",
    "archive_url": "/{archive_format}{/ref}",
    "downloads_url": "/downloads",
    "issues_url": "/issues{/number}",
    "pulls_url": "/pulls{/number}",
    "milestones_url": "/milestones{/number}",
    "notifications_url": "/notifications{?since,all,participating}",
    "labels_url": "/labels{/name}",
    "releases_url": "/releases{/id}",
    "deployments_url": "/deployments",
}


def repository_shape(hub: Hub, found: Repository) -> dict[str, Any]:
    """A repository, with all that GitHub's `repository` and `full-repository` require."""
    at = hub.api(f"/repos/{found.full_name}")
    page = hub.html(f"/{found.full_name}")
    open_issues = sum(1 for issue in found.issues.values() if issue.state == "open")
    forks = sum(1 for other in hub.state.repositories.values() if other.fork_of == found.id)
    host = hub.url.partition("://")[2]
    return {
        "id": found.id,
        "node_id": node_id("R", found.id),
        "name": found.name,
        "full_name": found.full_name,
        "private": found.private,
        "owner": simple_user(hub, found.owner),
        "html_url": page,
        "description": found.description or None,
        "fork": bool(found.fork_of),
        "url": at,
        **{name: at + path for name, path in _LISTS.items()},
        "created_at": spell(found.created_at),
        "updated_at": spell(found.updated_at),
        "pushed_at": spell(found.pushed_at),
        "git_url": f"git://{host}/{found.full_name}.git",
        "ssh_url": f"git@{host}:{found.full_name}.git",
        "clone_url": f"{page}.git",
        "svn_url": page,
        "homepage": None,
        "size": 0,
        "stargazers_count": 0,
        "watchers_count": 0,
        "language": None,
        "has_issues": True,
        "has_projects": False,
        "has_downloads": False,
        "has_wiki": False,
        "has_pages": False,
        "has_discussions": False,
        "forks_count": forks,
        "mirror_url": None,
        "archived": False,
        "disabled": False,
        "open_issues_count": open_issues,
        "license": None,
        "allow_forking": True,
        "is_template": False,
        "web_commit_signoff_required": False,
        "topics": [],
        "custom_properties": {},
        "visibility": "private" if found.private else "public",
        "forks": forks,
        "open_issues": open_issues,
        "watchers": 0,
        "default_branch": found.default_branch,
    }


def full_repository(hub: Hub, found: Repository) -> dict[str, Any]:
    """A repository asked for alone: with the one that it was forked from."""
    shown = {**repository_shape(hub, found), "network_count": 0, "subscribers_count": 0}
    owner = hub.account(found.owner)
    if owner.kind == "Organization":
        shown["organization"] = simple_user(hub, found.owner)
    if parent := hub.state.repositories.get(found.fork_of):
        shown["parent"] = shown["source"] = repository_shape(hub, parent)
    return shown


def commit(hub: Hub, repository: Repository, found: Commit) -> dict[str, Any]:
    at = hub.api(f"/repos/{repository.full_name}")
    return {
        "sha": found.sha,
        "node_id": f"C_{found.sha}",
        "commit": {
            "author": _signature(found.author, found.authored),
            "committer": _signature(found.committer, found.committed),
            "message": found.message,
            "tree": {"sha": found.tree, "url": f"{at}/git/trees/{found.tree}"},
            "url": f"{at}/git/commits/{found.sha}",
            "comment_count": 0,
            "verification": _UNSIGNED,
        },
        "url": f"{at}/commits/{found.sha}",
        "html_url": hub.html(f"/{repository.full_name}/commit/{found.sha}"),
        "comments_url": f"{at}/commits/{found.sha}/comments",
        "author": _account_of(hub, found.author),
        "committer": _account_of(hub, found.committer),
        "parents": [
            {
                "sha": parent,
                "url": f"{at}/commits/{parent}",
                "html_url": hub.html(f"/{repository.full_name}/commit/{parent}"),
            }
            for parent in found.parents
        ],
    }


def git_commit(hub: Hub, repository: Repository, found: Commit) -> dict[str, Any]:
    """A commit of the Git database."""
    shown = commit(hub, repository, found)
    inner = shown["commit"]
    return {
        "sha": found.sha,
        "node_id": shown["node_id"],
        "url": inner["url"],
        "html_url": shown["html_url"],
        "author": inner["author"],
        "committer": inner["committer"],
        "tree": inner["tree"],
        "message": found.message,
        "parents": shown["parents"],
        "verification": _UNSIGNED,
    }


def file_change(hub: Hub, repository: Repository, found: FileChange, sha: str) -> dict[str, Any]:
    """A changed file of the commit or head ``sha``."""
    path = quote(found.path)
    page = hub.html(f"/{repository.full_name}")
    shown: dict[str, Any] = {
        "sha": found.blob,
        "filename": found.path,
        "status": found.status,
        "additions": found.additions,
        "deletions": found.deletions,
        "changes": found.additions + found.deletions,
        "blob_url": f"{page}/blob/{sha}/{path}",
        "raw_url": f"{page}/raw/{sha}/{path}",
        "contents_url": hub.api(f"/repos/{repository.full_name}/contents/{path}?ref={sha}"),
    }
    if found.patch is not None:
        shown["patch"] = found.patch
    if found.previous:
        shown["previous_filename"] = found.previous
    return shown


def reference(hub: Hub, repository: Repository, ref: str, sha: str) -> dict[str, Any]:
    at = hub.api(f"/repos/{repository.full_name}/git")
    return {
        "ref": ref,
        "node_id": f"REF_{repository.id}_{ref.replace('/', '_')}",
        "url": f"{at}/{ref}",
        "object": {"type": "commit", "sha": sha, "url": f"{at}/commits/{sha}"},
    }


_UNSIGNED: dict[str, Any] = {
    "verified": False,
    "reason": "unsigned",
    "signature": None,
    "payload": None,
    "verified_at": None,
}


def _signature(person: Person, date: str) -> dict[str, Any]:
    return {"name": person.name, "email": person.email, "date": date}


def _account_of(hub: Hub, person: Person) -> dict[str, Any] | None:
    """The account with a commit's e-mail address."""
    for account in hub.state.accounts.values():
        if person.email and person.email == account.email:
            return simple_user(hub, account.login)
    return None
