"""Masking of secrets in nested JSON and in text, in one place for logs, comments and stored plans.

Four reasons to mask a value, each enough by itself: Terraform marks it sensitive; its key sounds like a
secret; it looks like one (`secret_looks`); it is, or holds, a value that one of the first two masked
elsewhere in the same plan or state (`known`), as it is or encoded (`secret_copies`).

What a plan is made of (types, actions, names of the configuration) is not masked: a value marked sensitive
that happens to be called ``delete`` must hide no deletion.

Every function is idempotent: masking a masked value changes nothing.
"""

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

from ray_platform.text.secret_copies import KNOWN_CHARS, SecretCopies, copies_of
from ray_platform.text.secret_patterns import (
    MASK,
    is_secret_key,
    mask_looks,
)
from ray_platform.text.secret_places import (
    declared,
    every_text,
    is_long_number,
    is_made_up,
    is_secret_place,
    json_texts,
    marks_anything,
    texts,
    under_secret_keys,
)

__all__ = ["MASK", "NOTHING", "is_secret_key", "marked_texts", "plan_secrets", "quoted_secrets"]
__all__ += ["redact", "redact_address", "redact_marked", "redact_plan_json", "redact_text"]
__all__ += ["secret_values"]

#: No value is known to be a secret.
NOTHING: frozenset[str] = frozenset()
#: Values by their key alone, and parts of marked values, are looked for from this length on.
_PART_CHARS = 8
#: Such values that stand everywhere for other reasons: hiding them would blind policies and people.
_ORDINARY = re.compile(
    r"""
    arn:aws[^\s]* | [a-z]{2}(?:-[a-z]+)+-\d[a-z]? | [a-z]+-(?:[0-9a-f]{8}|[0-9a-f]{17})
    | [a-z]\d[a-z0-9-]*\.[a-z0-9-]+ | [0-9a-f:.]+(?:/\d+)? | \d{4}-\d\d-\d\d[T0-9:.Z+-]*
    | [a-z]+(?:[-_.][a-z]+)? | true | false
    """,
    re.VERBOSE,
)
#: Where a plan's JSON holds values, whatever their keys are; all else is its own structure.
_VALUES = frozenset(
    {"values", "before", "after", "value", "default", "constant_value", "message", "problems"}
    | {"index", "index_key", "description", "importing", "generated_config", "deposed_values"}
)
_ADDRESSES = frozenset(
    {"address", "module_address", "previous_address", "resource", "to_display", "references"}
)
_MARKS = ("before_sensitive", "after_sensitive", "sensitive_values")
#: In these places a value with a default and an expression is described, not set.
_DESCRIBED = ("value", "default", "expression")
_INDEX = re.compile(r'\["(?:[^"\\]|\\.)*"\]')


def redact_text(text: str, known: frozenset[str] = NOTHING) -> str:
    """Text (a log line, an error, a comment) with every secret in it masked.

    Args:
        text: The text.
        known: Values that are secret whatever they look like, from `plan_secrets` or a state.
    """
    return mask_looks(copies_of(known).mask(text) if known else text)


def redact_address(address: str, known: frozenset[str] = NOTHING) -> str:
    """A resource's address with secrets masked: known ones in its indexes alone, since the rest is named by
    the configuration."""
    return mask_looks(_clean_address(address, copies_of(known)))


def redact(value: Any, known: frozenset[str] = NOTHING) -> Any:
    """Nested JSON with every text masked that is a secret by its key, by its look, or because it is known.

    A pair as in ``{"name": "DB_PASSWORD", "value": "..."}`` counts as a key with its value.
    """
    return _redact(value, copies_of(known))


def _redact(value: Any, copies: SecretCopies) -> Any:
    if isinstance(value, Mapping):
        return {
            mask_looks(copies.mask(str(key))): _mask_all(item)
            if is_secret_place(value, key)
            else _redact(item, copies)
            for key, item in value.items()
        }
    if isinstance(value, list | tuple):
        return [_redact(item, copies) for item in value]
    if isinstance(value, str):
        return mask_looks(copies.mask(value))
    if is_long_number(value):
        return value if copies.mask(str(value)) == str(value) else MASK
    return value


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
    known = known | plan_secrets(data)
    copies = copies_of(known).narrowed_to(every_text(data))
    marked, declared = _marked_attributes(data), _sensitive_variables(data)
    clean: dict[str, Any] = {}
    for key, item in data.items():
        if key in ("resource_changes", "resource_drift") and isinstance(item, list):
            clean[key] = [_redact_resource(entry, copies) for entry in item]
        elif key == "output_changes" and isinstance(item, Mapping):
            clean[key] = {name: _redact_change(change, copies) for name, change in item.items()}
        elif key == "variables" and isinstance(item, Mapping):
            clean[key] = {
                name: _mask_all(entry)
                if name in declared or is_secret_key(name)
                else _redact(entry, copies)
                for name, entry in item.items()
            }
        else:
            clean[key] = _structure(_redact_described(item, marked), copies)
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
        found |= set(texts(entry.get("value")))
    found |= {text for part in ("planned_values", "prior_state") for text in marked(data.get(part))}
    root = (data.get("configuration") or {}).get("root_module")
    return secret_values(found | set(declared(root)))


