"""The git program: called without the user's configuration, its answers as text."""

import re
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path

from ray_platform.config.settings import child_environment
from ray_platform.text.errors import LocalServiceError

#: `git merge-tree --write-tree` came with 2.38.
OLDEST_GIT = (2, 38)
_TIMEOUT_SECONDS = 120


class GitStoreError(Exception):
    """A git call failed; what it said."""


def run_git(
    folder: Path | None,
    *words: str | Path,
    stdin: str | None = None,
    env: Mapping[str, str] | None = None,
) -> str:
    """What a git call prints.

    Raises:
        GitStoreError: it failed.
    """
    done = call_git(folder, words, stdin, env)
    if done.returncode != 0:
        raise GitStoreError(f"git {words[0]}: {done.stderr.strip()}")
    return done.stdout


def git_environment() -> dict[str, str]:
    """Nothing of the user's own Git configuration or credentials reaches the server's git."""
    ours = child_environment()
    return {
        **{name: ours[name] for name in ("PATH", "TMPDIR") if name in ours},
        "LC_ALL": "C.UTF-8",
        "HOME": "/nonexistent",
        "GIT_CONFIG_NOSYSTEM": "1",
        "GIT_CONFIG_GLOBAL": "/dev/null",
        "GIT_TERMINAL_PROMPT": "0",
        # Repositories of other owners may be named as a source, and any commit of them.
        "GIT_CONFIG_COUNT": "2",
        "GIT_CONFIG_KEY_0": "safe.directory",
        "GIT_CONFIG_VALUE_0": "*",
        "GIT_CONFIG_KEY_1": "uploadpack.allowAnySHA1InWant",
        "GIT_CONFIG_VALUE_1": "true",
    }


def require_git() -> None:
    """Raises:
    LocalServiceError: git is missing or too old.
    """
    try:
        said = run_git(None, "version")
    except FileNotFoundError as error:
        raise LocalServiceError("git is not installed", fix="install git") from error
    found = re.search(r"(\d+)\.(\d+)", said)
    if not found or (int(found[1]), int(found[2])) < OLDEST_GIT:
        raise LocalServiceError(
            f"the local GitHub server merges with {'.'.join(map(str, OLDEST_GIT))} or newer of git; "
            f"this is {said.strip()}",
            fix="install a newer git",
        )


def call_git(
    folder: Path | None,
    words: Sequence[str | Path],
    stdin: str | None = None,
    env: Mapping[str, str] | None = None,
) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        ["git", *(["--git-dir", str(folder)] if folder else []), *map(str, words)],
        input=stdin,
        stdin=subprocess.DEVNULL if stdin is None else None,
        capture_output=True,
        text=True,
        errors="replace",
        env={**git_environment(), **(env or {})},
        timeout=_TIMEOUT_SECONDS,
        check=False,
    )
