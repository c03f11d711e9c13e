"""What assets, checks and ops get as resources."""

from collections.abc import Iterator
from contextlib import contextmanager

import dagster as dg

from ray_platform.config.partitions import (
    ASKED_BY_TAG,
    COMMIT_TAG,
    DESPITE_LIVE_RUNS_TAG,
    RAY_UPGRADE_TAG,
)
from ray_platform.config.settings import load_settings
from ray_platform.config.upgrade_wish import UpgradeWish
from ray_platform.defs.run_context import RunContext, environment_of, failures_as_dagsters
from ray_platform.pull_requests.connection import session_of, unreadable_noted
from ray_platform.pull_requests.reporting import failure_noted
from ray_platform.session.environment_session import EnvironmentSession


class EnvironmentSessions(dg.ConfigurableResource):  # type: ignore[type-arg]
    """Opens the session of the environment that a run is about.

    The session has the run's commit, pull request, caller and wishes, which are its tags
    (`partitions.py`), and the adapters that the environment's file chooses.
    """

    #: Who is recorded as the caller of a run without the tag `ASKED_BY_TAG`.
    unnamed_caller: str = "the Dagster UI or API"

    @contextmanager
    def open(self, context: RunContext) -> Iterator[EnvironmentSession]:
        """The session of a run's partition, at its commit tag or the working tree.

        Args:
            context: Of an asset, a check or an op.

        Raises:
            dg.Failure: in place of a `PlatformError`, with its message and `FailureFacts`.
        """
        name, tags = environment_of(context.partition_key), context.run.tags
        with failures_as_dagsters(name):
            settings = load_settings()
            with unreadable_noted(settings, name, tags, context.run.run_id):
                session = session_of(settings, name, tags, commit=tags.get(COMMIT_TAG))(
                    asked_by=tags.get(ASKED_BY_TAG, self.unnamed_caller),
                    run_id=context.run.run_id,
                    instance=context.instance,
                    despite_live_runs=tags.get(DESPITE_LIVE_RUNS_TAG) == "true",
                    ray_upgrade=(
                        UpgradeWish.from_tag(tags[RAY_UPGRADE_TAG])
                        if RAY_UPGRADE_TAG in tags
                        else None
                    ),
                )
            with failure_noted(session):
                yield session
