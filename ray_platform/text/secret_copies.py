"""Finds copies of values that are known to be secret: as they are, and as they are usually encoded.

A value is found as it is in any case of its letters, backwards, in JSON and HCL spelling, URL-encoded, and
in hexadecimal, base32 and base64, there also as a part of a longer encoded text: of the letters that encode
a value in the middle of another those are looked for that its neighbours do not change (RFC 4648).
"""

import base64
import functools
import json
import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from urllib.parse import quote, quote_plus

from ray_platform.text.secret_patterns import MASK

#: Shorter values stand everywhere for other reasons.
KNOWN_CHARS = 6
#: From here on a value is found within longer words too, whatever it is made of.
_LONG_CHARS = 12
_QUOTED = f'"{MASK}"'


@dataclass(frozen=True)
class _Form:
    """One spelling: ``needle`` is looked for first, in lower case unless ``exact``; it is cheap."""

    needle: str
    exact: bool
    pattern: "re.Pattern[str]"
    mask: str = MASK


class SecretCopies:
    """Masks the copies of some values in texts.

    Args:
        known: The values. One in double quotes is looked for in these quotes alone.
    """

    def __init__(self, known: Iterable[str]) -> None:
        longest_first = sorted(known, key=lambda value: (-len(value), value))
        self._forms = [form for value in longest_first for form in _forms(value)]
        self._mask = functools.lru_cache(maxsize=8192)(self._masked)

    def mask(self, text: str) -> str:
        """The text with `MASK` for each copy; masking twice is masking once."""
        return self._mask(text) if self._forms else text

    def narrowed_to(self, texts: Iterable[str]) -> "SecretCopies":
        """Only with what occurs in some of these texts, so that each is looked through quickly."""
        whole = "\n".join(texts)
        lower = whole.lower()
        narrow = SecretCopies(())
        narrow._forms = [
            form for form in self._forms if form.needle in (whole if form.exact else lower)
        ]
        return narrow

    def _masked(self, text: str) -> str:
        lower = text.lower()
        for form in self._forms:
            if form.needle in (text if form.exact else lower):
                text = form.pattern.sub(form.mask, text)
                lower = text.lower()
        return text


@functools.lru_cache(maxsize=64)
def copies_of(known: frozenset[str]) -> SecretCopies:
    """The finder for some values; the same one for the same values."""
    return SecretCopies(known)


def is_common(text: str) -> bool:
    """Whether a short value is one plain word or number, which is a part of many other words."""
    return (
        len(text) < _LONG_CHARS
        and re.fullmatch(r"[a-z]+|[A-Z]+|[A-Z][a-z]+|[0-9]+", text) is not None
    )


def _forms(value: str) -> Iterator[_Form]:
    if len(value) > 2 and value[0] == value[-1] == '"':
        yield _Form(value, True, re.compile(re.escape(value)), _QUOTED)
        return
    common = is_common(value)
    for needle in dict.fromkeys(_spellings(value)):
        yield _Form(needle.lower(), False, _as_text(needle, whole_words=common))
    data = value.encode(errors="surrogatepass")
    yield _run(data.hex(), r"[0-9A-Fa-f]", exact=False)
    for core in dict.fromkeys(_cores(data, group=5, encode=base64.b32encode, bits=5)):
        yield _run(core, r"[A-Za-z2-7]", exact=False, end="=*")
    for core in dict.fromkeys(_cores(data, group=3, encode=base64.b64encode, bits=6)):
        for spelling in dict.fromkeys((core, core.replace("+", "-").replace("/", "_"))):
            yield _run(spelling, r"[A-Za-z0-9+/_-]", exact=True, end="=*")


def _spellings(value: str) -> Iterator[str]:
    # Some letters have no single other case: these two spell what ignoring case does not find.
    for text in (value, value.upper(), value.lower(), value[::-1]):
        yield text
        for spelled in (json.dumps(text)[1:-1], json.dumps(text, ensure_ascii=False)[1:-1]):
            yield spelled
            yield _like_go(spelled)
            yield json.dumps(spelled, ensure_ascii=False)[1:-1]
            yield json.dumps(_like_go(spelled), ensure_ascii=False)[1:-1]
        yield text.replace("${", "$${").replace("%{", "%%{")
        yield quote(text, safe="")
        yield quote(text)
        yield quote_plus(text)


def _like_go(text: str) -> str:
    """As Go's JSON encoder, and so Terraform's ``jsonencode``, writes it."""
    return text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")


def _as_text(needle: str, *, whole_words: bool) -> "re.Pattern[str]":
    inner = re.escape(needle)
    if whole_words:
        inner = rf"(?<![A-Za-z0-9]){inner}(?![A-Za-z0-9])"
    return re.compile(inner, re.IGNORECASE)


def _run(core: str, letter: str, *, exact: bool, end: str = "") -> _Form:
    """The whole of an encoded text goes: what stands beside the letters that were found tells the rest."""
    around = rf"(?<!{letter}){letter}*?{re.escape(core)}{letter}*{end}"
    pattern = re.compile(around, 0 if exact else re.IGNORECASE)
    return _Form(core if exact else core.lower(), exact, pattern)


def _cores(
    data: bytes, *, group: int, encode: Callable[[bytes], bytes], bits: int
) -> Iterator[str]:
    """The letters that stand for the value alone, at each place that it can have within a group of bytes."""
    for offset in range(group):
        encoded = encode(bytes(offset) + data).decode().rstrip("=")
        first = -(-offset * 8 // bits)
        last = (offset + len(data)) * 8 // bits
        yield encoded[first:last]
