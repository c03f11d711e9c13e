"""Events: what the server tells Apps, in the form of GitHub's webhook payloads."""

from collections.abc import Callable
from typing import Any

from ray_platform_sandbox.github.git.history import Commit
from ray_platform_sandbox.github.hub import Hub, node_id
from ray_platform_sandbox.github.shapes.accounts import event_organization, simple_user
from ray_platform_sandbox.github.shapes.checks import check_run, check_suite
from ray_platform_sandbox.github.shapes.issues import comment, issue
from ray_platform_sandbox.github.shapes.pulls import pull, pull_simple, review
from ray_platform_sandbox.github.shapes.repositories import repository_shape
from ray_platform_sandbox.github.state import (
    CheckRun,
    CheckSuite,
    Comment,
    Installation,
    Issue,
    Repository,
    Review,
)


def listeners(
    hub: Hub, event: str, repository: Repository, only_app: int = 0
) -> list[Installation]:
    """The installations that hear of an event: of Apps with an address, at the repository.

    ``only_app``: the one App that may hear of it; 0: all.
    """
    return [
        one
        for one in hub.state.installations.values()
        if hub.state.apps[one.app_id].webhook.url
        and (not only_app or one.app_id == only_app)
        and event in one.events
        and _covers(one, repository)
    ]


def emit(
    hub: Hub,
    event: str,
    action: str | None,
    repository: Repository,
    sender: str,
    payload: Callable[[], dict[str, Any]],
    *,
    only_app: int = 0,
) -> None:
    """Queue an event for those who listen.

    Args:
        payload: Makes what the event has beside repository, organization, sender and installation; it
            is not asked where nobody listens. Fields under ``repository`` are laid over the repository's.
        only_app: As in `listeners`.
    """
    hearing = listeners(hub, event, repository, only_app)
    if not hearing:
        return
    made = payload()
    body: dict[str, Any] = {} if action is None else {"action": action}
    shown = repository_shape(hub, repository)
    body |= {**made, "repository": {**shown, **made.get("repository", {})}}
    owner = hub.account(repository.owner)
    if owner.kind == "Organization":
        body["organization"] = event_organization(hub, owner)
    body["sender"] = simple_user(hub, sender)
    for one in hearing:
        whose = {"id": one.id, "node_id": node_id("I", one.id)}
        app = hub.state.apps[one.app_id]
        told = {**body, "installation": whose}
        hub.webhooks.enqueue(app, one.id, repository.id, event, action, told)


def pull_request(
    hub: Hub, action: str, repository: Repository, found: Issue, sender: str, **more: Any
) -> None:
    def payload() -> dict[str, Any]:
        shown = pull(hub, repository, found)
        return {"number": found.number, "pull_request": shown, **more}

    emit(hub, "pull_request", action, repository, sender, payload)


def pull_request_review(
    hub: Hub, action: str, repository: Repository, found: Issue, held: Review, sender: str
) -> None:
    def payload() -> dict[str, Any]:
        shown = review(hub, repository, found, held)
        # Events spell the state in small letters, and an empty body as null.
        shown |= {"state": held.state.lower(), "body": held.body or None}
        return {"review": shown, "pull_request": pull_simple(hub, repository, found)}

    emit(hub, "pull_request_review", action, repository, sender, payload)


def issues(
    hub: Hub, action: str, repository: Repository, found: Issue, sender: str, **more: Any
) -> None:
    def payload() -> dict[str, Any]:
        return {"issue": issue(hub, repository, found), **more}

    emit(hub, "issues", action, repository, sender, payload)


def issue_comment(
    hub: Hub, action: str, repository: Repository, held: Comment, sender: str, **more: Any
) -> None:
    def payload() -> dict[str, Any]:
        found = repository.issues[held.issue]
        shown = comment(hub, repository, held)
        return {"issue": issue(hub, repository, found), "comment": shown, **more}

    emit(hub, "issue_comment", action, repository, sender, payload)


def check_run_event(
    hub: Hub, action: str, repository: Repository, run: CheckRun, sender: str
) -> None:
    def payload() -> dict[str, Any]:
        suite = repository.check_suites[run.suite_id]
        whole = check_suite_shape(hub, repository, suite)
        return {"check_run": {**check_run(hub, repository, run), "check_suite": whole}}

    emit(hub, "check_run", action, repository, sender, payload)


def check_suite_event(
    hub: Hub, action: str, repository: Repository, suite: CheckSuite, sender: str
) -> None:
    def payload() -> dict[str, Any]:
        return {"check_suite": check_suite_shape(hub, repository, suite)}

    # A suite that is asked for concerns the App alone whose it is.
    only = suite.app_id if action == "requested" else 0
    emit(hub, "check_suite", action, repository, sender, payload, only_app=only)


def check_suite_shape(hub: Hub, repository: Repository, suite: CheckSuite) -> dict[str, Any]:
    return check_suite(hub, repository, suite, hub.store(repository).commit(suite.head_sha))


def push(hub: Hub, repository: Repository, ref: str, before: str, after: str, sender: str) -> None:
    """A branch or tag that came, moved or went; ``before`` or ``after`` of zeros says which."""

    def payload() -> dict[str, Any]:
        return _pushed(hub, repository, ref, before, after, sender)

    emit(hub, "push", None, repository, sender, payload)


def _pushed(
    hub: Hub, repository: Repository, ref: str, before: str, after: str, sender: str
) -> dict[str, Any]:
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
    return {
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
