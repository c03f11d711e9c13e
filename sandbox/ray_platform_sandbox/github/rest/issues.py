"""Calls about issues; a pull request is one, too."""

from collections.abc import Callable
from typing import Any

from ray_platform_sandbox.github import events
from ray_platform_sandbox.github.access.rights import ROLES, role_in
from ray_platform_sandbox.github.call import Answer, Call, Route
from ray_platform_sandbox.github.clock import read
from ray_platform_sandbox.github.git.pushes import close
from ray_platform_sandbox.github.problems import forbidden, invalid_request, validation_failed
from ray_platform_sandbox.github.rest.labels import ensure_label, tell_of_label
from ray_platform_sandbox.github.rest.pulls import http_date, reopen, require_can_reopen
from ray_platform_sandbox.github.rest.texts import body_of, change_texts, new_texts
from ray_platform_sandbox.github.shapes import issues as shapes
from ray_platform_sandbox.github.state import Comment, Issue

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
    title, body = call.required("title", str), body_of(call, "Issue")
    if not title.strip():
        raise validation_failed("Issue", "title", "missing_field")
    # Labels and assignees of people without write access are dropped in silence, as GitHub does.
    triages = _may_triage(call)
    names, assignees = _label_names(call) or [], _assignees(call) or []
    now = hub.clock.now()
    issue = Issue(
        id=hub.state.new_id(),
        number=repository.next_number,
        title=title,
        body=body or "",
        user=call.caller.login,
        created_at=now,
        updated_at=now,
        app_id=call.caller.app_id,
        labels=[ensure_label(call, name).name for name in names] if triages else [],
        assignees=assignees if triages else [],
    )
    repository.next_number += 1
    repository.issues[issue.number] = issue
    events.issues(hub, "opened", repository, issue, call.caller.login)
    for name in issue.labels:
        tell_of_label(call, "labeled", issue, name)
    return Answer(shapes.issue(hub, repository, issue), 201)


def change_issue(call: Call) -> Answer:
    """Title, body, labels, assignees, and whether it is open and why not."""
    hub, repository, issue = call.hub, call.repository, call.issue
    if issue.user.lower() != call.caller.login.lower() and not _may_triage(call):
        raise forbidden("Must have triage access to Repository.")
    # All is judged before the first is changed.
    texts = new_texts(call, issue, "Issue")
    names, assignees = _label_names(call), _assignees(call)
    state, reason = call.choice("state", ("open", "closed")), call.choice("state_reason", _REASONS)
    opens = state == "open" and issue.state == "closed"
    if opens and issue.pull:
        require_can_reopen(call, issue)

    hub.touch(issue)
    if changes := change_texts(issue, texts):
        _tell(call, "edited", issue, changes=changes)
    if names is not None:
        _set_labels(call, issue, names)
    if assignees is not None:
        issue.assignees = assignees
    if opens and issue.pull:
        reopen(call, issue)
    elif opens:
        issue.state, issue.closed_at, issue.closed_by = "open", None, ""
        issue.state_reason = "reopened"
        _tell(call, "reopened", issue)
    elif state == "closed" and issue.state == "open":
        close(hub, repository, issue, call.caller.login)
        issue.state_reason = None if issue.pull else reason or "completed"
        _tell(call, "closed", issue)
    elif state == "closed" and reason:
        issue.state_reason = reason
    return Answer(shapes.issue(hub, repository, issue))


def _set_labels(call: Call, issue: Issue, names: list[str]) -> None:
    before, issue.labels = issue.labels, [ensure_label(call, name).name for name in names]
    for name in issue.labels:
        if name not in before:
            tell_of_label(call, "labeled", issue, name)
    for name in before:
        if name not in issue.labels:
            tell_of_label(call, "unlabeled", issue, name)


def _tell(call: Call, action: str, issue: Issue, **more: Any) -> None:
    tell = events.pull_request if issue.pull else events.issues
    tell(call.hub, action, call.repository, issue, call.caller.login, **more)


def comments_of(call: Call, issue: Issue) -> list[Comment]:
    held = [c for c in call.repository.comments.values() if c.issue == issue.number]
    return sorted(held, key=lambda one: one.id)


def _label_names(call: Call) -> list[str] | None:
    given = call.given("labels", list)
    if given is None:
        return None
    names = []
    for item in given:
        name = item.get("name") if isinstance(item, dict) else item
        if not isinstance(name, str) or not name:
            raise invalid_request("For 'properties/labels', an item is not a string.")
        names.append(name)
    return names


def _assignees(call: Call) -> list[str] | None:
    given = call.given("assignees", list)
    if given is None:
        return None
    found = []
    for login in given:
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
