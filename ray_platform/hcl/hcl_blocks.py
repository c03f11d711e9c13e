"""Blocks, arguments and expressions of HCL's native syntax, out of `hcl_tokens`.

The grammar is that of hashicorp/hcl (``hclsyntax/parser.go``), without its recovery after errors: what is not
written by the grammar is refused, so that nothing is skipped that Terraform reads.
"""

import functools

from ray_platform.hcl.hcl_cursor import TokenCursor
from ray_platform.hcl.hcl_nodes import Argument, Block, Body, Expression
from ray_platform.hcl.hcl_tokens import Kind, Token, Unreadable, is_number, scan

__all__ = ["Argument", "Block", "Body", "Expression", "read_configuration", "read_template"]

_OPERATORS = frozenset({"==", "!=", ">=", "<=", "&&", "||", "<", ">", "+", "-", "*", "/", "%"})


@functools.lru_cache(maxsize=256)
def read_configuration(text: str) -> Body:
    """A file as Terraform reads ``.tf`` and ``.tfvars`` files.

    Raises:
        Unreadable: it is not HCL, or has no single reading.
    """
    return _Parser(text, scan(text)).file()


def read_template(text: str) -> Expression:
    """A file as Terraform's ``templatefile`` reads it: a ``text``.

    Raises:
        Unreadable: it is no template, or has no single reading.
    """
    return _Parser(text, scan(text, template=True)).template()


