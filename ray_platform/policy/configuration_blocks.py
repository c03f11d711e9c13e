"""Blocks of a Terraform configuration with their labels and lines, out of its text."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

META = ("__start_line__", "__end_line__")


@dataclass(frozen=True)
class Block:
    """A block with its labels, in its file."""

    file: str
    kind: str
    labels: tuple[str, ...]
    body: Mapping[str, Any]

    @property
    def line(self) -> int:
        return int(self.body.get("__start_line__", 0))


class Unreadable(Exception):
    """A file is no HCL that can be read; ``line`` is 0 where that is not known."""

    def __init__(self, line: int) -> None:
        self.line = line


def read_blocks(file: str, text: str) -> list[Block]:
    """Every block of a file that matters here, also those inside others.

    Raises:
        Unreadable: it is no HCL that can be read.
    """
    from hcl2.api import loads

    try:
        tree = loads(text.replace("\r\n", "\n"), with_meta=True)
    except Exception as error:  # the parser raises its grammar library's own exceptions
        raise Unreadable(int(getattr(error, "line", 0) or 0)) from error
    return list(_walk(file, tree, ()))


#: Block types by their number of labels; what else there is holds no block that matters here.
_LABELS = {
    "data": 2,
    "resource": 2,
    "ephemeral": 2,
    "action": 2,
    "module": 1,
    "provider": 1,
    "check": 1,
    "provisioner": 1,
    "output": 1,
    "variable": 1,
    "backend": 1,
    "terraform": 0,
    "required_providers": 0,
    "cloud": 0,
    "locals": 0,
    "removed": 0,
    "import": 0,
}


def _walk(file: str, node: Mapping[str, Any], outer: tuple[str, ...]) -> Iterator[Block]:
    for kind, items in node.items():
        if not isinstance(items, list):
            continue
        for item in items:
            if not isinstance(item, Mapping):
                continue
            for labels, body in _labelled(item, _LABELS.get(kind, 0)):
                if kind in _LABELS:
                    yield Block(file, kind, outer[:2] if kind == "provisioner" else labels, body)
                yield from _walk(file, body, labels or outer)


def _labelled(
    item: Mapping[str, Any], count: int
) -> Iterator[tuple[tuple[str, ...], Mapping[str, Any]]]:
    if count == 0:
        yield (), item
        return
    for label, inner in item.items():
        if label not in META and isinstance(inner, Mapping):
            for labels, body in _labelled(inner, count - 1):
                yield (label.strip('"'), *labels), body


def plain(value: Any) -> Any:
    """Without the parser's line numbers."""
    if isinstance(value, Mapping):
        return {key: plain(item) for key, item in value.items() if key not in META}
    if isinstance(value, list | tuple):
        return [plain(item) for item in value]
    return value
