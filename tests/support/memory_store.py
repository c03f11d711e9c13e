"""An artifact store in memory: the double of the real ones, held to them by tests/contract/store."""

from ray_platform.store.checked_keys import CheckedStore
from ray_platform.text.canonical import digest_bytes
from tests.support.fuse import Fuse


class MemoryStore(CheckedStore):
    """An artifact store of one process. ``items`` are its objects by key; ``fuse`` may end a write."""

    def __init__(self, items: dict[str, bytes], fuse: Fuse) -> None:
        self.items, self.fuse = items, fuse

    def _get(self, key: str) -> bytes | None:
        return self.items.get(key)

    def _put(self, key: str, content: bytes) -> None:
        self.fuse.burn()
        self.items[key] = content

    def _add(self, key: str, content: bytes) -> bool:
        self.fuse.burn()
        if key in self.items:
            return False
        self.items[key] = content
        return True

    def _get_versioned(self, key: str) -> tuple[bytes, str] | None:
        content = self.items.get(key)
        return None if content is None else (content, digest_bytes(content))

    def _replace(self, key: str, content: bytes, version: str | None) -> str | None:
        found = self._get_versioned(key)
        if (found[1] if found else None) != version:
            return None
        self._put(key, content)
        return digest_bytes(content)

    def _keys(self, prefix: str) -> list[str]:
        return sorted(key for key in self.items if key.startswith(f"{prefix}/"))

    def _remove(self, key: str) -> None:
        self.items.pop(key, None)

    def _url(self, key: str) -> str:
        return f"memory://{key}"
