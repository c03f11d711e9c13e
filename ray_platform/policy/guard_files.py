"""Files that a pull request's Terraform folder may not hold, by their names, modes, sizes and bytes."""

import posixpath
import re
from collections.abc import Iterator
from typing import Protocol

from ray_platform.policy.configuration_rules import (
    MOST_BYTES,
    MOST_BYTES_OF_FILE,
    MOST_BYTES_OF_HCL,
    MOST_FILES,
    TEMPLATES,
    TEXTS,
)
from ray_platform.policy.configuration_tree import TreeEntry
from ray_platform.policy.guard_findings import LOCK_FILE, GuardFinding, Judged, locked_providers

_NAME = re.compile(r"[A-Za-z0-9_.@+=-]+")
_BARE_NAMES = frozenset({"LICENSE", "NOTICE", "README"})
_CLI_CONFIGURATION = re.compile(r"(?i)\.?terraform\.?rc|.*\.tfrc(\.json)?|\.?tofurc|tofu\.rc")
_PLUGIN = re.compile(r"(?i)(terraform|tofu)-provi(d|s)(er|ioner)-.*")
_HCL = (".tf", ".tfvars", *TEMPLATES)
_REMOVE = "remove the file"


class _Found(Protocol):
    """Makes a finding about one file."""

    def __call__(self, rule: str, what: str, fix: str = ...) -> GuardFinding: ...


def too_much(judged: Judged) -> GuardFinding | None:
    """Why nothing of a tree is read: it is too large."""
    if len(judged.files) > MOST_FILES:
        return GuardFinding(
            "size", "", 0, f"there are more than {MOST_FILES} files", _REMOVE, "size"
        )
    if sum(entry.size for entry in judged.files.values()) > MOST_BYTES:
        what = f"all files together are larger than {MOST_BYTES // 2**20} MiB"
        return GuardFinding("size", "", 0, what, _REMOVE, "size")
    hcl = sum(entry.size for path, entry in judged.files.items() if path.endswith(_HCL))
    if hcl > 4 * MOST_BYTES_OF_HCL:
        what = f"the configuration is larger than {4 * MOST_BYTES_OF_HCL // 2**10} KiB"
        return GuardFinding("size", "", 0, what, "split it into several Terraform folders", "size")
    return None


def file_findings(judged: Judged) -> Iterator[GuardFinding]:
    """What speaks against each file, and against the lock file."""
    yield from _lock(judged)
    for path, entry in sorted(judged.files.items()):
        if path not in judged.rules.files:
            yield from _file(path, entry, judged)


def is_readable(path: str, entry: TreeEntry) -> bool:
    """Whether a file of HCL is small enough to be read."""
    limit = MOST_BYTES_OF_HCL if path.endswith(_HCL) else MOST_BYTES_OF_FILE
    return entry.content is not None and entry.size <= limit


def _file(path: str, entry: TreeEntry, judged: Judged) -> Iterator[GuardFinding]:
    def found(rule: str, what: str, fix: str = _REMOVE) -> GuardFinding:
        return GuardFinding(rule, path, 0, what, fix, path)

    parts = path.split("/")
    name = parts[-1]
    folders = {part.lower() for part in parts[:-1]}
    if entry.kind == "link":
        yield found("link", "it is a symbolic link", "put the file itself there")
        return
    if entry.kind != "file":
        yield found("special", "it is no ordinary file")
        return
    if entry.executable:
        fix = "take the right to execute it away: git update-index --chmod=-x"
        yield found("executable", "it may be executed", fix)
    if folders & {"terraform.d", ".terraform", "terraform-plugins"} or _PLUGIN.fullmatch(name):
        yield found("plugin", "Terraform loads programs from such a place")
    elif _CLI_CONFIGURATION.fullmatch(name):
        yield found("cli-configuration", "it configures Terraform's command line")
    elif path != LOCK_FILE:
        yield from _of_kind(path, entry, judged, found)
    if not is_readable(path, entry):
        limit = MOST_BYTES_OF_HCL if path.endswith(_HCL) else MOST_BYTES_OF_FILE
        yield found("size", f"it is larger than {limit // 1024} KiB", "make it smaller")
    elif entry.content is not None and _is_binary(entry.content):
        yield found("binary", "it is no text in UTF-8")


def _of_kind(path: str, entry: TreeEntry, judged: Judged, found: _Found) -> Iterator[GuardFinding]:
    parts = path.split("/")
    name = parts[-1]
    before = (judged.base or {}).get(path)
    is_the_bases = before is not None and before.content == entry.content and entry.content
    if any(part.startswith(".") for part in parts):
        if not is_the_bases:
            yield found("hidden", "its name, or that of its folder, begins with a dot")
    elif not all(_NAME.fullmatch(part) for part in parts):
        yield found("name", "its path has unusual characters", "rename it")
    elif name == "override.tf" or name.endswith("_override.tf"):
        fix = "change the block itself"
        yield found("override", "it overrides blocks of other files out of sight", fix)
    elif (
        name.endswith((".tf", ".tfvars", *TEMPLATES, *TEXTS))
        and not name.endswith((".tf.json", ".tfvars.json", ".tftest.json", ".tfmock.json"))
    ) or posixpath.basename(path) in _BARE_NAMES:
        return
    elif name.endswith((".tf.json", ".tofu", ".tofu.json", ".hcl", ".tftest.json", ".json")):
        yield found("kind", "it is of a kind that is not looked through", "write it as a .tf file")
    elif not is_the_bases:
        fix = f"remove it, or name it as one of {', '.join((*TEMPLATES, *TEXTS))}"
        yield found("kind", "it is of a kind that is not known here", fix)


def _is_binary(content: bytes) -> bool:
    if b"\0" in content:
        return True
    try:
        content.decode()
    except UnicodeDecodeError:
        return True
    return False


def _lock(judged: Judged) -> Iterator[GuardFinding]:
    entry = judged.files.get(LOCK_FILE)
    if judged.base is not None and not judged.rules.lock_may_change:
        before = judged.base.get(LOCK_FILE)
        if (entry and entry.content) != (before and before.content):
            what = "it is not the base branch's, byte for byte: another provider could be loaded"
            yield GuardFinding("lock", LOCK_FILE, 0, what, "restore the base branch's file", "lock")
        return
    if entry is None:
        return
    for address in sorted(locked_providers(entry) - judged.providers):
        what = f"it names the provider {address}, which is not allowed"
        yield GuardFinding("lock", LOCK_FILE, 0, what, "remove the provider", "lock")
