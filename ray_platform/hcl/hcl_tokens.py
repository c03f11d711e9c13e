"""The scanner of HCL's native syntax, strict and in linear time.

It follows the scanner that Terraform itself uses (hashicorp/hcl, ``hclsyntax/scan_tokens.rl``): templates
with nested interpolations, heredocs and their end marks, comments, escapes. What that scanner takes for an
error, and what a person could read in another way than a program, is refused with its line instead of
being guessed at.
"""

import bisect
import re
import unicodedata
from dataclasses import dataclass
from enum import Enum
from typing import NoReturn

#: Deeper nesting of templates and brackets is refused: a recursive reader has to end somewhere.
DEEPEST = 60


class Unreadable(Exception):
    """A text that is no HCL with one reading: the line, counted from 1, and the reason."""

    def __init__(self, line: int, why: str) -> None:
        super().__init__(f"line {line}: {why}")
        self.line = line
        self.why = why


class Kind(Enum):
    """What a token is; operators and brackets are `SIGN`, told apart by their text."""

    IDENT = "identifier"
    NUMBER = "number"
    SIGN = "sign"
    NEWLINE = "newline"
    OPEN_TEXT = "opening quote"
    CLOSE_TEXT = "closing quote"
    LITERAL = "text"
    OPEN_SEQUENCE = "template sequence"
    CLOSE_SEQUENCE = "end of a template sequence"
    END = "end of the file"


@dataclass(frozen=True, slots=True)
class Token:
    """``text`` is the source; of a `LITERAL` its value, with escapes resolved."""

    kind: Kind
    text: str
    at: int


_MAIN = re.compile(
    r"""
      (?P<blank>[ \t]+)
    | (?P<comment>(?:\#|//)[^\n]*\n?|/\*.*?\*/)
    | (?P<number>[0-9](?:(?:[0-9.]|[eE][+-]?[0-9])*(?:[0-9]|[eE][+-]?[0-9]))?)
    | (?P<ident>[^\W\d][\w-]*)
    | (?P<newline>\n)
    | (?P<heredoc><<-?(?P<mark>[^\W\d][\w-]*)\n)
    | (?P<close>~\})
    | (?P<sign>\.\.\.|=>|::|==|!=|>=|<=|&&|\|\||[\[\]().,*/%+\-=<>!?:])
    | (?P<open>\{)
    | (?P<end>\})
    | (?P<quote>")
    """,
    re.VERBOSE | re.DOTALL,
)
_NUMBER = re.compile(r"[0-9]+(?:\.[0-9]+)?(?:[eE][+-]?[0-9]+)?")
_PLAIN_QUOTED = re.compile(r'[^"$%\\\n]+')
_PLAIN = re.compile(r"[^$%\n]+")
_ESCAPE = re.compile(r'\\(?:[nrt"\\]|u[0-9A-Fa-f]{4}|U[0-9A-Fa-f]{8})')
_ESCAPES = {"n": "\n", "r": "\r", "t": "\t", '"': '"', "\\": "\\"}
_SEQUENCE = re.compile(r"[$%]\{~?")
#: Several of the signs that begin and escape a sequence: which of them escapes which is guesswork.
_SEVERAL = re.compile(r"[$%]{2,}\{")


@dataclass(slots=True)
class _Frame:
    """What surrounds the place that is read: code, a quoted text, a heredoc, or a whole template."""

    kind: str
    mark: str = ""
    start_of_line: bool = True
    opened_at: int = 0


class Lines:
    """Turns offsets into line numbers."""

    def __init__(self, text: str) -> None:
        self._ends = [match.start() for match in re.finditer("\n", text)]

    def line(self, at: int) -> int:
        return bisect.bisect_left(self._ends, at) + 1


