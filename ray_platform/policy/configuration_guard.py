"""A look at a pull request's Terraform configuration before Terraform runs it.

A plan runs code: programs of ``data "external"``, providers, modules from anywhere; an apply also runs
provisioners. And it reads: files of this machine by ``file()``, other states. What of that a configuration
asks for is found here, in the text, before anything is loaded. It is a net under the review, not a sandbox:
what an allowed provider itself can be talked into, it does not see.
"""

import posixpath
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ray_platform.policy.configuration_blocks import META, Block, Unreadable, plain, read_blocks
from ray_platform.text.errors import PolicyDenied

#: Terraform's own provider, part of the binary.
_BUILTIN = "terraform.io/builtin/terraform"
_REGISTRY = "registry.terraform.io"
_CODE = {
    "external": "runs a program on this machine",
    "http": "asks an address of its author's choice",
    "terraform_remote_state": "reads another state, with the secrets in it",
}
#: Of a provider's settings those that run programs, read credentials or lead requests elsewhere.
_PROVIDER_SETTINGS = frozenset(
    {
        "exec",
        "dynamic",
        "shared_config_files",
        "shared_credentials_files",
        "profile",
        "endpoints",
        "token",
    }
    | {"assume_role", "assume_role_with_web_identity", "http_proxy", "https_proxy", "access_key"}
    | {"secret_key", "custom_ca_bundle", "ec2_metadata_service_endpoint", "sts_region"}
)
_FILE_CALL = re.compile(
    r"\b(pathexpand|templatestring|templatefile|file[a-z0-9]*)\s*\(\s*([^,)\n]*)"
)
_OWN_FILE = re.compile(r'"(?:\$\{path\.(?:module|root)\}/|\./)?(?!/)[A-Za-z0-9_./-]+"')
_LOCKED = re.compile(r'^provider "([^"]+)" \{', re.MULTILINE)
_UNREAD = (".tf.json", ".tofu", ".tofu.json")
SHOWN = 10


@dataclass(frozen=True)
class Finding:
    """One thing that a plan would run, load or read. ``name`` is what an allow list calls it."""

    name: str
    file: str
    line: int
    what: str

    @property
    def place(self) -> str:
        return f"{self.file}:{self.line}" if self.line else self.file


def _finding(block: Block, name: str, what: str) -> Finding:
    folder = posixpath.dirname(block.file)
    return Finding(f"{folder}:{name}" if folder else name, block.file, block.line, what)


def require_harmless(
    files: Mapping[str, str],
    base: Mapping[str, str],
    *,
    lock: str,
    allowed: Sequence[str],
    where: str,
) -> None:
    """Refuse a configuration that would run, load or read what the base branch has not agreed to.

    Args:
        files: All files below the Terraform root, templates too, by their path; a symbolic link has the
            text ``"-> TARGET"``.
        base: The base branch's, likewise.
        lock: The base branch's ``.terraform.lock.hcl``.
        allowed: Names of findings that the base branch allows.
        where: The pull request and environment, for the message.

    Raises:
        PolicyDenied: with each finding's file and line.
    """
    found = [item for item in foreign_code(files, base, lock=lock) if item.name not in allowed]
    if not found:
        return
    told = "; ".join(f"terraform/{item.place}: {item.what}" for item in found[:SHOWN])
    more = f"; and {len(found) - SHOWN} more" if len(found) > SHOWN else ""
    names = ", ".join(f'"{name}"' for name in dict.fromkeys(item.name for item in found[:SHOWN]))
    raise PolicyDenied(
        f"the configuration was not planned, since a plan would run or read what it may not: {told}{more}",
        where=f"{where}, terraform/{found[0].place}",
        fix=f"leave it out; or first merge {names} into `allow` of policies/pull_requests.toml on the base "
        "branch, by a change that a person reviews",
    )


def foreign_code(
    files: Mapping[str, str], base: Mapping[str, str], *, lock: str
) -> tuple[Finding, ...]:
    """All that a plan or an apply of ``files`` would run, load or read; arguments as `require_harmless`."""
    found: list[Finding] = []
    blocks: list[Block] = []
    for file, text in sorted(files.items()):
        if file.endswith(_UNREAD) or text.startswith("-> "):
            kind = (
                "is a link" if text.startswith("-> ") else "is of a kind that is not looked through"
            )
            found.append(Finding(file, file, 0, kind))
        elif file.endswith(".tf"):
            try:
                blocks += read_blocks(file, text)
            except Unreadable as error:
                found.append(Finding(file, file, error.line, "cannot be read as HCL"))
        elif calls := _foreign_files(text):
            # A template may call every function.
            found.append(Finding(file, file, 0, f"{calls[0]}() in it may read other files"))
    base_blocks = [
        block
        for file, text in base.items()
        if file.endswith(".tf") and not text.startswith("-> ")
        for block in read_blocks(file, text)
    ]
    locked = frozenset(_LOCKED.findall(lock)) | {_BUILTIN}
    sources = _sources(blocks)
    for block in blocks:
        found += _odd_labels(block)
        found += _of_provider(block, sources, locked, base_blocks)
        found += _of_code(block)
        found += _of_module(block)
        found += _of_files(block)
    found += _of_backend(blocks, base_blocks)
    return tuple(found)


