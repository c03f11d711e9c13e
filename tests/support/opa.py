"""Real OPA as a test tool: the judge of the rules, and a stand-in for the ``opa`` command.

The wheel of ``opa-golib-python-bindings`` carries OPA's own Go library as a shared object. It asks for
Python 3.14, which this project does not run on, so it is in no lock file: it is fetched once, by its hash,
beside the installed dependencies, and its library is loaded by ctypes.

Run as ``python -m tests.support.opa eval ...`` it answers what ``opa eval`` answers, for the arguments that
`ray_platform.policy.opa_process` gives; `command` writes a program that does.
"""

import ctypes
import functools
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
VERSION = "0.4.4"
#: OPA's own version in that wheel.
OPA_VERSION = "1.20.0"
REQUIREMENT = (
    f"opa-golib-python-bindings=={VERSION} "
    "--hash=sha256:d411c901e14b8c7c3023e23e4a944f4cf429c1d31baf80e959e57d11efbfd24a\n"
)
FOLDER = Path(sys.prefix) / ".published" / f"opa-golib-{VERSION}"
LIBRARY = FOLDER / "opa_bindings" / "libopabridge.so"


class Undefined(Exception):
    """The document that was asked for has no value."""


def missing() -> str:
    """Why real OPA cannot be had here, or an empty text; fetches it where it is not there yet."""
    if sys.platform != "linux" or os.uname().machine != "x86_64":
        return "OPA's library is published for Linux on x86-64 alone"
    try:
        fetch()
    except (OSError, subprocess.SubprocessError) as error:
        return f"opa-golib-python-bindings {VERSION} cannot be fetched: {error}"
    return ""


def fetch() -> Path:
    """The library; written beside and renamed, so that it is whole or absent.

    Raises:
        OSError: there is no uv.
        subprocess.SubprocessError: the registry does not answer, or the file is not what was pinned.
    """
    if LIBRARY.exists():
        return LIBRARY
    FOLDER.parent.mkdir(exist_ok=True)
    uv = ROOT / ".venv-tools" / "bin" / "uv"
    with tempfile.TemporaryDirectory(dir=FOLDER.parent) as folder:
        wanted = Path(folder) / "requirements.txt"
        wanted.write_text(REQUIREMENT)
        place = Path(folder) / "content"
        subprocess.run(
            [
                str(uv) if uv.exists() else "uv",
                "pip",
                "install",
                "--quiet",
                "--target",
                str(place),
                "--python-version",
                "3.14",
                "--python-platform",
                "x86_64-manylinux_2_34",
                "--no-deps",
                "--only-binary",
                ":all:",
                "--require-hashes",
                "-r",
                str(wanted),
            ],
            check=True,
            capture_output=True,
            timeout=300,
        )
        if not LIBRARY.exists():
            place.replace(FOLDER)
    return LIBRARY


@functools.cache
def _library() -> ctypes.CDLL:
    library = ctypes.CDLL(str(fetch()))
    library.OpaNew.restype = ctypes.c_uint64
    library.OpaFreeString.argtypes = [ctypes.c_void_p]
    for name in ("OpaAddPolicy", "OpaAddData"):
        getattr(library, name).restype = ctypes.c_void_p
        getattr(library, name).argtypes = [ctypes.c_uint64, ctypes.c_char_p, ctypes.c_char_p]
    library.OpaEvalQuery.restype = ctypes.c_void_p
    library.OpaEvalQuery.argtypes = [
        ctypes.c_uint64,
        ctypes.c_char_p,
        ctypes.c_char_p,
        ctypes.c_int,
        ctypes.c_int,
    ]
    return library


class Opa:
    """OPA with some modules and one data document.

    Args:
        modules: Rego by file name.
        data: The JSON of the root document.

    Raises:
        AssertionError: OPA refuses one; the message is OPA's.
    """

    def __init__(self, modules: Mapping[str, str], data: str) -> None:
        self._handle = _library().OpaNew()
        for name, text in modules.items():
            self._call("OpaAddPolicy", name.encode(), text.encode())
        self._call("OpaAddData", b"", data.encode())

    def query(self, query: str, given: str) -> Any:
        """The value of one expression for an input in JSON.

        Raises:
            Undefined: it has none.
            AssertionError: OPA refuses the query.
        """
        answer = self._call("OpaEvalQuery", query.encode(), given.encode(), 0, 0)
        results = answer.get("result") or []
        if not results:
            raise Undefined(query)
        return results[0]["expressions"][0]["value"]

    def _call(self, name: str, *arguments: Any) -> dict[str, Any]:
        pointer = getattr(_library(), name)(self._handle, *arguments)
        assert pointer, f"{name} answered nothing"
        try:
            answer: dict[str, Any] = json.loads(ctypes.string_at(pointer))
        finally:
            _library().OpaFreeString(pointer)
        assert not answer.get("error"), answer["error"]
        return answer


def command(folder: Path) -> Path:
    """A program in a folder that answers as ``opa`` does."""
    path = folder / "opa"
    path.write_text(f'#!/bin/sh\ncd {ROOT} && exec {sys.executable} -m tests.support.opa "$@"\n')
    path.chmod(0o755)
    return path


def main(arguments: list[str]) -> int:
    if arguments == ["version"]:
        print(f"Version: {OPA_VERSION}")
        return 0
    *options, query = arguments
    *fixed, place = options
    assert fixed == [
        "eval",
        "--format=json",
        "--strict-builtin-errors",
        "--stdin-input",
        "--data",
    ], fixed
    folder = Path(place)
    modules = {str(path): path.read_text() for path in folder.rglob("*.rego")}
    try:
        opa = Opa(modules, (folder / "data.json").read_text())
        value = opa.query(query, sys.stdin.read())
    except Undefined:
        print("{}")
        return 0
    except AssertionError as error:
        print(json.dumps({"errors": [{"message": str(error)}]}))
        return 2
    print(json.dumps({"result": [{"expressions": [{"value": value, "text": query}]}]}))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
