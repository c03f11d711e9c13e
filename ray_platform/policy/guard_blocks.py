"""Blocks that a pull request's Terraform configuration may not hold, as Terraform reads them."""

import posixpath
import re
from collections.abc import Iterator, Mapping

from ray_platform.hcl.hcl_blocks import Block, Body, Expression
from ray_platform.policy.configuration_rules import (
    AWS,
    BACKEND_SETTINGS,
    BLOCK_TYPES,
    BUILTIN,
    DATA_SOURCES,
    PATH_ARGUMENTS,
    PROVIDER_SETTINGS,
    SECRET_RESOURCES,
    TERRAFORM_PARTS,
)
from ray_platform.policy.guard_expressions import own_path
from ray_platform.policy.guard_findings import GuardFinding, Judged, is_sensitive, named

_LABEL = re.compile(r"[A-Za-z_][A-Za-z0-9_-]*")
_TYPE = re.compile(r"[a-z][a-z0-9_]*")
_LABELS = {
    "resource": 2,
    "data": 2,
    "ephemeral": 2,
    "provider": 1,
    "variable": 1,
    "output": 1,
    "module": 1,
    "check": 1,
    "terraform": 0,
    "locals": 0,
    "moved": 0,
    "removed": 0,
    "import": 0,
}
#: Blocks that run programs, or say how to reach the machine that they run on.
_PROGRAMS = ("provisioner", "connection")
_WIDEN = "leave it out, or have the base branch allow it: docs/explanation/pull-request-guard.md"


