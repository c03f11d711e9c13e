"""Pull requests of a repository on GitHub, and their reviews."""

from typing import TYPE_CHECKING, Any, Literal

from ray_platform.github.answers import read_pull_request, read_review
from ray_platform.github.calls_client import PER_PAGE, has_next
from ray_platform.github.model import Changes, PullRequest, Review, Watermark
from ray_platform.github.repository_client import RepositoryCalls
from ray_platform.text.redaction import redact_text

if TYPE_CHECKING:
    from githubkit.response import Response


#: Where there is no pull request yet, whatever comes is news, also one that is closed at once.
_BEFORE_ANY = "1970-01-01T00:00:00Z"


class PullRequests(RepositoryCalls):
    """The pull requests' part of `GitHubRepository`."""

    def changed(self, since: Watermark) -> Changes:
        """Pull requests that changed at or after the watermark, the oldest change first.

        Nothing new: one call, answered 304, which is free, whatever the number of pull requests. Else
        one call for each hundred that changed. One that changed in the watermark's own second comes
        again: two changes may share a second. From an empty watermark: the open ones, since what was
        closed before the first look is no news.

        ``base_head`` is the base branch's head when GitHub last looked at the pull request; a push to
        the base branch moves it with a delay, and is no change of the pull request.

        The ETag holds for one token: with a new one (each hour, each new process) the same listing is
        one call that is not free.
        """
        found, first = self._listed("all", 1, since.etag)
        if first.status_code == 304:
            return Changes((), since)
        newest = max((one.updated_at for one in found), default=_BEFORE_ANY)
        watermark = Watermark(max(newest, since.updated_at), str(first.headers.get("etag", "")))
        # A change meanwhile moves others to the next page, where they are seen twice, and none away:
        # what moves to the front is not older than the watermark that this look ends with.
        page, last = 1, first
        if since.updated_at:
            while has_next(last) and found[-1].updated_at >= since.updated_at:
                page += 1
                more, last = self._listed("all", page)
                found += more
            found = [one for one in found if one.updated_at >= since.updated_at]
        else:
            if has_next(first):
                found, last = self._listed("open", 1)
            while has_next(last):
                page += 1
                more, last = self._listed("open", page)
                found += more
            found = [one for one in found if one.is_open]
        newest_of = {one.number: one for one in sorted(found, key=_order)}
        return Changes(tuple(sorted(newest_of.values(), key=_order)), watermark)

    def _listed(
        self, state: Literal["all", "open"], page: int, etag: str = ""
    ) -> "tuple[list[PullRequest], Response[Any, Any]]":
        doing = "read the pull requests"
        answer = self._app.answer(
            doing,
            self._where,
            lambda rest: rest.pulls.list(
                self._owner,
                self._name,
                state=state,
                sort="updated",
                direction="desc",
                per_page=PER_PAGE,
                page=page,
                headers={"If-None-Match": etag} if etag else {},
            ),
        )
        if answer.status_code == 304:
            return [], answer
        return self._parse(lambda: [read_pull_request(one) for one in answer.json()], doing), answer

    def pull_request(self, number: int) -> PullRequest:
        """One pull request. One call."""
        doing = f"read pull request {number}"
        found = self._app.read(
            doing, self._where, lambda rest: rest.pulls.get(self._owner, self._name, number)
        )
        return self._parse(lambda: read_pull_request(found), doing)

    def reviews(self, number: int) -> tuple[Review, ...]:
        """All submitted reviews, oldest first. One call for each hundred."""
        doing = f"read the reviews of pull request {number}"
        found = self._app.pages(
            doing,
            self._where,
            lambda rest, page: rest.pulls.list_reviews(
                self._owner, self._name, number, per_page=PER_PAGE, page=page
            ),
        )
        reviews = self._parse(
            lambda: [review for one in found if (review := read_review(one))], doing
        )
        return tuple(sorted(reviews, key=lambda review: (review.submitted_at, review.id)))

    def open_pull_request(
        self, *, head_branch: str, base_branch: str, title: str, body: str
    ) -> str:
        """The open pull request of a branch of this repository; its address. One call, two to make it."""
        doing = f"open the pull request of {head_branch}"
        listed = self._app.read(
            doing,
            self._where,
            lambda rest: rest.pulls.list(
                self._owner,
                self._name,
                state="open",
                head=f"{self.repository.owner}:{head_branch}",
                base=base_branch,
                per_page=PER_PAGE,
            ),
        )
        found = self._parse(lambda: [read_pull_request(one) for one in listed], doing)
        if mine := [
            one
            for one in found
            if one.head_branch == redact_text(head_branch) and not one.from_fork
        ]:
            return mine[0].url
        made = self._app.write(
            doing,
            self._where,
            lambda rest: rest.pulls.create(
                self._owner,
                self._name,
                head=head_branch,
                base=base_branch,
                title=redact_text(title),
                body=redact_text(body),
            ),
        )
        return self._parse(lambda: str(made["html_url"]), doing)


def _order(one: PullRequest) -> tuple[str, int]:
    return one.updated_at, one.number
