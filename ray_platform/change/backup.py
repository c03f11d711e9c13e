"""A copy of all that an environment's records say, made before its removal.

::

    backups/ENV/DATE-serial-N/state.tfstate    the state, with its secrets
    backups/ENV/DATE-serial-N/records.tar.gz   the records under their own keys
    backups/ENV/DATE-serial-N/index.json       each key with its digest; written last: a backup is whole

The records: plans (without the saved plan files, which fit no state any more), approvals, what was applied,
outputs, infra versions with what their digests stand for, usage, estimates, incidents, pull requests, audit.
"""

import io
import json
import tarfile
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from ray_platform.session.environment_session import EnvironmentSession
from ray_platform.text.canonical import canonical_json, digest_bytes
from ray_platform.text.errors import ArtifactError

#: What lies below the environment's own name, each a prefix ``KIND/ENV``.
_KINDS = (
    "plans",
    "approvals",
    "environments",
    "audit",
    "estimates",
    "alerts",
    "usage",
    "incidents",
    "drift",
    "pull_requests",
    "removals",
)
#: Objects read at a time: a store on S3 answers each in some hundredths of a second.
_READERS = 16


@dataclass(frozen=True)
class Backup:
    """Where a backup lies: its folder's key, the addresses of state and records, how many records."""

    folder: str
    state: str
    records: str
    count: int


def back_up(session: EnvironmentSession, state: bytes, serial: int) -> Backup:
    """Copy state and records of an environment, read the copies back, and say where they are.

    Args:
        session: The environment.
        state: The state file's bytes.
        serial: The state's serial, which the backup's name holds.

    Raises:
        ArtifactError: the store cannot be read or written, or does not give back what was written.
    """
    store = session.artifacts.store
    stamp = datetime.now(UTC).strftime("%Y-%m-%dT%H-%M-%SZ")
    folder = f"backups/{session.name}/{stamp}-serial-{serial}"
    _put(session, f"{folder}/state.tfstate", state)
    found = _records(session)
    _put(session, f"{folder}/records.tar.gz", _packed(found))
    index = {
        "environment": session.name,
        "made_at": stamp,
        "state": digest_bytes(state),
        "records": {key: digest_bytes(content) for key, content in found},
    }
    _put(session, f"{folder}/index.json", canonical_json(index))
    return Backup(
        folder=folder,
        state=store.url(f"{folder}/state.tfstate"),
        records=store.url(f"{folder}/records.tar.gz"),
        count=len(found),
    )


def _records(session: EnvironmentSession) -> list[tuple[str, bytes]]:
    """(key, content) of every record of the environment, by key."""
    store = session.artifacts.store
    own = [
        key
        for kind in _KINDS
        for key in store.keys(f"{kind}/{session.name}")
        if not key.endswith("/plan.tfplan")
    ]
    with ThreadPoolExecutor(_READERS) as readers:
        found = _read(session, own, readers)
        named: set[str] = set()
        for key, content in _read(session, store.keys("manifests"), readers):
            manifest = json.loads(content)
            if manifest["environment"] == session.name:
                found.append((key, content))
                named |= _contents(manifest)
        found += _read(session, sorted(named), readers)
    return sorted(found)


def _read(
    session: EnvironmentSession, keys: Sequence[str], readers: ThreadPoolExecutor
) -> list[tuple[str, bytes]]:
    # A record may go meanwhile: the usage ledger joins its files.
    contents = readers.map(session.artifacts.store.get, keys)
    return [(key, content) for key, content in zip(keys, contents, strict=True) if content]


def _contents(manifest: Mapping[str, Any]) -> set[str]:
    """The keys of what a manifest's digests stand for."""
    names = {f"modules/{name}.json" for name in manifest["modules"].values()}
    names.add(f"variables/{manifest['variables_digest']}.json")
    if manifest["ray"]:
        names.add(f"values/{manifest['ray']['values_digest']}.json")
    return names


def _packed(found: Iterable[tuple[str, bytes]]) -> bytes:
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w:gz") as archive:
        for key, content in found:
            entry = tarfile.TarInfo(key)
            entry.size = len(content)
            entry.mode = 0o600
            archive.addfile(entry, io.BytesIO(content))
    return packed.getvalue()


def _put(session: EnvironmentSession, key: str, content: bytes) -> None:
    store = session.artifacts.store
    store.put(key, content)
    if store.get(key) != content:
        raise ArtifactError(
            "the store does not give back the backup that was written",
            where=store.url(key),
            fix="check the disk or the bucket; nothing was removed",
        )
