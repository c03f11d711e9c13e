"""One spelling for each value, so that equal content has equal digests."""

import hashlib
import json
from collections.abc import Iterable
from typing import Any

DIGEST_CHARS = 64
SHORT_CHARS = 12


def canonical_json(value: Any) -> bytes:
    """UTF-8 JSON with sorted keys and no spaces.

    Raises:
        ValueError: for NaN and infinities, which JSON cannot spell.
        TypeError: for a value that JSON cannot hold.
    """
    return json.dumps(
        value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False
    ).encode()


def digest(value: Any) -> str:
    """Hex SHA-256 of the canonical JSON of ``value``."""
    return hashlib.sha256(canonical_json(value)).hexdigest()


def digest_bytes(content: bytes) -> str:
    """Hex SHA-256 of ``content``."""
    return hashlib.sha256(content).hexdigest()


def digest_files(files: Iterable[tuple[str, bytes]]) -> str:
    """Hex SHA-256 over (relative path, content) pairs, whatever their order.

    Each path is hashed together with its content's own digest, so that moving bytes from one file to
    another changes the result.
    """
    return digest(sorted((path, digest_bytes(content)) for path, content in files))


def short(full_digest: str) -> str:
    """The first 12 characters: what people read. Look-ups accept any unique prefix."""
    return full_digest[:SHORT_CHARS]
