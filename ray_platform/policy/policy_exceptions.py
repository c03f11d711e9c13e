"""Reviewed exceptions to the rules: who agreed to what, why, and until when.

``policies/exceptions.toml`` is read from the same commit as the rules. An entry names one rule and one
resource, never a pattern; it holds through its last day (UTC) and then expires by itself.
"""

import tomllib
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Any

from ray_platform.policy.verdict import Excepted, Verdict, Violation
from ray_platform.text.errors import SettingsError

FILE = "exceptions.toml"
#: What holds longer than a year is no exception: the rule is changed instead.
LONGEST = timedelta(days=366)
#: Of these no exception is made: without them a plan was not judged at all.
_NEVER = ("environment", "hidden-value", "plan-not-whole", "ray-environment", "kube-environment")
_KEYS = ("rule", "resource", "environment", "owner", "reason", "until")


@dataclass(frozen=True)
class PolicyException:
    """One entry: a rule and a resource in an environment, who answers for it, why, and its last day."""

    rule: str
    resource: str
    environment: str
    owner: str
    reason: str
    until: date

    def covers(self, violation: Violation, environment: str) -> bool:
        """Whether it is about a violation, expired or not."""
        return (self.rule, self.resource, self.environment) == (
            violation.id,
            violation.resource,
            environment,
        )


def read_exceptions(
    text: str, *, rules: Collection[str], where: str
) -> tuple[PolicyException, ...]:
    """The entries of ``policies/exceptions.toml``.

    Args:
        text: The file's text.
        rules: The ids of all rules.
        where: Names the file in error messages.

    Raises:
        SettingsError: an entry is not whole, or names a rule that there is none of.
    """
    try:
        content = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise SettingsError(
            f"the exceptions cannot be read: {error}", where=where, fix="fix the line"
        ) from error
    entries = content.get("exception", [])
    if set(content) - {"exception"} or not isinstance(entries, list):
        raise _wrong("the file has something else than [[exception]] entries", where)
    return tuple(
        _read_entry(entry, rules, f"{where}, entry {number}")
        for number, entry in enumerate(entries, start=1)
    )


def apply_exceptions(
    verdict: Verdict,
    exceptions: Sequence[PolicyException],
    *,
    environment: str,
    today: date,
) -> Verdict:
    """A verdict without the violations that an entry excepts, which it names instead.

    A violation whose entry has expired stays, and says so.

    Args:
        verdict: What the rules say.
        exceptions: The entries.
        environment: Where the plan belongs.
        today: The day in UTC.

    Raises:
        SettingsError: an entry ends later than `LONGEST` from today.
    """
    for entry in exceptions:
        if entry.until > today + LONGEST:
            raise SettingsError(
                f"the exception to {entry.rule} of {entry.resource} lasts until {entry.until}, "
                "which is more than a year",
                where=f"policies/{FILE}",
                fix="end it sooner, or change the rule",
            )
    denied: list[Violation] = []
    excepted: list[Excepted] = []
    for violation in verdict.violations:
        found = [entry for entry in exceptions if entry.covers(violation, environment)]
        valid = [entry for entry in found if entry.until >= today]
        if valid:
            last = max(valid, key=lambda entry: entry.until)
            excepted.append(Excepted(violation, last.owner, last.reason, last.until.isoformat()))
        elif found:
            denied.append(_expired(violation, max(found, key=lambda entry: entry.until)))
        else:
            denied.append(violation)
    return Verdict(
        violations=tuple(sorted(denied)),
        bundle_digest=verdict.bundle_digest,
        advice=verdict.advice,
        excepted=tuple(sorted(excepted)),
    )


def _expired(violation: Violation, entry: PolicyException) -> Violation:
    return Violation(
        id=violation.id,
        resource=violation.resource,
        message=f"{violation.message} (the exception of {entry.owner} ended on {entry.until})",
        fix=violation.fix,
        severity=violation.severity,
    )


def _read_entry(entry: Any, rules: Collection[str], where: str) -> PolicyException:
    if not isinstance(entry, Mapping):
        raise _wrong("it is no table", where)
    if missing := [key for key in _KEYS if key not in entry]:
        raise _wrong(f"it lacks {', '.join(missing)}", where)
    if unknown := sorted(set(entry) - set(_KEYS)):
        raise _wrong(f"nobody knows {', '.join(unknown)}", where)
    for key in _KEYS[:-1]:
        if not isinstance(entry[key], str) or not entry[key].strip():
            raise _wrong(f"{key} is {entry[key]!r}, not a text", where)
    # A TOML datetime is a date too in Python, and has an hour that nobody would read.
    if type(entry["until"]) is not date:
        raise _wrong("until is no TOML date such as 2026-12-31", where)
    if entry["rule"] not in rules or entry["rule"] in _NEVER:
        raise _wrong(f"no exception can be made to the rule {entry['rule']!r}", where)
    if set("*?") & set(entry["resource"]):
        raise _wrong("resource is a pattern; name one resource address", where)
    return PolicyException(**entry)


def _wrong(what: str, where: str) -> SettingsError:
    return SettingsError(
        f"an exception to the policies is wrong: {what}",
        where=where,
        fix=f"give each [[exception]] {', '.join(_KEYS)}; see docs/reference/policy-exceptions.md",
    )
