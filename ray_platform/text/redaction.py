"""Masking of secrets in nested JSON and in text, in one place for logs, comments and stored plans.

Four reasons to mask a value, each enough by itself: Terraform marks it sensitive; its key sounds like a
secret; it looks like one (`secret_looks`); it is, or holds, a value that one of the first two masked
elsewhere in the same plan or state (`known`), as when a password is put into a tag.

Every function is idempotent: masking a masked value changes nothing.
"""

import base64
import functools
import json
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

from ray_platform.text.secret_patterns import MASK, is_secret_key, mask_looks

__all__ = ["MASK", "NOTHING", "is_secret_key", "marked_texts", "plan_secrets", "quoted_secrets"]
__all__ += ["redact", "redact_marked", "redact_plan_json", "redact_text", "secret_values"]

#: No value is known to be a secret.
NOTHING: frozenset[str] = frozenset()
#: Shorter values are common words too often to be looked for in texts.
KNOWN_CHARS = 8
#: Marked values that stand everywhere for other reasons: hiding them would blind policies and people.
_ORDINARY = re.compile(
    r"""
    arn:aws[^\s]* | [a-z]{2}(?:-[a-z]+)+-\d[a-z]? | [a-z]+-(?:[0-9a-f]{8}|[0-9a-f]{17})
    | [a-z]\d[a-z0-9-]*\.[a-z0-9-]+ | [0-9a-f:.]+(?:/\d+)? | \d{4}-\d\d-\d\d[T0-9:.Z+-]*
    | [a-z]+(?:[-_.][a-z]+)? | true | false
    """,
    re.VERBOSE,
)
#: In these places a value with a default and an expression is described, not set.
_DESCRIBED = ("value", "default", "expression")


def redact_text(text: str, known: frozenset[str] = NOTHING) -> str:
    """Text (a log line, an error, a comment) with every secret in it masked.

    Args:
        text: The text.
        known: Values that are secret whatever they look like, from `plan_secrets` or a state.
    """
    if known and (pattern := _pattern(known)):
        text = pattern.sub(lambda found: f'"{MASK}"' if found[0][0] == '"' else MASK, text)
    return mask_looks(text)


def redact(value: Any, known: frozenset[str] = NOTHING) -> Any:
    """Nested JSON with every text masked that is a secret by its key, by its look, or because it is known.

    A pair as in ``{"name": "DB_PASSWORD", "value": "..."}`` counts as a key with its value.
    """
    if isinstance(value, Mapping):
        return {
            redact_text(str(key), known): _mask_all(item)
            if _is_secret_place(value, key)
            else redact(item, known)
            for key, item in value.items()
        }
    if isinstance(value, list | tuple):
        return [redact(item, known) for item in value]
    return redact_text(value, known) if isinstance(value, str) else value


def redact_marked(value: Any, marks: Any, mask: Callable[[Any], Any] = lambda value: MASK) -> Any:
    """``value`` with every place masked that Terraform marks sensitive.

    Args:
        value: An attribute value of a plan or state.
        marks: ``before_sensitive`` or ``after_sensitive``: ``True`` for all of it, or the same
            nesting with ``True`` at the sensitive places.
        mask: What stands in for a sensitive value (never asked for None).
    """
    if marks is True:
        return value if value is None else mask(value)
    if isinstance(value, Mapping) and isinstance(marks, Mapping):
        return {key: redact_marked(item, marks.get(key), mask) for key, item in value.items()}
    if isinstance(value, list) and isinstance(marks, list):
        padded = [*marks, *[None] * (len(value) - len(marks))]
        return [redact_marked(item, mark, mask) for item, mark in zip(value, padded, strict=False)]
    return value


