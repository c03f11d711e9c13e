"""Pull requests of one environment in its artifact store: what was planned, what failed, whose turn it is.

::

    pull_requests/ENV/OWNER/NAME/NUMBER.json    the latest plan's report; why its latest run failed
    queue/ENV.json                              who holds the environment; up to where the branch is applied

Each is one small file, replaced whole. Runs of one environment that write it hold the environment's lock.
"""

from dataclasses import asdict, dataclass, replace

from ray_platform.clients.artifacts import Artifacts
from ray_platform.core.pull_request.model import PullRef
from ray_platform.core.pull_request.queue import Queue
from ray_platform.core.pull_request.report import PlanReport


@dataclass(frozen=True)
class Failure:
    """Why a run failed. ``refused``: nothing was broken, a gate said no."""

    run_id: str
    said: str
    refused: bool


@dataclass(frozen=True)
class Standing:
    """What is known of a pull request in an environment."""

    report: PlanReport | None = None
    failure: Failure | None = None


class PullRequestRecords:
    """The pull requests of one environment."""

    def __init__(self, artifacts: Artifacts, environment: str) -> None:
        self._artifacts = artifacts
        self._environment = environment

    def standing(self, pull: PullRef) -> Standing:
        found = self._artifacts.read(self._key(pull)) or {}
        report, failure = found.get("report"), found.get("failure")
        return Standing(
            PlanReport.from_json(report) if report else None,
            Failure(**failure) if failure else None,
        )

    def planned(self, pull: PullRef, report: PlanReport) -> PlanReport:
        """Keep a new plan's report; it counts as shown if nothing that an approval binds to changed."""
        before = self.standing(pull).report
        if before is not None and before.same_as(report):
            report = replace(report, shown_at=before.shown_at, outcome=before.outcome)
        self._write(pull, Standing(report))
        return report

    def shown(self, pull: PullRef, report: PlanReport, at: str) -> None:
        """Note that a report's plan stands in our comment; another plan's report is left alone."""
        now = self.standing(pull)
        if now.report is not None and now.report.same_as(report):
            self._write(pull, replace(now, report=now.report.shown(at)))

    def update(self, pull: PullRef, report: PlanReport) -> None:
        """Replace the report; a failure told before is over."""
        self._write(pull, Standing(report))

    def failed(self, pull: PullRef, failure: Failure) -> None:
        self._write(pull, replace(self.standing(pull), failure=failure))

    def queue(self) -> Queue:
        found = self._artifacts.read(self._queue)
        return Queue.from_json(found) if found else Queue()

    def save_queue(self, queue: Queue) -> None:
        self._artifacts.write(self._queue, queue.to_json())

    @property
    def _queue(self) -> str:
        return f"queue/{self._environment}.json"

    def _write(self, pull: PullRef, standing: Standing) -> None:
        self._artifacts.write(
            self._key(pull),
            {
                "report": standing.report.to_json() if standing.report else None,
                "failure": asdict(standing.failure) if standing.failure else None,
            },
        )

    def _key(self, pull: PullRef) -> str:
        return f"pull_requests/{self._environment}/{pull.repository}/{pull.number}.json"
