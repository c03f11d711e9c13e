"""Commits, their ancestry and their differences, as git prints them.

What depends on commit ids alone never changes and is remembered.
"""

import functools
import re
from dataclasses import dataclass
from pathlib import Path

from ray_platform_sandbox.github.git.program import call_git, run_git

_FIELDS = "%H%x00%T%x00%P%x00%an%x00%ae%x00%aI%x00%cn%x00%ce%x00%cI%x00%B"
_STATUSES = {"A": "added", "D": "removed", "M": "modified", "R": "renamed", "C": "copied"}


@dataclass(frozen=True)
class Person:
    name: str
    email: str


@dataclass(frozen=True)
class Commit:
    """A commit; dates in ISO 8601 as Git holds them."""

    sha: str
    tree: str
    parents: tuple[str, ...]
    author: Person
    authored: str
    committer: Person
    committed: str
    message: str


@dataclass(frozen=True)
class FileChange:
    """A file that differs between two trees; ``patch`` None: binary, or only renamed."""

    path: str
    previous: str
    status: str
    additions: int
    deletions: int
    blob: str
    patch: str | None


@functools.lru_cache(maxsize=4096)
def commits(path: str, words: tuple[str, ...]) -> tuple[Commit, ...]:
    out = run_git(Path(path), "log", "-z", f"--format={_FIELDS}", *words, "--")
    parts = out.split("\0")
    found = []
    for at in range(0, len(parts) - 9, 10):
        sha, tree, parents, name, email, authored, by, by_email, committed, text = parts[
            at : at + 10
        ]
        found.append(
            Commit(
                sha,
                tree,
                tuple(parents.split()),
                Person(name, email),
                authored,
                Person(by, by_email),
                committed,
                text.rstrip("\n"),
            )
        )
    return tuple(found)


@functools.lru_cache(maxsize=4096)
def merge_base(path: str, one: str, other: str) -> str | None:
    done = call_git(Path(path), ("merge-base", one, other))
    return done.stdout.strip() or None


@functools.lru_cache(maxsize=1024)
def changes(path: str, before: str, after: str) -> tuple[FileChange, ...]:
    shown = run_git(
        Path(path), "diff", "--raw", "--numstat", "-z", "-M", "--abbrev=40", before, after
    )
    patches = _patches(run_git(Path(path), "diff", "--no-color", "-M", before, after))
    parts = shown.split("\0")
    raw: list[tuple[str, str, str, str]] = []
    counts: dict[str, tuple[int, int]] = {}
    at = 0
    while at < len(parts) and parts[at]:
        if parts[at].startswith(":"):
            _, _, _, blob, letter = parts[at].split(" ")
            moved = letter[0] in "RC"
            previous, name = parts[at + 1], parts[at + 2] if moved else parts[at + 1]
            raw.append((_STATUSES.get(letter[0], "changed"), previous if moved else "", name, blob))
            at += 3 if moved else 2
        else:
            added, removed, name = parts[at].split("\t")
            if not name:
                name, at = parts[at + 2], at + 2
            counts[name] = (0, 0) if added == "-" else (int(added), int(removed))
            at += 1
    return tuple(
        FileChange(name, previous, status, *counts.get(name, (0, 0)), blob, patch)
        for (status, previous, name, blob), patch in zip(raw, patches, strict=True)
    )


def _patches(text: str) -> list[str | None]:
    """The hunks of each file of a diff, in its order."""
    found: list[str | None] = []
    # A content line begins with a space, a sign or a backslash, so this begins a file alone.
    for part in re.split(r"^diff --git .*\n", text, flags=re.M)[1:]:
        start = re.search(r"^@@ ", part, re.M)
        found.append(part[start.start() :].rstrip("\n") if start else None)
    return found
