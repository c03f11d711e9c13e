"""What a CRD's schema does to an object: defaults, unknown fields, validation."""

import copy
import functools
import json
from collections.abc import Mapping
from typing import Any

#: Keywords of a structural schema that JSON schema does not know, or knows otherwise.
_DROPPED = ("format", "nullable", "default")
_MESSAGE_LENGTH = 200


def complete(
    content: dict[str, Any], schema: Mapping[str, Any]
) -> tuple[dict[str, Any], list[str]]:
    """An object with the schema's defaults and without what the schema does not declare.

    Returns:
        The completed copy, and the dotted paths of the fields that were taken out.
    """
    unknown: list[str] = []
    completed: dict[str, Any] = _complete(copy.deepcopy(content), schema, "", unknown)
    return completed, unknown


def _complete(value: Any, schema: Mapping[str, Any], path: str, unknown: list[str]) -> Any:
    if schema.get("x-kubernetes-preserve-unknown-fields") or schema.get(
        "x-kubernetes-embedded-resource"
    ):
        return value
    if isinstance(value, list):
        items = schema.get("items") or {}
        return [_complete(v, items, f"{path}[{i}]", unknown) for i, v in enumerate(value)]
    if not isinstance(value, dict):
        return value
    if properties := schema.get("properties"):
        for key, below in properties.items():
            if key not in value and "default" in below:
                value[key] = copy.deepcopy(below["default"])
        # The metadata of the object itself is checked by no CRD.
        always = {"apiVersion", "kind", "metadata"} if not path else set()
        for key in list(value):
            if key in always:
                continue
            if key in properties:
                value[key] = _complete(value[key], properties[key], f"{path}.{key}", unknown)
            else:
                unknown.append(f"{path}.{key}")
                del value[key]
    elif isinstance(rest := schema.get("additionalProperties"), Mapping):
        for key in value:
            value[key] = _complete(value[key], rest, f"{path}.{key}", unknown)
    return value


def problems(content: Mapping[str, Any], schema: Mapping[str, Any]) -> list[str]:
    """What a schema finds wrong with a completed object, each with its field. CEL rules are not run."""
    errors = sorted(_validator(_Hashed(schema)).iter_errors(content), key=lambda e: list(e.path))
    return [
        f"{'.'.join(map(str, error.path)) or '<object>'}: {error.message[:_MESSAGE_LENGTH]}"
        for error in errors
    ]


class _Hashed:
    """A schema as a key of a cache: a CRD's schema is replaced, never changed."""

    def __init__(self, schema: Mapping[str, Any]) -> None:
        self.schema = schema

    @functools.cached_property
    def text(self) -> str:
        return json.dumps(self.schema, sort_keys=True)

    def __hash__(self) -> int:
        return id(self.schema)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Hashed) and (
            self.schema is other.schema or self.text == other.text
        )


@functools.lru_cache(maxsize=64)
def _validator(key: _Hashed) -> Any:
    import jsonschema  # type: ignore[import-untyped]

    return jsonschema.Draft202012Validator(_json_schema(key.schema))


def _json_schema(schema: Any) -> Any:
    if isinstance(schema, list):
        return [_json_schema(item) for item in schema]
    if not isinstance(schema, Mapping):
        return schema
    translated = {
        key: _json_schema(value)
        for key, value in schema.items()
        if not key.startswith("x-kubernetes") and not (key in _DROPPED and not _is_field(value))
    }
    if schema.get("x-kubernetes-int-or-string"):
        translated.pop("type", None)
        translated["anyOf"] = [{"type": "integer"}, {"type": "string"}]
    if schema.get("nullable") is True and "type" in translated:
        translated["type"] = [translated["type"], "null"]
    return translated


def _is_field(value: Any) -> bool:
    # Under `properties` a field may itself be named `format` or `default`: there it has a schema.
    return isinstance(value, Mapping) and ("type" in value or "properties" in value)
