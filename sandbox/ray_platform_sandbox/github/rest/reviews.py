"""Calls about reviews of pull requests."""

from ray_platform_sandbox.github import events
from ray_platform_sandbox.github.call import Answer, Call, Route
from ray_platform_sandbox.github.problems import not_found, unprocessable
from ray_platform_sandbox.github.rest.texts import body_of
from ray_platform_sandbox.github.shapes import pulls
from ray_platform_sandbox.github.shapes.pulls import pull_of
from ray_platform_sandbox.github.state import Issue, Review

_READ, _WRITE = ("pull_requests:read",), ("pull_requests:write",)
_STATES = {"APPROVE": "APPROVED", "REQUEST_CHANGES": "CHANGES_REQUESTED", "COMMENT": "COMMENTED"}


def list_reviews(call: Call) -> Answer:
    """The oldest first, as GitHub orders them."""
    issue = call.issue
    shown = [
        held
        for held in pull_of(issue).reviews
        # A review that was not submitted yet is its author's own.
        if held.state != "PENDING" or held.user == call.caller.login
    ]
    return call.page_of(shown, lambda one: pulls.review(call.hub, call.repository, issue, one))


def get_review(call: Call) -> Answer:
    issue = call.issue
    return Answer(pulls.review(call.hub, call.repository, issue, _review(call, issue)))


def create_review(call: Call) -> Answer:
    """A review of one commit; without an event it stays pending."""
    hub, issue = call.hub, call.issue
    event = call.choice("event", tuple(_STATES))
    body = body_of(call, "PullRequestReview") or ""
    _refuse_own(call, issue, event)
    if event in ("REQUEST_CHANGES", "COMMENT") and not body and not call.given("comments", list):
        raise unprocessable("Body can't be blank")
    commit = call.given("commit_id", str) or pull_of(issue).head_sha
    if not hub.store(call.repository).has(commit):
        raise unprocessable("Commit is not part of the pull request")
    held = Review(
        id=hub.state.new_id(),
        user=call.caller.login,
        body=body,
        state=_STATES[event] if event else "PENDING",
        commit=commit,
        submitted_at=hub.clock.now() if event else None,
    )
    pull_of(issue).reviews.append(held)
    if event:
        _submitted(call, issue, held)
    return Answer(pulls.review(hub, call.repository, issue, held))


def submit_review(call: Call) -> Answer:
    """Submit a pending review."""
    issue = call.issue
    held = _review(call, issue)
    event = call.choice("event", tuple(_STATES))
    if held.state != "PENDING" or held.user != call.caller.login or event is None:
        raise unprocessable("Can not submit this review")
    _refuse_own(call, issue, event)
    body = body_of(call, "PullRequestReview")
    held.state, held.submitted_at = _STATES[event], call.hub.clock.now()
    held.body = body or held.body
    _submitted(call, issue, held)
    return Answer(pulls.review(call.hub, call.repository, issue, held))


def dismiss_review(call: Call) -> Answer:
    issue = call.issue
    held = _review(call, issue)
    call.required("message", str)
    if held.state not in ("APPROVED", "CHANGES_REQUESTED"):
        raise unprocessable(f"Can not dismiss a {held.state.lower()} pull request review")
    held.state = "DISMISSED"
    call.hub.touch(issue)
    events.pull_request_review(
        call.hub, "dismissed", call.repository, issue, held, call.caller.login
    )
    return Answer(pulls.review(call.hub, call.repository, issue, held))


def _refuse_own(call: Call, issue: Issue, event: str | None) -> None:
    if event in ("APPROVE", "REQUEST_CHANGES") and issue.user.lower() == call.caller.login.lower():
        word = "approve" if event == "APPROVE" else "request changes on"
        raise unprocessable(f"Can not {word} your own pull request")


def _submitted(call: Call, issue: Issue, held: Review) -> None:
    call.hub.touch(issue)
    events.pull_request_review(
        call.hub, "submitted", call.repository, issue, held, call.caller.login
    )


def _review(call: Call, issue: Issue) -> Review:
    number = call.number("review_id")
    for held in pull_of(issue).reviews:
        if held.id == number:
            return held
    raise not_found()


_AT = "/repos/{owner}/{repo}/pulls/{pull_number}/reviews"
ROUTES = (
    Route("GET", _AT, list_reviews, _READ),
    Route("POST", _AT, create_review, _WRITE, content=True),
    Route("GET", f"{_AT}/{{review_id}}", get_review, _READ),
    Route("POST", f"{_AT}/{{review_id}}/events", submit_review, _WRITE, content=True),
    Route("PUT", f"{_AT}/{{review_id}}/dismissals", dismiss_review, _WRITE, "write"),
)
