"""Whether an answer is one that GitHub's OpenAPI description (3.0) allows for its path and status."""

import functools
import json
import re
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit

import jsonschema
import referencing
import referencing.jsonschema

from tests.support import published

#: GitHub documents these for every path ("Getting started with the REST API", "Troubleshooting the
#: REST API", "Rate limits for the REST API"), and its description repeats them for a few alone.
GENERAL_ERRORS = (400, 401, 403, 404, 422, 429)
#: Where the description contradicts itself: here an account would have to be a user and an enterprise at
#: once (`allOf`); for one installation alone it says `anyOf`.
_MENDED = {
    ("GET", "/app/installations", 200): {
        "type": "array",
        "items": {"$ref": "#/components/schemas/installation"},
    }
}
_TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?(Z|[+-]\d\d:\d\d)")
_ROOT, _MENDS = "openapi:///", "mended://"

_formats = jsonschema.FormatChecker(formats=())


@_formats.checks("date-time")
def _is_time(value: object) -> bool:
    return not isinstance(value, str) or bool(_TIME.fullmatch(value))


@_formats.checks("uri")
def _is_uri(value: object) -> bool:
    if not isinstance(value, str):
        return True
    parts = urlsplit(value)
    return bool(parts.scheme and parts.netloc) and not set(' <>"{}|\\^`') & set(value)


class Undescribed(AssertionError):
    """The description knows no such path, method or status."""


def check_answer(
    method: str, template: str, path: str, status: int, headers: Mapping[str, str], body: bytes
) -> None:
    """Raise AssertionError unless the description allows the answer.

    Args:
        template: The path as the description writes it; ``path`` must be one of its kind.
    """
    operation = _operations().get((method, template))
    if operation is None:
        raise Undescribed(f"{method} {template} is not in GitHub's description")
    pattern = re.sub(r"\\\{\w+\\\}", ".+", re.escape(template))
    assert re.fullmatch(pattern, path), f"{path} is none of {template}"
    name = f"{method} {path} answered {status}"
    response = operation["responses"].get(str(status))
    if status == 304 and method == "GET":
        assert not body, name
        assert headers.get("ETag") or headers.get("Last-Modified"), name
        return
    if response is None:
        if status not in GENERAL_ERRORS:
            raise Undescribed(f"{name}: {template} has only {sorted(operation['responses'])}")
        said = json.loads(body)
        assert said["message"], name
        assert said["documentation_url"].startswith("https://docs.github.com/"), name
        _check(f"{_ROOT}components/schemas/basic-error", said, name)
        return
    response = _resolved(response)
    content = response.get("content", {})
    if not content and status in GENERAL_ERRORS and body:
        _check(f"{_ROOT}components/schemas/basic-error", json.loads(body), name)
        return
    if not content:
        assert not body, f"{name} with a body, where none is described"
        return
    kind = headers["Content-Type"].split(";")[0]
    assert kind in content, f"{name} as {kind}; described: {sorted(content)}"
    if kind.endswith("json"):
        pointer = (
            f"{_MENDS}{template}"
            if (method, template, status) in _MENDED
            else _pointer(method, template, status, kind)
        )
        _check(pointer, json.loads(body), name)


def _check(pointer: str, value: Any, name: str) -> None:
    error = jsonschema.exceptions.best_match(_validator(pointer).iter_errors(value))
    assert error is None, f"{name}: {'/'.join(map(str, error.absolute_path))}: {error.message}"


def _pointer(method: str, template: str, status: int, kind: str) -> str:
    response = _operations()[(method, template)]["responses"][str(status)]
    if "$ref" in response:
        at = response["$ref"].removeprefix("#/")
    else:
        escaped = template.replace("~", "~0").replace("/", "~1")
        at = f"paths/{escaped}/{method.lower()}/responses/{status}"
    return f"{_ROOT}{at}/content/{kind.replace('/', '~1')}/schema"


@functools.cache
def _description() -> Any:
    return published.read(published.OPENAPI)


@functools.cache
def _operations() -> dict[tuple[str, str], Any]:
    return {
        (method.upper(), template): operation
        for template, operations in _description()["paths"].items()
        for method, operation in operations.items()
    }


@functools.cache
def _validator(pointer: str) -> Any:
    registry = referencing.Registry(retrieve=_retrieve)  # type: ignore[call-arg]
    return jsonschema.Draft202012Validator(
        {"$ref": pointer}, registry=registry, format_checker=_formats
    )


@functools.cache
def _retrieve(uri: str) -> "referencing.Resource[Any]":
    """One schema of the description, as the JSON Schema that it stands for."""
    found = (
        _MENDED[("GET", uri.removeprefix(_MENDS), 200)]
        if uri.startswith(_MENDS)
        else _at(uri.removeprefix(_ROOT))
    )
    return referencing.Resource(_translated(found), referencing.jsonschema.DRAFT202012)


def _at(pointer: str) -> Any:
    found = _description()
    for part in pointer.split("/"):
        found = found[part.replace("~1", "/").replace("~0", "~")]
    return found


def _resolved(node: Any) -> Any:
    return _at(node["$ref"].removeprefix("#/")) if "$ref" in node else node


def _translated(node: Any) -> Any:
    """OpenAPI 3.0's own words in JSON Schema's: ``nullable``, and references by address."""
    if isinstance(node, list):
        return [_translated(item) for item in node]
    if not isinstance(node, dict):
        return node
    if isinstance(node.get("$ref"), str):
        return {"$ref": _ROOT + node["$ref"].removeprefix("#/")}
    made = {
        key: _translated(value)
        for key, value in node.items()
        if key not in ("nullable", "example", "examples", "discriminator", "xml")
        or isinstance(value, dict)  # a property may have that name
    }
    if node.get("format") and node.get("default") == "":
        # An address that is not set is an empty text, as the default says.
        made = {"anyOf": [made, {"const": ""}]}
    if node.get("nullable") is True:
        return {"anyOf": [made, {"type": "null"}]}
    return made


def check_webhook(event: str, action: str | None, payload: Any) -> None:
    """Raise AssertionError unless the description allows the payload of an event."""
    name = "-".join([event.replace("_", "-"), *([action.replace("_", "-")] if action else [])])
    if name not in _description()["x-webhooks"]:
        raise Undescribed(f"the event {name} is not in GitHub's description")
    pointer = f"{_ROOT}x-webhooks/{name}/post/requestBody/content/application~1json/schema"
    _check(pointer, payload, name)
