"""What asset, check and op contexts have in common, and a failure of theirs in one message."""

import traceback
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Protocol

import dagster as dg

from ray_platform.store.failure_facts import FailureFacts
from ray_platform.text.errors import PlatformError, ToolError
from ray_platform.text.redaction import redact_text


class _Run(Protocol):
    @property
    def run_id(self) -> str: ...

    @property
    def tags(self) -> Mapping[str, str]: ...


class RunContext(Protocol):
    """What asset and check contexts have in common."""

    @property
    def run(self) -> _Run: ...

    @property
    def partition_key(self) -> str: ...

    @property
    def instance(self) -> dg.DagsterInstance: ...


def environment_of(partition_key: str) -> str:
    """The environment of a partition: the key itself, or its part of a day x environment key."""
    if isinstance(partition_key, dg.MultiPartitionKey):
        return partition_key.keys_by_dimension["environment"]
    return partition_key


@contextmanager
def failures_as_dagsters(environment: str) -> Iterator[None]:
    """Raise what goes wrong inside as Dagster's failure, in one message without secrets.

    Args:
        environment: Where it happens, for errors that do not say so themselves.

    Raises:
        dg.Failure: in place of a `PlatformError`, with its message and `FailureFacts`.
    """
    try:
        yield
    except PlatformError as error:
        raise _failure(error) from _safe(error)
    except Exception as error:
        if type(error).__module__.startswith("botocore"):
            told = ToolError(
                f"AWS does not answer as it should: {error}",
                where=environment,
                fix="see that the credentials are valid and that the role may do this",
            )
            raise _failure(told) from _safe(error)
        if _safe(error) is None:
            raise _failure(
                PlatformError(
                    f"{type(error).__name__}: {error}",
                    where=environment,
                    fix="this is a failure that the platform does not know: its traceback quotes a secret "
                    "and is left out; report it",
                )
            ) from None
        raise


def _safe(error: BaseException) -> BaseException | None:
    """The error as a cause that Dagster may store; None where it or a cause of its own quotes a secret."""
    link: BaseException | None = error
    while link is not None:
        said = "".join(traceback.format_exception_only(link))
        if redact_text(said) != said:
            return None
        link = link.__cause__ or link.__context__
    return error


def _failure(error: PlatformError) -> dg.Failure:
    return dg.Failure(
        description=str(error),
        metadata=FailureFacts.of(error).to_metadata(),
        allow_retries=False,
    )
