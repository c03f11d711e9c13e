"""The prose check of `make lint`: sentence length, private words and line length of what people read.

``python -m tests.prose`` checks the paths in ``CHECKED`` and exits with 1 on a finding.
``python -m tests.prose --report FOLDER...`` counts them per Python file: docstrings, comments and strings.

The limits and words are those of the writing rules in ``CONTRIBUTING.md``. Lines that a script writes
into a page, between ``<!-- NAME: begin -->`` and ``<!-- NAME: end -->``, may have any length.
"""

import ast
import io
import re
import sys
import tokenize
from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).resolve().parent.parent

#: What `make lint` holds to the rules: Markdown files, or Python files and folders of them. Add paths here.
CHECKED = (
    "*.md",
    "docs/**/*.md",
    "bench/README.md",
    "terraform/README.md",
    "workloads/README.md",
    ".github/*.md",
    "ray_platform/cli/__init__.py",
)

MOST_WORDS = 30
#: On average over the sentences of a page, headings, tables and code left out.
AVERAGE_WORDS = 20
#: Of a line; a row of a table cannot be broken and may be longer.
MOST_CHARACTERS = 119
MOST_OF_A_ROW = 180
#: A string of fewer words in code is a key or a label, not prose.
FEWEST_WORDS = 4

#: A pattern of words that are not used, and what to write instead.
BANNED = {
    r"tells?|told|telling": "report, log, post, describe, show",
    r"stands?|stood": "exists, is, the current resources",
    r"anew|once more|afresh": "re-create, retry, rerun, again",
    r"mends?|mended|mending": "fix, repair",
    r"beside|besides": "next to, in addition to",
    r"somebody|nobody|somebody's|nobody's": "a person, another process; no one",
    r"goes|going on|gone on|goes on": "is removed, continues, resumes",
    r"lies|lie|lay": "is, is stored",
    r"bears?|bore": "has, carries",
    r"harms?|harmed": "disrupt, disruption",
    r"a look|each look|looks for|the next look": "a poll, a drift detection, searches",
    r"dearest|wish|wishes": "most expensive, request",
}
#: Uses that the rules allow: terms of the field, and names.
ALLOWED = re.compile(r"stand-ins?\b|stands? for\b|lays? out\b|multi-stand", re.IGNORECASE)

WORDS = {
    re.compile(rf"(?<![\w`-])(?:{words})(?![\w`-])", re.I): use for words, use in BANNED.items()
}
GENERATED = re.compile(r"<!-- ([\w ]+): begin.*?<!-- \1: end -->", re.DOTALL)
FENCE = re.compile(r"^( *)```.*?^\1```$", re.MULTILINE | re.DOTALL)
COMMENT = re.compile(r"<!--.*?-->", re.DOTALL)
CODE = re.compile(r"(`+).+?\1", re.DOTALL)
LINK = re.compile(r"!?\[([^\]]*)\]\([^)]*\)")
ITEM = re.compile(r"^\s*(?:[-*]|\d+\.)\s+")
END = re.compile(r"(?<=[.!?])[\"')*_]*\s+(?=[\"'(*_]*[A-Z0-9`])")


class Finding(NamedTuple):
    line: int
    kind: str
    text: str


class Block(NamedTuple):
    """A paragraph, list item, cell, docstring paragraph, comment or string, with the line it starts at."""

    line: int
    text: str
    is_prose: bool = True


def sentences(text: str) -> list[str]:
    """The sentences of a block. Code counts as one word, a link as its text."""
    plain = LINK.sub(r"\1", CODE.sub("Code", text))
    return [part for part in END.split(" ".join(plain.split())) if re.search(r"\w", part)]


def words_of(sentence: str) -> int:
    return len([word for word in sentence.split() if re.search(r"\w", word)])


def _blank(found: re.Match[str]) -> str:
    return "\n" * found[0].count("\n")


def markdown_blocks(text: str) -> Iterator[Block]:
    """The prose of a page: paragraphs, list items, headings and the cells of tables."""
    text = COMMENT.sub(_blank, FENCE.sub(_blank, text))
    start, lines = 0, list[str]()
    for number, line in enumerate([*text.splitlines(), ""], start=1):
        begins = not line.strip() or line.startswith(("|", "#")) or ITEM.match(line)
        if begins and lines:
            yield Block(start, " ".join(lines))
            lines = []
        if line.startswith("|"):
            for cell in re.split(r"(?<!\\)\|", line)[1:-1]:
                yield Block(number, cell, is_prose=False)
        elif line.startswith("#"):
            yield Block(number, line.lstrip("# "), is_prose=False)
        elif line.strip():
            start = start if lines else number
            lines.append(ITEM.sub("", line).strip().removeprefix("> "))


