"""The trees of commits, unpacked below the home: each once, gone when nobody has used it for long."""

import os
import shutil
import time
import uuid
from pathlib import Path

from ray_platform.git.git_client import Git

#: After this time without use a tree goes: far longer than any run that reads it takes.
KEPT_SECONDS = 14 * 24 * 3600.0
_ASIDE = ".unused-"


def commit_tree(git: Git, commit: str, folder: Path) -> Path:
    """The tree of a commit in a folder of its own in ``folder``, unpacked where it is not there yet.

    Trees that nobody has asked for in `KEPT_SECONDS` are removed when another one is unpacked.

    Raises:
        GitError: the repository lacks the commit, or its tree leads out of itself.
    """
    tree = folder / commit
    if not _used_now(tree):
        git.checkout(commit, tree)
        _used_now(tree)
        _remove_unused(folder)
    return tree


def _used_now(tree: Path) -> bool:
    """Note that a tree is used; False where there is none."""
    try:
        os.utime(tree)
    except FileNotFoundError:
        return False
    return True


def _remove_unused(folder: Path) -> None:
    """Remove what nobody uses, and what a killed process left behind."""
    for entry in folder.iterdir():
        if not _is_unused(entry):
            continue
        aside = entry
        if not entry.name.startswith("."):
            # Out of the way first, so that a process that is killed here leaves no half tree under its name.
            aside = folder / f"{_ASIDE}{uuid.uuid4().hex}"
            try:
                entry.rename(aside)
            except FileNotFoundError:
                continue  # another process was faster
            if not _is_unused(aside) and not entry.exists():
                aside.rename(entry)  # somebody asked for it in between
                continue
        shutil.rmtree(aside, ignore_errors=True)


def _is_unused(entry: Path) -> bool:
    try:
        return time.time() - entry.stat().st_mtime > KEPT_SECONDS
    except FileNotFoundError:
        return False
