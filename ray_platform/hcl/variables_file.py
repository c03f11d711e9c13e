"""The values of a ``.tfvars`` file, as Terraform reads them."""

from typing import Any

from ray_platform.hcl.hcl_blocks import Argument, Expression, read_configuration
from ray_platform.hcl.hcl_tokens import Unreadable


def read_values(text: str) -> dict[str, Any]:
    """Name -> value: texts, numbers (``int`` where they are whole), booleans, None, lists and mappings.

    Raises:
        Unreadable: it is not HCL with one reading, or holds anything but values.
    """
    body = read_configuration(text)
    for block in body.blocks:
        raise Unreadable(block.line, f"a block {block.kind!r} in a file of variables")
    return {name: _of_argument(argument) for name, argument in body.arguments.items()}


def _of_argument(argument: Argument) -> Any:
    if any(word.startswith("<<-") for word in argument.source):
        raise Unreadable(
            argument.line, "a heredoc that takes indentation away; write it without '-'"
        )
    return _value(argument.value)


def _value(node: Expression) -> Any:
    if node.kind == "text" and node.literal is not None:
        return node.literal
    if node.kind == "number":
        return int(node.name) if node.name.isdigit() else float(node.name)
    if node.kind == "word":
        return {"true": True, "false": False, "null": None}[node.name]
    if node.kind == "list":
        return [_value(item) for item in node.parts]
    if node.kind == "object":
        pairs = zip(node.parts[::2], node.parts[1::2], strict=True)
        return {_key(key): _value(item) for key, item in pairs}
    if node.kind == "parens":
        return _value(node.parts[0])
    if node.kind == "negative" and isinstance(number := _value(node.parts[0]), int | float):
        return -number
    raise Unreadable(node.line, f"{node.name or node.kind} is no value")


def _key(node: Expression) -> str:
    """The key of an object: a bare word, a text, or either of a value's other kinds as a text."""
    if node.kind == "reference" and "." not in node.name:
        return node.name
    if node.kind in ("word", "number"):
        return node.name
    if node.literal is not None:
        return node.literal
    raise Unreadable(node.line, "the key of an object is no plain text")
