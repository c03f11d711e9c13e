"""How severe a drift is: rules that are data (``policies/drift.toml``), read from the top.

The severities: ``major`` opens something up, loses something or weakens a protection; ``none`` is
expected or means nothing; what no rule matches is ``minor``.
"""

import tomllib
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Any, Literal, get_args

from ray_platform.drift.conditions import CONDITIONS, Fact
from ray_platform.text.errors import SettingsError

Severity = Literal["none", "minor", "major"]

_FIX = "fix the entry; docs/reference/drift.md lists its keys"
_NOT_MATCHED = "an attribute differs; the next apply sets it back"


@dataclass(frozen=True)
class Rule:
    """Matches by resource type and dotted attribute (shell patterns), then by its condition."""

    name: str
    level: Severity
    types: tuple[str, ...]
    attributes: tuple[str, ...]
    reason: str
    when: str = ""
    values: tuple[str, ...] = ()

    def matches(self, fact: Fact) -> bool:
        return (
            _any(self.types, fact.type)
            and _any(self.attributes, fact.attribute if not fact.keys else fact.dotted)
            and (not self.when or CONDITIONS[self.when](fact, self.values))
        )


@dataclass(frozen=True)
class Attributes:
    """Attributes of resource types, both as shell patterns."""

    types: tuple[str, ...]
    attributes: tuple[str, ...]


@dataclass(frozen=True)
class FilledIn:
    """``attribute`` of ``type`` shows what a resource of type ``by`` sets.

    That one's ``key`` is this one's id or name; with ``element``, it holds the list element's value
    or name.
    """

    type: str
    attribute: str
    by: str
    key: str
    element: str = ""


@dataclass(frozen=True)
class RuleBook:
    """The rules of one file.

    ``computed``: AWS computes these, they repeat or follow others. ``set_by_people``: AWS never fills
    these in by itself, so that one which the configuration does not name was set by somebody.
    """

    rules: tuple[Rule, ...]
    computed: tuple[Attributes, ...] = ()
    set_by_people: tuple[Attributes, ...] = ()
    filled_in: tuple[FilledIn, ...] = ()

    def judge(self, fact: Fact) -> tuple[Severity, str]:
        """(severity, reason) by the first rule that matches; minor when none does."""
        for rule in self.rules:
            if rule.matches(fact):
                return rule.level, rule.reason
        return "minor", _NOT_MATCHED

    def is_computed(self, fact: Fact) -> bool:
        return _listed(self.computed, fact)

    def is_set_by_people(self, fact: Fact) -> bool:
        return _listed(self.set_by_people, fact)

    def filled_in_by(self, fact: Fact) -> FilledIn | None:
        """What may have set this attribute in its place."""
        head = fact.keys[0] if fact.keys else ""
        return next((e for e in self.filled_in if (e.type, e.attribute) == (fact.type, head)), None)


def read_rules(text: str, *, where: str) -> RuleBook:
    """The rules out of a TOML text.

    Args:
        text: The content of ``policies/drift.toml``.
        where: Names the file in error messages.

    Raises:
        SettingsError: malformed, no rules, an unknown key, severity or condition, or a name used twice.
    """
    try:
        data = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise SettingsError(
            f"the drift rules are malformed: {error}", where=where, fix=_FIX
        ) from error
    if unknown := sorted(set(data) - {"severity", "computed", "set_by_people", "filled_in"}):
        raise SettingsError(f"unknown entries: {', '.join(unknown)}", where=where, fix=_FIX)
    rules = tuple(_rule(item, where) for item in data.get("severity", []))
    if not rules:
        raise SettingsError("there are no [[severity]] rules", where=where, fix=_FIX)
    names = [rule.name for rule in rules]
    if double := sorted({name for name in names if names.count(name) > 1}):
        raise SettingsError(f"rules named twice: {', '.join(double)}", where=where, fix=_FIX)
    return RuleBook(
        rules,
        tuple(_attributes(item, where) for item in data.get("computed", [])),
        tuple(_attributes(item, where) for item in data.get("set_by_people", [])),
        tuple(_filled_in(item, where) for item in data.get("filled_in", [])),
    )


def _rule(item: Any, where: str) -> Rule:
    name = str(item.get("name", "without a name")) if isinstance(item, dict) else "without a name"
    place = f"{where}, rule {name}"
    texts = _fields(item, place, {"name", "level", "reason"}, {"when"}, {"types", "attributes"})
    if item["level"] not in get_args(Severity):
        raise SettingsError(
            f"level is {item['level']!r}",
            where=place,
            fix=f"use one of: {', '.join(get_args(Severity))}",
        )
    when = texts.get("when", "")
    if when and when not in CONDITIONS:
        raise SettingsError(
            f"there is no condition {when!r}",
            where=place,
            fix=f"use one of: {', '.join(sorted(CONDITIONS))}",
        )
    values = tuple(item.get("values", ()))
    if (when == "becomes") != bool(values) or not all(isinstance(v, str) for v in values):
        raise SettingsError(
            "values, a list of texts, belong to the condition becomes, and it needs them",
            where=place,
            fix=_FIX,
        )
    return Rule(
        name=name,
        level=item["level"],
        types=tuple(item["types"]),
        attributes=tuple(item["attributes"]),
        reason=item["reason"],
        when=when,
        values=values,
    )


def _attributes(item: Any, where: str) -> Attributes:
    _fields(item, f"{where}, a list of attributes", set(), set(), {"types", "attributes"})
    return Attributes(tuple(item["types"]), tuple(item["attributes"]))


def _filled_in(item: Any, where: str) -> FilledIn:
    place = f"{where}, [[filled_in]]"
    return FilledIn(**_fields(item, place, {"type", "attribute", "by", "key"}, {"element"}, set()))


def _fields(
    item: Any, where: str, needed: set[str], optional: set[str], lists: set[str]
) -> dict[str, str]:
    """The texts of an entry, once its keys and their types are right."""
    if not isinstance(item, dict):
        raise SettingsError("an entry is no table", where=where, fix=_FIX)
    if missing := sorted((needed | lists) - set(item)):
        raise SettingsError(f"it lacks {', '.join(missing)}", where=where, fix=_FIX)
    if unknown := sorted(set(item) - needed - optional - lists - {"values"}):
        raise SettingsError(f"unknown keys: {', '.join(unknown)}", where=where, fix=_FIX)
    for key in lists:
        value = item[key]
        if not isinstance(value, list) or not value or not all(isinstance(v, str) for v in value):
            raise SettingsError(f"{key} is no list of texts", where=where, fix=_FIX)
    texts = {key: item[key] for key in (needed | optional) & set(item)}
    for key, text in texts.items():
        if not isinstance(text, str) or not text:
            raise SettingsError(f"{key} is no text", where=where, fix=_FIX)
    return texts


def _listed(entries: tuple[Attributes, ...], fact: Fact) -> bool:
    return any(_any(e.types, fact.type) and _any(e.attributes, fact.dotted) for e in entries)


def _any(patterns: tuple[str, ...], text: str) -> bool:
    return any(fnmatchcase(text, pattern) for pattern in patterns)
