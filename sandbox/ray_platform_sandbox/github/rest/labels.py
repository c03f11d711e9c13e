"""Calls about labels: of a repository, and of one issue or pull request."""

from ray_platform_sandbox.github import events
from ray_platform_sandbox.github.call import Answer, Call, Route
from ray_platform_sandbox.github.problems import (
    Problem,
    invalid_request,
    not_found,
    validation_failed,
)
from ray_platform_sandbox.github.shapes.issues import label, labels_of
from ray_platform_sandbox.github.state import Issue, Label

_READ = ("issues:read", "pull_requests:read")
_WRITE = ("issues:write", "pull_requests:write")
_DEFAULT_COLOR = "ededed"


def list_labels(call: Call) -> Answer:
    found = sorted(call.repository.labels.values(), key=lambda one: one.name.lower())
    return call.page_of(found, lambda one: label(call.hub, call.repository, one))


def get_label(call: Call) -> Answer:
    found = call.repository.labels.get(call.values["name"].lower())
    if found is None:
        raise not_found()
    return Answer(label(call.hub, call.repository, found))


def create_label(call: Call) -> Answer:
    name = call.required("name", str)
    if name.lower() in call.repository.labels:
        raise validation_failed("Label", "name", "already_exists")
    color = (call.given("color", str) or _DEFAULT_COLOR).lower()
    if len(color) != 6 or set(color) - set("0123456789abcdef"):
        raise validation_failed("Label", "color", "invalid")
    made = Label(call.hub.state.new_id(), name, color, call.given("description", str) or "")
    call.repository.labels[name.lower()] = made
    return Answer(label(call.hub, call.repository, made), 201)


def list_of_issue(call: Call) -> Answer:
    found = labels_of(call.hub, call.repository, call.issue)
    return call.page_of(found, lambda one: one)


def add_to_issue(call: Call) -> Answer:
    issue = call.issue
    given = call.given("labels", list) or []
    if not all(isinstance(name, str) and name for name in given):
        raise invalid_request("For 'properties/labels', an item is not a string.")
    for name in given:
        held = ensure_label(call, name)
        if held.name not in issue.labels:
            issue.labels.append(held.name)
            tell_of_label(call, "labeled", issue, held.name)
    call.hub.touch(issue)
    return Answer(labels_of(call.hub, call.repository, issue))


def remove_from_issue(call: Call) -> Answer:
    issue = call.issue
    held = call.repository.labels.get(call.values["name"].lower())
    if held is None or held.name not in issue.labels:
        raise Problem(404, "Label does not exist")
    issue.labels.remove(held.name)
    call.hub.touch(issue)
    tell_of_label(call, "unlabeled", issue, held.name)
    return Answer(labels_of(call.hub, call.repository, issue))


def ensure_label(call: Call, name: str) -> Label:
    """The repository's label of that name, made where there is none."""
    found = call.repository.labels.get(name.lower())
    if found is None:
        found = Label(call.hub.state.new_id(), name, _DEFAULT_COLOR)
        call.repository.labels[name.lower()] = found
    return found


def tell_of_label(call: Call, action: str, issue: Issue, name: str) -> None:
    """Send the event of a label that was put on an issue or pull request, or taken off."""
    tell = events.pull_request if issue.pull else events.issues
    shown = label(call.hub, call.repository, call.repository.labels[name.lower()])
    tell(call.hub, action, call.repository, issue, call.caller.login, label=shown)


_REPO = "/repos/{owner}/{repo}"
_ISSUE = f"{_REPO}/issues/{{issue_number:[0-9]+}}/labels"
ROUTES = (
    Route("GET", f"{_REPO}/labels", list_labels, _READ),
    Route("POST", f"{_REPO}/labels", create_label, _WRITE, "write", content=True),
    Route("GET", f"{_REPO}/labels/{{name}}", get_label, _READ),
    Route("GET", _ISSUE, list_of_issue, _READ),
    Route("POST", _ISSUE, add_to_issue, _WRITE, "triage"),
    Route("DELETE", f"{_ISSUE}/{{name}}", remove_from_issue, _WRITE, "triage"),
)
