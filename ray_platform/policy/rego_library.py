"""The rules, evaluated in this process by rego-cpp (regopy): what judges where there is no ``opa`` binary.

rego-cpp stops a query that takes too many steps, so that a large plan is asked in parts.
"""

import functools
import json
import re
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ray_platform.text.errors import SettingsError


class RegoLibrary:
    """Rego by regopy.

    Args:
        root: The folder that the rules were read from, for error messages.
        modules: File name -> text of each rule file.
        data: The JSON of the root document.
        entries: Everything that is ever asked.
    """

    def __init__(
        self, root: Path, modules: Mapping[str, str], data: str, entries: Sequence[str]
    ) -> None:
        self._root, self._modules, self._data, self._entries = root, modules, data, entries
        # One interpreter holds one input at a time.
        self._lock = threading.Lock()

    @property
    def takes_whole_plans(self) -> bool:
        """A query that takes too many steps is stopped."""
        return False

    def interpreter(self, extra: Mapping[str, str] | None = None) -> Any:
        """A new `regopy.Interpreter`: the rules, their data and ``extra`` modules (name -> text).

        Raises:
            SettingsError: a policy file has an error; ``where`` names file and line.
        """
        import regopy

        interpreter = regopy.Interpreter()
        # rego-cpp prints errors on stdout by itself, in the middle of `--json`.
        interpreter.log_level = regopy.LogLevel.NONE
        for name, text in {**self._modules, **(extra or {})}.items():
            try:
                interpreter.add_module(name, text)
            except regopy.RegoError as error:
                raise _syntax_error(self._root, text, name, str(error)) from error
        interpreter.add_data_json(self._data)
        return interpreter

    @functools.cached_property
    def _compiled(self) -> tuple[Any, Any]:
        """The rules, compiled once: compiling takes 70 ms, a query of what is compiled 1 ms."""
        import regopy

        interpreter = self.interpreter()
        try:
            bundle = interpreter.build(None, self._entries)
        except regopy.RegoError as error:
            raise undecided(self._root, str(error)) from error
        if not bundle.ok():
            raise undecided(self._root, "they do not compile")
        return interpreter, bundle

    def answers(self, asked: Mapping[str, Any], entries: Sequence[str]) -> list[Any]:
        """The value of each entry (``terraform/findings``), in order.

        Raises:
            SettingsError: one is undefined, or a policy file has an error.
        """
        import regopy

        with self._lock:
            interpreter, bundle = self._compiled
            interpreter.set_input(escaped(asked))
            answers = []
            for entry in entries:
                try:
                    output = interpreter.query_bundle_entrypoint(bundle, entry)
                except (regopy.RegoError, json.JSONDecodeError) as error:
                    # regopy parses whatever rego-cpp answers, also its own error nodes.
                    raise undecided(self._root, f"{entry}: {error}") from error
                # str() of an output that is not ok crashes the process: only ok() is asked.
                if not (output.ok() and output.results and output.results[0].expressions):
                    raise undecided(self._root, f"{entry} is undefined")
                answers.append(output.results[0].expressions[0])
        return answers


def undecided(root: Path, reason: str) -> SettingsError:
    """The error of rules that answer nothing; nothing is allowed by it."""
    return SettingsError(
        f"the policies give no answer: {' '.join(reason.split())[:300]}",
        where=str(root),
        fix="fix the rules; `opa check policies` or tests/policies find the line",
    )


def escaped(value: Any) -> Any:
    """Text as rego-cpp holds it: escaped as in JSON, or ``this["gpu"]`` breaks its output."""
    if isinstance(value, str):
        return json.dumps(value, ensure_ascii=False)[1:-1]
    if isinstance(value, Mapping):
        return {escaped(key): escaped(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [escaped(item) for item in value]
    return value


#: rego-cpp tells a place as LENGTH:FILE|OFFSET|LENGTH and a text as errormsg LENGTH:TEXT.
_PLACE = re.compile(r"\(error \d+:(?P<file>[^|]+)\|(?P<offset>\d+)\|\d+")
_MESSAGE = re.compile(r"errormsg \d+:(?P<text>[^\n]*?)\)?$", re.MULTILINE)


def _syntax_error(root: Path, text: str, name: str, report: str) -> SettingsError:
    place, message = _PLACE.search(report), _MESSAGE.search(report)
    where = str(root / name)
    if place:
        # The offset counts bytes.
        line = text.encode()[: int(place["offset"])].count(b"\n") + 1
        where = f"{where}:{line}"
    what = message["text"] if message else " ".join(report.split())[:200]
    return SettingsError(f"a policy file has an error: {what}", where=where, fix="mend the line")