class _Parser(TokenCursor):
    def file(self) -> Body:
        return self._body(Kind.END, "")

    def template(self) -> Expression:
        return self._template(Kind.END, 1)

    # Bodies

    def _body(self, end: Kind, sign: str) -> Body:
        arguments: dict[str, Argument] = {}
        blocks: list[Block] = []
        while True:
            token = self._peek()
            if token.kind is end and token.text == sign:
                self._read()
                return Body(arguments, tuple(blocks))
            if token.kind is Kind.NEWLINE:
                self._read()
                continue
            start = self._at
            name = self._name("a block or an argument is expected")
            if self._is("="):
                self._put(arguments, self._argument(name, start))
            else:
                blocks.append(self._block(name, start))
            if self._peek().kind not in (Kind.NEWLINE, Kind.END):
                self._fail("the end of the line is expected after a block or an argument")

    def _put(self, arguments: dict[str, Argument], argument: Argument) -> None:
        if argument.name in arguments:
            raise Unreadable(argument.line, f"{argument.name} is set twice")
        arguments[argument.name] = argument

    def _argument(self, name: Token, start: int) -> Argument:
        self._take("=", "'=' is expected")
        value = self._expression()
        return Argument(name.text, self._line(name), value, self._source(start))

    def _block(self, name: Token, start: int) -> Block:
        labels = []
        while not self._is("{"):
            if self._peek().kind is Kind.OPEN_TEXT:
                labels.append(self._label())
            else:
                labels.append(self._name("a label or '{' is expected").text)
        self._read()
        self._deeper()
        token = self._peek()
        if token.kind in (Kind.NEWLINE, Kind.END) or self._is("}"):
            body = self._body(Kind.SIGN, "}")
        else:
            # All on one line: one argument and nothing else.
            first = self._at
            argument = self._argument(self._name("an argument is expected"), first)
            self._take("}", "'}' is expected after the one argument of a block on one line")
            body = Body({argument.name: argument}, ())
        self._depth -= 1
        return Block(name.text, tuple(labels), self._line(name), body, self._source(start))

    def _label(self) -> str:
        if self._read().text != '"':
            self._fail("a label cannot be a heredoc; a label is expected")
        parts = []
        while self._peek().kind is Kind.LITERAL:
            parts.append(self._read().text)
        if self._peek().kind is not Kind.CLOSE_TEXT:
            self._fail("a label cannot be a template; the end of the label is expected")
        self._read()
        return "".join(parts)

    # Expressions

    def _expression(self) -> Expression:
        """A condition, or operations: which binds closer changes nothing of what is in them."""
        self._deeper()
        line = self._line(self._peek())
        first = self._operations(line)
        if self._is("?"):
            self._read()
            yes = self._expression()
            self._take(":", "':' is expected in the condition")
            first = Expression("condition", line, parts=(first, yes, self._expression()))
        self._depth -= 1
        return first

    def _operations(self, line: int) -> Expression:
        parts = [self._operand()]
        while self._peek().kind is Kind.SIGN and self._peek().text in _OPERATORS:
            self._read()
            parts.append(self._operand())
        return parts[0] if len(parts) == 1 else Expression("operation", line, parts=tuple(parts))

    def _operand(self) -> Expression:
        line = self._line(self._peek())
        signs = []
        while self._is("-") or self._is("!"):
            signs.append(self._read().text)
        term = self._traversals(self._term())
        if not signs:
            return term
        return Expression("negative" if signs == ["-"] else "operation", line, parts=(term,))

    def _term(self) -> Expression:
        token = self._peek()
        line = self._line(token)
        if token.kind is Kind.NUMBER:
            self._read()
            if not is_number(token.text):
                raise Unreadable(line, f"{token.text} is no number")
            return Expression("number", line, token.text)
        if token.kind is Kind.IDENT:
            self._read()
            if self._is("(") or self._is("::"):
                return self._call(token)
            kind = "word" if token.text in ("true", "false", "null") else "reference"
            return Expression(kind, line, token.text)
        if token.kind is Kind.OPEN_TEXT:
            self._read()
            return self._template(Kind.CLOSE_TEXT, line)
        if self._is("("):
            self._read()
            self._newlines.append(False)
            inside = self._expression()
            self._take(")", "')' is expected")
            self._newlines.pop()
            return Expression("parens", line, parts=(inside,))
        if self._is("["):
            return self._list(line)
        if self._is("{"):
            return self._object(line)
        self._fail("an expression is expected")

    def _traversals(self, term: Expression) -> Expression:
        while True:
            if self._is("."):
                self._read()
                term = self._after_dot(term)
            elif self._is("["):
                self._read()
                term = self._after_bracket(term)
            else:
                return term

    def _after_dot(self, term: Expression) -> Expression:
        token = self._peek()
        line = self._line(token)
        if token.kind is Kind.IDENT:
            self._read()
            if term.kind == "reference":
                return Expression("reference", term.line, f"{term.name}.{token.text}")
            return Expression("get", line, token.text, (term,))
        if token.kind is Kind.NUMBER and token.text.isdigit():
            self._read()
            return Expression("index", line, parts=(term,))
        if self._is("*"):
            self._read()
            return Expression("splat", line, parts=(term,))
        self._fail("a name is expected after the dot")

    def _after_bracket(self, term: Expression) -> Expression:
        line = self._line(self._peek())
        if self._is("*"):
            self._read()
            self._take("]", "']' is expected after '*'")
            return Expression("splat", line, parts=(term,))
        self._newlines.append(False)
        key = self._expression()
        self._take("]", "']' is expected")
        self._newlines.pop()
        return Expression("index", line, parts=(term, key))

    def _call(self, first: Token) -> Expression:
        names = [first.text]
        while self._is("::"):
            self._read()
            names.append(self._name("a function's name is expected after '::'").text)
        self._take("(", "'(' is expected after a function's name")
        self._newlines.append(False)
        arguments: list[Expression] = []
        expanded = False
        while not self._is(")"):
            arguments.append(self._expression())
            if self._is("..."):
                self._read()
                expanded = True
                break
            if not self._is(","):
                break
            self._read()
        self._take(")", "')' or ',' is expected")
        self._newlines.pop()
        line, name = self._line(first), "::".join(names)
        return Expression("call", line, name, tuple(arguments), expanded)

    def _list(self, line: int) -> Expression:
        self._read()
        self._newlines.append(False)
        if self._is_word("for"):
            made = self._for(line, "]")
            self._newlines.pop()
            return made
        parts = []
        while not self._is("]"):
            parts.append(self._expression())
            if not self._is(","):
                break
            self._read()
        self._take("]", "']' or ',' is expected")
        self._newlines.pop()
        return Expression("list", line, parts=tuple(parts))

    def _object(self, line: int) -> Expression:
        self._read()
        self._newlines.append(False)
        at = self._at
        is_for = self._is_word("for")
        if is_for:
            made = self._for(line, "}")
            self._newlines.pop()
            return made
        self._newlines.pop()
        self._at = at  # the line ends that were looked over count in an object
        self._newlines.append(True)
        parts: list[Expression] = []
        while True:
            while self._peek().kind is Kind.NEWLINE:
                self._read()
            if self._is("}"):
                break
            parts.append(self._expression())
            if not (self._is("=") or self._is(":")):
                self._fail("'=' or ':' is expected after the key")
            self._read()
            parts.append(self._expression())
            if self._is("}"):
                break
            if not (self._is(",") or self._peek().kind is Kind.NEWLINE):
                self._fail("',', a new line or '}' is expected")
            self._read()
        self._read()
        self._newlines.pop()
        return Expression("object", line, parts=tuple(parts))

    def _for(self, line: int, end: str) -> Expression:
        self._read()
        self._loop_names()
        parts = [self._expression()]
        self._take(":", "':' is expected in the 'for'")
        parts.append(self._expression())
        has_key = self._is("=>")
        if has_key:
            self._read()
            parts.append(self._expression())
        if has_key != (end == "}"):
            self._fail("'key => value' is for '{for', a value alone for '[for'")
        if self._is("..."):
            if not has_key:
                self._fail("'...' is for '{for' alone")
            self._read()
        if self._is_word("if"):
            self._read()
            parts.append(self._expression())
        self._take(end, f"{end!r} is expected at the end of the 'for'")
        return Expression("for", line, parts=tuple(parts))

    def _loop_names(self) -> None:
        self._name("a name is expected after 'for'")
        if self._is(","):
            self._read()
            self._name("a name is expected after ','")
        if not self._is_word("in"):
            self._fail("'in' is expected in the 'for'")
        self._read()

    # Templates

    def _template(self, end: Kind, line: int) -> Expression:
        parts: list[Expression] = []
        literal = True
        open_: list[str] = []  # the directives that are open: "if", "else", "for"
        while True:
            token = self._read()
            if token.kind is end:
                break
            if token.kind is Kind.LITERAL:
                parts.append(Expression("text", self._line(token), token.text))
            elif token.kind is Kind.OPEN_SEQUENCE:
                literal = False
                parts += self._sequence(token, open_)
            else:
                raise Unreadable(self._line(token), "the template is not closed")
        if open_:
            raise Unreadable(line, f"the directive %{{{open_[-1]}}} is not ended")
        if literal:
            return Expression("text", line, "".join(part.name for part in parts))
        return Expression("text", line, parts=tuple(parts))

    def _sequence(self, opening: Token, open_: list[str]) -> list[Expression]:
        self._newlines.append(False)
        found = []
        if opening.text.startswith("$"):
            found.append(self._expression())
        else:
            found += self._directive(open_)
        if self._peek().kind is not Kind.CLOSE_SEQUENCE:
            self._fail("'}' is expected at the end of the template sequence")
        self._read()
        self._newlines.pop()
        return found

    def _directive(self, open_: list[str]) -> list[Expression]:
        word = self._name("a directive is expected")
        within = open_[-1] if open_ else ""
        if word.text == "if":
            open_.append("if")
            return [self._expression()]
        if word.text == "for":
            open_.append("for")
            self._loop_names()
            return [self._expression()]
        if word.text == "else" and within == "if":
            open_[-1] = "else"
        elif (word.text == "endif" and within in ("if", "else")) or (
            word.text == "endfor" and within == "for"
        ):
            open_.pop()
        else:
            raise Unreadable(self._line(word), f"the directive {word.text!r} has no place here")
        return []
