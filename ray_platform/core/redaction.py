"""Masking of secrets in nested JSON and in text, in one place for logs, comments and stored plans.

Three reasons to mask a value, each enough by itself: Terraform marks it sensitive; its key sounds
like a secret and it is a text; it looks like a known kind of credential. Other long random texts
are masked only when they hold letters of both cases and digits and are no digest, ARN, id, path
or certificate, since infrastructure is full of those and a report without them says nothing.

Every function is idempotent: masking a masked value changes nothing.
"""

import itertools
import math
import re
from collections import Counter
from collections.abc import Callable, Mapping
from typing import Any

MASK = "(sensitive)"

#: Whole words of a key, in any of the spellings snake_case, kebab-case, camelCase.
_SECRET_WORDS = frozenset(
    {"password", "passwd", "passphrase", "secret", "token", "apikey", "credential", "credentials"}
)
_SECRET_PAIRS = (
    ("private", "key"),
    ("api", "key"),
    ("access", "key"),
    ("auth", "key"),
    ("user", "data"),
    ("client", "secret"),
)
#: Keys that hold such a word and name a thing instead of being it.
_NAMING_WORDS = frozenset(
    {"arn", "id", "ids", "name", "names", "type", "enabled", "path", "mode", "ttl", "hops"}
    | {"tokens", "version", "count", "endpoint", "url", "uri", "required", "policy", "status"}
    | {"digest", "rotation", "period", "days", "validation", "check"}
)

_KNOWN_KINDS = re.compile(
    r"""
    -----BEGIN\ [A-Z0-9 ]*PRIVATE\ KEY-----.*?(?:-----END\ [A-Z0-9 ]*PRIVATE\ KEY-----|\Z)
    | \b(?:AKIA|ASIA)[A-Z0-9]{16}\b
    | \bgh[pousr]_[A-Za-z0-9]{20,}
    | \bgithub_pat_[A-Za-z0-9_]{20,}
    | \bxox[abprs]-[A-Za-z0-9-]{10,}
    | \beyJ[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]*
    """,
    re.VERBOSE | re.DOTALL,
)
#: ``https://user:password@host``: the password alone goes.
_URL_PASSWORD = re.compile(r"(?<=://)([^\s/:@]*):([^\s/@]+)@")
#: ``password=...``, ``"token": "..."``, ``Authorization: Bearer ...`` in text.
_ASSIGNED = re.compile(
    r"""(?ix)
    ( (?<![A-Za-z]) [A-Za-z0-9_-]* (?:password|passwd|passphrase|secret_access_key|private_key
      |client_secret|api_?key|auth_?token|session_?token|access_?token) ["']? \s* [=:] \s* ["']? )
    ( (?!\(sensitive\)) [^\s"',;)]{4,} )
    """
)
_BEARER = re.compile(r"(?i)(\b(?:bearer|token)\s+)([A-Za-z0-9._~+/-]{16,}=*)")
_WORD = re.compile(r"[A-Za-z0-9+/_=-]{32,}")

_ENTROPY_BITS = 4.2
#: ``-----BEGIN CERTIFICATE``, as EKS gives its certificate authority: public.
_BASE64_CERTIFICATE = "LS0tLS1CRUdJTiBDRVJU"


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


def redact(value: Any) -> Any:
    """Nested JSON with every text masked that is a secret by its key or by its look."""
    if isinstance(value, Mapping):
        return {
            key: _mask_all(item) if is_secret_key(str(key)) else redact(item)
            for key, item in value.items()
        }
    if isinstance(value, list | tuple):
        return [redact(item) for item in value]
    return redact_text(value) if isinstance(value, str) else value


def redact_text(text: str) -> str:
    """Text (a log line, an error, a comment) with every credential in it masked."""
    text = _KNOWN_KINDS.sub(MASK, text)
    text = _URL_PASSWORD.sub(rf"\1:{MASK}@", text)
    text = _BEARER.sub(rf"\1{MASK}", text)
    text = _ASSIGNED.sub(rf"\1{MASK}", text)
    return _WORD.sub(lambda match: MASK if _looks_random(match, text) else match[0], text)


