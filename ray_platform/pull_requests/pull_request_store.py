"""Pull requests of one environment in its artifact store: what was planned, what failed, whose turn it is.

::

    pull_requests/ENV/OWNER/NAME/NUMBER.json    the latest plan's report; why its latest run failed
    pull_requests/ENV/OWNER/NAME/merged_since.json    since when merged pull requests may wait
    queue/ENV.json                              who holds the environment; up to where the branch is applied

Each is one small file, replaced whole by compare-and-swap: the sensor writes beside the environment's runs.
"""

import json
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any

from ray_platform.config.repository import Repository
from ray_platform.github.model import PullRef
from ray_platform.pull_requests.queue import Queue
from ray_platform.pull_requests.report import PlanReport
from ray_platform.store.artifact_store import Artifacts
from ray_platform.text.canonical import canonical_json
from ray_platform.text.errors import ArtifactError


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


#: Two processes write it at once at the most; each time one of them gets on.
_TRIES = 20


class PullRequestRecords:
    """The pull requests of one environment."""

    def __init__(self, artifacts: Artifacts, environment: str) -> None:
        self._artifacts = artifacts
        self._environment = environment

    def standing(self, pull: PullRef) -> Standing:
        return _standing(self._artifacts.read(self._key(pull)))

    def planned(self, pull: PullRef, report: PlanReport) -> PlanReport:
        """Keep a new plan's report; it counts as shown if nothing that an approval binds to changed."""

        def change(now: Standing) -> Standing:
            before = now.report
            if before is None or not before.same_as(report):
                return Standing(report)
            return Standing(replace(report, shown_at=before.shown_at, outcome=before.outcome))

        return self._change(pull, change).report or report

    def shown(self, pull: PullRef, report: PlanReport, at: str) -> None:
        """Note that a report's plan stands in our comment; another plan's report is left alone."""

        def change(now: Standing) -> Standing:
            if now.report is None or not now.report.same_as(report):
                return now
            return replace(now, report=now.report.shown(at))

        self._change(pull, change)

    def update(self, pull: PullRef, report: PlanReport) -> None:
        """Replace the report; a failure told before is over."""
        self._change(pull, lambda _: Standing(report))

    def failed(self, pull: PullRef, failure: Failure) -> None:
        self._change(pull, lambda now: replace(now, failure=failure))

    def queue(self) -> Queue:
        return _read_queue(self._artifacts.read(self._queue))

    def change_queue(self, change: Callable[[Queue], Queue]) -> None:
        """Replace the queue by what becomes of it.

        Args:
            change: Is asked again where somebody else was quicker; what it raises leaves the queue alone.
        """
        self._swap(self._queue, lambda found: change(_read_queue(found)).to_json())

    def merged_since(self, repository: Repository) -> str:
        """The time at or after which all merged pull requests that wait were merged; empty: never watched.

        Raises:
            ArtifactError: the store cannot be read, or the record has no such time.
        """
        key = self._merged_since(repository)
        found = self._artifacts.read(key)
        if found is None:
            return ""
        at = found.get("at") if isinstance(found, Mapping) else None
        if not isinstance(at, str) or not at:
            raise ArtifactError(
                "the record of merged pull requests holds no time",
                where=self._artifacts.store.url(key),
                fix="restore the object's earlier version",
            )
        return at

    def note_merged_since(self, repository: Repository, at: str) -> None:
        """Move that time forward; it never goes back."""

        def change(found: Mapping[str, Any] | None) -> dict[str, Any]:
            return {"at": max(at, str((found or {}).get("at", "")))}

        self._swap(self._merged_since(repository), change)

    @property
    def _queue(self) -> str:
        return f"queue/{self._environment}.json"

    def _change(self, pull: PullRef, change: Callable[[Standing], Standing]) -> Standing:
        return _standing(
            self._swap(self._key(pull), lambda found: _standing_json(change(_standing(found))))
        )

    def _swap(
        self, key: str, change: Callable[[Mapping[str, Any] | None], dict[str, Any]]
    ) -> dict[str, Any]:
        store = self._artifacts.store
        for _ in range(_TRIES):
            found = store.get_versioned(key)
            before, version = (json.loads(found[0]), found[1]) if found else (None, None)
            wanted = change(before)
            content = canonical_json(wanted)
            if found and found[0] == content:
                return wanted
            if store.replace(key, content, version) is not None:
                return wanted
        raise ArtifactError(
            f"others changed it {_TRIES} times while it was to be changed",
            where=store.url(key),
            fix="run it again",
        )

    def _merged_since(self, repository: Repository) -> str:
        return f"pull_requests/{self._environment}/{repository}/merged_since.json"

    def _key(self, pull: PullRef) -> str:
        return f"pull_requests/{self._environment}/{pull.repository}/{pull.number}.json"


def _standing(found: Mapping[str, Any] | None) -> Standing:
    report, failure = (found or {}).get("report"), (found or {}).get("failure")
    return Standing(
        PlanReport.from_json(report) if report else None, Failure(**failure) if failure else None
    )


def _standing_json(standing: Standing) -> dict[str, Any]:
    return {
        "report": standing.report.to_json() if standing.report else None,
        "failure": asdict(standing.failure) if standing.failure else None,
    }


def _read_queue(found: Mapping[str, Any] | None) -> Queue:
    return Queue.from_json(found) if found else Queue()
