"""Issues, labels and comments as GitHub's REST interface shows them."""

from typing import Any
from urllib.parse import quote

from ray_platform_sandbox.github.access.rights import association
from ray_platform_sandbox.github.clock import spell, spell_if
from ray_platform_sandbox.github.hub import Hub, node_id
from ray_platform_sandbox.github.shapes.accounts import integration_or_none, simple_user
from ray_platform_sandbox.github.state import Comment, Issue, Label, Repository

_REACTIONS = ("+1", "-1", "laugh", "hooray", "confused", "heart", "rocket", "eyes")


def label(hub: Hub, repository: Repository, found: Label) -> dict[str, Any]:
    return {
        "id": found.id,
        "node_id": node_id("LA", found.id),
        "url": hub.api(f"/repos/{repository.full_name}/labels/{quote(found.name)}"),
        "name": found.name,
        "color": found.color,
        "default": False,
        "description": found.description or None,
    }


def labels_of(hub: Hub, repository: Repository, found: Issue) -> list[dict[str, Any]]:
    return [label(hub, repository, repository.labels[name.lower()]) for name in found.labels]


def issue(hub: Hub, repository: Repository, found: Issue) -> dict[str, Any]:
    """An issue, or a pull request seen as one."""
    repo = hub.api(f"/repos/{repository.full_name}")
    at = f"{repo}/issues/{found.number}"
    kind = "pull" if found.pull else "issues"
    page = hub.html(f"/{repository.full_name}/{kind}/{found.number}")
    comments = sum(1 for c in repository.comments.values() if c.issue == found.number)
    shown: dict[str, Any] = {
        "url": at,
        "repository_url": repo,
        "labels_url": f"{at}/labels{{/name}}",
        "comments_url": f"{at}/comments",
        "events_url": f"{at}/events",
        "html_url": page,
        "id": found.id,
        "node_id": node_id("I", found.id),
        "number": found.number,
        "title": found.title,
        "user": simple_user(hub, found.user),
        "labels": labels_of(hub, repository, found),
        "state": found.state,
        "locked": False,
        "assignee": simple_user(hub, found.assignees[0]) if found.assignees else None,
        "assignees": [simple_user(hub, login) for login in found.assignees],
        "milestone": None,
        "comments": comments,
        "created_at": spell(found.created_at),
        "updated_at": spell(found.updated_at),
        "closed_at": spell_if(found.closed_at),
        "author_association": association(hub.state, repository, found.user),
        "active_lock_reason": None,
        "body": found.body or None,
        "closed_by": simple_user(hub, found.closed_by) if found.closed_by else None,
        "reactions": _reactions(at),
        "timeline_url": f"{at}/timeline",
        "performed_via_github_app": integration_or_none(hub, found.app_id),
        "state_reason": found.state_reason,
        "draft": found.pull is not None and found.pull.draft,
    }
    if found.pull:
        pull = f"{repo}/pulls/{found.number}"
        shown["pull_request"] = {
            "url": pull,
            "html_url": page,
            "diff_url": f"{page}.diff",
            "patch_url": f"{page}.patch",
            "merged_at": spell_if(found.pull.merged_at),
        }
    return shown


def comment(hub: Hub, repository: Repository, found: Comment) -> dict[str, Any]:
    at = hub.api(f"/repos/{repository.full_name}/issues")
    kind = "pull" if repository.issues[found.issue].pull else "issues"
    page = hub.html(f"/{repository.full_name}/{kind}/{found.issue}")
    return {
        "url": f"{at}/comments/{found.id}",
        "html_url": f"{page}#issuecomment-{found.id}",
        "issue_url": f"{at}/{found.issue}",
        "id": found.id,
        "node_id": node_id("IC", found.id),
        "user": simple_user(hub, found.user),
        "created_at": spell(found.created_at),
        "updated_at": spell(found.updated_at),
        "author_association": association(hub.state, repository, found.user),
        "body": found.body,
        "reactions": _reactions(f"{at}/comments/{found.id}"),
        "performed_via_github_app": integration_or_none(hub, found.app_id),
    }


def _reactions(at: str) -> dict[str, Any]:
    return {"url": f"{at}/reactions", "total_count": 0, **dict.fromkeys(_REACTIONS, 0)}
