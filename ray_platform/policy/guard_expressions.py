"""Functions that a pull request's expressions and templates may not call."""

import posixpath
import re
from collections.abc import Iterator, Mapping

from ray_platform.hcl.hcl_blocks import Argument, Block, Body, Expression
from ray_platform.policy.configuration_rules import FILE_FUNCTIONS, FUNCTIONS, TEMPLATES, TYPES
from ray_platform.policy.configuration_tree import TreeEntry
from ray_platform.policy.guard_findings import GuardFinding, Judged, named

_PATH = re.compile(r"[A-Za-z0-9_.@+=/-]*")
_PATTERN = re.compile(r"[A-Za-z0-9_.*?{},/-]+")
_LEAVE_OUT = (
    "leave it out, or have the base branch allow it: docs/explanation/pull-request-guard.md"
)
_OWN_FILE = 'write "${path.module}/NAME" with the name of a file that is there'


def call_findings(file: str, body: Body, judged: Judged) -> Iterator[GuardFinding]:
    """What speaks against the calls in a configuration file."""
    for block in body.blocks:
        yield from _of_block(file, block, ".".join((block.kind, *block.labels)), judged)
    for argument in body.arguments.values():
        yield from _of_argument(file, argument, file, judged)


def variables_findings(file: str, body: Body) -> Iterator[GuardFinding]:
    """What speaks against a ``.tfvars`` file: it holds values and nothing else."""
    for block in body.blocks:
        what, fix = f"a block {block.kind!r} in a file of variables", "write NAME = VALUE"
        yield GuardFinding("syntax", file, block.line, what, fix, file)
    for argument in body.arguments.values():
        for node in argument.value.walk():
            if node.kind in ("call", "reference", "get", "splat", "for") and not _is_key(
                node, argument.value
            ):
                what = f"{node.name or node.kind} in a file of variables"
                fix = "write the value itself"
                yield GuardFinding("syntax", file, node.line, what, fix, file)


def template_findings(file: str, template: Expression, judged: Judged) -> Iterator[GuardFinding]:
    """What speaks against the calls in a template."""
    for node in template.walk():
        yield from _of_call(file, node, file, judged)


def own_path(value: Expression, folder: str, files: Mapping[str, TreeEntry]) -> str | None:
    """The file of the tree that an expression names, in literals alone; None where it is none of them.

    Args:
        value: The expression.
        folder: The module's, to which ``path.module`` leads. Other paths start at the root.
        files: The tree.
    """
    base, rest = "", value.literal
    if rest is None and value.kind == "text" and len(value.parts) == 2:
        first, second = value.parts
        if first.kind == "reference" and first.name in ("path.module", "path.root"):
            base = folder if first.name == "path.module" else ""
            rest = second.literal
            if rest is None or not rest.startswith("/"):
                return None
            rest = rest.lstrip("/")
    elif rest is not None and rest.startswith("/"):
        return None
    if not rest or not _PATH.fullmatch(rest) or ".." in rest.split("/"):
        return None
    target = posixpath.normpath(posixpath.join(base, rest))
    entry = files.get(target)
    return target if entry is not None and entry.kind == "file" else None


def _is_key(node: Expression, value: Expression) -> bool:
    """Whether a bare word is the key of an object, which is a text."""
    return node.kind == "reference" and any(
        node is key for item in value.walk() if item.kind == "object" for key in item.parts[::2]
    )


def _of_block(file: str, block: Block, name: str, judged: Judged) -> Iterator[GuardFinding]:
    for argument in block.body.arguments.values():
        is_type = block.kind == "variable" and argument.name == "type"
        yield from _of_argument(file, argument, name, judged, types=is_type)
    for part in block.body.blocks:
        yield from _of_block(file, part, name, judged)


def _of_argument(
    file: str, argument: Argument, name: str, judged: Judged, *, types: bool = False
) -> Iterator[GuardFinding]:
    for node in argument.value.walk():
        if node.kind != "call" or (types and node.name in TYPES):
            continue
        if node.name == "nonsensitive" and (file, argument.source) in judged.spoken:
            continue  # as it is on the base branch
        yield from _of_call(file, node, name, judged)


def _of_call(file: str, node: Expression, name: str, judged: Judged) -> Iterator[GuardFinding]:
    if node.kind != "call":
        return
    # The same function by its full name.
    function = node.name.removeprefix("core::")
    allowed = FUNCTIONS | judged.rules.functions
    if function in FILE_FUNCTIONS:
        if function not in judged.rules.functions and not _reads_own(file, function, node, judged):
            what = f"{node.name}() may read files outside this Terraform folder"
            yield GuardFinding("path", file, node.line, what, _OWN_FILE, named(file, name))
    elif function == "nonsensitive" and function not in allowed:
        what = "nonsensitive() lets a secret be shown"
        yield GuardFinding("secret", file, node.line, what, _LEAVE_OUT, named(file, name))
    elif function not in allowed:
        what = f"the function {node.name}() is not allowed"
        yield GuardFinding("function", file, node.line, what, _LEAVE_OUT, named(file, name))


def _reads_own(file: str, function: str, node: Expression, judged: Judged) -> bool:
    if node.expanded or not node.parts:
        return False
    folder = posixpath.dirname(file)
    if function == "fileset":
        return len(node.parts) == 2 and _lists_own(node.parts[0], node.parts[1])
    target = own_path(node.parts[0], folder, judged.files)
    if target is None:
        return False
    # What `templatefile` reads was looked through as a template.
    return function != "templatefile" or target.endswith(TEMPLATES)


def _lists_own(folder: Expression, pattern: Expression) -> bool:
    names = pattern.literal
    if names is None or not _PATTERN.fullmatch(names) or names.startswith("/") or ".." in names:
        return False
    if folder.kind == "reference":
        return folder.name in ("path.module", "path.root")
    if folder.literal is not None:
        rest, start = folder.literal, True
    elif folder.kind == "text" and folder.parts and folder.parts[0].kind == "reference":
        start = folder.parts[0].name in ("path.module", "path.root") and len(folder.parts) <= 2
        rest = (folder.parts[1].literal or "..") if len(folder.parts) == 2 else "/"
        rest = rest[1:] if rest.startswith("/") else ".."
    else:
        return False
    inside = not rest.startswith("/") and ".." not in rest.split("/")
    return start and inside and _PATH.fullmatch(rest) is not None
