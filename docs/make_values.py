"""Writes the tables of chart values into docs/reference/chart-values.md, from the comments of values.yaml.

``python docs/make_values.py`` rewrites them, ``--check`` only reports whether they are up to date.
"""

import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

DOCUMENT = Path(__file__).parent / "reference" / "chart-values.md"
CHARTS = Path(__file__).resolve().parents[1] / "helm"
MARKS = re.compile(r"(<!-- values of (\w+): begin -->\n).*?(<!-- values of \2: end -->)", re.DOTALL)
KEY = re.compile(r"^( *)([\w./-]+):(?: (.*))?$")


class Value(NamedTuple):
    """One key of a values.yaml: its dotted path, its default as YAML (None above other keys), its comment."""

    path: str
    default: str | None
    comment: str


def read_values(text: str) -> Iterator[Value]:
    """The keys of a values.yaml in its order. The comment of a key is on the lines right above it.

    Raises:
        ValueError: a line is neither a comment nor ``KEY: VALUE``.
    """
    above: list[str] = []
    path: list[str] = []
    for number, line in enumerate(text.splitlines(), start=1):
        if not line.strip():
            above = []
        elif line.lstrip().startswith("#"):
            above.append(line.strip().removeprefix("#").strip())
        elif found := KEY.match(line):
            depth = len(found[1]) // 2
            path = [*path[:depth], found[2]]
            yield Value(".".join(path), found[3], " ".join(above))
            above = []
        else:
            raise ValueError(f"line {number} is neither a comment nor KEY: VALUE: {line}")


def table(text: str) -> str:
    """The values as a Markdown table; a key above others says what they are for."""
    lines = ["| value | default | meaning |", "|---|---|---|"]
    for value in read_values(text):
        default = "" if value.default is None else f"`{value.default}`"
        lines.append(
            f"| `{value.path}` | {default} | {value.comment.replace('|', chr(92) + '|')} |"
        )
    return "\n".join(lines)


def with_tables(document: str) -> str:
    """The document with a table between each pair of marks."""

    def written(found: re.Match[str]) -> str:
        text = (CHARTS / found[2] / "values.yaml").read_text(encoding="utf-8")
        return f"{found[1]}{table(text)}\n{found[3]}"

    return MARKS.sub(written, document)


def main(arguments: list[str]) -> int:
    old = DOCUMENT.read_text(encoding="utf-8")
    new = with_tables(old)
    if "--check" in arguments:
        return int(old != new)
    DOCUMENT.write_text(new, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
