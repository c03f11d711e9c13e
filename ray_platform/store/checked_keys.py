"""The keys of an artifact store, and the base of each store, which refuses what is none.

Parts of keys come from outside: names of files that a training job sends back, of repositories, of resources.
A key that leads out of its folder would let a job overwrite another environment's approvals. So each store
checks each key by itself, and none relies on its callers.
"""

from abc import ABC, abstractmethod

from ray_platform.text.errors import ArtifactError


def check_key(key: str) -> str:
    """The key, as it came.

    Raises:
        ArtifactError: it has a part that is empty (so it is absolute, or ends with a slash), ``.`` or ``..``,
            a backslash or a NUL; or its last part begins with a dot, as the folder store's own files do.
    """
    if check_prefix(key).rsplit("/", 1)[-1].startswith("."):
        raise _no_key(key, "its last part begins with a dot")
    return key


def check_prefix(prefix: str) -> str:
    """The beginning of keys up to a slash, without the slash; refused as a key is."""
    parts = prefix.split("/")
    for found, why in (
        ("\0" in prefix, "it has a NUL"),
        ("\\" in prefix, "it has a backslash"),
        ("" in parts, "it has an empty part"),
        (not {".", ".."}.isdisjoint(parts), "it has a part . or .."),
    ):
        if found:
            raise _no_key(prefix, why)
    return prefix


def _no_key(key: str, why: str) -> ArtifactError:
    return ArtifactError(
        f"the artifact store has no key {key!r}: {why}",
        where=repr(key),
        fix="name it by plain parts, such as runs/0123/metrics.json; "
        "if a run named the file, correct the name in its code",
    )


class CheckedStore(ABC):
    """An artifact store: bytes under keys such as ``plans/dev/0123/record.json``.

    Each method raises ArtifactError for what is no key, and where the store cannot be read or written.
    """

    def get(self, key: str) -> bytes | None:
        """The content; None where nothing is stored."""
        return self._get(check_key(key))

    def put(self, key: str, content: bytes) -> None:
        """Store it whole, in place of what is there."""
        self._put(check_key(key), content)

    def add(self, key: str, content: bytes) -> bool:
        """Store it only where nothing is stored yet; whether it was. Of two at once one wins."""
        return self._add(check_key(key), content)

    def get_versioned(self, key: str) -> tuple[bytes, str] | None:
        """The content and what names this version of it, for `replace`; None where nothing is stored."""
        return self._get_versioned(check_key(key))

    def replace(self, key: str, content: bytes, version: str | None) -> str | None:
        """Store it only in place of that version (None: of nothing); the new version, None if it was not.

        Of two at once one wins. A content must not come again under a key, or its version does too. None
        may also be said of a write that was done, when its first answer was lost on the way: read it
        again to know.
        """
        return self._replace(check_key(key), content, version)

    def keys(self, prefix: str) -> list[str]:
        """The keys below a prefix of whole parts, sorted."""
        return self._keys(check_prefix(prefix))

    def remove(self, key: str) -> None:
        """Nothing is left under the key, whether or not anything was."""
        self._remove(check_key(key))

    def url(self, key: str) -> str:
        """Where the key is stored, for people; of an empty key, where the store is."""
        return self._url(check_key(key) if key else "")

    @abstractmethod
    def _get(self, key: str) -> bytes | None: ...

    @abstractmethod
    def _put(self, key: str, content: bytes) -> None: ...

    @abstractmethod
    def _add(self, key: str, content: bytes) -> bool: ...

    @abstractmethod
    def _get_versioned(self, key: str) -> tuple[bytes, str] | None: ...

    @abstractmethod
    def _replace(self, key: str, content: bytes, version: str | None) -> str | None: ...

    @abstractmethod
    def _keys(self, prefix: str) -> list[str]: ...

    @abstractmethod
    def _remove(self, key: str) -> None: ...

    @abstractmethod
    def _url(self, key: str) -> str: ...
