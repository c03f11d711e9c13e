"""Label and field selectors, as clients spell them in a query."""

import re
from collections.abc import Mapping
from typing import Any

from ray_platform_sandbox.kubernetes.failures import bad_request

_TERMS = re.compile(r"(?:[^,(]|\([^)]*\))+")
_SET = re.compile(r"^(\S+)\s+(in|notin)\s+\(([^)]*)\)$")
_EQUAL = re.compile(r"^([^!=\s]+)\s*(==|!=|=)\s*([^!=\s]*)$")
_EXISTS = re.compile(r"^(!?)\s*([^\s!=(),]+)$")


def labels_match(selector: str, labels: Mapping[str, str]) -> bool:
    """Whether labels are selected by ``a=b,c!=d,e in (f,g),h,!i``; an empty selector selects all.

    Raises:
        ApiFailure: the selector is malformed.
    """
    return all(_term_matches(term.strip(), labels) for term in _TERMS.findall(selector))


def _term_matches(term: str, labels: Mapping[str, str]) -> bool:
    if found := _SET.match(term):
        key, how, listed = found.groups()
        return (labels.get(key) in [v.strip() for v in listed.split(",")]) == (how == "in")
    if found := _EQUAL.match(term):
        key, how, value = found.groups()
        return (labels.get(key) == value) != (how == "!=")
    if found := _EXISTS.match(term):
        return (found[2] in labels) != bool(found[1])
    raise bad_request(f"unable to parse requirement: {term!r}")


def fields_match(selector: str, content: Mapping[str, Any]) -> bool:
    """Whether an object's fields are selected by ``metadata.name=x,status.phase!=Running``.

    Raises:
        ApiFailure: the selector is malformed.
    """
    for term in filter(None, selector.split(",")):
        found = _EQUAL.match(term.strip())
        if not found:
            raise bad_request(f"invalid field selector: {term!r}")
        path, how, value = found.groups()
        if (_field(content, path) == value) == (how == "!="):
            return False
    return True


def _field(content: Mapping[str, Any], path: str) -> str:
    value: Any = content
    for part in path.split("."):
        value = value.get(part) if isinstance(value, Mapping) else None
    return "" if value is None else str(value)
