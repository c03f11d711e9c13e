"""Calls about issues; a pull request is one, too."""

from collections.abc import Callable
from typing import Any

from ray_platform.local.github import events
from ray_platform.local.github.access import ROLES, role_in
from ray_platform.local.github.call import Answer, Call, Route
from ray_platform.local.github.clock import read
from ray_platform.local.github.problems import forbidden, invalid_request, validation_failed
from ray_platform.local.github.pushes import close
from ray_platform.local.github.rest.labels import ensure_label
from ray_platform.local.github.rest.pulls import http_date
from ray_platform.local.github.shapes import issues as shapes
from ray_platform.local.github.shapes.issues import label
from ray_platform.local.github.state import Comment, Issue

READ, WRITE = ("issues:read", "pull_requests:read"), ("issues:write", "pull_requests:write")
_REASONS = ("completed", "not_planned", "duplicate", "reopened")


def list_issues(call: Call) -> Answer:
    """Issues and pull requests, filtered and sorted as asked."""
    repository = call.repository
    state = call.asked("state", ("open", "closed", "all"))
    sort = call.asked("sort", ("created", "updated", "comments"))
    direction = call.asked("direction", ("desc", "asc"))
    found = [i for i in repository.issues.values() if state == "all" or i.state == state]
    if names := call.query.get("labels"):
        wanted = {name.strip().lower() for name in names.split(",")}
        found = [i for i in found if wanted <= {name.lower() for name in i.labels}]
    if since := call.query.get("since"):
        try:
            begin = read(since)
        except ValueError as error:
            raise validation_failed("Search", "since", "invalid") from error
        found = [i for i in found if i.updated_at >= begin]
    if creator := call.query.get("creator"):
        found = [i for i in found if i.user.lower() == creator.lower()]
    keys: dict[str, Callable[[Issue], int]] = {
        "created": lambda issue: issue.created_at,
        "updated": lambda issue: issue.updated_at,
        "comments": lambda issue: sum(
            1 for c in repository.comments.values() if c.issue == issue.number
        ),
    }
    found.sort(key=lambda one: (keys[sort](one), one.number), reverse=direction == "desc")
    return call.page_of(found, lambda one: shapes.issue(call.hub, repository, one))


def get_issue(call: Call) -> Answer:
    issue = call.issue
    return Answer(
        shapes.issue(call.hub, call.repository, issue),
        headers={"Last-Modified": http_date(issue.updated_at)},
    )


def create_issue(call: Call) -> Answer:
    hub, repository = call.hub, call.repository
    title = call.required("title", (str))
    if not title.strip():
        raise validation_failed("Issue", "title", "missing_field")
    names = _label_names(call)
    now = hub.clock.now()
    issue = Issue(
        id=hub.state.new_id(),
        number=repository.next_number,
        title=title,
        body=call.given("body", str) or "",
        user=call.caller.login,
        created_at=now,
        updated_at=now,
        app_id=call.caller.app_id,
    )
    repository.next_number += 1
    repository.issues[issue.number] = issue
    # Labels and assignees of people without write access are dropped in silence, as GitHub does.
    if _may_triage(call):
        issue.labels = [ensure_label(call, name).name for name in names]
        issue.assignees = _assignees(call)
    sender = call.caller.login
    events.issues(hub, "opened", repository, issue, sender)
    for name in issue.labels:
        shown = label(hub, repository, repository.labels[name.lower()])
        events.issues(hub, "labeled", repository, issue, sender, label=shown)
    return Answer(shapes.issue(hub, repository, issue), 201)


def change_issue(call: Call) -> Answer:
    """Title, body, labels, assignees, and whether it is open and why not."""
    hub, repository, issue = call.hub, call.repository, call.issue
    if issue.user.lower() != call.caller.login.lower() and not _may_triage(call):
        raise forbidden("Must have triage access to Repository.")
    changes: dict[str, Any] = {}
    for name in ("title", "body"):
        new = call.given(name, str)
        if new is not None and new != getattr(issue, name):
            changes[name] = {"from": getattr(issue, name)}
            setattr(issue, name, new)
    if "labels" in call.body:
        issue.labels = [ensure_label(call, name).name for name in _label_names(call)]
    if "assignees" in call.body:
        issue.assignees = _assignees(call)
    hub.touch(issue)
    sender = call.caller.login
    if changes:
        events.issues(hub, "edited", repository, issue, sender, changes=changes)
    _change_state(call, issue)
    return Answer(shapes.issue(hub, repository, issue))


def _change_state(call: Call, issue: Issue) -> None:
    hub, repository, sender = call.hub, call.repository, call.caller.login
    wanted = call.choice("state", ("open", "closed"))
    reason = call.choice("state_reason", _REASONS)
    if wanted == "closed" and (issue.state == "open" or reason):
        was_open = issue.state == "open"
        close(hub, repository, issue, sender)
        issue.state_reason = reason or "completed"
        if was_open:
            _tell(call, "closed", issue)
    elif wanted == "open" and issue.state == "closed":
        if issue.pull and issue.pull.merged_at is not None:
            raise validation_failed("Issue", "state", "invalid")
        issue.state, issue.closed_at, issue.closed_by = "open", None, ""
        issue.state_reason = "reopened"
        _tell(call, "reopened", issue)


def _tell(call: Call, action: str, issue: Issue) -> None:
    tell = events.pull_request if issue.pull else events.issues
    tell(call.hub, action, call.repository, issue, call.caller.login)


def comments_of(call: Call, issue: Issue) -> list[Comment]:
    held = [c for c in call.repository.comments.values() if c.issue == issue.number]
    return sorted(held, key=lambda one: one.id)


def _label_names(call: Call) -> list[str]:
    names = []
    for item in call.given("labels", list) or []:
        name = item.get("name") if isinstance(item, dict) else item
        if not isinstance(name, str) or not name:
            raise invalid_request("For 'properties/labels', an item is not a string.")
        names.append(name)
    return names


def _assignees(call: Call) -> list[str]:
    found = []
    for login in call.given("assignees", list) or []:
        account = call.hub.state.account(str(login))
        if account is None:
            raise validation_failed("Issue", "assignees", "invalid", value=login)
        found.append(account.login)
    return found


def _may_triage(call: Call) -> bool:
    if call.caller.kind != "user":
        return True
    role = role_in(call.hub.state, call.repository, call.caller.login)
    return ROLES.index(role) >= ROLES.index("triage")


_AT = "/repos/{owner}/{repo}/issues"
ROUTES = (
    Route("GET", _AT, list_issues, READ),
    Route("POST", _AT, create_issue, ("issues:write",), content=True),
    Route("GET", f"{_AT}/{{issue_number:[0-9]+}}", get_issue, READ),
    Route("PATCH", f"{_AT}/{{issue_number:[0-9]+}}", change_issue, WRITE),
)
