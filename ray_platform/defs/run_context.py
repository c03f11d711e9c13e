"""What every stage does first and last: find its session, and tell a failure in one message."""

import traceback
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Protocol

import dagster as dg

from ray_platform.config.partitions import (
    ASKED_BY_TAG,
    COMMIT_TAG,
    DESPITE_LIVE_RUNS_TAG,
    RAY_UPGRADE_TAG,
)
from ray_platform.config.settings import load_settings
from ray_platform.config.upgrade_wish import UpgradeWish
from ray_platform.pull_requests.connection import session_of, unreadable_noted
from ray_platform.pull_requests.reporting import failure_noted
from ray_platform.session.environment_session import EnvironmentSession
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
def stage(context: RunContext) -> Iterator[EnvironmentSession]:
    """The session that a run works on: its partition's environment, at its commit tag or the working tree.

    Raises:
        dg.Failure: in place of a `PlatformError`, with its message, and its exit code as metadata.
    """
    try:
        settings, tags = load_settings(), context.run.tags
        name = environment_of(context.partition_key)
        with unreadable_noted(settings, name, tags, context.run.run_id):
            session = session_of(settings, name, tags, commit=tags.get(COMMIT_TAG))(
                asked_by=tags.get(ASKED_BY_TAG, "the Dagster UI or API"),
                run_id=context.run.run_id,
                instance=context.instance,
                despite_live_runs=tags.get(DESPITE_LIVE_RUNS_TAG) == "true",
                ray_upgrade=(
                    UpgradeWish.from_tag(tags[RAY_UPGRADE_TAG]) if RAY_UPGRADE_TAG in tags else None
                ),
            )
        with failure_noted(session):
            yield session
    except PlatformError as error:
        raise _failure(error) from _safe(error)
    except Exception as error:
        if type(error).__module__.startswith("botocore"):
            told = ToolError(
                f"AWS does not answer as it should: {error}",
                where=environment_of(context.partition_key),
                fix="see that the credentials are valid and that the role may do this",
            )
            raise _failure(told) from _safe(error)
        if _safe(error) is None:
            raise _failure(
                PlatformError(
                    f"{type(error).__name__}: {error}",
                    where=environment_of(context.partition_key),
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
        metadata={
            "what": error.what,
            "where": error.where,
            "what to do": error.fix,
            "exit_code": error.exit_code,
            "error": type(error).__name__,
        },
        allow_retries=False,
    )
