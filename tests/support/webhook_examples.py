"""Whether a webhook payload has what GitHub's published examples of its event always have."""

import functools
from dataclasses import dataclass, field
from typing import Any

from tests.support import published

#: The keys here are the names of what one App was permitted.
_OF_THE_APP = "app.permissions"


@dataclass
class Form:
    """What values at one place have in common: their types, the keys of all objects, the items of lists."""

    types: set[str] = field(default_factory=set)
    keys: "dict[str, Form] | None" = None
    items: "Form | None" = None

    def add(self, value: Any) -> None:
        self.types.add(_type(value))
        if isinstance(value, dict):
            if self.keys is None:
                self.keys = {key: Form() for key in value}
            self.keys = {key: form for key, form in self.keys.items() if key in value}
            for key, form in self.keys.items():
                form.add(value[key])
        elif isinstance(value, list) and value:
            self.items = self.items or Form()
            for item in value:
                self.items.add(item)

    def misses(self, value: Any, at: str = "") -> list[str]:
        """What a value lacks, a line each."""
        kinds = self.types - {"null"}
        # A few examples cannot say what may be null: the description does (`openapi.check_webhook`).
        if value is None or not kinds:
            return []
        if _type(value) not in kinds:
            return [f"{at or '(payload)'} is {_type(value)}, in the examples {sorted(self.types)}"]
        found = []
        if isinstance(value, dict) and self.keys and not at.endswith(_OF_THE_APP):
            for key, form in self.keys.items():
                where = f"{at}.{key}".lstrip(".")
                found += form.misses(value[key], where) if key in value else [f"{where} is missing"]
        elif isinstance(value, list) and self.items:
            for item in value:
                found += self.items.misses(item, f"{at}[]")
        return found


def misses(event: str, action: str | None, payload: Any) -> list[str]:
    """What the payload lacks of the examples of its event and action.

    For an action that has no example, of those of all the event's actions.
    """
    of_event = _examples()[event]
    of_action = [one for one in of_event if one.get("action") == action]
    form = Form()
    for example in of_action or of_event:
        form.add(example)
    return form.misses(payload)


@functools.cache
def _examples() -> dict[str, list[Any]]:
    return {one["name"]: one["examples"] for one in published.read(published.WEBHOOKS)}


def _type(value: Any) -> str:
    if isinstance(value, bool):
        return "boolean"
    return {dict: "object", list: "array", str: "string", int: "number", float: "number"}.get(
        type(value), "null"
    )