def python_blocks(text: str) -> Iterator[Block]:
    """The prose of a module: paragraphs of docstrings, comments, and strings that are sentences."""
    tree = ast.parse(text)
    docstrings, parts = set[int](), set[int]()
    for node in ast.walk(tree):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            first = node.body[0] if node.body else None
            if isinstance(first, ast.Expr) and isinstance(first.value, ast.Constant):
                docstrings.add(id(first.value))
        elif isinstance(node, ast.JoinedStr):
            parts |= {id(value) for value in node.values}
    for node in ast.walk(tree):
        if id(node) in parts:
            continue
        if isinstance(node, ast.JoinedStr):
            found = "".join(
                str(item.value) if isinstance(item, ast.Constant) else "X" for item in node.values
            )
        elif isinstance(node, ast.Constant) and isinstance(node.value, str):
            found = node.value
        else:
            continue
        if id(node) not in docstrings and words_of(found) < FEWEST_WORDS:
            continue
        line = node.lineno
        for paragraph in re.split(r"\n\s*\n", found):
            if not re.match(r"\s*\x08", paragraph):  # click's mark of an example
                yield Block(line, paragraph)
            line += paragraph.count("\n") + 2
    yield from _comments(text)


def _comments(text: str) -> Iterator[Block]:
    start, end, lines = 0, 0, list[str]()
    for token in tokenize.generate_tokens(io.StringIO(text).readline):
        if token.type != tokenize.COMMENT or not token.string.lstrip("#:").strip("- "):
            continue
        if token.start[0] != end + 1 and lines:
            yield Block(start, " ".join(lines))
            lines = []
        start = start if lines else token.start[0]
        end = token.start[0]
        lines.append(token.string.lstrip("#: "))
    if lines:
        yield Block(start, " ".join(lines))


def findings(path: Path, text: str) -> list[Finding]:
    """What breaks the rules in a file, in the order of its lines."""
    is_page = path.suffix == ".md"
    found = [*_long_lines(GENERATED.sub(_blank, text))] if is_page else []
    lengths = list[int]()
    for block in markdown_blocks(text) if is_page else python_blocks(text):
        for sentence in sentences(block.text):
            length = words_of(sentence)
            if length > MOST_WORDS:
                found.append(Finding(block.line, f"{length} words", sentence))
            if block.is_prose:
                lengths.append(length)
            for pattern, use in WORDS.items():
                if match := pattern.search(ALLOWED.sub("", sentence)):
                    found.append(Finding(block.line, f"'{match[0]}': write {use}", sentence))
    if is_page and lengths and sum(lengths) / len(lengths) > AVERAGE_WORDS:
        average = sum(lengths) / len(lengths)
        found.append(Finding(1, f"{average:.1f} words a sentence on average", path.name))
    return sorted(found)


def _long_lines(text: str) -> Iterator[Finding]:
    for number, line in enumerate(text.splitlines(), start=1):
        limit = MOST_OF_A_ROW if line.startswith("|") else MOST_CHARACTERS
        if len(line) > limit and not re.fullmatch(r"\s*\S+", line):
            yield Finding(number, f"{len(line)} characters", line[:60])


def files(patterns: Iterable[str], suffixes: tuple[str, ...] = (".md", ".py")) -> list[Path]:
    """The files that patterns below the checkout name, folders with all that they hold.

    Raises:
        ValueError: a pattern names nothing.
    """
    found = set[Path]()
    for pattern in patterns:
        named = sorted(ROOT.glob(pattern))
        if not named:
            raise ValueError(f"{pattern} names no file")
        for path in named:
            found |= (
                {path}
                if path.is_file()
                else {item for kind in suffixes for item in path.rglob(f"*{kind}")}
            )
    return sorted(found)


def report(patterns: Iterable[str]) -> Iterator[str]:
    """One line a file with findings: how many sentences are too long, and which words it uses."""
    total = Counter[str]()
    for path in files(patterns, (".py",)):
        kinds = Counter(
            "long" if finding.kind.endswith(" words") else finding.kind.split("'")[1].lower()
            for finding in findings(path, path.read_text(encoding="utf-8"))
        )
        total += kinds
        if kinds:
            counts = ", ".join(f"{word} {count}" for word, count in kinds.most_common())
            yield f"{path.relative_to(ROOT)}: {counts}"
    yield f"all: {', '.join(f'{word} {count}' for word, count in total.most_common()) or 'none'}"


def main(arguments: list[str]) -> int:
    if arguments[:1] == ["--report"]:
        print(*report(arguments[1:]), sep="\n")
        return 0
    failed = False
    for path in files(arguments or CHECKED):
        for line, kind, text in findings(path, path.read_text(encoding="utf-8")):
            failed = True
            print(f"{path.relative_to(ROOT)}:{line}: {kind}: {text}")
    return int(failed)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
