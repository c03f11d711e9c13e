"""Calls about deployments and their statuses."""

from ray_platform_sandbox.github.call import Answer, Call, Route
from ray_platform_sandbox.github.problems import Problem, invalid_request, not_found
from ray_platform_sandbox.github.rest.repositories import commit_of
from ray_platform_sandbox.github.shapes.checks import deployment, deployment_status
from ray_platform_sandbox.github.state import Deployment, DeploymentStatus

_READ, _WRITE = ("deployments:read",), ("deployments:write",)
_STATES = ("error", "failure", "inactive", "in_progress", "queued", "pending", "success")
_LONGEST = 140


def create_deployment(call: Call) -> Answer:
    hub, now = call.hub, call.hub.clock.now()
    ref = call.required("ref", str)
    try:
        sha = commit_of(call, ref)
    except Problem as error:
        raise Problem(422, f"No ref found for: {ref}") from error
    payload = call.body.get("payload")
    if payload is not None and not isinstance(payload, dict | str):
        raise invalid_request("For 'properties/payload', it is neither an object nor a string.")
    environment = call.given("environment", str) or "production"
    production = call.given("production_environment", bool)
    made = Deployment(
        id=hub.state.new_id(),
        sha=sha,
        ref=ref,
        task=call.given("task", str) or "deploy",
        payload=payload or {},
        environment=environment,
        description=_described(call),
        user=call.caller.login,
        created_at=now,
        updated_at=now,
        production=environment == "production" if production is None else production,
        transient=bool(call.given("transient_environment", bool)),
        app_id=call.caller.app_id,
    )
    call.repository.deployments[made.id] = made
    return Answer(deployment(hub, call.repository, made), 201)


def list_deployments(call: Call) -> Answer:
    """The newest first, filtered by sha, ref, task and environment."""
    found = sorted(call.repository.deployments.values(), key=lambda one: one.id, reverse=True)
    for name in ("sha", "ref", "task", "environment"):
        wanted = call.query.get(name)
        if wanted and wanted != "none":
            found = [one for one in found if getattr(one, name) == wanted]
    return call.page_of(found, lambda one: deployment(call.hub, call.repository, one))


def get_deployment(call: Call) -> Answer:
    return Answer(deployment(call.hub, call.repository, _deployment(call)))


def create_status(call: Call) -> Answer:
    hub, held = call.hub, _deployment(call)
    state = call.choice("state", _STATES)
    if state is None:
        raise invalid_request('"state" wasn\'t supplied.')
    now = hub.clock.now()
    made = DeploymentStatus(
        id=hub.state.new_id(),
        state=state,
        user=call.caller.login,
        description=_described(call),
        environment=call.given("environment", str) or held.environment,
        environment_url=call.given("environment_url", str) or "",
        log_url=call.given("log_url", str) or call.given("target_url", str) or "",
        created_at=now,
        app_id=call.caller.app_id,
    )
    if state == "success" and call.body.get("auto_inactive") is not False:
        _retire(call, held, made)
    held.statuses.append(made)
    held.updated_at = now
    return Answer(deployment_status(hub, call.repository, held, made), 201)


def list_statuses(call: Call) -> Answer:
    """The newest first."""
    held = _deployment(call)
    return call.page_of(
        list(reversed(held.statuses)),
        lambda one: deployment_status(call.hub, call.repository, held, one),
    )


def _retire(call: Call, held: Deployment, made: DeploymentStatus) -> None:
    """A success makes the environment's earlier, lasting deployments inactive."""
    for other in call.repository.deployments.values():
        if other is held or other.environment != held.environment or not other.statuses:
            continue
        if other.transient or other.production or other.statuses[-1].state != "success":
            continue
        values = {**vars(made), "id": call.hub.state.new_id(), "state": "inactive"}
        other.statuses.append(DeploymentStatus(**{**values, "description": ""}))


def _described(call: Call) -> str:
    text = call.given("description", str) or ""
    if len(text) > _LONGEST:
        raise invalid_request(
            f"For 'properties/description', only {_LONGEST} characters are allowed."
        )
    return text


def _deployment(call: Call) -> Deployment:
    held = call.repository.deployments.get(call.number("deployment_id"))
    if held is None:
        raise not_found()
    return held


_AT = "/repos/{owner}/{repo}/deployments"
ROUTES = (
    Route("POST", _AT, create_deployment, _WRITE, "write", content=True),
    Route("GET", _AT, list_deployments, _READ),
    Route("GET", f"{_AT}/{{deployment_id}}", get_deployment, _READ),
    Route("POST", f"{_AT}/{{deployment_id}}/statuses", create_status, _WRITE, "write"),
    Route("GET", f"{_AT}/{{deployment_id}}/statuses", list_statuses, _READ),
)