def _odd_labels(block: Block) -> Iterator[Finding]:
    # "exter\u006eal" is "external" to Terraform.
    if any("\\" in label or "$" in label for label in block.labels):
        yield _finding(block, ".".join(block.labels), "has a name that hides what it is")


def _sources(blocks: Sequence[Block]) -> dict[tuple[str, str], str]:
    """(folder, local name) -> the provider's source."""
    return {
        (posixpath.dirname(block.file), name): source
        for block in blocks
        for name, source in _named(block)
    }


def _named(block: Block) -> Iterator[tuple[str, str]]:
    """(local name, source) of each provider that a block of `required_providers` names."""
    if block.kind == "required_providers":
        for name, asked in block.body.items():
            if name not in META:
                source = asked.get("source", name) if isinstance(asked, Mapping) else name
                yield name, _full(str(source))


def _full(source: str) -> str:
    parts = source.strip('"').lower().split("/")
    if len(parts) == 1:
        parts = ["hashicorp", *parts]
    return "/".join(parts if len(parts) > 2 else [_REGISTRY, *parts])


def _of_provider(
    block: Block,
    sources: Mapping[tuple[str, str], str],
    locked: frozenset[str],
    base: Sequence[Block],
) -> Iterator[Finding]:
    folder = posixpath.dirname(block.file)

    def source_of(name: str) -> str:
        return _BUILTIN if name == "terraform" else sources.get((folder, name), _full(name))

    for name, source in _named(block):
        if source not in locked:
            what = f"the provider {source} is not in the base branch's lock file"
            yield _finding(block, f"provider.{name}", what)
    if block.kind in ("resource", "data", "ephemeral", "action"):
        named = str(block.body.get("provider", "")).strip('${}"').split(".")[0]
        name = named or block.labels[0].split("_")[0]
        if source_of(name) not in locked and block.labels[0] not in _CODE:
            what = f"its provider {source_of(name)} is not in the base branch's lock file"
            yield _finding(block, ".".join(block.labels), f"{block.labels[0]}: {what}")
    elif block.kind == "provider":
        same = [
            item.body for item in base if (item.kind, item.labels) == ("provider", block.labels)
        ]
        for key in sorted(_PROVIDER_SETTINGS & set(block.body)):
            if not any(plain(body.get(key)) == plain(block.body[key]) for body in same):
                what = (
                    f"the provider {block.labels[0]} is given another {key} than on the base branch"
                )
                yield _finding(block, f"provider.{block.labels[0]}", what)


def _of_code(block: Block) -> Iterator[Finding]:
    if block.kind in ("data", "ephemeral") and (what := _CODE.get(block.labels[0])):
        yield _finding(block, f"data.{'.'.join(block.labels)}", f'data "{block.labels[0]}" {what}')
    elif block.kind == "terraform" and "encryption" in block.body:
        yield _finding(block, "encryption", "the state would be encrypted by what it names")
    elif block.kind == "provisioner":
        yield _finding(block, ".".join(block.labels), "a provisioner runs a program")


def _of_module(block: Block) -> Iterator[Finding]:
    if block.kind != "module":
        return
    source = str(block.body.get("source", "")).strip('"')
    target = posixpath.normpath(posixpath.join(posixpath.dirname(block.file), source))
    local = source.startswith(("./", "../")) and "${" not in source and "\\" not in source
    if not local or target.startswith("..") or "//" in source:
        what = "is loaded from outside terraform/ of this repository"
        yield _finding(block, f"module.{block.labels[0]}", f"the module {block.labels[0]} {what}")


def _of_files(block: Block) -> Iterator[Finding]:
    # A block that holds others is looked at by its own values alone: the others come by themselves.
    for text in _expressions(block.body):
        if calls := _foreign_files(text):
            name = ".".join((block.kind, *block.labels))
            yield _finding(block, name, f"{calls[0]}() may read files outside terraform/")
            return


def _foreign_files(text: str) -> list[str]:
    """The functions in a template or expression that may read a file that is not the module's own."""
    if "${" not in text and "%{" not in text:
        return []
    return [
        call
        for call, argument in _FILE_CALL.findall(text)
        if call in ("pathexpand", "templatestring")
        or ".." in argument
        or not _OWN_FILE.fullmatch(argument.strip())
    ]


def _expressions(value: Any) -> Iterator[str]:
    if isinstance(value, Mapping):
        for item in value.values():
            yield from _expressions(item)
    elif isinstance(value, list):
        for item in value:
            yield from _expressions(item)
    elif isinstance(value, str) and ("${" in value or "%{" in value):
        yield value


def _of_backend(blocks: Sequence[Block], base: Sequence[Block]) -> Iterator[Finding]:
    """Another state is another place for secrets, and the first plan there reads nothing of what stands."""
    kinds = ("backend", "cloud")
    known = [plain((b.kind, list(b.labels), b.body)) for b in base if b.kind in kinds]
    for block in blocks:
        if block.kind in kinds and plain((block.kind, list(block.labels), block.body)) not in known:
            yield _finding(block, "backend", "the backend is another than on the base branch")
