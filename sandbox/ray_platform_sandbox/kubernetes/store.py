"""The objects of the API with their versions and events; what owns them is collected with them."""

import copy
import datetime
import uuid
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from ray_platform_sandbox.kubernetes.failures import expired
from ray_platform_sandbox.kubernetes.journal import Journal, Key

#: How many events a watch may lie behind before it must list again.
HISTORY = 5000
ADDED, MODIFIED, DELETED = "ADDED", "MODIFIED", "DELETED"
NAMESPACES = ("", "namespaces")
_KEPT = ("uid", "creationTimestamp", "generation", "deletionTimestamp")


@dataclass(frozen=True)
class Event:
    """One change. ``before`` is what the object was, for watches that select by its content."""

    version: int
    key: Key
    type: str
    content: Mapping[str, Any]
    before: Mapping[str, Any] | None


def now() -> str:
    return datetime.datetime.now(datetime.UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


class Store:
    """Every object by its key. A stored object is never changed in place.

    Args:
        journal: Where the objects are kept.
        changed: Called after each change, once it is kept.
    """

    def __init__(self, journal: Journal, changed: Callable[[Event], None]) -> None:
        self._journal = journal
        self._changed = changed
        self.version, self._objects = journal.load()
        self.events: deque[Event] = deque(maxlen=HISTORY)
        self._oldest = self.version
        #: Whether an object is collected at once whose owners are gone when it is made. A replay of one
        #: controller's writes leaves it out: the owners that other controllers made are not in it.
        self.collects_late = True

    def get(self, key: Key) -> Mapping[str, Any] | None:
        return self._objects.get(key)

    def of(self, group: str, plural: str, namespace: str = "") -> Iterator[Mapping[str, Any]]:
        """The objects of a collection, in one namespace or all, by namespace and name."""
        for key in sorted(self._objects):
            if key[:2] == (group, plural) and namespace in ("", key[2]):
                yield self._objects[key]

    def since(self, version: int) -> list[Event]:
        """The events after a resource version.

        Raises:
            ApiFailure: some of them are known no more (410).
        """
        oldest = self.events[0].version - 1 if len(self.events) == HISTORY else self._oldest
        if version < oldest:
            raise expired(oldest)
        found: list[Event] = []
        for event in reversed(self.events):
            if event.version <= version:
                break
            found.append(event)
        return found[::-1]

    def put(self, key: Key, content: dict[str, Any], *, of_spec: bool = True) -> Mapping[str, Any]:
        """Store an object; the one that stands already is answered when nothing differs.

        Args:
            key: The object's key.
            content: The whole object; its metadata is completed.
            of_spec: Whether the write may change more than status, and so the generation.
        """
        old = self._objects.get(key)
        metadata = content.setdefault("metadata", {})
        if old is None:
            metadata.update(uid=str(uuid.uuid4()), generation=1, creationTimestamp=now())
        else:
            for field in _KEPT:
                metadata.pop(field, None)
                if field in old["metadata"]:
                    metadata[field] = old["metadata"][field]
            metadata["resourceVersion"] = old["metadata"]["resourceVersion"]
            if _without_times(content) == _without_times(old):
                return old
            if of_spec and _desired(content) != _desired(old):
                metadata["generation"] = old["metadata"].get("generation", 1) + 1
            if metadata.get("deletionTimestamp") and not metadata.get("finalizers"):
                return self._remove(key, content)
        self._objects[key] = content
        written = self._emit(ADDED if old is None else MODIFIED, key, content, old)
        if old is None and self.collects_late and self._owners_are_gone(content):
            # The garbage collector also takes what was made after its owner went.
            self.delete(key)
        return written

    def _owners_are_gone(self, content: Mapping[str, Any]) -> bool:
        """Whether an object names owners of which none exists (any more)."""
        owners = {owner.get("uid") for owner in content["metadata"].get("ownerReferences") or []}
        if not owners:
            return False
        return not any(other["metadata"]["uid"] in owners for other in self._objects.values())

    def restore(self, key: Key, content: dict[str, Any]) -> None:
        """Store an object as it was elsewhere, with the uid and the generation that it had there."""
        self._objects[key] = content
        self._emit(ADDED, key, content, None)

    def delete(self, key: Key, *, orphan: bool = False) -> Mapping[str, Any]:
        """Delete an object with what it owns; one with finalizers is only marked.

        Args:
            key: The object's key; it exists.
            orphan: Leave what it owns, without its owner.
        """
        old = self._objects[key]
        if old["metadata"].get("finalizers"):
            if old["metadata"].get("deletionTimestamp"):
                return old
            marked = copy.deepcopy(dict(old))
            marked["metadata"]["deletionTimestamp"] = now()
            if "generation" in marked["metadata"]:
                marked["metadata"]["generation"] += 1  # as a real API server counts it
            self._objects[key] = marked
            return self._emit(MODIFIED, key, marked, old)
        return self._remove(key, dict(old), orphan=orphan)

    def _remove(self, key: Key, last: dict[str, Any], *, orphan: bool = False) -> Mapping[str, Any]:
        old = self._objects.pop(key)
        uid = old["metadata"]["uid"]
        for other, content in list(self._objects.items()):
            if other not in self._objects:
                continue  # went with something else meanwhile
            owners = content["metadata"].get("ownerReferences") or []
            if key[:2] == NAMESPACES and other[2] == key[3]:
                self.delete(other)
            elif any(owner.get("uid") == uid for owner in owners):
                left = [owner for owner in owners if owner.get("uid") != uid]
                if left or orphan:
                    freed = copy.deepcopy(dict(content))
                    freed["metadata"]["ownerReferences"] = left
                    self.put(other, freed)
                else:
                    self.delete(other)
        gone = copy.deepcopy(last)
        return self._emit(DELETED, key, gone, old)

    def _emit(
        self, kind: str, key: Key, content: dict[str, Any], before: Mapping[str, Any] | None
    ) -> Mapping[str, Any]:
        self.version += 1
        content["metadata"]["resourceVersion"] = str(self.version)
        self._journal.append(self.version, key, None if kind == DELETED else content)
        if self._journal.is_long:
            self._journal.fold(self.version, self._objects)
        event = Event(self.version, key, kind, content, before)
        self.events.append(event)
        self._changed(event)
        return content


def _desired(content: Mapping[str, Any]) -> dict[str, Any]:
    apart = ("status", "metadata", "apiVersion", "kind")
    return {key: value for key, value in content.items() if key not in apart}


def _without_times(content: Mapping[str, Any]) -> dict[str, Any]:
    """An object without the times of its managers, which alone make no new version."""
    metadata = dict(content["metadata"])
    metadata["managedFields"] = [
        {key: value for key, value in entry.items() if key != "time"}
        for entry in metadata.get("managedFields") or []
    ]
    return {**content, "metadata": metadata}
