"""Calls about an App's webhook: where it leads, what was delivered, and delivering again."""

from typing import Any

from ray_platform_sandbox.github.call import Answer, Call, Route
from ray_platform_sandbox.github.clock import spell
from ray_platform_sandbox.github.problems import Problem, not_found
from ray_platform_sandbox.github.rest.apps import calling_app
from ray_platform_sandbox.github.webhooks import Delivery


def get_config(call: Call) -> Answer:
    return Answer(_config(call))


def change_config(call: Call) -> Answer:
    hook = calling_app(call).webhook
    hook.url = call.given("url", str) or hook.url
    hook.secret = call.given("secret", str) or hook.secret
    return Answer(_config(call))


def list_deliveries(call: Call) -> Answer:
    """The newest first; ``cursor`` is the id of the first delivery of the page."""
    _, per_page = call.paging()
    cursor = call.query.get("cursor", "")
    if cursor and not cursor.isdigit():
        raise Problem(400, "Invalid cursor", with_status=False)
    log = [d for d in reversed(call.hub.webhooks.log) if d.app_id == call.caller.app_id]
    if call.query.get("status") in ("success", "failure"):
        wanted = call.query["status"] == "success"
        log = [d for d in log if (200 <= d.status_code < 400) == wanted]
    if cursor:
        log = [d for d in log if d.id <= int(cursor)]
    headers = {}
    if len(log) > per_page:
        at = call.hub.api(f"/app/hook/deliveries?per_page={per_page}&cursor={log[per_page].id}")
        headers["Link"] = f'<{at}>; rel="next"'
    return Answer([_item(d) for d in log[:per_page]], headers=headers)


def get_delivery(call: Call) -> Answer:
    held = _delivery(call)
    return Answer(
        {
            **_item(held),
            "url": held.url,
            "request": {"headers": held.request_headers, "payload": held.payload},
            "response": {"headers": held.response_headers, "payload": held.response_body},
        }
    )


def redeliver(call: Call) -> Answer:
    call.hub.webhooks.redeliver(_delivery(call), calling_app(call))
    return Answer({}, 202)


def _delivery(call: Call) -> Delivery:
    number = call.number("delivery_id")
    for held in call.hub.webhooks.log:
        if held.id == number and held.app_id == call.caller.app_id:
            return held
    raise not_found()


def _item(held: Delivery) -> dict[str, Any]:
    return {
        "id": held.id,
        "guid": held.guid,
        "delivered_at": spell(held.delivered_at),
        "redelivery": held.redelivery,
        "duration": held.duration,
        "status": held.status,
        "status_code": held.status_code,
        "event": held.event,
        "action": held.action,
        "installation_id": held.installation_id,
        "repository_id": held.repository_id,
        "throttled_at": None,
    }


def _config(call: Call) -> dict[str, Any]:
    hook = calling_app(call).webhook
    return {
        **({"url": hook.url} if hook.url else {}),
        "content_type": hook.content_type,
        "insecure_ssl": "0",
        **({"secret": "********"} if hook.secret else {}),
    }


ROUTES = (
    Route("GET", "/app/hook/config", get_config, by=("app",)),
    Route("PATCH", "/app/hook/config", change_config, by=("app",)),
    Route("GET", "/app/hook/deliveries", list_deliveries, by=("app",), steady=False),
    Route("GET", "/app/hook/deliveries/{delivery_id}", get_delivery, by=("app",), steady=False),
    Route("POST", "/app/hook/deliveries/{delivery_id}/attempts", redeliver, by=("app",)),
)
