"""The rules, evaluated by a pinned ``opa`` binary: one process for each question, plans of any size unsplit.

OPA is given the texts whose digest names the bundle, not the folder that they were read from, and an
empty environment: no rule reads a secret through ``opa.runtime``.
"""

import json
import re
import subprocess
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ray_platform.text.errors import SettingsError, ToolError

#: Seconds that a question may take; 10,000 resources take about one.
TIMEOUT = 120
#: The first version that reads `rego.v1` as it is.
OLDEST = (1, 0, 0)
SETTING = "RAY_PLATFORM_OPA"
_EVAL = ("eval", "--format=json", "--strict-builtin-errors", "--stdin-input", "--data")
_VERSION = re.compile(r"^Version:\s*v?(\d+)\.(\d+)\.(\d+)", re.MULTILINE)


class OpaProcess:
    """Rego by the ``opa`` command.

    Args:
        binary: The program, as `SETTING` names it.
        modules: File name -> text of each rule file.
        data: The JSON of the root document.
    """

    def __init__(self, binary: str, modules: Mapping[str, str], data: str) -> None:
        self.binary, self._modules, self._data = binary, modules, data
        self._version: tuple[int, ...] | None = None

    @property
    def takes_whole_plans(self) -> bool:
        """OPA stops no query for its number of steps."""
        return True

    def version(self) -> tuple[int, ...]:
        """The binary's version.

        Raises:
            SettingsError: it is not OPA, or older than `OLDEST`.
        """
        if self._version is None:
            done = self._run(["version"], given="")
            found = _VERSION.search(done.stdout)
            version = tuple(int(part) for part in found.groups()) if found else ()
            if version < OLDEST:
                raise SettingsError(
                    f"{self.binary} is not OPA {OLDEST[0]}.{OLDEST[1]} or newer",
                    where=SETTING,
                    fix="name an opa binary of version 1, or unset it: the library judges then",
                )
            self._version = version
        return self._version

    def answers(self, asked: Mapping[str, Any], entries: Sequence[str]) -> list[Any]:
        """The value of each entry (``terraform/findings``), in order.

        Raises:
            SettingsError: there is no such binary, or the rules have an error.
            ToolError: it did not answer in time.
        """
        self.version()
        query = f"[{', '.join('data.' + entry.replace('/', '.') for entry in entries)}]"
        with tempfile.TemporaryDirectory(prefix="ray-platform-opa-") as folder:
            for name, text in {**self._modules, "data.json": self._data}.items():
                path = Path(folder) / name
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_text(text, encoding="utf-8")
            done = self._run(
                # A function that is handed the wrong type refuses the plan; it makes no rule undefined.
                [*_EVAL, folder, query],
                given=json.dumps(asked),
            )
        return self._read(done, entries)

    def _read(self, done: "subprocess.CompletedProcess[str]", entries: Sequence[str]) -> list[Any]:
        try:
            answer = json.loads(done.stdout)
        except ValueError as error:
            said = " ".join((done.stderr or done.stdout).split())[:300]
            raise self._refused(f"{self.binary} ended with {done.returncode}: {said}") from error
        if errors := answer.get("errors"):
            place = errors[0].get("location") or {}
            line = f" ({place['file'].split('/')[-1]}:{place.get('row')})" if place else ""
            raise self._refused(f"{errors[0].get('message')}{line}")
        results = answer.get("result") or []
        if done.returncode != 0 or not results:
            raise self._refused(f"one of {', '.join(entries)} is undefined")
        values: list[Any] = results[0]["expressions"][0]["value"]
        return values

    def _run(self, arguments: Sequence[str], given: str) -> "subprocess.CompletedProcess[str]":
        try:
            return subprocess.run(
                [self.binary, *arguments],
                input=given,
                capture_output=True,
                text=True,
                timeout=TIMEOUT,
                check=False,
                env={},
            )
        except OSError as error:
            raise SettingsError(
                f"opa cannot be started: {error.strerror}",
                where=f"{SETTING}={self.binary}",
                fix=f"name an opa binary in {SETTING}, or unset it: the library judges then",
            ) from error
        except subprocess.TimeoutExpired as error:
            raise ToolError(
                f"opa did not answer within {TIMEOUT} s",
                where=f"{SETTING}={self.binary}",
                fix="run it again; when it stays, look for a rule that compares all resources with all",
            ) from error

    def _refused(self, reason: str) -> SettingsError:
        return SettingsError(
            f"the policies give no answer: {reason}",
            where="policies",
            fix="fix the rules; `opa check policies` or tests/policies find the line",
        )
