"""Calls about check runs; only Apps write them."""

from typing import Any

from ray_platform_sandbox.github import events
from ray_platform_sandbox.github.call import Answer, Call, Route
from ray_platform_sandbox.github.clock import read
from ray_platform_sandbox.github.git.pushes import find_suite, make_suite
from ray_platform_sandbox.github.git.store import NOTHING
from ray_platform_sandbox.github.problems import Problem, forbidden, invalid_request, not_found
from ray_platform_sandbox.github.rest.repositories import commit_of
from ray_platform_sandbox.github.shapes.checks import check_run, suite_state
from ray_platform_sandbox.github.state import CheckRun

#: Characters of a check run's summary and of its text.
LONGEST = 65_535
MOST_ANNOTATIONS = 50
_STATUSES = ("queued", "in_progress", "completed", "waiting", "requested", "pending")
_CONCLUSIONS = (
    "success",
    "failure",
    "neutral",
    "cancelled",
    "skipped",
    "timed_out",
    "action_required",
)


def create_run(call: Call) -> Answer:
    hub, repository, app_id = call.hub, call.repository, call.caller.app_id
    sha = call.required("head_sha", str)
    if not hub.store(repository).has(sha):
        raise Problem(422, f"No commit found for SHA: {sha}")
    run = CheckRun(
        id=hub.state.new_id(),
        suite_id=0,
        app_id=app_id,
        name=call.required("name", str),
        head_sha=sha,
        status="queued",
        conclusion=None,
        started_at=hub.clock.now(),
        completed_at=None,
        details_url="",
        external_id="",
    )
    _change(call, run)
    suite = find_suite(repository, app_id, sha)
    suite = suite or make_suite(hub, repository, app_id, sha, _branch_of(call, sha), NOTHING)
    run.suite_id = suite.id
    repository.check_runs[run.id] = run
    events.check_run_event(hub, "created", repository, run, call.caller.login)
    _tell_completed(call, run, was_completed=False)
    return Answer(check_run(hub, repository, run), 201)


def change_run(call: Call) -> Answer:
    run = _run(call)
    if run.app_id != call.caller.app_id:
        raise forbidden(
            f"Invalid app_id `{call.caller.app_id}` - check run can only be modified by the GitHub "
            "App that created it."
        )
    was_completed = run.status == "completed"
    _change(call, run)
    _tell_completed(call, run, was_completed=was_completed)
    return Answer(check_run(call.hub, call.repository, run))


def get_run(call: Call) -> Answer:
    return Answer(check_run(call.hub, call.repository, _run(call)))


def list_runs(call: Call) -> Answer:
    """The runs at a commit, the newest first; ``filter=latest`` keeps one of each name and App."""
    sha = commit_of(call, call.values["ref"])
    found = [run for run in call.repository.check_runs.values() if run.head_sha == sha]
    found.sort(key=lambda run: run.id, reverse=True)
    if call.asked("filter", ("latest", "all")) == "latest":
        newest: dict[tuple[int, str], CheckRun] = {}
        for run in found:
            newest.setdefault((run.app_id, run.name), run)
        found = list(newest.values())
    if name := call.query.get("check_name"):
        found = [run for run in found if run.name == name]
    if status := call.query.get("status"):
        found = [run for run in found if run.status == status]
    if app_id := call.query.get("app_id"):
        found = [run for run in found if str(run.app_id) == app_id]
    return call.page_of(
        found, lambda run: check_run(call.hub, call.repository, run), wrap="check_runs"
    )


def _change(call: Call, run: CheckRun) -> None:
    """Lay the fields of the body over a run; all are checked before the first is changed."""
    name, status = call.given("name", str), call.choice("status", _STATUSES)
    conclusion = call.choice("conclusion", _CONCLUSIONS)
    if status == "completed" and conclusion is None and run.conclusion is None:
        raise invalid_request('"conclusion" wasn\'t supplied.')
    output: dict[str, Any] | None = call.given("output", dict)
    annotations = _check_output(output) if output is not None else []
    started, completed = _time(call, "started_at"), _time(call, "completed_at")
    run.name = name or run.name
    run.details_url = call.given("details_url", str) or run.details_url
    run.external_id = call.given("external_id", str) or run.external_id
    run.started_at = started or run.started_at
    if conclusion is not None:
        run.status, run.conclusion = "completed", conclusion
        run.completed_at = completed or call.hub.clock.now()
    elif status is not None and status != "completed":
        run.status, run.conclusion, run.completed_at = status, None, None
    if output is not None:
        held = {key: output.get(key) for key in ("title", "summary", "text")}
        run.output = {**run.output, **{key: text for key, text in held.items() if text}}
        run.annotations += annotations


def _check_output(output: dict[str, Any]) -> list[dict[str, Any]]:
    for name in ("title", "summary", "text"):
        text = output.get(name)
        if text is None:
            continue
        if not isinstance(text, str):
            raise invalid_request(f"For 'properties/output/{name}', {text!r} is not a string.")
        if name != "title" and len(text) > LONGEST:
            raise invalid_request(
                f"For 'properties/{name}', only {LONGEST} characters are allowed; "
                f"{len(text)} were supplied."
            )
    if "summary" not in output:
        raise invalid_request('"summary" wasn\'t supplied.')
    annotations = output.get("annotations") or []
    if not isinstance(annotations, list) or len(annotations) > MOST_ANNOTATIONS:
        raise invalid_request(
            f"For 'properties/annotations', no more than {MOST_ANNOTATIONS} items are allowed."
        )
    return annotations


def _tell_completed(call: Call, run: CheckRun, *, was_completed: bool) -> None:
    hub, repository, sender = call.hub, call.repository, call.caller.login
    suite = repository.check_suites[run.suite_id]
    suite.updated_at = hub.clock.now()
    if run.status != "completed" or was_completed:
        return
    events.check_run_event(hub, "completed", repository, run, sender)
    if suite_state(repository, suite)[0] == "completed":
        events.check_suite_event(hub, "completed", repository, suite, sender)


def _time(call: Call, name: str) -> int | None:
    text = call.given(name, str)
    if text is None:
        return None
    try:
        return read(text)
    except ValueError as error:
        raise invalid_request(f"For 'properties/{name}', {text} is not a date-time.") from error


def _run(call: Call) -> CheckRun:
    run = call.repository.check_runs.get(call.number("check_run_id"))
    if run is None:
        raise not_found()
    return run


def _branch_of(call: Call, sha: str) -> str:
    prefix = "refs/heads/"
    for ref, held in sorted(call.repository.refs.items()):
        if held == sha and ref.startswith(prefix):
            return ref.removeprefix(prefix)
    return ""


_AT = "/repos/{owner}/{repo}"
_WRITE = ("checks:write",)
ROUTES = (
    Route("POST", f"{_AT}/check-runs", create_run, _WRITE, by=("installation",), content=True),
    Route("GET", f"{_AT}/check-runs/{{check_run_id}}", get_run, ("checks:read",)),
    Route("PATCH", f"{_AT}/check-runs/{{check_run_id}}", change_run, _WRITE, by=("installation",)),
    Route("GET", f"{_AT}/commits/{{ref:.+}}/check-runs", list_runs, ("checks:read",)),
)