class FolderBlocks:
    """The blocks of one folder: a module, whose providers have names of their own.

    Args:
        folder: Its path below the Terraform folder; empty for the root.
        bodies: File -> what stands in it.
        judged: What is judged.
    """

    def __init__(self, folder: str, bodies: Mapping[str, Body], judged: Judged) -> None:
        self._folder = folder
        self._bodies = bodies
        self._judged = judged
        self._sources = dict(self._named_providers())

    def findings(self) -> Iterator[GuardFinding]:
        """What speaks against each block."""
        for file, body in self._bodies.items():
            for argument in body.arguments.values():
                what = f"{argument.name} stands outside a block"
                yield GuardFinding("syntax", file, argument.line, what, "put it into a block", file)
            for block in body.blocks:
                yield from self._top(file, block)

    # Providers

    def _named_providers(self) -> Iterator[tuple[str, str]]:
        for body in self._bodies.values():
            for block in body.blocks:
                for part in block.body.blocks:
                    if (block.kind, part.kind) == ("terraform", "required_providers"):
                        for name, argument in part.body.arguments.items():
                            yield name, _source_of(name, argument.value) or ""

    def _address(self, name: str) -> str:
        return self._sources.get(name, BUILTIN if name == "terraform" else _full(name))

    def _provider(self, file: str, block: Block, name: str, of: str) -> Iterator[GuardFinding]:
        address = self._address(name)
        if address not in self._judged.providers:
            what = f"{of} is of the provider {address or name}, which is not allowed"
            fix = "use a provider of the base branch's lock file"
            yield self._found("provider", file, block, what, fix, ".".join(block.labels) or of)

    def _found(
        self, rule: str, file: str, block: Block, what: str, fix: str, name: str
    ) -> GuardFinding:
        return GuardFinding(rule, file, block.line, what, fix, named(file, name))

    # Blocks

    def _top(self, file: str, block: Block) -> Iterator[GuardFinding]:
        name = ".".join((block.kind, *block.labels))
        if block.kind not in BLOCK_TYPES | self._judged.rules.block_types:
            what = f"a block {block.kind!r} is not allowed"
            yield self._found("block", file, block, what, _WIDEN, name)
            return
        if len(block.labels) != _LABELS.get(block.kind, len(block.labels)) or not all(
            _LABEL.fullmatch(label) for label in block.labels
        ):
            what = f"{block.kind} has other labels than it should"
            yield self._found("syntax", file, block, what, "write plain names as labels", name)
            return
        if (self._folder, block.kind, block.labels) in self._judged.secret and not is_sensitive(
            block
        ):
            what = f"{block.kind} {block.labels[0]} is no longer sensitive"
            yield self._found("secret", file, block, what, "keep sensitive = true", name)
        if block.kind == "terraform":
            yield from self._terraform(file, block)
        elif block.kind == "provider":
            yield from self._provider_block(file, block)
        elif block.kind == "module":
            yield from self._module(file, block)
        elif block.kind == "import":
            yield from self._import(file, block)
        elif block.kind in ("resource", "data", "ephemeral"):
            yield from self._resource(file, block)
        elif block.kind == "check":
            for part in block.body.blocks:
                if part.kind == "data":
                    yield from self._top(file, part)
        yield from self._programs(file, block)

    def _terraform(self, file: str, block: Block) -> Iterator[GuardFinding]:
        for name, argument in block.body.arguments.items():
            if name not in TERRAFORM_PARTS:
                what = f"the setting {name} of terraform is not allowed"
                named_ = named(file, f"terraform.{name}")
                yield GuardFinding("block", file, argument.line, what, _WIDEN, named_)
        for part in block.body.blocks:
            if part.kind not in TERRAFORM_PARTS:
                what = f"a block {part.kind!r} in terraform is not allowed"
                yield self._found("block", file, part, what, _WIDEN, f"terraform.{part.kind}")
            elif part.kind == "required_providers":
                yield from self._required(file, part)
            elif not self._is_the_bases(part) and not self._says_nothing(part):
                what = f"{part.kind} is another than on the base branch"
                fix = "restore the base branch's"
                yield self._found("backend", file, part, what, fix, "backend")

    def _required(self, file: str, block: Block) -> Iterator[GuardFinding]:
        for name, argument in block.body.arguments.items():
            address = _source_of(name, argument.value)
            if address is None:
                what = f"the provider {name} has a source that is no plain text"
                named_ = named(file, f"provider.{name}")
                fix = 'write source = "NAMESPACE/NAME"'
                yield GuardFinding("provider", file, argument.line, what, fix, named_)
            elif address not in self._judged.providers or self._sources[name] != address:
                what = f"the provider {address} is not allowed"
                fix = "use a provider of the base branch's lock file"
                named_ = named(file, f"provider.{name}")
                yield GuardFinding("provider", file, argument.line, what, fix, named_)
        for part in block.body.blocks:
            what = "a block in required_providers has no meaning"
            yield self._found("syntax", file, part, what, "write NAME = {...}", "provider")

    def _is_the_bases(self, block: Block) -> bool:
        return (self._folder, block.source) in self._judged.settled

    def _says_nothing(self, block: Block) -> bool:
        """Whether it is an S3 backend that says nothing of where the state is, with no base to compare."""
        return (
            self._judged.base is None
            and (block.kind, block.labels) == ("backend", ("s3",))
            and not block.body.blocks
            and set(block.body.arguments) <= BACKEND_SETTINGS
        )

    def _provider_block(self, file: str, block: Block) -> Iterator[GuardFinding]:
        label = block.labels[0]
        yield from self._provider(file, block, label, f"provider.{label}")
        if self._is_the_bases(block):
            return
        allowed = PROVIDER_SETTINGS if self._address(label) == AWS else {"alias"}
        settings = [*block.body.arguments, *(part.kind for part in block.body.blocks)]
        for key in sorted(set(settings) - allowed):
            if self._base_sets(file, block, key):
                continue
            what = f"the provider {label} is given another {key} than on the base branch"
            fix = f"leave {key} out"
            yield self._found("provider", file, block, what, fix, f"provider.{label}")

    def _base_sets(self, file: str, block: Block, key: str) -> bool:
        """Whether the base has the same argument in the same file, or the same block inside its provider."""
        argument = block.body.arguments.get(key)
        if argument and (file, argument.source) not in self._judged.spoken:
            return False
        parts = [part for part in block.body.blocks if part.kind == key]
        return all(self._is_the_bases(part) for part in parts)

    def _module(self, file: str, block: Block) -> Iterator[GuardFinding]:
        label = block.labels[0]
        argument = block.body.arguments.get("source")
        source = argument.value.literal if argument else None
        if source is None or not re.fullmatch(r"\.{1,2}/[A-Za-z0-9_./-]*", source):
            target = ""
        else:
            target = posixpath.normpath(posixpath.join(self._folder, source))
        inside = target and not target.startswith("..") and "//" not in (source or "")
        if not inside or not self._is_folder(target):
            what = f"the module {label} is not one of this Terraform folder"
            fix = 'copy it into the folder and write source = "./modules/NAME"'
            yield self._found("module", file, block, what, fix, f"module.{label}")

    def _is_folder(self, target: str) -> bool:
        prefix = "" if target == "." else f"{target}/"
        return any(path.startswith(prefix) for path in self._judged.files)

    def _import(self, file: str, block: Block) -> Iterator[GuardFinding]:
        to = block.body.arguments.get("to")
        words = [word for node in (to.value.walk() if to else ()) for word in node.name.split(".")]
        for word in words:
            if word in SECRET_RESOURCES:
                what = f"an import of {word} reads its content into the plan"
                yield self._found("data", file, block, what, _WIDEN, f"import.{word}")
        yield from self._provider_argument(file, block, "import")

    def _provider_argument(self, file: str, block: Block, of: str) -> Iterator[GuardFinding]:
        argument = block.body.arguments.get("provider")
        if argument is None:
            return
        yield from self._provider(file, block, _provider_name(argument.value), of)

    def _resource(self, file: str, block: Block) -> Iterator[GuardFinding]:
        kind, (type_, label) = block.kind, block.labels
        if not _TYPE.fullmatch(type_):
            what = f"{type_!r} is no type of a resource"
            yield self._found("syntax", file, block, what, "write it in lower case", type_)
            return
        argument = block.body.arguments.get("provider")
        provider = _provider_name(argument.value) if argument else type_.split("_")[0]
        yield from self._provider(file, block, provider, type_)
        allowed = DATA_SOURCES | self._judged.rules.data_sources
        if kind == "data" and type_ not in allowed:
            what = f'data "{type_}" may read secrets, run programs or ask an address'
            yield self._found("data", file, block, what, _WIDEN, f"data.{type_}.{label}")
        elif kind == "ephemeral" and type_ not in self._judged.rules.data_sources:
            what = f'ephemeral "{type_}" is opened by each plan'
            yield self._found("data", file, block, what, _WIDEN, f"ephemeral.{type_}.{label}")
        for name, value in block.body.arguments.items():
            if (type_, name) in PATH_ARGUMENTS and not own_path(
                value.value, self._folder, self._judged.files
            ):
                what = f"{name} of {type_} may name a file outside this Terraform folder"
                fix = 'write "${path.module}/NAME" with the name of a file that is there'
                named_ = named(file, f"{type_}.{label}")
                yield GuardFinding("path", file, value.line, what, fix, named_)

    def _programs(self, file: str, block: Block) -> Iterator[GuardFinding]:
        for part in block.walk():
            if part is block:
                continue
            is_program = part.kind in _PROGRAMS or (
                part.kind == "dynamic" and part.labels[:1] and part.labels[0] in _PROGRAMS
            )
            if is_program and block.kind in ("resource", "data", "ephemeral", "removed"):
                what = f"a {part.kind} runs programs, or reaches machines for them"
                fix = "leave it out"
                name = ".".join(block.labels) or block.kind
                yield self._found("provisioner", file, part, what, fix, name)
            elif part.kind == "_":
                what = "a block '_' hides which arguments are Terraform's"
                fix = "write its arguments into the block itself"
                yield self._found("block", file, part, what, fix, ".".join(block.labels))


def _provider_name(value: Expression) -> str:
    """The local name of ``provider = aws.east``; empty where it cannot be told."""
    if value.kind == "reference":
        return value.name.split(".")[0]
    return (value.literal or "").split(".")[0]


def _source_of(name: str, value: Expression) -> str | None:
    """The full address that a ``required_providers`` entry gives; None where it is no plain one."""
    if value.literal is not None:
        return _full(name)
    if value.kind != "object":
        return None
    address = _full(name)
    for key, item in zip(value.parts[::2], value.parts[1::2], strict=True):
        label = key.name if key.kind == "reference" else key.literal
        if label is None or label not in ("source", "version", "configuration_aliases"):
            return None
        if label == "source":
            if item.literal is None or not re.fullmatch(
                r"[A-Za-z0-9_.-]+(/[A-Za-z0-9_.-]+){0,2}", item.literal
            ):
                return None
            address = _full(item.literal)
    return address


def _full(source: str) -> str:
    parts = source.lower().split("/")
    if len(parts) == 1:
        parts = ["hashicorp", *parts]
    return "/".join(parts if len(parts) > 2 else ["registry.terraform.io", *parts])
