"""The audit log of an environment in the artifact store: append-only, one object a record.

::

    audit/ENV/0000000001.json   a record; never written twice
    audit/ENV/head.json         number and digest of the last one

Two writers cannot take the same number: a record is added only where there is none. A process killed
between a record and the head leaves a head that lags; the next append goes on after the last record.
"""

import json
from collections.abc import Mapping
from typing import Any

from ray_platform.records.audit import GENESIS, AuditEvent, AuditRecord, Fault, faults, read_record
from ray_platform.store.artifact_store import Artifacts
from ray_platform.text.canonical import canonical_json
from ray_platform.text.errors import ArtifactError


class AuditLog:
    """The decisions about one environment."""

    def __init__(self, artifacts: Artifacts, environment: str) -> None:
        self.artifacts = artifacts
        self.environment = environment
        self._folder = f"audit/{environment}"

    def append(self, event: AuditEvent) -> AuditRecord:
        """Add an event behind the last record.

        Raises:
            ArtifactError: the store cannot be written, or the last record is damaged.
        """
        head = self._head()
        sequence, previous = head or (0, GENESIS)
        while True:
            while (value := self.artifacts.read(self._key(sequence + 1))) is not None:
                sequence += 1
                previous = self._record(value, sequence).digest
            record = AuditRecord(sequence + 1, previous, event)
            if self.artifacts.store.add(
                self._key(record.sequence), canonical_json(record.to_json())
            ):
                break
        self.artifacts.write(
            f"{self._folder}/head.json", {"sequence": record.sequence, "digest": record.digest}
        )
        return record

    def records(self) -> tuple[AuditRecord, ...]:
        """Every record, the oldest first.

        Raises:
            ArtifactError: one cannot be read; `verify` names it.
        """
        return tuple(self._record(value, number) for number, value in self._stored())

    def latest(self, limit: int) -> tuple[AuditRecord, ...]:
        """The last records, the newest first; no other is read.

        Raises:
            ArtifactError: one of them cannot be read.
        """
        numbers = self._numbers()[::-1][:limit]
        return tuple(self._record(self._value(number), number) for number in numbers)

    def verify(self) -> tuple[int, tuple[Fault, ...]]:
        """(How many records there are, what is wrong with the chain)."""
        stored = self._stored()
        return len(stored), faults(stored, self._head())

    def _stored(self) -> list[tuple[int, Mapping[str, Any] | None]]:
        return [(number, self._value(number)) for number in self._numbers()]

    def _numbers(self) -> list[int]:
        keys = self.artifacts.store.keys(self._folder)
        names = (key.rsplit("/", 1)[-1].removesuffix(".json") for key in keys)
        return sorted(int(name) for name in names if name.isdigit())

    def _value(self, number: int) -> Mapping[str, Any] | None:
        try:
            value = json.loads(self.artifacts.store.get(self._key(number)) or b"")
        except ValueError:
            return None
        return value if isinstance(value, dict) else None

    def _head(self) -> tuple[int, str] | None:
        value = self.artifacts.read(f"{self._folder}/head.json")
        return (int(value["sequence"]), str(value["digest"])) if value else None

    def _record(self, value: Mapping[str, Any] | None, number: int) -> AuditRecord:
        try:
            return read_record(value or {})
        except ValueError as error:
            raise ArtifactError(
                f"audit record {number} of {self.environment} cannot be read: {error}",
                where=self.artifacts.store.url(self._key(number)),
                fix=f"restore the object's first version, then "
                f"`ray-platform audit verify --env {self.environment}`",
            ) from error

    def _key(self, sequence: int) -> str:
        return f"{self._folder}/{sequence:010d}.json"
