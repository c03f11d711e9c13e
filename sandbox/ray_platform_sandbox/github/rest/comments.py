"""Calls about the comments of issues and pull requests."""

from ray_platform_sandbox.github import events
from ray_platform_sandbox.github.access.rights import ROLES, role_in
from ray_platform_sandbox.github.call import Answer, Call, Route
from ray_platform_sandbox.github.clock import read
from ray_platform_sandbox.github.problems import forbidden, not_found, validation_failed
from ray_platform_sandbox.github.rest.issues import READ, WRITE, comments_of
from ray_platform_sandbox.github.rest.texts import body_of
from ray_platform_sandbox.github.shapes.issues import comment
from ray_platform_sandbox.github.state import Comment


def list_comments(call: Call) -> Answer:
    found = comments_of(call, call.issue)
    if since := call.query.get("since"):
        try:
            begin = read(since)
        except ValueError as error:
            raise validation_failed("Search", "since", "invalid") from error
        found = [held for held in found if held.updated_at >= begin]
    return call.page_of(found, lambda one: comment(call.hub, call.repository, one))


def create_comment(call: Call) -> Answer:
    hub, issue = call.hub, call.issue
    body, now = _body(call), hub.clock.now()
    held = Comment(
        hub.state.new_id(),
        issue.number,
        call.caller.login,
        body,
        now,
        now,
        call.caller.app_id,
    )
    call.repository.comments[held.id] = held
    hub.touch(issue)
    events.issue_comment(hub, "created", call.repository, held, call.caller.login)
    return Answer(comment(hub, call.repository, held), 201)


def get_comment(call: Call) -> Answer:
    return Answer(comment(call.hub, call.repository, _comment(call)))


def change_comment(call: Call) -> Answer:
    held = _own_comment(call)
    before, held.body = held.body, _body(call)
    held.updated_at = call.hub.clock.now()
    call.hub.touch(call.repository.issues[held.issue])
    changes = {"body": {"from": before}}
    events.issue_comment(
        call.hub, "edited", call.repository, held, call.caller.login, changes=changes
    )
    return Answer(comment(call.hub, call.repository, held))


def delete_comment(call: Call) -> Answer:
    held = _own_comment(call)
    del call.repository.comments[held.id]
    call.hub.touch(call.repository.issues[held.issue])
    events.issue_comment(call.hub, "deleted", call.repository, held, call.caller.login)
    return Answer(status=204)


def _body(call: Call) -> str:
    call.required("body", str)
    body = body_of(call, "IssueComment")
    if body is None or not body.strip():
        raise validation_failed("IssueComment", "body", "missing_field")
    return body


def _comment(call: Call) -> Comment:
    held = call.repository.comments.get(call.number("comment_id"))
    if held is None:
        raise not_found()
    return held


def _own_comment(call: Call) -> Comment:
    """A comment that the caller may change: the own one, or any with write access."""
    held = _comment(call)
    if held.user.lower() != call.caller.login.lower():
        role = role_in(call.hub.state, call.repository, call.caller.login)
        if call.caller.kind == "user" and ROLES.index(role) < ROLES.index("write"):
            raise forbidden("Must have write access to Repository.")
    return held


_AT = "/repos/{owner}/{repo}/issues"
ROUTES = (
    Route("GET", f"{_AT}/{{issue_number:[0-9]+}}/comments", list_comments, READ),
    Route("POST", f"{_AT}/{{issue_number:[0-9]+}}/comments", create_comment, WRITE, content=True),
    Route("GET", f"{_AT}/comments/{{comment_id}}", get_comment, READ),
    Route("PATCH", f"{_AT}/comments/{{comment_id}}", change_comment, WRITE),
    Route("DELETE", f"{_AT}/comments/{{comment_id}}", delete_comment, WRITE),
)
