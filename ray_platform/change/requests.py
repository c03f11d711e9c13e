"""What a change asks of the pull request or issue that it comes from; `pull_requests` answers."""

from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from typing import Protocol

from ray_platform.drift.incidents.incident_store import Board
from ray_platform.records.records_store import PlanRecord
from ray_platform.session.environment_session import EnvironmentSession


class ApplyRequest(Protocol):
    """The pull request of an apply, read again at that moment. One object serves one apply."""

    def approvals(self, session: EnvironmentSession, record: PlanRecord) -> tuple[str, ...]:
        """Who approves the plan now.

        Raises:
            Refused: the plan may not be applied now; `NotApproved` and `StalePlan` among them.
        """

    def begin(self, session: EnvironmentSession, record: PlanRecord) -> None:
        """Hold the environment for the pull request, right before anything changes.

        Raises:
            Refused: another pull request holds it.
        """

    def applied(
        self,
        session: EnvironmentSession,
        record: PlanRecord,
        infra_version: str,
        outputs: Mapping[str, str],
    ) -> None:
        """Record that the plan was applied."""


class RemovalRequest(Protocol):
    """The issue that asks for an environment's removal, and where its open incidents are posted."""

    def outcome_noted(
        self, session: EnvironmentSession
    ) -> AbstractContextManager[Callable[[str], None]]:
        """Record the outcome: what is said to the yielded function, or why it failed."""

    def approvals(self, session: EnvironmentSession, record: PlanRecord) -> tuple[str, ...]:
        """Who approves the removal now. Raises `NotApproved` or `StalePlan`."""

    def board(self, session: EnvironmentSession, progress: Callable[[str], None]) -> Board | None:
        """Where incidents are posted; None where they are recorded alone."""
