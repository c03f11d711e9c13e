"""Which reviews of a pull request approve a plan of it, and why the others do not.

A review approves what its author could see: the head that it was given on, and the plan that stood in our
comment at that time. So it counts when it was given on the present head, after the present plan was shown.
"""

from collections.abc import Iterable
from dataclasses import dataclass

from ray_platform.github.model import PullRequest, Review

#: A later comment takes nothing back; these do.
_OPINIONS = ("APPROVED", "CHANGES_REQUESTED", "DISMISSED")


@dataclass(frozen=True)
class Approvers:
    """Who may approve. ``people`` are logins in lower case, teams resolved; None: whoever may write."""

    required: int
    people: frozenset[str] | None

    @classmethod
    def of(cls, required: int, people: Iterable[str] | None) -> "Approvers":
        named = None if people is None else frozenset(name.casefold() for name in people)
        return cls(required, named)


@dataclass(frozen=True)
class Opinion:
    """What one review comes to: ``void`` says why it does not count, empty when it does."""

    review: Review
    void: str


@dataclass(frozen=True)
class Reviewed:
    """The reviews of a pull request, weighed for one plan."""

    approvals: tuple[Opinion, ...]
    objections: tuple[str, ...]

    @property
    def counted(self) -> tuple[Review, ...]:
        return tuple(item.review for item in self.approvals if not item.void)

    @property
    def void(self) -> tuple[Opinion, ...]:
        return tuple(item for item in self.approvals if item.void)


def weigh(
    reviews: Iterable[Review], pull: PullRequest, approvers: Approvers, *, shown_at: str
) -> Reviewed:
    """Weigh the last opinion of each reviewer.

    Args:
        reviews: All reviews, in any order.
        pull: The pull request as it is now.
        approvers: Who may approve.
        shown_at: When the plan was shown in our comment, by the forge's clock; empty: not yet. Its clock
            counts seconds: a review in the same second cannot have been given in view of the plan.
    """
    last: dict[str, Review] = {}
    for review in sorted(reviews, key=lambda item: (item.submitted_at, item.id)):
        if review.state in _OPINIONS:
            last[review.author.casefold()] = review
    approvals, objections = [], []
    for login, review in sorted(last.items()):
        if review.state == "CHANGES_REQUESTED" and not _not_allowed(login, review, pull, approvers):
            objections.append(review.author)
        if review.state == "APPROVED":
            void = _not_allowed(login, review, pull, approvers)
            void = void or _not_this_plan(review, pull, shown_at)
            approvals.append(Opinion(review, void))
    return Reviewed(tuple(approvals), tuple(objections))


def may_approve(login: str, pull_author: str, approvers: Approvers) -> str:
    """Why somebody may not approve, or an empty string; whether they may write is not asked here."""
    if login.casefold() == pull_author.casefold():
        return "is the author"
    if approvers.people is not None and login.casefold() not in approvers.people:
        return "is not among those whom the environment names"
    return ""


def _not_allowed(login: str, review: Review, pull: PullRequest, approvers: Approvers) -> str:
    if why := may_approve(login, pull.author, approvers):
        return why
    if approvers.people is None and not review.may_write:
        return "may not write to the repository"
    return ""


def _not_this_plan(review: Review, pull: PullRequest, shown_at: str) -> str:
    if review.commit != pull.head:
        return "was given before the last push"
    if not shown_at or review.submitted_at <= shown_at:
        return "was given before this plan was shown"
    return ""
