"""Texts of others in Markdown: in a code span that they cannot leave, or escaped, so that they are text."""

import html
import re

#: What is not seen or turns the order of what is: controls, zero-width and bidirectional marks.
_UNSEEN = re.compile(
    r"[\x00-\x08\x0e-\x1b\x7f-\x84\x86-\x9f\u00ad\u061c\u180e\u200b-\u200f\u202a-\u202e\u2060-\u206f\ufeff]"
)
_SHOWN = "\ufffd"
#: GitHub makes a link or a mention of what begins so, escaped or not; a zero-width space prevents that.
_LINKS = re.compile(r"(?i)(www(?=\.)|://|[@#]|\bGH(?=-))")


def code(text: str, *, in_table: bool = True) -> str:
    """A code span on one line that the text cannot leave; ``|`` as a table needs it, or as it is."""
    # Our comments are found by a mark that is an HTML comment: nobody else's text may hold one.
    flat = _flat(text).replace("<!--", "<!\u200b--")
    flat = flat.replace("|", "\\|") if in_table else flat
    longest = max((len(run) for run in re.findall(r"`+", flat)), default=0)
    fence = "`" * (longest + 1)
    pad = " " if flat.startswith("`") or flat.endswith("`") else ""
    return f"{fence}{pad}{flat}{pad}{fence}" if flat else "` `"


def plain(text: str) -> str:
    """Text on one line that means nothing to Markdown, links nowhere and mentions nobody."""
    escaped = html.escape(_flat(text), quote=False)
    escaped = re.sub(r"([\\`*_{}\[\]()#+!|~])", r"\\\1", escaped)
    return _LINKS.sub(lambda found: _broken(found[0]), escaped)


def _flat(text: str) -> str:
    return _UNSEEN.sub(_SHOWN, " ".join(text.split()))


def _broken(start: str) -> str:
    return ":\u200b//" if start == "://" else f"{start}\u200b"
