"""Terraform's lock on a state in S3: the object beside it that says who works on it."""

import json
from dataclasses import dataclass
from typing import Any

from ray_platform.text.errors import StateError
from ray_platform.terraform.state_lock import StateLock

SUFFIX = ".tflock"


@dataclass(frozen=True)
class FoundLock:
    """A lock that lies beside a state, and what names this very object."""

    lock: StateLock
    version: str


def read_lock(s3: Any, bucket: str, key: str) -> FoundLock | None:
    """The lock on the state at that key; None where nobody holds one.

    Raises:
        StateError: S3 refuses or cannot be reached, or the object is no lock.
    """
    try:
        answer = s3.get_object(Bucket=bucket, Key=key + SUFFIX)
        content = answer["Body"].read()
    except Exception as error:
        if _code(error) in ("NoSuchKey", "NoSuchBucket"):
            return None
        raise _told(error, bucket, key) from error
    try:
        return FoundLock(StateLock.from_json(json.loads(content)), answer["ETag"])
    except ValueError as error:
        raise StateError(
            f"the lock on the Terraform state is not one: {error}",
            where=f"s3://{bucket}/{key}{SUFFIX}",
            fix="see who wrote it; remove the object once you know that nobody works on the state",
        ) from error


def free_lock(s3: Any, bucket: str, key: str, found: FoundLock) -> bool:
    """Remove that very lock, and none that came in its place meanwhile; whether it was there.

    Raises:
        StateError: S3 refuses, or cannot be reached.
    """
    try:
        s3.delete_object(Bucket=bucket, Key=key + SUFFIX, IfMatch=found.version)
    except Exception as error:
        if _code(error) in ("PreconditionFailed", "ConditionalRequestConflict", "NoSuchKey"):
            return False
        raise _told(error, bucket, key) from error
    return True


def _code(error: Exception) -> str:
    return str(getattr(error, "response", {}).get("Error", {}).get("Code", ""))


def _told(error: Exception, bucket: str, key: str) -> StateError:
    return StateError(
        f"the lock on the Terraform state cannot be read or freed: {error}",
        where=f"s3://{bucket}/{key}{SUFFIX}",
        fix="check the network, and that this role may get and delete objects there",
    )
