"""What pull requests and issues say to a change, read at the moment of the change."""

from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager

from ray_platform.change.requests import ApplyRequest, RemovalRequest
from ray_platform.config.repository import Repository
from ray_platform.config.settings import Settings
from ray_platform.drift.incidents.incident_store import Board
from ray_platform.github.model import PullRef
from ray_platform.pull_requests.connection import connect
from ray_platform.pull_requests.gate import (
    Connection,
    Decided,
    require_decided,
    take_the_environment,
)
from ray_platform.pull_requests.removals.removals import outcome_noted, require_removal_approved
from ray_platform.pull_requests.reporting import note_applied
from ray_platform.records.records_store import PlanRecord
from ray_platform.session.environment_session import EnvironmentSession

#: How the pull requests of a repository are reached.
Reach = Callable[[Settings, Repository], Connection]


class PullRequestNow(ApplyRequest):
    """The pull request of one apply, decided again on facts that are read when it is asked."""

    def __init__(self, reach: Reach = connect) -> None:
        self._reach = reach
        self._decided: Decided | None = None

    def approvals(self, session: EnvironmentSession, record: PlanRecord) -> tuple[str, ...]:
        pull = PullRef.parse(record.pull_request)
        connection = self._reach(session.current_settings, pull.repository)
        self._decided = require_decided(session, record, connection)
        return self._decided.approvals

    def begin(self, session: EnvironmentSession, record: PlanRecord) -> None:
        take_the_environment(session, record, self._decided)

    def applied(
        self,
        session: EnvironmentSession,
        record: PlanRecord,
        infra_version: str,
        outputs: Mapping[str, str],
    ) -> None:
        note_applied(session, record, infra_version, dict(outputs))


class RemovalIssueNow(RemovalRequest):
    """The issue that asks for a removal.

    Args:
        board: Makes the board of an environment's incidents; None where it has none.
    """

    def __init__(
        self,
        board: Callable[[EnvironmentSession, Callable[[str], None]], Board | None],
    ) -> None:
        self._board = board

    def outcome_noted(
        self, session: EnvironmentSession
    ) -> AbstractContextManager[Callable[[str], None]]:
        return outcome_noted(session)

    def approvals(self, session: EnvironmentSession, record: PlanRecord) -> tuple[str, ...]:
        return require_removal_approved(session, record)

    def board(self, session: EnvironmentSession, progress: Callable[[str], None]) -> Board | None:
        return self._board(session, progress)
