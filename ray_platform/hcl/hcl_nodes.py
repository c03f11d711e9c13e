"""What HCL is made of once it is read: blocks, arguments, expressions."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Expression:
    """One node of an expression.

    ``kind`` is one of: ``number``, ``word`` (true, false, null), ``text`` (a template; ``name`` is its value
    where it is a literal alone, and then ``parts`` is empty), ``call`` (``name`` with its namespaces,
    ``parts`` the arguments), ``reference`` (``name`` as in ``var.a.b``), ``get`` (what else follows a dot),
    ``index``, ``splat``, ``operation``, ``negative`` (a minus before it), ``condition``,
    ``list``, ``object`` (``parts``: key, value, key, value ...), ``for``, ``parens``.
    """

    kind: str
    line: int
    name: str = ""
    parts: tuple["Expression", ...] = ()
    #: The arguments of a call were one list with ``...`` behind it.
    expanded: bool = False

    def walk(self) -> Iterator["Expression"]:
        """This node and all below it."""
        todo = [self]
        while todo:
            node = todo.pop()
            yield node
            todo.extend(reversed(node.parts))

    @property
    def literal(self) -> str | None:
        """The value of a text that holds no template; None for anything else."""
        return self.name if self.kind == "text" and not self.parts else None


@dataclass(frozen=True, slots=True)
class Argument:
    """``name = value``; ``source`` is what it is written as, without comments, blanks and line ends."""

    name: str
    line: int
    value: Expression
    source: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Body:
    """What stands between a block's braces, or in a file."""

    arguments: Mapping[str, Argument]
    blocks: tuple["Block", ...]

    def expressions(self) -> Iterator[Expression]:
        """The values of all arguments, also in the blocks inside."""
        for argument in self.arguments.values():
            yield argument.value
        for block in self.blocks:
            yield from block.body.expressions()


@dataclass(frozen=True, slots=True)
class Block:
    """``kind "label" "label" { body }``; ``source`` as in `Argument`."""

    kind: str
    labels: tuple[str, ...]
    line: int
    body: Body
    source: tuple[str, ...]

    def walk(self) -> Iterator["Block"]:
        """This block and all inside it."""
        yield self
        for block in self.body.blocks:
            yield from block.walk()
