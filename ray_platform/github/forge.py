"""What the platform asks of a code forge, whoever answers: GitHub, or a stand-in of the tests."""

from typing import Protocol

from ray_platform.config.repository import Repository
from ray_platform.github.model import (
    Changes,
    CheckReport,
    Comment,
    DeploymentState,
    Issue,
    PullRequest,
    Review,
    Watermark,
)


class Forge(Protocol):
    """One repository on a code forge, as the platform's App sees it.

    Every call may raise ``ForgeError`` (it does not answer, or refuses) and ``RateLimited`` (with the
    seconds to wait), and never says a token in its message.
    """

    repository: Repository

    def changed(self, since: Watermark) -> Changes:
        """Pull requests of any state that changed after the watermark; one free call when none did."""
        ...

    def pull_request(self, number: int) -> PullRequest: ...

    def reviews(self, number: int) -> tuple[Review, ...]:
        """All submitted reviews, oldest first."""
        ...

    def members(self, team: str) -> frozenset[str]:
        """The logins of a team, given as ``ORGANISATION/TEAM``."""
        ...

    def may_write(self, login: str) -> bool:
        """Whether a person may push to the repository: what `Review.may_write` only hints at."""
        ...

    def comments(self, number: int) -> tuple[Comment, ...]:
        """The comments of a pull request or issue, oldest first."""
        ...

    def write_comment(self, number: int, marker: str, body: str, known: int | None) -> Comment:
        """The one comment that bears ``marker``: edited where it is, written where it is not.

        Args:
            number: The pull request's or issue's number.
            marker: A text that stands in the body, hidden from readers.
            body: Markdown with the marker, at most 65,536 characters.
            known: The comment's id, where it is known; else it is looked for among ours by the marker.
        """
        ...

    def write_check(self, report: CheckReport, known: int | None) -> int:
        """Bring a commit's check run to what it is to be; the check run's id.

        Args:
            report: What it is to be.
            known: The check run's id, where it is known; else it is looked for by its name, and made.
        """
        ...

    def deployment(
        self,
        commit: str,
        environment: str,
        state: DeploymentState,
        *,
        key: str,
        log_url: str,
        said: str,
    ) -> str:
        """Tell a deployment's state; the same ``key`` is the same deployment. Returns its address."""
        ...

    def issues(self, label: str) -> tuple[Issue, ...]:
        """The open issues with a label."""
        ...

    def write_issue(
        self, marker: str, title: str, body: str, labels: tuple[str, ...], *, is_open: bool
    ) -> str:
        """The one issue of ours that bears ``marker``: made, edited, closed or opened again; its address.

        A closed one that was never made is not made.
        """
        ...

    def open_pull_request(
        self, *, head_branch: str, base_branch: str, title: str, body: str
    ) -> str:
        """The open pull request of a branch, made where there is none; its address."""
        ...

    def git_url(self) -> str:
        """Where Git reads the repository over HTTP, without credentials."""
        ...

    def git_token(self, *, write: bool = False) -> str:
        """A token for Git that is good for some minutes more. It goes into a child's environment only.

        Args:
            write: For a push; else it reads only.
        """
        ...