def redact_plan_json(data: Mapping[str, Any], known: frozenset[str] = NOTHING) -> dict[str, Any]:
    """The JSON of ``terraform show -json`` without secrets, in the same shape.

    Sensitive marks are honoured in resource changes, drift, outputs, variables, the values of state and
    plan, and in the configuration of what they mark; what they hide is masked everywhere else too.

    Args:
        data: The plan's JSON.
        known: What else is secret, as from the state that it was made from.
    """
    known, marked = known | plan_secrets(data), _marked_attributes(data)
    declared = _sensitive_variables(data)
    clean: dict[str, Any] = {}
    for key, item in data.items():
        if key in ("resource_changes", "resource_drift") and isinstance(item, list):
            clean[key] = [_redact_resource(entry, known) for entry in item]
        elif key == "output_changes" and isinstance(item, Mapping):
            clean[key] = {name: _redact_change(change, known) for name, change in item.items()}
        elif key == "variables" and isinstance(item, Mapping):
            clean[key] = {
                name: _mask_all(entry)
                if name in declared or is_secret_key(name)
                else redact(entry, known)
                for name, entry in item.items()
            }
        else:
            clean[key] = redact(_redact_described(item, marked), known)
    return clean


def plan_secrets(data: Mapping[str, Any]) -> frozenset[str]:
    """The values that a plan's JSON marks sensitive or keeps under a key that sounds like a secret."""
    found: set[str] = set()
    for entry in (*(data.get("resource_changes") or ()), *(data.get("resource_drift") or ())):
        if isinstance(entry, Mapping):
            found |= _change_secrets(entry.get("change") or {})
    for change in (data.get("output_changes") or {}).values():
        found |= _change_secrets(change)
    for name in _sensitive_variables(data):
        entry = (data.get("variables") or {}).get(name) or {}
        found |= set(_texts(entry.get("value")))
    found |= {
        text for part in ("planned_values", "prior_state") for text in _marked(data.get(part))
    }
    return secret_values(found)


def marked_texts(value: Any, marks: Any) -> set[str]:
    """The texts at the places of ``value`` that Terraform marks sensitive."""
    hidden: set[str] = set()

    def note(item: Any) -> str:
        hidden.update(_texts(item))
        return MASK

    redact_marked(value, marks, note)
    return hidden


def quoted_secrets(data: Mapping[str, Any]) -> frozenset[str]:
    """Values under keys that sound like a secret, in the quotes in which a plan's text shows them.

    Plain words among them are masked in that text alone: elsewhere they may be anything.
    """
    found: set[str] = set()
    for entry in data.get("resource_changes") or ():
        for side in ("before", "after"):
            found |= set(_under_secret_keys((entry.get("change") or {}).get(side)))
    return frozenset(f'"{text}"' for text in secret_values(found))


def secret_values(texts: Iterable[str]) -> frozenset[str]:
    """Of marked texts those that are looked for everywhere, also line by line.

    Not short ones, and not what stands everywhere for other reasons, as a region.
    """
    lines = {line.strip() for text in texts for line in (text, *text.splitlines())}
    return frozenset(
        line
        for line in lines
        if len(line) >= KNOWN_CHARS and MASK not in line and not _ORDINARY.fullmatch(line)
    )


@functools.lru_cache(maxsize=64)
def _pattern(known: frozenset[str]) -> "re.Pattern[str] | None":
    """Finds each value as it is, as JSON and HCL write it, and in base64."""
    forms = {
        form
        for text in known
        for form in (
            text,
            json.dumps(text)[1:-1],
            base64.b64encode(text.encode()).decode().rstrip("="),
        )
    }
    if not forms:
        return None
    longest_first = sorted(forms, key=lambda form: (-len(form), form))
    choices = "|".join(re.escape(form) for form in longest_first)
    return re.compile(rf"(?<![A-Za-z0-9])(?:{choices})(?![A-Za-z0-9])")


def _redact_resource(entry: Any, known: frozenset[str]) -> Any:
    if not isinstance(entry, Mapping):
        return redact(entry, known)
    rest = redact({key: item for key, item in entry.items() if key != "change"}, known)
    return {**rest, "change": _redact_change(entry.get("change") or {}, known)}


def _redact_change(change: Mapping[str, Any], known: frozenset[str]) -> dict[str, Any]:
    return {
        key: redact(redact_marked(item, change.get(f"{key}_sensitive")), known)
        for key, item in change.items()
    }


