"""What is remembered of watched pull requests between two ticks; all of it can be found again.

Which merged ones still wait is found by `ray_platform.pull_requests.polling.resume`.
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from ray_platform.github.model import PullRequest, Review, Watermark


@dataclass(frozen=True)
class LastRun:
    """The run for a pull request in an environment that was started last, at ``created`` (epoch seconds)."""

    run_id: str
    kind: str
    status: str
    commit: str
    plan_digest: str = ""
    asked_for: str = ""
    created: float = 0


@dataclass
class Watched:
    """One pull request.

    ``touched`` are its environments in the order of promotion, for ``touched_head`` against ``touched_base``.
    ``behind`` and ``overtaken`` hold for ``seen_base``. ``told`` is the digest of what was told last, at
    ``told_at`` (epoch seconds). ``planned_as`` maps an environment to the commit that is planned there.
    ``tries`` holds for each environment the applies that were ever started, by run: ``PLAN ASKED_FOR``.
    ``settled`` is the digest of all that the last look rested on, where only something new can change what
    it came to; ``finished``: nothing is left to do or to tell.
    """

    pull: PullRequest
    reviews: tuple[Review, ...] = ()
    touched: tuple[str, ...] = ()
    touched_head: str = ""
    behind: int = 0
    seen_base: str = ""
    planned_as: dict[str, str] = field(default_factory=dict)
    runs: dict[str, LastRun] = field(default_factory=dict)
    tries: dict[str, dict[str, str]] = field(default_factory=dict)
    deployed: dict[str, str] = field(default_factory=dict)
    comment: int | None = None
    check: int | None = None
    check_head: str = ""
    told: str = ""
    told_at: float = 0
    settled: str = ""
    finished: bool = False

    @property
    def is_over(self) -> bool:
        """Whether it is closed and nothing is left to do or to tell."""
        return self.finished and not self.pull.is_open


@dataclass
class Memory:
    """All watched pull requests of a repository; ``looked_at``: when runs were looked at (epoch seconds).

    ``merged_since``: every merged one that waits was merged at or after it (ISO 8601, the forge's clock), as
    the environments' stores hold it too. Empty: not known, since nothing was remembered.

    ``teams`` holds the members of teams, as of ``teams_at``; ``told_issues`` the digest of what was told
    in the issues that ask for a removal, by number, which were looked for at ``issues_at``.
    """

    watermark: Watermark = field(default_factory=Watermark)
    merged_since: str = ""
    looked_at: float = 0
    teams: dict[str, list[str]] = field(default_factory=dict)
    teams_at: float = 0
    issues_at: float = 0
    told_issues: dict[str, str] = field(default_factory=dict)
    pulls: dict[int, Watched] = field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        return {
            "watermark": asdict(self.watermark),
            "merged_since": self.merged_since,
            "looked_at": self.looked_at,
            "teams": self.teams,
            "teams_at": self.teams_at,
            "issues_at": self.issues_at,
            "told_issues": self.told_issues,
            "pulls": {str(number): asdict(watched) for number, watched in self.pulls.items()},
        }

    @classmethod
    def from_json(cls, data: Mapping[str, Any] | None) -> "Memory":
        """What was remembered; nothing, where that has another shape (another version's).

        Nothing is lost by that: the next look finds the merged ones that wait again, and the open ones.
        """
        if not isinstance(data, Mapping):
            return cls()
        try:
            pulls = {int(number): _watched(item) for number, item in data["pulls"].items()}
            return cls(
                watermark=Watermark(**data["watermark"]),
                # The version before did not note it: it is found out as after a loss.
                merged_since=str(data.get("merged_since", "")),
                looked_at=float(data["looked_at"]),
                teams={name: list(people) for name, people in data["teams"].items()},
                teams_at=float(data["teams_at"]),
                issues_at=float(data["issues_at"]),
                told_issues={
                    str(number): str(said) for number, said in data["told_issues"].items()
                },
                pulls=pulls,
            )
        except (AttributeError, KeyError, TypeError, ValueError):
            return cls()


def _watched(item: Mapping[str, Any]) -> Watched:
    return Watched(
        **{
            **item,
            "pull": PullRequest(**item["pull"]),
            "reviews": tuple(Review(**review) for review in item["reviews"]),
            "touched": tuple(item["touched"]),
            "runs": {name: LastRun(**run) for name, run in item["runs"].items()},
        }
    )