def marked_texts(value: Any, marks: Any) -> set[str]:
    """The texts at the places of ``value`` that Terraform marks sensitive."""
    hidden: set[str] = set()

    def note(item: Any) -> str:
        hidden.update(texts(item))
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
            found |= {
                text
                for text in under_secret_keys((entry.get("change") or {}).get(side))
                if len(text) >= _PART_CHARS and not _ORDINARY.fullmatch(text)
            }
    return frozenset(f'"{text}"' for text in secret_values(found))


def secret_values(texts: Iterable[str]) -> frozenset[str]:
    """Of marked texts those that are looked for everywhere, whatever they are made of.

    Not shorter ones than `KNOWN_CHARS`, as ``true`` or a port. Of a text of several lines, or of JSON, also
    the parts, unless they are ordinary by themselves, as a region.
    """
    found: set[str] = set()
    for text in texts:
        whole = text.strip()
        if len(whole) >= KNOWN_CHARS:
            found.add(whole)
        parts = {line.strip() for line in text.splitlines()} | set(json_texts(whole))
        found |= {
            part
            for part in parts
            if part != whole and len(part) >= _PART_CHARS and not _ORDINARY.fullmatch(part)
        }
    return frozenset(text for text in found if MASK not in text and text.lower() not in MASK)


def _clean_address(address: str, copies: SecretCopies) -> str:
    return _INDEX.sub(lambda found: f'["{copies.mask(found[0][2:-2])}"]', address)


def _structure(node: Any, copies: SecretCopies) -> Any:
    """A part of a plan whose keys are the plan's own; what it holds of values is masked."""
    if isinstance(node, list):
        return [_structure(item, copies) for item in node]
    if not isinstance(node, Mapping):
        return mask_looks(node) if isinstance(node, str) else node
    clean: dict[str, Any] = {}
    for key, item in node.items():
        if key in _MARKS:
            clean[key] = item
        elif key in _ADDRESSES and isinstance(item, str | list):
            clean[key] = _clean_addresses(item, copies)
        elif key in _VALUES and not _is_module_tree(item):
            clean[key] = _redact(item, copies)
        elif is_secret_key(key) and not isinstance(item, str):
            clean[key] = _without_constants(item, copies)
        else:
            clean[key] = _structure(item, copies)
    return clean


def _is_module_tree(item: Any) -> bool:
    """Whether it is the ``values`` of a whole state, which is made of modules and resources."""
    return isinstance(item, Mapping) and ("root_module" in item or "outputs" in item)


def _clean_addresses(item: Any, copies: SecretCopies) -> Any:
    if isinstance(item, list):
        return [_clean_addresses(one, copies) for one in item]
    return mask_looks(_clean_address(item, copies)) if isinstance(item, str) else item


def _without_constants(node: Any, copies: SecretCopies) -> Any:
    """An argument that sounds like a secret, as configured: what it refers to stays, what it is goes."""
    if isinstance(node, list):
        return [_without_constants(item, copies) for item in node]
    if isinstance(node, Mapping):
        return {
            key: _mask_all(item)
            if key in _VALUES
            else _without_constants(item, copies)
            if key not in _ADDRESSES
            else _clean_addresses(item, copies)
            for key, item in node.items()
        }
    return mask_looks(node) if isinstance(node, str) else node


def _redact_resource(entry: Any, copies: SecretCopies) -> Any:
    if not isinstance(entry, Mapping):
        return _redact(entry, copies)
    rest = _structure({key: item for key, item in entry.items() if key != "change"}, copies)
    return {**rest, "change": _redact_change(entry.get("change") or {}, copies)}


def _redact_change(change: Mapping[str, Any], copies: SecretCopies) -> dict[str, Any]:
    return {
        key: _redact(redact_marked(item, change.get(f"{key}_sensitive")), copies)
        if key in ("before", "after")
        else _structure(item, copies)
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
            key: _without_constants(item, copies_of(NOTHING))
            if (out["type"], out["name"], key) in marked
            else item
            for key, item in out["expressions"].items()
        }
    return out


def _marked_attributes(data: Mapping[str, Any]) -> frozenset[tuple[str, str, str]]:
    """(type, name, attribute) of each attribute in which any change marks something sensitive."""
    return frozenset(
        (str(entry.get("type")), str(entry.get("name")), key)
        for entry in data.get("resource_changes") or ()
        if isinstance(entry, Mapping)
        for side in ("before_sensitive", "after_sensitive")
        if isinstance(marks := (entry.get("change") or {}).get(side), Mapping)
        for key, mark in marks.items()
        if marks_anything(mark)
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
        found |= {
            text
            for text in under_secret_keys(change.get(side))
            if len(text) >= _PART_CHARS and is_made_up(text) and not _ORDINARY.fullmatch(text)
        }
    return found


def _mask_all(value: Any) -> Any:
    """Every text below ``value`` masked; switches and absences stay, since they hide nothing."""
    if isinstance(value, Mapping):
        return {key: _mask_all(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_mask_all(item) for item in value]
    if value is None or isinstance(value, bool) or value == "":
        return value
    return MASK


def marked(node: Any) -> Iterator[str]:
    if isinstance(node, list):
        for item in node:
            yield from marked(item)
    elif isinstance(node, Mapping):
        yield from marked_texts(node.get("values"), node.get("sensitive_values"))
        if node.get("sensitive") is True:
            yield from texts(node.get("value"))
        for item in node.values():
            yield from marked(item)