def _redact_described(node: Any, marked: frozenset[tuple[str, str, str]]) -> Any:
    """Values and configuration of a module tree, by the marks in it and by those of the changes."""
    if isinstance(node, list):
        return [_redact_described(item, marked) for item in node]
    if not isinstance(node, Mapping):
        return node
    out = {key: _redact_described(item, marked) for key, item in node.items()}
    if "sensitive_values" in out and "values" in out:
        out["values"] = redact_marked(out["values"], out["sensitive_values"])
    if out.get("sensitive") is True:
        out |= {key: _mask_all(out[key]) for key in _DESCRIBED if key in out}
    if isinstance(out.get("expressions"), Mapping) and "type" in out and "name" in out:
        out["expressions"] = {
            key: _mask_all(item) if (out["type"], out["name"], key) in marked else item
            for key, item in out["expressions"].items()
        }
    return out


def _marked_attributes(data: Mapping[str, Any]) -> frozenset[tuple[str, str, str]]:
    """(type, name, attribute) of each attribute that any change marks sensitive as a whole."""
    return frozenset(
        (str(entry.get("type")), str(entry.get("name")), key)
        for entry in data.get("resource_changes") or ()
        if isinstance(entry, Mapping)
        for side in ("before_sensitive", "after_sensitive")
        if isinstance(marks := (entry.get("change") or {}).get(side), Mapping)
        for key, mark in marks.items()
        if mark is True
    )


def _sensitive_variables(data: Mapping[str, Any]) -> frozenset[str]:
    root = (data.get("configuration") or {}).get("root_module") or {}
    declared = root.get("variables") or {}
    return frozenset(
        name
        for name, item in declared.items()
        if isinstance(item, Mapping) and item.get("sensitive") is True
    )


def _change_secrets(change: Mapping[str, Any]) -> set[str]:
    found: set[str] = set()
    for side in ("before", "after"):
        found |= marked_texts(change.get(side), change.get(f"{side}_sensitive"))
        # A password by its make-up, not a common word.
        found |= {text for text in _under_secret_keys(change.get(side)) if _is_made_up(text)}
    return found


def _marked(node: Any) -> Iterator[str]:
    if isinstance(node, list):
        for item in node:
            yield from _marked(item)
    elif isinstance(node, Mapping):
        yield from marked_texts(node.get("values"), node.get("sensitive_values"))
        if node.get("sensitive") is True:
            yield from _texts(node.get("value"))
        for item in node.values():
            yield from _marked(item)


def _under_secret_keys(value: Any) -> Iterator[str]:
    if isinstance(value, Mapping):
        for key, item in value.items():
            yield from _texts(item) if _is_secret_place(value, key) else _under_secret_keys(item)
    elif isinstance(value, list):
        for item in value:
            yield from _under_secret_keys(item)


def _is_secret_place(holder: Mapping[str, Any], key: str) -> bool:
    """Whether a key sounds like a secret, or is the value beside a name that does."""
    if key in ("value", "Value"):
        named = holder.get("name", holder.get("key", holder.get("Key")))
        return isinstance(named, str) and is_secret_key(named)
    return is_secret_key(str(key))


def _is_made_up(text: str) -> bool:
    kinds = ("[a-z]", "[A-Z]", "[0-9]", "[^A-Za-z0-9]")
    return " " not in text and sum(bool(re.search(kind, text)) for kind in kinds) >= 3


def _texts(value: Any) -> Iterator[str]:
    if isinstance(value, Mapping):
        for item in value.values():
            yield from _texts(item)
    elif isinstance(value, list | tuple):
        for item in value:
            yield from _texts(item)
    elif isinstance(value, str):
        yield value


def _mask_all(value: Any) -> Any:
    """Every text below ``value`` masked; switches and absences stay, since they hide nothing."""
    if isinstance(value, Mapping):
        return {key: _mask_all(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_mask_all(item) for item in value]
    if value is None or isinstance(value, bool) or value == "":
        return value
    return MASK