def redact_plan_json(data: Mapping[str, Any]) -> dict[str, Any]:
    """The JSON of ``terraform show -json`` without secrets, in the same shape.

    Sensitive marks are honoured in resource changes, drift, outputs, and the values of state and
    plan; variables and configuration are masked by key and by look (Terraform marks none there).
    """
    return {key: _redact_part(key, item) for key, item in data.items()}


def _redact_part(key: str, item: Any) -> Any:
    if key in ("resource_changes", "resource_drift") and isinstance(item, list):
        return [
            {**entry, "change": _redact_change(entry.get("change") or {})}
            if isinstance(entry, Mapping)
            else redact(entry)
            for entry in item
        ]
    if key == "output_changes" and isinstance(item, Mapping):
        return {name: _redact_change(change) for name, change in item.items()}
    if key in ("planned_values", "prior_state"):
        return redact(_redact_values(item))
    if key == "variables" and isinstance(item, Mapping):
        return {
            name: _mask_all(entry) if is_secret_key(name) else redact(entry)
            for name, entry in item.items()
        }
    return redact(item)


def _redact_change(change: Mapping[str, Any]) -> dict[str, Any]:
    out = dict(change)
    for side in ("before", "after"):
        if side in out:
            out[side] = redact(redact_marked(out[side], out.get(f"{side}_sensitive")))
    return out


def _redact_values(node: Any) -> Any:
    """Values of a module tree: resources carry ``sensitive_values``, outputs ``sensitive``."""
    if isinstance(node, list):
        return [_redact_values(item) for item in node]
    if not isinstance(node, Mapping):
        return node
    out = {key: _redact_values(item) for key, item in node.items()}
    if "sensitive_values" in out and "values" in out:
        out["values"] = redact_marked(out["values"], out["sensitive_values"])
    if out.get("sensitive") is True and out.get("value") is not None:
        out["value"] = MASK
    return out


def is_secret_key(key: str) -> bool:
    """Whether a key sounds like the name of a secret (``db_password``) and not of its
    surroundings (``secret_arn``, ``http_tokens``)."""
    words = re.sub(r"([a-z0-9])([A-Z])", r"\1_\2", key).lower().replace("-", "_").split("_")
    words = [word for word in words if word]
    if not words or words[-1] in _NAMING_WORDS:
        return False
    pairs = list(itertools.pairwise(words))
    return bool(_SECRET_WORDS & set(words)) or any(pair in pairs for pair in _SECRET_PAIRS)


def _mask_all(value: Any) -> Any:
    """Every text below ``value`` masked; switches and absences stay, since they hide nothing."""
    if isinstance(value, Mapping):
        return {key: _mask_all(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_mask_all(item) for item in value]
    if value is None or isinstance(value, bool) or value == "":
        return value
    return MASK


def _looks_random(match: re.Match[str], text: str) -> bool:
    word = match[0]
    start, end = match.span()
    # A part of a path, an ARN, a URL, a digest with its algorithm, or a dotted name.
    if text[max(0, start - 1) : start] in (".", ":") or text[end : end + 1] in (".", ":"):
        return False
    if text[max(0, start - 7) : start].endswith(("sha256-", "sha512-")) or "://" in text[:start]:
        return False
    if re.fullmatch(r"[0-9a-f-]+|[0-9A-F-]+", word) or word.startswith(_BASE64_CERTIFICATE):
        return False
    in_words = sum(len(part) for part in re.findall(r"[A-Z]?[a-z]{3,}", word))
    if in_words > len(word) / 2:
        return False
    mixed = all(re.search(kind, word) for kind in ("[a-z]", "[A-Z]", "[0-9]"))
    return mixed and _entropy(word) >= _ENTROPY_BITS


def _entropy(word: str) -> float:
    """Shannon entropy in bits a character, after C. E. Shannon (1948)."""
    counts = Counter(word).values()
    return -sum(n / len(word) * math.log2(n / len(word)) for n in counts)
