"""The artifact store: plans, manifests, module contents, run files; a folder or an S3 prefix.

Content that is named by its digest never changes and is checked when it is read. Everything else is a
small record that is replaced whole.
"""

import contextlib
import fcntl
import json
import os
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Protocol

from ray_platform.store.checked_keys import CheckedStore
from ray_platform.text.canonical import canonical_json, digest_bytes
from ray_platform.text.errors import ArtifactError, NotFoundError

#: S3's answers to a conditional write that lost; the second while another one is under way.
_LOST = ("PreconditionFailed", "ConditionalRequestConflict")


class Store(Protocol):
    """Where bytes lie under keys such as ``plans/dev/0123/record.json``."""

    def get(self, key: str) -> bytes | None: ...

    def put(self, key: str, content: bytes) -> None: ...

    def add(self, key: str, content: bytes) -> bool: ...

    def get_versioned(self, key: str) -> tuple[bytes, str] | None: ...

    def replace(self, key: str, content: bytes, version: str | None) -> str | None: ...

    def keys(self, prefix: str) -> list[str]: ...

    def remove(self, key: str) -> None: ...

    def url(self, key: str) -> str: ...


class FileStore(CheckedStore):
    """A folder; files are readable by their owner alone, since a saved plan holds every value."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def _get(self, key: str) -> bytes | None:
        try:
            return (self.folder / key).read_bytes()
        except (FileNotFoundError, NotADirectoryError, IsADirectoryError):
            return None  # other keys may lie below this one, or this one below another
        except OSError as error:
            raise _unreadable(self._url(key), error) from error

    def _put(self, key: str, content: bytes) -> None:
        with self._written(key, content) as (beside, path):
            beside.replace(path)

    def _add(self, key: str, content: bytes) -> bool:
        with self._written(key, content) as (beside, path):
            try:
                os.link(beside, path)
            except FileExistsError:
                return False
        return True

    def _get_versioned(self, key: str) -> tuple[bytes, str] | None:
        content = self._get(key)
        return None if content is None else (content, digest_bytes(content))

    def _replace(self, key: str, content: bytes, version: str | None) -> str | None:
        if version is None:
            return digest_bytes(content) if self._add(key, content) else None
        with self._written(key, content) as (beside, path), self._guarded(path):
            found = self._get_versioned(key)
            if found is None or found[1] != version:
                return None
            beside.replace(path)
        return digest_bytes(content)

    @contextlib.contextmanager
    def _guarded(self, path: Path) -> Iterator[None]:
        # The kernel frees it with its process, so that a process killed here keeps nobody out.
        with path.with_name(f".{path.name}.guard").open("ab") as guard:
            fcntl.flock(guard, fcntl.LOCK_EX)
            yield

    @contextlib.contextmanager
    def _written(self, key: str, content: bytes) -> Iterator[tuple[Path, Path]]:
        path = self.folder / key
        try:
            path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}-")
            beside = Path(name)
            try:
                with os.fdopen(handle, "wb") as file:
                    file.write(content)
                    file.flush()
                    os.fsync(file.fileno())
                yield beside, path
            finally:
                beside.unlink(missing_ok=True)
        except OSError as error:
            raise ArtifactError(
                f"the artifact store cannot be written: {error.strerror}",
                where=str(path),
                fix="free some disk space or mend the folder's rights, then run it again",
            ) from error

    def _keys(self, prefix: str) -> list[str]:
        start = self.folder / prefix
        if not start.is_dir():
            return []
        return sorted(
            str(path.relative_to(self.folder))
            for path in start.rglob("*")
            if path.is_file() and not path.name.startswith(".")
        )

    def _remove(self, key: str) -> None:
        try:
            (self.folder / key).unlink(missing_ok=True)
        except (NotADirectoryError, IsADirectoryError):
            return
        except OSError as error:
            raise ArtifactError(
                f"an artifact cannot be removed: {error.strerror}",
                where=self._url(key),
                fix="mend the folder's rights, then run it again",
            ) from error

    def _url(self, key: str) -> str:
        return str(self.folder / key)


class S3Store(CheckedStore):
    """A prefix in an S3 bucket, with the credentials of the environment (OIDC or IRSA, never keys)."""

    def __init__(self, bucket: str, prefix: str, client: Any) -> None:
        self.bucket = bucket
        self.prefix = prefix.strip("/")
        self.client = client

    def _get(self, key: str) -> bytes | None:
        found = self._get_versioned(key)
        return None if found is None else found[0]

    def _get_versioned(self, key: str) -> tuple[bytes, str] | None:
        try:
            answer = self.client.get_object(Bucket=self.bucket, Key=self._key(key))
            return answer["Body"].read(), answer["ETag"]
        except self.client.exceptions.NoSuchKey:
            return None
        except Exception as error:
            raise _unreadable(self._url(key), error) from error

    def _put(self, key: str, content: bytes) -> None:
        try:
            self.client.put_object(Bucket=self.bucket, Key=self._key(key), Body=content)
        except Exception as error:
            raise self._unwritable(key, error) from error

    def _add(self, key: str, content: bytes) -> bool:
        try:
            self.client.put_object(
                Bucket=self.bucket, Key=self._key(key), Body=content, IfNoneMatch="*"
            )
        except Exception as error:
            if _code(error) in _LOST:
                return False
            raise self._unwritable(key, error) from error
        return True

    def _replace(self, key: str, content: bytes, version: str | None) -> str | None:
        condition = {"IfNoneMatch": "*"} if version is None else {"IfMatch": version}
        try:
            answer = self.client.put_object(
                Bucket=self.bucket, Key=self._key(key), Body=content, **condition
            )
        except Exception as error:
            if _code(error) in (*_LOST, "NoSuchKey"):
                return None
            raise self._unwritable(key, error) from error
        return str(answer["ETag"])

    def _keys(self, prefix: str) -> list[str]:
        pages = self.client.get_paginator("list_objects_v2").paginate(
            Bucket=self.bucket, Prefix=self._key(prefix.rstrip("/") + "/")
        )
        cut = len(self.prefix) + 1 if self.prefix else 0
        try:
            return sorted(item["Key"][cut:] for page in pages for item in page.get("Contents", []))
        except Exception as error:
            raise _unreadable(self._url(prefix), error) from error

    def _remove(self, key: str) -> None:
        try:
            self.client.delete_object(Bucket=self.bucket, Key=self._key(key))
        except Exception as error:
            raise ArtifactError(
                f"an artifact cannot be removed: {error}",
                where=self._url(key),
                fix="see that this role may delete objects below usage/ in the bucket",
            ) from error

    def _url(self, key: str) -> str:
        return f"s3://{self.bucket}/{self._key(key)}"

    def _unwritable(self, key: str, error: Exception) -> ArtifactError:
        return ArtifactError(
            f"the artifact store cannot be written: {error}",
            where=self._url(key),
            fix="see that the bucket exists and that this role may put objects into it",
        )

    def _key(self, key: str) -> str:
        return f"{self.prefix}/{key}" if self.prefix else key


def open_store(url: str, region: str) -> Store:
    """The store at ``s3://BUCKET/PREFIX`` or in a folder, as its ``url("")`` names it."""
    if not url.startswith("s3://"):
        return FileStore(Path(url))
    import boto3

    bucket, _, prefix = url.removeprefix("s3://").partition("/")
    make: Any = boto3.client  # its typed overloads want the service as a literal
    return S3Store(bucket, prefix, make("s3", region_name=region))


