"""A folder that is written as a whole: readers see the old content or the new, never a mixture."""

import fcntl
import os
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from ray_platform.text.errors import SettingsError


def read_folder(folder: Path) -> dict[str, bytes]:
    """Path -> content of every file below a folder; empty where there is none.

    Raises:
        SettingsError: it is no folder, or cannot be read.
    """
    if not folder.exists():
        return {}
    if not folder.is_dir() or folder.is_symlink():
        raise SettingsError(
            "that is no folder", where=str(folder), fix="name a folder that is new or empty"
        )
    try:
        return {
            path.relative_to(folder).as_posix(): path.read_bytes()
            for path in sorted(folder.rglob("*"))
            if not path.is_dir()
        }
    except OSError as error:
        raise SettingsError(
            f"the folder cannot be read: {error}", where=str(folder), fix="see to its rights"
        ) from error


@contextmanager
def held(folder: Path) -> Iterator[None]:
    """Keep other writers of the same folder out; freed with this process.

    Raises:
        SettingsError: the folder above cannot be made or read.
    """
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        above = os.open(folder.parent, os.O_RDONLY)
    except OSError as error:
        raise SettingsError(
            f"the folder above cannot be used: {error}",
            where=str(folder.parent),
            fix="name a folder that this user may write",
        ) from error
    try:
        fcntl.flock(above, fcntl.LOCK_EX)
        yield
    finally:
        os.close(above)


def replace_folder(folder: Path, files: Mapping[str, str]) -> None:
    """Write a folder anew: beside the old one, then by two renames.

    A process that ends between the two leaves no folder, and the old one beside it; the next call makes
    it whole. What an earlier call left beside is removed.

    Raises:
        SettingsError: it cannot be written.
    """
    new, old = (folder.with_name(f".{folder.name}.ray-platform-{word}") for word in ("new", "old"))
    try:
        shutil.rmtree(new, ignore_errors=True)
        for path, text in files.items():
            target = new / path
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_text(text, encoding="utf-8", newline="\n")
        shutil.rmtree(old, ignore_errors=True)
        if folder.exists():
            folder.rename(old)
        new.rename(folder)
        shutil.rmtree(old, ignore_errors=True)
    except OSError as error:
        raise SettingsError(
            f"the export cannot be written: {error}",
            where=str(folder),
            fix="name a folder that this user may write, on a disk with room",
        ) from error
