"""Pull requests and reviews as GitHub's REST interface shows them."""

from typing import Any

from ray_platform_sandbox.github.access.rights import association
from ray_platform_sandbox.github.clock import spell, spell_if
from ray_platform_sandbox.github.git.store import GitStore
from ray_platform_sandbox.github.hub import Hub, node_id
from ray_platform_sandbox.github.shapes.accounts import simple_user
from ray_platform_sandbox.github.shapes.issues import labels_of
from ray_platform_sandbox.github.shapes.repositories import repository_shape
from ray_platform_sandbox.github.state import Issue, Pull, Repository, Review


def pull_of(issue: Issue) -> Pull:
    assert issue.pull is not None  # noqa: S101  (the path named a pull request)
    return issue.pull


def pull_simple(hub: Hub, repository: Repository, found: Issue) -> dict[str, Any]:
    """A pull request as lists hold it."""
    pull = pull_of(found)
    repo = hub.api(f"/repos/{repository.full_name}")
    at, issue = f"{repo}/pulls/{found.number}", f"{repo}/issues/{found.number}"
    page = hub.html(f"/{repository.full_name}/pull/{found.number}")
    statuses = f"{repo}/statuses/{pull.head_sha}"
    head = hub.state.repositories.get(pull.head_repository)
    base_shape = repository_shape(hub, repository)
    same = head is repository
    return {
        "url": at,
        "id": pull.id,
        "node_id": node_id("PR", pull.id),
        "html_url": page,
        "diff_url": f"{page}.diff",
        "patch_url": f"{page}.patch",
        "issue_url": issue,
        "number": found.number,
        "state": found.state,
        "locked": False,
        "title": found.title,
        "user": simple_user(hub, found.user),
        "body": found.body or None,
        "created_at": spell(found.created_at),
        "updated_at": spell(found.updated_at),
        "closed_at": spell_if(found.closed_at),
        "merged_at": spell_if(pull.merged_at),
        "merge_commit_sha": pull.merge_commit or None,
        "assignee": simple_user(hub, found.assignees[0]) if found.assignees else None,
        "assignees": [simple_user(hub, login) for login in found.assignees],
        "requested_reviewers": [],
        "requested_teams": [],
        "labels": labels_of(hub, repository, found),
        "milestone": None,
        "draft": pull.draft,
        "commits_url": f"{at}/commits",
        "review_comments_url": f"{at}/comments",
        "review_comment_url": f"{repo}/pulls/comments{{/number}}",
        "comments_url": f"{issue}/comments",
        "statuses_url": statuses,
        "head": {
            "label": f"{head.owner if head else 'unknown'}:{pull.head_ref}",
            "ref": pull.head_ref,
            "sha": pull.head_sha,
            "user": simple_user(hub, head.owner) if head else None,
            "repo": base_shape if same else repository_shape(hub, head) if head else None,
        },
        "base": {
            "label": f"{repository.owner}:{pull.base_ref}",
            "ref": pull.base_ref,
            "sha": pull.base_sha,
            "user": simple_user(hub, repository.owner),
            "repo": base_shape,
        },
        "_links": {
            "self": {"href": at},
            "html": {"href": page},
            "issue": {"href": issue},
            "comments": {"href": f"{issue}/comments"},
            "review_comments": {"href": f"{at}/comments"},
            "review_comment": {"href": f"{repo}/pulls/comments{{/number}}"},
            "commits": {"href": f"{at}/commits"},
            "statuses": {"href": statuses},
        },
        "author_association": association(hub.state, repository, found.user),
        "auto_merge": None,
        "active_lock_reason": None,
    }


def pull(hub: Hub, repository: Repository, found: Issue) -> dict[str, Any]:
    """A pull request asked for alone: with counts, and whether it can be merged."""
    held = pull_of(found)
    store = hub.store(repository)
    base = diff_base(store, held)
    changes = store.changes(base, held.head_sha)
    merged = held.merged_at is not None
    mergeable = None if merged else held.mergeable
    states = {True: "draft" if held.draft else "clean", False: "dirty", None: "unknown"}
    return {
        **pull_simple(hub, repository, found),
        "merged": merged,
        "mergeable": mergeable,
        "rebaseable": mergeable,
        "mergeable_state": states[mergeable],
        "merged_by": simple_user(hub, held.merged_by) if held.merged_by else None,
        "comments": sum(1 for c in repository.comments.values() if c.issue == found.number),
        "review_comments": 0,
        "maintainer_can_modify": False,
        "commits": len(store.commits(base, held.head_sha)),
        "additions": sum(change.additions for change in changes),
        "deletions": sum(change.deletions for change in changes),
        "changed_files": len(changes),
    }


def diff_base(store: GitStore, held: Pull) -> str:
    """Where a pull request left its base: what its files are compared with."""
    return store.merge_base(held.base_sha, held.head_sha) or held.base_sha


def pull_minimal(hub: Hub, repository: Repository, found: Issue) -> dict[str, Any]:
    """A pull request as check runs name it."""
    held = pull_of(found)
    head = hub.state.repositories.get(held.head_repository, repository)

    def side(ref: str, sha: str, repo: Repository) -> dict[str, Any]:
        at = hub.api(f"/repos/{repo.full_name}")
        return {"ref": ref, "sha": sha, "repo": {"id": repo.id, "url": at, "name": repo.name}}

    return {
        "url": hub.api(f"/repos/{repository.full_name}/pulls/{found.number}"),
        "id": held.id,
        "number": found.number,
        "head": side(held.head_ref, held.head_sha, head),
        "base": side(held.base_ref, held.base_sha, repository),
    }


def review(hub: Hub, repository: Repository, found: Issue, held: Review) -> dict[str, Any]:
    pull_url = hub.api(f"/repos/{repository.full_name}/pulls/{found.number}")
    page = hub.html(f"/{repository.full_name}/pull/{found.number}#pullrequestreview-{held.id}")
    shown = {
        "id": held.id,
        "node_id": node_id("PRR", held.id),
        "user": simple_user(hub, held.user),
        "body": held.body,
        "state": held.state,
        "html_url": page,
        "pull_request_url": pull_url,
        "author_association": association(hub.state, repository, held.user),
        "_links": {"html": {"href": page}, "pull_request": {"href": pull_url}},
        "commit_id": held.commit,
    }
    if held.submitted_at is not None:
        shown["submitted_at"] = spell(held.submitted_at)
    return shown
