"""Where in nested values secrets are: below marks, below names, and in texts."""

import json
import re
from collections.abc import Iterator, Mapping
from typing import Any

from ray_platform.text.secret_patterns import (
    is_public_value,
    is_secret_key,
    is_secret_text_key,
)


def json_texts(text: str) -> Iterator[str]:
    if text[:1] in ("{", "["):
        try:
            yield from texts(json.loads(text))
        except ValueError:
            return


def is_long_number(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and abs(value) >= 10**5


def every_text(value: Any) -> Iterator[str]:
    if isinstance(value, Mapping):
        for key, item in value.items():
            yield str(key)
            yield from every_text(item)
    elif isinstance(value, list | tuple):
        for item in value:
            yield from every_text(item)
    elif isinstance(value, str):
        yield value
    elif is_long_number(value):
        yield str(value)


def marks_anything(mark: Any) -> bool:
    if isinstance(mark, Mapping):
        return any(marks_anything(item) for item in mark.values())
    return any(marks_anything(item) for item in mark) if isinstance(mark, list) else mark is True


def under_secret_keys(value: Any) -> Iterator[str]:
    if isinstance(value, Mapping):
        for key, item in value.items():
            yield from texts(item) if is_secret_place(value, key) else under_secret_keys(item)
    elif isinstance(value, list):
        for item in value:
            yield from under_secret_keys(item)


def is_secret_place(holder: Mapping[str, Any], key: str) -> bool:
    """Whether a key sounds like a secret, or is the value beside a name that does."""
    if key in ("value", "Value"):
        named = holder.get("name", holder.get("key", holder.get("Key")))
        return isinstance(named, str) and is_secret_key(named)
    if isinstance(item := holder[key], str) and is_public_value(item):
        return False
    return is_secret_key(str(key)) or (isinstance(item, str) and is_secret_text_key(str(key)))


def is_made_up(text: str) -> bool:
    kinds = ("[a-z]", "[A-Z]", "[0-9]", "[^A-Za-z0-9]")
    return " " not in text and sum(bool(re.search(kind, text)) for kind in kinds) >= 3


def texts(value: Any) -> Iterator[str]:
    if isinstance(value, Mapping):
        for item in value.values():
            yield from texts(item)
    elif isinstance(value, list | tuple):
        for item in value:
            yield from texts(item)
    elif isinstance(value, str):
        yield value
    elif is_long_number(value):
        yield str(value)


def declared(module: Any) -> Iterator[str]:
    """What a configuration gives to variables that are declared sensitive: defaults, arguments of modules."""
    if not isinstance(module, Mapping):
        return
    for variable in (module.get("variables") or {}).values():
        if isinstance(variable, Mapping) and variable.get("sensitive") is True:
            yield from texts(variable.get("default"))
    for call in (module.get("module_calls") or {}).values():
        inner = call.get("module") or {}
        variables = inner.get("variables") or {}
        for name, expression in (call.get("expressions") or {}).items():
            if (variables.get(name) or {}).get("sensitive") is True:
                yield from constants(expression)
        yield from declared(inner)


def constants(node: Any) -> Iterator[str]:
    if isinstance(node, list):
        for item in node:
            yield from constants(item)
    elif isinstance(node, Mapping):
        yield from texts(node.get("constant_value"))
        for key, item in node.items():
            if key not in ("constant_value", "references"):
                yield from constants(item)
