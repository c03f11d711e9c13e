"""What the pull-request sensor remembers from one tick to the next, in Dagster's own storage.

A sensor's cursor would be copied into every tick's record: with hundreds of open pull requests the event
log would grow by hundreds of megabytes a day. Dagster's key-value table holds one value a key, and the
command reads the same one as the daemon.
"""

import json
from typing import Any

from dagster import DagsterInstance


class TickMemory:
    """One JSON value under a key of its own."""

    def __init__(self, instance: DagsterInstance, key: str) -> None:
        self._storage = instance.daemon_cursor_storage
        self._key = f"ray_platform/{key}"
        self._text = ""

    def read(self) -> Any:
        """The value, or None."""
        self._text = self._storage.get_cursor_values({self._key}).get(self._key, "")
        return json.loads(self._text) if self._text else None

    def write(self, value: Any) -> None:
        """Keep a value; one that has not changed is not written."""
        text = json.dumps(value, sort_keys=True, separators=(",", ":"))
        if text != self._text:
            self._storage.set_cursor_values({self._key: text})
            self._text = text
