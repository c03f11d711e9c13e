"""Events: what the server tells Apps, in the form of GitHub's webhook payloads."""

from typing import Any

from ray_platform.local.github.git_store import Commit
from ray_platform.local.github.hub import Hub, node_id
from ray_platform.local.github.shapes.accounts import event_organization, simple_user
from ray_platform.local.github.shapes.checks import check_run, check_suite
from ray_platform.local.github.shapes.issues import comment, issue
from ray_platform.local.github.shapes.pulls import pull, pull_simple, review
from ray_platform.local.github.shapes.repositories import repository_shape
from ray_platform.local.github.state import (
    CheckRun,
    CheckSuite,
    Comment,
    Installation,
    Issue,
    Repository,
    Review,
)


def emit(
    hub: Hub,
    event: str,
    action: str | None,
    repository: Repository,
    sender: str,
    payload: dict[str, Any],
    *,
    only_app: int = 0,
) -> None:
    """Queue an event for every App that is installed at the repository and listens to it.

    Args:
        payload: What the event has beside repository, organization, sender and installation; fields
            under ``repository`` are laid over the repository's own.
        only_app: The one App that may hear of it; 0: all.
    """
    for installation in hub.state.installations.values():
        app = hub.state.apps[installation.app_id]
        if not app.webhook.url or (only_app and app.id != only_app):
            continue
        if event not in installation.events or not _covers(installation, repository):
            continue
        body: dict[str, Any] = {} if action is None else {"action": action}
        shown = repository_shape(hub, repository)
        body |= {**payload, "repository": {**shown, **payload.get("repository", {})}}
        owner = hub.account(repository.owner)
        if owner.kind == "Organization":
            body["organization"] = event_organization(hub, owner)
        body["sender"] = simple_user(hub, sender)
        body["installation"] = {"id": installation.id, "node_id": node_id("I", installation.id)}
        hub.webhooks.enqueue(app, installation.id, repository.id, event, action, body)


def pull_request(
    hub: Hub, action: str, repository: Repository, found: Issue, sender: str, **more: Any
) -> None:
    payload = {"number": found.number, "pull_request": pull(hub, repository, found), **more}
    emit(hub, "pull_request", action, repository, sender, payload)


def pull_request_review(
    hub: Hub, action: str, repository: Repository, found: Issue, held: Review, sender: str
) -> None:
    shown = review(hub, repository, found, held)
    # Events spell the state in small letters, and an empty body as null.
    shown |= {"state": held.state.lower(), "body": held.body or None}
    payload = {"review": shown, "pull_request": pull_simple(hub, repository, found)}
    emit(hub, "pull_request_review", action, repository, sender, payload)


def issues(
    hub: Hub, action: str, repository: Repository, found: Issue, sender: str, **more: Any
) -> None:
    payload = {"issue": issue(hub, repository, found), **more}
    emit(hub, "issues", action, repository, sender, payload)


def issue_comment(
    hub: Hub, action: str, repository: Repository, held: Comment, sender: str, **more: Any
) -> None:
    found = repository.issues[held.issue]
    payload = {
        "issue": issue(hub, repository, found),
        "comment": comment(hub, repository, held),
        **more,
    }
    emit(hub, "issue_comment", action, repository, sender, payload)


def check_run_event(
    hub: Hub, action: str, repository: Repository, run: CheckRun, sender: str
) -> None:
    shown = check_run(hub, repository, run)
    suite = repository.check_suites[run.suite_id]
    shown["check_suite"] = check_suite_shape(hub, repository, suite)
    emit(hub, "check_run", action, repository, sender, {"check_run": shown})


def check_suite_event(
    hub: Hub, action: str, repository: Repository, suite: CheckSuite, sender: str
) -> None:
    payload = {"check_suite": check_suite_shape(hub, repository, suite)}
    # A suite that is asked for concerns the App alone whose it is.
    only = suite.app_id if action == "requested" else 0
    emit(hub, "check_suite", action, repository, sender, payload, only_app=only)


def check_suite_shape(hub: Hub, repository: Repository, suite: CheckSuite) -> dict[str, Any]:
    return check_suite(hub, repository, suite, hub.store(repository).commit(suite.head_sha))


def push(hub: Hub, repository: Repository, ref: str, before: str, after: str, sender: str) -> None:
    """A branch or tag that came, moved or went; ``before`` or ``after`` of zeros says which."""
    store = hub.store(repository)
    created, deleted = not before.strip("0"), not after.strip("0")
    moved = not created and not deleted
    commits: tuple[Commit, ...] = ()
    if not deleted:
        default = repository.refs.get(f"refs/heads/{repository.default_branch}", after)
        commits = store.commits(before if moved else default, after)
    listed = [_pushed_commit(hub, repository, one) for one in commits]
    account = hub.account(sender)
    owner = hub.account(repository.owner)
    shape = repository_shape(hub, repository)
    payload = {
        "ref": ref,
        "before": before,
        "after": after,
        "created": created,
        "deleted": deleted,
        "forced": moved and not store.is_ancestor(before, after),
        "base_ref": None,
        "compare": hub.html(f"/{repository.full_name}/compare/{before[:12]}...{after[:12]}"),
        "commits": listed,
        "head_commit": None
        if deleted
        else (listed[-1] if listed else _pushed_commit(hub, repository, store.commit(after))),
        "pusher": {"name": account.login, "email": account.email},
        # In this event alone two of the times are numbers, and the owner has a name.
        "repository": {
            "created_at": repository.created_at,
            "pushed_at": repository.pushed_at,
            "stargazers": 0,
            "master_branch": repository.default_branch,
            "owner": {**shape["owner"], "name": owner.login, "email": owner.email},
        },
    }
    emit(hub, "push", None, repository, sender, payload)


def _pushed_commit(hub: Hub, repository: Repository, found: Commit) -> dict[str, Any]:
    store = hub.store(repository)
    parent = found.parents[0] if found.parents else ""
    changes = store.changes(parent, found.sha) if parent else ()
    paths: dict[str, list[str]] = {"added": [], "removed": [], "modified": []}
    for change in changes:
        paths.get(change.status, paths["modified"]).append(change.path)
    people = {
        name: {"name": person.name, "email": person.email, "username": person.name}
        for name, person in (("author", found.author), ("committer", found.committer))
    }
    return {
        "id": found.sha,
        "tree_id": found.tree,
        "distinct": True,
        "message": found.message,
        "timestamp": found.committed,
        "url": hub.html(f"/{repository.full_name}/commit/{found.sha}"),
        **people,
        **paths,
    }


def _covers(installation: Installation, repository: Repository) -> bool:
    if installation.suspended_at is not None:
        return False
    if installation.account.lower() != repository.owner.lower():
        return False
    selected = installation.repository_selection == "selected"
    return not selected or repository.id in installation.repository_ids