def require_plain_text(text: str) -> None:
    """Refuse what editors, people and programs read differently.

    Raises:
        Unreadable: a byte order mark, a NUL, other control or format characters, line ends other than LF.
    """
    for match in re.finditer(r"[^\n\t\x20-\x7e]", text):
        char = match[0]
        category = unicodedata.category(char)
        if category in ("Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"):
            line = text.count("\n", 0, match.start()) + 1
            names = {"\r": "a carriage return", "\ufeff": "a byte order mark", "\0": "a NUL"}
            what = names.get(char, f"the invisible character U+{ord(char):04X}")
            raise Unreadable(line, f"{what} in it")


def scan(text: str, *, template: bool = False) -> list[Token]:
    """The tokens of a file, the last one `Kind.END`; comments are left out, their line end is kept.

    Args:
        text: The file.
        template: It is a template as for ``templatefile``, not a configuration.

    Raises:
        Unreadable: it is not HCL, or has no single reading.
    """
    require_plain_text(text)
    return _Scanner(text).scan(template)


class _Scanner:
    def __init__(self, text: str) -> None:
        self._text = text
        self._at = 0
        self._tokens: list[Token] = []
        self._frames: list[_Frame] = []
        self._braces = 0
        self._returns: list[int] = []

    def scan(self, template: bool) -> list[Token]:
        self._frames.append(_Frame("template" if template else "code"))
        read = {
            "code": self._code,
            "quoted": self._quoted,
            "heredoc": self._heredoc,
            "template": self._heredoc,
        }
        while self._at < len(self._text):
            read[self._frames[-1].kind]()
        if len(self._frames) > 1:
            self._fail(self._frames[-1].opened_at, "what is opened here is not closed")
        self._put(Kind.END, "")
        return self._tokens

    def _fail(self, at: int, why: str) -> NoReturn:
        raise Unreadable(Lines(self._text).line(at), why)

    def _put(self, kind: Kind, text: str, at: int | None = None) -> None:
        self._tokens.append(Token(kind, text, self._at if at is None else at))

    def _enter(self, frame: _Frame) -> None:
        if len(self._frames) >= DEEPEST:
            self._fail(self._at, "it is nested too deeply")
        frame.opened_at = self._at
        self._frames.append(frame)

    def _code(self) -> None:
        found = _MAIN.match(self._text, self._at)
        if found is None:
            self._fail(self._at, f"{self._text[self._at]!r} has no meaning here")
        start, kind, text = self._at, found.lastgroup, found[0]
        if found["heredoc"]:
            kind = "heredoc"
        self._at = found.end()
        if kind == "comment":
            # A comment to the end of its line ends the line.
            if text.endswith("\n"):
                self._put(Kind.NEWLINE, "\n", found.end() - 1)
        elif kind == "number":
            self._put(Kind.NUMBER, text, start)
        elif kind == "ident":
            if not text.replace("-", "_").isidentifier():
                self._fail(start, f"{text!r} is no identifier")
            self._put(Kind.IDENT, text, start)
        elif kind == "newline":
            self._put(Kind.NEWLINE, text, start)
        elif kind == "sign":
            if self._text.startswith("/*", start):
                self._fail(start, "the comment is not closed")
            self._put(Kind.SIGN, text, start)
        elif kind == "quote":
            self._put(Kind.OPEN_TEXT, text, start)
            self._enter(_Frame("quoted"))
        elif kind == "heredoc":
            mark = found["mark"]
            if not mark.replace("-", "_").isidentifier():
                self._fail(start, f"{mark!r} is no identifier")
            self._put(Kind.OPEN_TEXT, text, start)
            self._enter(_Frame("heredoc", mark=mark))
        elif kind == "open":
            self._braces += 1
            self._put(Kind.SIGN, text, start)
        elif kind in ("end", "close"):
            self._close(text, start)

    def _close(self, text: str, start: int) -> None:
        if self._returns and self._returns[-1] == self._braces:
            self._put(Kind.CLOSE_SEQUENCE, text, start)
            self._returns.pop()
            self._frames.pop()
        elif text == "~}":
            self._fail(start, "'~}' closes no template sequence")
        else:
            self._put(Kind.SIGN, text, start)
        self._braces -= 1

    def _open_sequence(self, text: str) -> None:
        self._put(Kind.OPEN_SEQUENCE, text)
        self._frames[-1].start_of_line = False
        self._braces += 1
        self._returns.append(self._braces)
        self._enter(_Frame("code"))
        self._at += len(text)

    def _quoted(self) -> None:
        text, start = self._text, self._at
        parts: list[str] = []
        while self._at < len(text):
            if plain := _PLAIN_QUOTED.match(text, self._at):
                parts.append(plain[0])
                self._at = plain.end()
                continue
            char = text[self._at]
            if char == "\\":
                parts.append(self._escape())
                continue
            if char == "\n":
                self._fail(self._at, "a quoted text goes over the end of its line")
            if char == '"':
                self._literal(parts, start)
                self._put(Kind.CLOSE_TEXT, char)
                self._at += 1
                self._frames.pop()
                return
            if sequence := _SEQUENCE.match(text, self._at):
                self._literal(parts, start)
                self._open_sequence(sequence[0])
                return
            parts.append(self._dollar())
        self._fail(self._frames[-1].opened_at, "the quoted text is not closed")

    def _escape(self) -> str:
        found = _ESCAPE.match(self._text, self._at)
        if found is None:
            self._fail(self._at, "the escape sequence is none of HCL's")
        self._at = found.end()
        which, digits = found[0][1], found[0][2:]
        if which not in "uU":
            return _ESCAPES[which]
        number = int(digits, 16)
        if number > 0x10FFFF or 0xD800 <= number <= 0xDFFF:
            self._fail(found.start(), "the escape sequence names no character")
        return chr(number)

    def _dollar(self) -> str:
        """A ``$`` or ``%`` that opens nothing: alone, or doubled before a brace, which escapes it."""
        several = _SEVERAL.match(self._text, self._at)
        if several is None:
            self._at += 1
            return self._text[self._at - 1]
        if several[0] not in ("$${", "%%{"):
            self._fail(self._at, f"{several[0]!r} has more than one reading")
        self._at = several.end()
        return several[0][1:]

    def _literal(self, parts: list[str], start: int) -> None:
        if parts:
            self._put(Kind.LITERAL, "".join(parts), start)

    def _heredoc(self) -> None:
        frame, text, start = self._frames[-1], self._text, self._at
        parts: list[str] = []
        while self._at < len(text):
            if frame.start_of_line and frame.mark and self._ends_here(frame, parts, start):
                return
            if plain := _PLAIN.match(text, self._at):
                parts.append(plain[0])
                self._at = plain.end()
                frame.start_of_line = False
                continue
            if text[self._at] == "\n":
                parts.append("\n")
                self._at += 1
                frame.start_of_line = True
                continue
            if sequence := _SEQUENCE.match(text, self._at):
                self._literal(parts, start)
                self._open_sequence(sequence[0])
                return
            frame.start_of_line = False
            if frame.mark and re.compile(r"[$%]\n").match(text, self._at):
                self._fail(self._at, f"a {text[self._at]!r} at the end of a heredoc's line")
            parts.append(self._dollar())
        self._literal(parts, start)
        if frame.mark:
            self._fail(frame.opened_at, f"the heredoc has no end mark {frame.mark}")

    def _ends_here(self, frame: _Frame, parts: list[str], start: int) -> bool:
        """Whether the line is the heredoc's end mark: it alone, with blanks around it if any."""
        end = self._text.find("\n", self._at)
        if end < 0:
            return False
        line = self._text[self._at : end]
        if line.strip() != frame.mark:
            return False
        if line.strip(" \t") != frame.mark:
            self._fail(self._at, "odd blanks around a heredoc's end mark")
        self._literal(parts, start)
        self._put(Kind.CLOSE_TEXT, line)
        self._at = end
        self._frames.pop()
        return True


def is_number(text: str) -> bool:
    """Whether a `NUMBER` is one: the scanner takes ``1.2.3`` for one word too."""
    return _NUMBER.fullmatch(text) is not None
