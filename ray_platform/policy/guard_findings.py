"""What the guard of pull requests finds, and what it judges by."""

import posixpath
from collections.abc import Mapping
from dataclasses import dataclass, field

from ray_platform.hcl.hcl_blocks import Block, Body, read_configuration
from ray_platform.hcl.hcl_tokens import Unreadable
from ray_platform.policy.configuration_rules import AWS, BUILTIN, GuardRules
from ray_platform.policy.configuration_tree import TreeEntry

LOCK_FILE = ".terraform.lock.hcl"


@dataclass(frozen=True)
class GuardFinding:
    """One thing that a pull request's configuration may not hold.

    Args:
        rule: Which rule, one word.
        file: The path below the Terraform folder.
        line: Counted from 1; 0: the file as a whole.
        what: What it is.
        fix: What to do.
        name: What ``allow`` of the base branch's ``policies/pull_requests.toml`` calls it.
    """

    rule: str
    file: str
    line: int
    what: str
    fix: str
    name: str

    @property
    def place(self) -> str:
        return f"{self.file}:{self.line}" if self.line else self.file

    def to_json(self) -> dict[str, str | int]:
        return {
            "rule": self.rule,
            "file": self.file,
            "line": self.line,
            "what": self.what,
            "fix": self.fix,
        }


@dataclass(frozen=True)
class Judged:
    """Both trees, the rules, and what was read out of the base's.

    Args:
        files: The pull request's.
        base: The base branch's; None where there is none to compare with.
        rules: The base branch's.
        providers: Full addresses of the providers that may be used.
        settled: (folder, source) of the base's blocks, which a pull request may repeat.
        spoken: (file, source) of each argument of the base.
        secret: (folder, kind, labels) of what the base declares sensitive.
    """

    files: Mapping[str, TreeEntry]
    base: Mapping[str, TreeEntry] | None
    rules: GuardRules
    providers: frozenset[str]
    settled: frozenset[tuple[str, tuple[str, ...]]] = field(default_factory=frozenset)
    spoken: frozenset[tuple[str, tuple[str, ...]]] = field(default_factory=frozenset)
    secret: frozenset[tuple[str, str, tuple[str, ...]]] = field(default_factory=frozenset)


def judged(
    files: Mapping[str, TreeEntry], base: Mapping[str, TreeEntry] | None, rules: GuardRules
) -> Judged:
    """What is judged, with all that the base says.

    Without a base the AWS provider is the only one that may be used: a lock file of the pull request's own
    proves nothing.
    """
    if base is None:
        return Judged(files, None, rules, frozenset({AWS, BUILTIN}) | rules.providers)
    locked = locked_providers(base.get(LOCK_FILE))
    settled: set[tuple[str, tuple[str, ...]]] = set()
    spoken: set[tuple[str, tuple[str, ...]]] = set()
    secret: set[tuple[str, str, tuple[str, ...]]] = set()
    for path, entry in base.items():
        if path.endswith(".tf") and entry.content is not None:
            folder = posixpath.dirname(path)
            try:
                body = read_configuration(entry.content.decode())
            except (Unreadable, UnicodeDecodeError):
                continue  # it settles nothing
            for block in every_block(body):
                settled.add((folder, block.source))
                if is_sensitive(block):
                    secret.add((folder, block.kind, block.labels))
                spoken |= {(path, item.source) for item in block.body.arguments.values()}
    return Judged(
        files,
        base,
        rules,
        locked | rules.providers | {BUILTIN},
        frozenset(settled),
        frozenset(spoken),
        frozenset(secret),
    )


def locked_providers(entry: TreeEntry | None) -> frozenset[str]:
    """The full addresses in a lock file; none where it is no lock file that can be read."""
    if entry is None or entry.content is None:
        return frozenset()
    try:
        body = read_configuration(entry.content.decode())
    except (Unreadable, UnicodeDecodeError):
        return frozenset()
    return frozenset(block.labels[0] for block in body.blocks if len(block.labels) == 1)


def every_block(body: Body) -> list[Block]:
    """All blocks of a file, also those inside others."""
    return [inner for block in body.blocks for inner in block.walk()]


def is_sensitive(block: Block) -> bool:
    """Whether a variable or an output is declared sensitive."""
    argument = block.body.arguments.get("sensitive")
    return argument is not None and (argument.value.kind, argument.value.name) == ("word", "true")


def named(file: str, name: str) -> str:
    """The name of a finding: with its folder before it where it is a module's."""
    folder = posixpath.dirname(file)
    return f"{folder}:{name}" if folder else name
