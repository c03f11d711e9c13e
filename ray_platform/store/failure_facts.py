"""A stage's failure as Dagster stores it, for the command and the sensor that report it."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Self

from ray_platform.store.typed_facts import Facts
from ray_platform.text.errors import PlatformError


@dataclass(frozen=True)
class FailureFacts(Facts):
    """What a `PlatformError` says. ``error`` is its class name, ``exit_code`` that of the command."""

    SUBJECT: ClassVar[str] = "a failure"
    FIRST_KEYS: ClassVar[Mapping[str, str]] = {
        "what": "what",
        "where": "where",
        "fix": "what to do",
        "exit_code": "exit_code",
        "error": "error",
    }

    what: str
    where: str
    fix: str
    exit_code: int
    error: str

    @classmethod
    def of(cls, error: PlatformError) -> Self:
        return cls(error.what, error.where, error.fix, error.exit_code, type(error).__name__)

    @classmethod
    def found_in(cls, metadata: Mapping[str, Any], *, where: str) -> Self | None:
        """The facts of a failed step; None where the failure is not of a stage, and so has none.

        Raises:
            FactsError: they cannot be read.
        """
        return cls.from_metadata(metadata, where=where) if cls.are_in(metadata) else None