class Artifacts:
    """The artifact store as the stages use it: JSON records, and content named by its digest."""

    def __init__(self, store: Store) -> None:
        self.store = store

    def read(self, key: str) -> Any | None:
        """A JSON record, or None when there is none.

        Raises:
            ArtifactError: unreadable, or not JSON.
        """
        content = self.store.get(key)
        if content is None:
            return None
        try:
            return json.loads(content)
        except ValueError as error:
            raise ArtifactError(
                "a record in the artifact store is not JSON",
                where=self.store.url(key),
                fix="restore the object's earlier version, or remove it and run the stage again",
            ) from error

    def write(self, key: str, value: Mapping[str, Any]) -> None:
        """Replace a JSON record whole."""
        self.store.put(key, canonical_json(value))

    def put_content(self, kind: str, value: Any) -> str:
        """Store a JSON value under the digest of its canonical form; return the digest."""
        content = canonical_json(value)
        name = digest_bytes(content)
        key = f"{kind}/{name}.json"
        if self.store.get(key) != content:
            self.store.put(key, content)
        return name

    def get_content(self, kind: str, name: str) -> Any:
        """A JSON value by the digest that it was stored under.

        Raises:
            NotFoundError: nothing is stored under it.
            ArtifactError: what is stored does not match its name.
        """
        key = f"{kind}/{name}.json"
        content = self.store.get(key)
        if content is None:
            raise NotFoundError(
                f"the artifact store holds no {kind} {name}", where=self.store.url(key)
            )
        if digest_bytes(content) != name:
            raise ArtifactError(
                "stored content does not match its digest: it was changed",
                where=self.store.url(key),
                fix="restore the object's first version",
            )
        return json.loads(content)


def _code(error: Exception) -> str:
    return str(getattr(error, "response", {}).get("Error", {}).get("Code", ""))


def _unreadable(url: str, error: Exception) -> ArtifactError:
    return ArtifactError(
        f"the artifact store cannot be read: {error}",
        where=url,
        fix="see that it exists and that this user or role may read it",
    )
