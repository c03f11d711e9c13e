"""A place in the tokens of an HCL file, and what a parser asks of it."""

from typing import NoReturn

from ray_platform.hcl.hcl_tokens import DEEPEST, Kind, Lines, Token, Unreadable


class TokenCursor:
    """Reads tokens one by one; within brackets line ends are passed over.

    Args:
        text: The file.
        tokens: Its tokens, as `scan` gives them.
    """

    def __init__(self, text: str, tokens: list[Token]) -> None:
        self._tokens = tokens
        self._lines = Lines(text)
        self._at = 0
        self._newlines = [True]
        self._depth = 0

    def _peek(self) -> Token:
        if not self._newlines[-1]:
            while self._tokens[self._at].kind is Kind.NEWLINE:
                self._at += 1
        return self._tokens[self._at]

    def _read(self) -> Token:
        token = self._peek()
        if token.kind is not Kind.END:
            self._at += 1
        return token

    def _is(self, sign: str) -> bool:
        token = self._peek()
        return token.kind is Kind.SIGN and token.text == sign

    def _is_word(self, word: str) -> bool:
        token = self._peek()
        return token.kind is Kind.IDENT and token.text == word

    def _take(self, sign: str, why: str) -> Token:
        if not self._is(sign):
            self._fail(why)
        return self._read()

    def _fail(self, why: str) -> NoReturn:
        token = self._peek()
        raise Unreadable(
            self._line(token), f"{why}, not {token.text.strip() or token.kind.value!r}"
        )

    def _line(self, token: Token) -> int:
        return self._lines.line(token.at)

    def _name(self, why: str) -> Token:
        if self._peek().kind is not Kind.IDENT:
            self._fail(why)
        return self._read()

    def _source(self, start: int) -> tuple[str, ...]:
        return tuple(
            token.text for token in self._tokens[start : self._at] if token.kind is not Kind.NEWLINE
        )

    def _deeper(self) -> None:
        self._depth += 1
        if self._depth > DEEPEST:
            raise Unreadable(self._line(self._peek()), "it is nested too deeply")
