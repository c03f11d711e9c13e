"""What Terraform itself sees in HCL files: their blocks and the functions that they call.

Terraform says of each block and each function that it does not know where it is. So files with made-up names
show what it reads of them, many files in one call.
"""

import json
import re
import shutil
import subprocess
import tempfile
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ray_platform.hcl.hcl_blocks import Body, read_configuration
from ray_platform.hcl.hcl_tokens import Unreadable
from tests.support.hcl_texts import MadeFile, Maker

_BLOCK = re.compile(r'Blocks of type "([^"]+)" are not expected here')
_FUNCTION = re.compile(r'There is no function named "([^"]+)"')
#: What Terraform says of a file that it could read, whose content means nothing to it.
_OF_CONTENT = frozenset({"Unsupported block type", "Unsupported argument"})


def read_by_us(file: MadeFile) -> Body | None:
    """What the guard reads; None where it refuses."""
    try:
        return read_configuration(file.text)
    except Unreadable:
        return None


def functions_by_us(body: Body) -> set[str]:
    """The names of the functions that the guard sees called."""
    values = [argument.value for argument in body.arguments.values()]
    values += [value for block in body.blocks for value in block.body.expressions()]
    return {node.name for value in values for node in value.walk() if node.kind == "call"}


@dataclass
class Tally:
    """What came of comparing; ``missed`` holds the files in which Terraform sees more than the guard."""

    files: int = 0
    read_by_both: int = 0
    refused_by_both: int = 0
    refused_by_us_alone: int = 0
    read_by_us_alone: int = 0
    functions: int = 0
    missed: list[str] = field(default_factory=list)

    def __str__(self) -> str:
        return (
            f"{self.files} files: {self.read_by_both} read by both, {self.refused_by_both} by neither, "
            f"{self.refused_by_us_alone} by Terraform alone, {self.read_by_us_alone} by the guard alone; "
            f"{self.functions} calls seen by Terraform; {len(self.missed)} files with something missed"
        )


def compare(maker: Maker, count: int, tally: Tally) -> None:
    """Make ``count`` files of blocks and as many of expressions, and compare what is read of them."""
    files = [maker.file() for _ in range(count)]
    seen = blocks_by_terraform(files)
    for file in files:
        ours, theirs = read_by_us(file), seen[file.number]
        tally.files += 1
        if ours is None or theirs is None:
            tally.refused_by_both += ours is None and theirs is None
            tally.refused_by_us_alone += ours is None and theirs is not None
            tally.read_by_us_alone += ours is not None and theirs is None
            continue
        tally.read_by_both += 1
        if not theirs <= {block.kind for block in ours.blocks}:
            tally.missed.append(file.text)
    _compare_calls([maker.locals() for _ in range(count)], tally)


def _compare_calls(files: list[MadeFile], tally: Tally) -> None:
    known: dict[int, set[str]] = {}
    readable = []
    for file in files:
        body = read_by_us(file)
        tally.files += 1
        # Only what is one block of ordinary names: else Terraform stops before it looks at functions.
        if body is None or [block.kind for block in body.blocks] != ["locals"]:
            tally.refused_by_both += 1
            continue
        names = body.blocks[0].body.arguments
        if body.blocks[0].body.blocks or not all(
            re.fullmatch(rf"l{file.number}_\d+", name) for name in names
        ):
            tally.refused_by_both += 1
            continue
        known[file.number] = functions_by_us(body)
        readable.append(file)
    seen = functions_by_terraform(readable)
    tally.read_by_both += len(readable)
    for file in readable:
        tally.functions += len(seen[file.number])
        if not seen[file.number] <= known[file.number]:
            tally.missed.append(file.text)


def blocks_by_terraform(files: Iterable[MadeFile]) -> Mapping[int, set[str] | None]:
    """By a file's number the top blocks that Terraform sees in it; None where it cannot read the file."""
    seen: dict[int, set[str] | None] = {}
    said = _validate(files)
    for file in files:
        of_file = said[file.number]
        if any(item["summary"] not in _OF_CONTENT for item in of_file):
            seen[file.number] = None
        else:
            found = (_BLOCK.search(item["detail"]) for item in of_file)
            seen[file.number] = {match[1] for match in found if match}
    return seen


def functions_by_terraform(files: Iterable[MadeFile]) -> Mapping[int, set[str]]:
    """By a file's number the unknown functions that Terraform comes across in it.

    The files hold nothing but ``locals`` of different names: a single mistake of another kind, and Terraform
    evaluates nothing.
    """
    said = _validate(files)
    return {
        file.number: {
            match[1] for item in said[file.number] if (match := _FUNCTION.search(item["detail"]))
        }
        for file in files
    }


def _validate(files: Iterable[MadeFile]) -> Mapping[int, list[dict[str, Any]]]:
    said: dict[int, list[dict[str, Any]]] = defaultdict(list)
    with tempfile.TemporaryDirectory(prefix="hcl-judge-") as folder:
        for file in files:
            # Bytes, so that no line end is changed.
            (Path(folder) / f"f{file.number}.tf").write_bytes(file.text.encode())
        done = subprocess.run(
            [shutil.which("terraform") or "terraform", "validate", "-json", "-no-color"],
            cwd=folder,
            capture_output=True,
            text=True,
            timeout=300,
            env={"PATH": "/usr/local/bin:/usr/bin:/bin", "HOME": folder, "CHECKPOINT_DISABLE": "1"},
            check=False,
        )
    for item in json.loads(done.stdout)["diagnostics"]:
        place = item.get("range", {}).get("filename", "")
        if match := re.fullmatch(r"f(\d+)\.tf", place):
            said[int(match[1])].append({"detail": "", **item})
    return said
