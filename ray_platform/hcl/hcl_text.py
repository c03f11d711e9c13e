"""Small changes of an HCL file as text, so that its layout and comments stay."""

import re
from collections.abc import Sequence

#: Braces in strings and comments open and close nothing.
_SKIPPED = re.compile(r'"(?:[^"\\]|\\.)*"|#[^\n]*|//[^\n]*')


def block(text: str, names: Sequence[str]) -> tuple[int, int] | None:
    """Where the content of a nested block begins and ends: ``("node_pools", "cpu")``.

    Returns:
        None where there is none, or one that does not open at the end of its line's ``NAME = {``.
    """
    start, end = 0, len(text)
    for name in names:
        opened = re.compile(rf"^[ \t]*{re.escape(name)}[ \t]*=[ \t]*\{{", re.MULTILINE).search(
            text, start, end
        )
        if opened is None:
            return None
        start = opened.end()
        end = _closing(text, start)
    return start, end


def with_value(text: str, path: Sequence[str], before: str, after: str) -> str | None:
    """The text with one value changed; None where ``before`` does not stand there.

    Args:
        text: The file.
        path: Leads to the value: ``("node_pools", "cpu", "max_size")``.
        before, after: The value, as HCL.
    """
    found = block(text, path[:-1])
    if found is None:
        return None
    value = re.compile(
        rf"^([ \t]*{re.escape(path[-1])}[ \t]*=[ \t]*){re.escape(before)}(?![\w.\"])", re.MULTILINE
    ).search(text, *found)
    if value is None:
        return None
    return f"{text[: value.start()]}{value[1]}{after}{text[value.end() :]}"


def with_entry(text: str, path: Sequence[str], entry: str) -> str | None:
    """The text with an entry added at the end of a block; None where there is no such block."""
    found = block(text, path)
    if found is None:
        return None
    end = text.rfind("\n", 0, found[1]) + 1
    return f"{text[:end]}{entry}{text[end:]}"


def _closing(text: str, start: int) -> int:
    """Where the block that was opened before ``start`` ends."""
    depth, at = 1, start
    while at < len(text):
        if passed := _SKIPPED.match(text, at):
            at = passed.end()
            continue
        depth += {"{": 1, "}": -1}.get(text[at], 0)
        if depth == 0:
            return at
        at += 1
    return at
