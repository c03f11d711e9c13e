"""A checkout of its own for tests that walk: committed, so that it can be changed and committed to."""

import json
import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
_IDENTITY = ["-c", "user.name=test", "-c", "user.email=test@example.invalid", "-c", "gc.auto=0"]


@dataclass(frozen=True)
class Done:
    """What a command came to."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        """Stdout as one JSON value; anything else there is an error."""
        try:
            return json.loads(self.out)
        except ValueError as error:
            raise AssertionError(f"stdout is no JSON:\n{self.out}\nstderr:\n{self.err}") from error


class Checkout:
    """A clone of this project with its own home and ports, and the command run in it."""

    def __init__(self, folder: Path, port_base: int) -> None:
        self.folder = folder
        self.home = folder / ".ray_platform"
        self.port_base = port_base
        self.variables = {
            **{
                k: v for k, v in os.environ.items() if not k.startswith(("RAY_", "DAGSTER", "AWS_"))
            },
            "RAY_PLATFORM_PORT_BASE": str(port_base),
            "PYTHONPATH": str(folder),
            "DAGSTER_DISABLE_TELEMETRY": "yes",
        }
        listed = self._run_git(ROOT, "ls-files", "-z", "--cached", "--others", "--exclude-standard")
        for name in listed.split("\0"):
            if name and (ROOT / name).is_file():
                (folder / name).parent.mkdir(parents=True, exist_ok=True)
                shutil.copy2(ROOT / name, folder / name)
        self._run_git(folder, "init", "--quiet", "--initial-branch=main")
        self.commit("The project as it stands")

    def commit(self, subject: str) -> str:
        self._run_git(self.folder, "add", "--all")
        self._run_git(self.folder, "commit", "--quiet", "--message", subject)
        return self.head()

    def head(self) -> str:
        return self._run_git(self.folder, "rev-parse", "HEAD").strip()

    def replace(self, path: str, old: str, new: str) -> None:
        """Edit a file; what is to be replaced must stand in it once."""
        file = self.folder / path
        text = file.read_text(encoding="utf-8")
        assert text.count(old) == 1, f"{path} holds {old!r} {text.count(old)} times"
        file.write_text(text.replace(old, new), encoding="utf-8")

    def run(self, *arguments: str, timeout: float = 600, **variables: str) -> Done:
        """``ray-platform ARGUMENTS`` in this checkout."""
        return self.python("-m", "ray_platform.cli", *arguments, timeout=timeout, **variables)

    def python(self, *arguments: str, timeout: float = 600, **variables: str) -> Done:
        done = subprocess.run(
            [sys.executable, *arguments],
            cwd=self.folder,
            env={**self.variables, **variables},
            capture_output=True,
            text=True,
            timeout=timeout,
            check=False,
        )
        return Done(done.returncode, done.stdout, done.stderr)

    def _run_git(self, folder: Path, *arguments: str) -> str:
        return subprocess.run(
            ["git", *_IDENTITY, "-C", str(folder), *arguments],
            capture_output=True,
            text=True,
            check=True,
        ).stdout


@dataclass(frozen=True)
class Walked:
    """A checkout that has gone up: the commit that it was at, and what `up` said."""

    checkout: Checkout
    commit: str
    answer: dict[str, Any]
