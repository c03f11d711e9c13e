"""All that stands in a Terraform folder, as bytes: nothing in it is followed, run or interpreted."""

import os
import stat
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from ray_platform.policy.configuration_rules import MOST_BYTES_OF_FILE, MOST_FILES
from ray_platform.text.errors import SettingsError

#: Folders that are deeper below the root count as one entry of no kind that is read.
DEEPEST_FOLDER = 32


@dataclass(frozen=True)
class TreeEntry:
    """One entry of a folder.

    Args:
        kind: ``file``, ``link`` or ``special`` (a device, a socket, a pipe; a folder that is too deep).
        executable: Somebody may run it.
        size: In bytes.
        content: The bytes; None where it is no file, or larger than `MOST_BYTES_OF_FILE`.
    """

    kind: str
    executable: bool
    size: int
    content: bytes | None


def read_tree(root: Path) -> Mapping[str, TreeEntry]:
    """Every entry below a folder but the folders themselves, by its path, one more than `MOST_FILES` at most.

    Raises:
        SettingsError: there is no such folder, or it cannot be read.
    """
    if not root.is_dir():
        raise SettingsError(
            "there is no such folder", where=str(root), fix="name a Terraform folder"
        )
    found: dict[str, TreeEntry] = {}
    try:
        for path, entry in _entries(root, ""):
            found[path] = entry
            if len(found) > MOST_FILES:
                break
    except OSError as error:
        raise SettingsError(
            f"the folder cannot be read: {error.strerror}",
            where=str(error.filename or root),
            fix="give the user of this process the right to read it",
        ) from error
    return found


def _entries(folder: Path, prefix: str) -> Iterator[tuple[str, TreeEntry]]:
    with os.scandir(folder) as scanned:
        listed = sorted(scanned, key=lambda entry: entry.name)
    for entry in listed:
        path = f"{prefix}{entry.name}"
        if entry.is_dir(follow_symlinks=False):
            if path.count("/") >= DEEPEST_FOLDER:
                yield path, TreeEntry("special", False, 0, None)
                continue
            yield from _entries(Path(entry.path), f"{path}/")
        else:
            yield path, _entry(entry)


def _entry(entry: "os.DirEntry[str]") -> TreeEntry:
    status = entry.stat(follow_symlinks=False)
    if stat.S_ISLNK(status.st_mode):
        return TreeEntry("link", False, 0, None)
    if not stat.S_ISREG(status.st_mode):
        return TreeEntry("special", False, 0, None)
    whole = status.st_size <= MOST_BYTES_OF_FILE
    content = Path(entry.path).read_bytes() if whole else None
    return TreeEntry("file", bool(status.st_mode & 0o111), status.st_size, content)
