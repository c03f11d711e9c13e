"""The API's state on disk: a snapshot, and a log of what was written since.

A write is in the log before it is answered, so that `kill -9` loses nothing that a client was told.
The log is folded into the snapshot when it grows: the snapshot is written beside and renamed, and
then the log begins afresh; a log that is older than its snapshot is harmless, since every line
carries its resource version.
"""

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

Key = tuple[str, str, str, str]
"""Group, plural, namespace, name."""

FOLD_BYTES = 8_000_000


class Journal:
    """The files of one API. One process writes to them."""

    def __init__(self, folder: Path) -> None:
        self._snapshot = folder / "objects.json"
        self._log = folder / "objects.log"
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        self._handle = -1
        self._size = 0

    def load(self) -> tuple[int, dict[Key, dict[str, Any]]]:
        """The last resource version and every object, as of the last write."""
        version, objects = 0, {}
        if self._snapshot.exists():
            snapshot = json.loads(self._snapshot.read_bytes())
            version = int(snapshot["version"])
            objects = {_key(o["key"]): o["object"] for o in snapshot["objects"]}
        for line in self._lines():
            if line["version"] > version:
                version = line["version"]
                if line["object"] is None:
                    objects.pop(_key(line["key"]), None)
                else:
                    objects[_key(line["key"])] = line["object"]
        # What a crash left of a half-written line must not be continued by the next one.
        self.fold(version, objects)
        return version, objects

    def _lines(self) -> list[dict[str, Any]]:
        found = []
        for text in self._log.read_bytes().split(b"\n") if self._log.exists() else ():
            try:
                found.append(json.loads(text))
            except ValueError:
                continue
        return found

    def append(self, version: int, key: Key, content: Mapping[str, Any] | None) -> None:
        """Keep one write; None: the object is gone."""
        line = json.dumps({"version": version, "key": key, "object": content}) + "\n"
        # One call, past Python's buffers: the kernel has all of it or none.
        self._size += os.write(self._handle, line.encode())

    @property
    def is_long(self) -> bool:
        return self._size > FOLD_BYTES

    def fold(self, version: int, objects: Mapping[Key, Mapping[str, Any]]) -> None:
        """Write the snapshot and begin the log afresh."""
        content = {
            "version": version,
            "objects": [{"key": key, "object": content} for key, content in objects.items()],
        }
        beside = self._snapshot.with_suffix(".new")
        beside.unlink(missing_ok=True)
        with os.fdopen(os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
            json.dump(content, file)
        beside.replace(self._snapshot)
        if self._handle >= 0:
            os.close(self._handle)
        flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_APPEND
        self._handle = os.open(self._log, flags, 0o600)
        self._size = 0


def _key(listed: Any) -> Key:
    group, plural, namespace, name = listed
    return group, plural, namespace, name
