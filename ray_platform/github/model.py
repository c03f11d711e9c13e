"""What the platform reads of a code forge: pull requests, reviews, labelled issues.

Times are ISO 8601 in UTC by the forge's own clock, as in ``2026-03-01T09:30:00Z``, so that they compare
as texts. People are their login names.

What mirrors the forge's answer has no default: a client that forgets a field does not start.
"""

from dataclasses import dataclass
from typing import Literal

from ray_platform.config.repository import Repository

#: What a person said last in a review, in GitHub's words.
ReviewState = Literal["APPROVED", "CHANGES_REQUESTED", "COMMENTED", "DISMISSED"]

#: The conclusion of a check run, of those that GitHub knows.
Conclusion = Literal["success", "failure", "action_required", "neutral", "cancelled"]

DeploymentState = Literal["in_progress", "success", "failure"]


@dataclass(frozen=True)
class PullRef:
    """A pull request by its repository and number, spelt ``OWNER/NAME#7``."""

    repository: Repository
    number: int

    def __str__(self) -> str:
        return f"{self.repository}#{self.number}"

    @classmethod
    def parse(cls, text: str) -> "PullRef":
        """Read ``OWNER/NAME#7``.

        Raises:
            ValueError: it is spelt otherwise.
        """
        place, _, number = text.partition("#")
        owner, _, name = place.partition("/")
        if not (owner and name and number.isdigit()):
            raise ValueError(f"{text!r} is no pull request: it is spelt OWNER/NAME#7")
        return cls(Repository(owner, name), int(number))


@dataclass(frozen=True)
class PullRequest:
    """One pull request as it is now.

    ``head`` and ``base_head`` are commits; ``base_head`` is the base branch's when the forge last looked.
    ``from_fork``: the head lies in another repository. ``merge_commit`` and ``merged_at`` are empty until it
    is merged.
    """

    number: int
    title: str
    author: str
    url: str
    head: str
    head_branch: str
    base_branch: str
    base_head: str
    from_fork: bool
    draft: bool
    is_open: bool
    merge_commit: str
    created_at: str
    updated_at: str
    merged_at: str

    @property
    def is_merged(self) -> bool:
        return bool(self.merge_commit)


@dataclass(frozen=True)
class Review:
    """One submitted review. ``commit`` is the head that the reviewer saw.

    ``may_write``: the forge says that the author has a say in the repository (owner, member, collaborator).
    """

    id: int
    author: str
    state: ReviewState
    commit: str
    submitted_at: str
    may_write: bool
    url: str


@dataclass(frozen=True)
class Issue:
    """An issue with its labels."""

    number: int
    title: str
    body: str
    author: str
    url: str
    labels: tuple[str, ...]
    is_open: bool
    updated_at: str


@dataclass(frozen=True)
class Comment:
    """One comment. ``by_us``: our App wrote it."""

    id: int
    author: str
    body: str
    created_at: str
    updated_at: str
    by_us: bool


@dataclass(frozen=True)
class Watermark:
    """How far a repository has been read.

    ``updated_at`` is of the newest pull request that was seen, ``etag`` of the first page of the listing:
    while it is still good, nothing changed, and the forge's answer costs nothing.
    """

    updated_at: str = ""
    etag: str = ""


@dataclass(frozen=True)
class Changes:
    """The pull requests that changed after a watermark, oldest change first, and the watermark now."""

    pull_requests: tuple[PullRequest, ...]
    watermark: Watermark


@dataclass(frozen=True)
class CheckReport:
    """A check run as it is to be. ``conclusion`` None: it is still in progress.

    ``title`` is one line, ``summary`` Markdown of at most 65,535 characters.
    """

    head: str
    name: str
    title: str
    summary: str
    conclusion: Conclusion | None
    details_url: str = ""
