"""Made-up HCL, seeded: ordinary constructs, odd ones, and texts that were damaged at odd places."""

import random
from collections.abc import Callable
from dataclasses import dataclass

_MARKS = ("EOT", "E", "a-b", "Ü", "_x", "for")
_BLANKS = (" ", "\t", "  ", "", "", "", "\u00a0", "\u3000")
#: What moves the borders between code, text, comment and template.
_NASTY = (
    *('"', '\\"', "\\", '\\\\"', "${", "%{", "~}", "}", "$${", "%%{", "$$${", "$", "%", "$\n"),
    *("/*", "*/", "//", "#", "\n", "\r\n", "\r", "<<E\n", "\nE\n", "\nE \n", "\n\tE\n", "<<-E\n"),
    *("EOT\n", "\nEOT ", "{", "(", ")", "[", "]", "=", ":", "?", ",", "...", "=>", "::", "*", "."),
    *("\u2028", "\ufeff", "\u00a0", "\0", "\x0b", "é", "if", "for", "endif", "else", "'", "`", ";"),
)


@dataclass(frozen=True)
class MadeFile:
    """A text with names in it that nothing else has: ``blk12_3`` for blocks, ``fn12_3`` for functions."""

    number: int
    text: str


class Maker:
    """Makes files by a seed; the same seed, the same files."""

    def __init__(self, seed: int) -> None:
        self._rng = random.Random(seed)  # noqa: S311 - the same files in each run
        self._file = 0
        self._next = 0

    def file(self) -> MadeFile:
        """A file of one to five blocks, which every other time is damaged."""
        self._file += 1
        text = "".join(self._block(0) for _ in range(self._rng.randint(1, 5)))
        for _ in range(self._rng.choice((0, 0, 0, 1, 1, 2, 3))):
            text = self._damaged(text)
        return MadeFile(self._file, text)

    def locals(self) -> MadeFile:
        """A file of one ``locals`` block with expressions that call functions of made-up names."""
        self._file += 1
        lines = [
            f"  l{self._file}_{number} = {self._expression(0)}\n"
            for number in range(self._rng.randint(1, 4))
        ]
        text = "".join(lines)
        for _ in range(self._rng.choice((0, 0, 1, 1, 2))):
            text = self._damaged(text)
        return MadeFile(self._file, f"locals {{\n{text}}}\n")

    def _name(self, kind: str) -> str:
        self._next += 1
        return f"{kind}{self._file}_{self._next}"

    def _pick(self, *makers: Callable[[], str]) -> str:
        return self._rng.choice(makers)()

    def _damaged(self, text: str) -> str:
        at = self._rng.randrange(len(text) + 1)
        end = min(len(text), at + self._rng.choice((0, 0, 0, 1, 1, 5)))
        way = self._rng.random()
        if way < 0.2:
            return text[:at] + text[end:]
        if way < 0.35:
            other = self._rng.randrange(len(text) + 1)
            return text[:at] + text[other : other + 12] + text[at:]
        return text[:at] + self._rng.choice(_NASTY) + text[end:]

    def _block(self, depth: int) -> str:
        head = self._name("blk")
        for _ in range(self._rng.choice((0, 0, 1, 2))):
            label = self._rng.choice(("x", "__start_line__", "a-b", "data", "x\\u0061"))
            head += f" {label}" if self._rng.random() < 0.3 and "\\" not in label else f' "{label}"'
        if self._rng.random() < 0.15:
            return f"{head} {{ a = {self._expression(1)} }}{self._comment()}\n"
        parts = []
        for number in range(self._rng.randint(0, 3)):
            if depth < 2 and self._rng.random() < 0.3:
                parts.append(self._block(depth + 1))
            else:
                parts.append(f"  a{number} = {self._expression(0)}{self._comment()}\n")
        return f"{head} {{{self._comment()}\n{''.join(parts)}}}{self._comment()}\n"

    def _comment(self) -> str:
        return self._rng.choice(("", "", "", ' # } " ${', " // <<E", " /* \n} */", " /* E */ "))

    def _expression(self, depth: int) -> str:
        if depth > 3:
            return self._rng.choice(("1", '"a"', "path.root", "true", "null"))
        inner = depth + 1
        return self._pick(
            lambda: self._quoted(inner),
            lambda: self._quoted(inner),
            lambda: self._heredoc(inner) if depth == 0 else "[]",
            lambda: f"{self._name('fn')}({self._expression(inner)})",
            lambda: f"[{self._expression(inner)},\n{self._expression(inner)}]",
            lambda: self._object(inner),
            lambda: f"({self._expression(inner)})",
            lambda: f"true ? {self._expression(inner)} : {self._expression(inner)}",
            lambda: f'"a" == "b" ? {self._expression(inner)} : "c"',
            lambda: f"[for x in [1] : {self._expression(inner)} if true]",
            lambda: f"{{for k, v in {{a = 1}} : k => {self._expression(inner)}...}}",
            lambda: f"-{self._rng.choice(('1', '1.5e3', '0'))} + {self._expression(inner)}",
            lambda: f"[1][{self._rng.choice(('0', '0 + 0'))}]",
            lambda: "path.module",
        )

    def _object(self, depth: int) -> str:
        key = self._rng.choice(("a", '"a b"', "(true)", f"({self._name('fn')}(1))", "for-x"))
        between = self._rng.choice((" = ", " : ", "="))
        end = self._rng.choice(("", ",", "\n", self._comment() + "\n"))
        return f"{{{key}{between}{self._expression(depth)}{end}}}"

    def _quoted(self, depth: int) -> str:
        return f'"{self._template(depth, quoted=True)}"'

    def _template(self, depth: int, *, quoted: bool) -> str:
        parts = []
        for _ in range(self._rng.randint(0, 4)):
            parts.append(
                self._pick(
                    lambda: self._rng.choice(
                        ("a", " ", "{", "}", "$", "%", "$${", "%%{", "#", "//")
                    ),
                    lambda: self._rng.choice(
                        ('\\"', "\\\\", "\\n", "\\u0041") if quoted else ("\\", '"')
                    ),
                    lambda: f"${{{self._rng.choice(('', '~'))}{self._expression(depth)}}}",
                    lambda: f"%{{ if true }}{self._expression(9)}%{{ else }}b%{{~ endif ~}}",
                    lambda: f"%{{ for x in [1] }}${{{self._expression(depth)}}}%{{ endfor }}",
                )
            )
        return "".join(parts)

    def _heredoc(self, depth: int) -> str:
        mark, flush = self._rng.choice(_MARKS), self._rng.choice(("", "-"))
        lines = []
        for _ in range(self._rng.randint(0, 3)):
            near = f"{self._rng.choice(_BLANKS)}{mark}{self._rng.choice(('x', ' x', '${1}', ''))}"
            body = self._template(depth, quoted=False)
            lines.append(self._rng.choice((body, body, near, f"$ {mark}", "")) + "\n")
        ending = f"{self._rng.choice(_BLANKS)}{mark}{self._rng.choice(_BLANKS)}"
        return f"<<{flush}{mark}\n{''.join(lines)}{ending}"
