"""A code forge as a value: the double of `GitHubRepository`, held to it by tests/contract/forge."""

import copy
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

from ray_platform.config.repository import Repository
from ray_platform.github.model import (
    Changes,
    CheckReport,
    Comment,
    DeploymentState,
    Issue,
    PullRequest,
    Review,
    ReviewState,
    Watermark,
)
from ray_platform.text.canonical import digest
from ray_platform.text.errors import ForgeError
from tests.support.fuse import Fuse

REPOSITORY = Repository("acme", "infra")
DAY = "2026-03-01T"
_WEB = "http://forge"
_BOT = "ray-platform[bot]"
_MAX_BODY = 65_536
_BEFORE_ANY = "1970-01-01T00:00:00Z"


@dataclass
class MemoryForge:
    """A forge whose clock moves one second with each change.

    ``strangers`` may not push. ``shown`` is called whenever a comment is written.
    """

    repository: Repository = REPOSITORY
    pulls: dict[int, PullRequest] = field(default_factory=dict)
    given: dict[int, tuple[Review, ...]] = field(default_factory=dict)
    written: dict[int, tuple[Comment, ...]] = field(default_factory=dict)
    checks: dict[str, CheckReport] = field(default_factory=dict)
    deployments: dict[str, str] = field(default_factory=dict)
    reports: dict[int, Issue] = field(default_factory=dict)
    branches: dict[str, str] = field(default_factory=dict)
    teams: dict[str, frozenset[str]] = field(default_factory=dict)
    strangers: frozenset[str] = frozenset({"mallory"})
    seconds: int = 0
    fuse: Fuse = field(default_factory=Fuse)
    shown: Callable[[int, str, str], None] = lambda number, body, at: None

    def copy(self) -> "MemoryForge":
        made = copy.copy(self)
        made.pulls, made.given = dict(self.pulls), dict(self.given)
        made.written, made.checks = dict(self.written), dict(self.checks)
        made.deployments, made.reports = dict(self.deployments), dict(self.reports)
        return made

    def now(self) -> str:
        """The next second of the forge's clock."""
        self.seconds += 1
        minutes, seconds = divmod(self.seconds, 60)
        return f"{DAY}{minutes // 60:02}:{minutes % 60:02}:{seconds:02}Z"

    @property
    def next_number(self) -> int:
        return max((0, *self.pulls, *self.reports)) + 1

    def set(self, number: int, **changed: Any) -> None:
        self.pulls[number] = replace(self._pull(number), updated_at=self.now(), **changed)

    def merge(self, number: int, commit: str) -> None:
        self.set(number)
        at = self.pulls[number].updated_at
        self.pulls[number] = replace(
            self.pulls[number], is_open=False, merge_commit=commit, merged_at=at
        )

    def review(self, number: int, by: str, state: ReviewState) -> None:
        """Review the present head."""
        self.set(number)
        pull, before = self.pulls[number], self.given.get(number, ())
        url = f"{pull.url}#review-{len(before)}"
        may = by not in self.strangers
        review = Review(len(before), by, state, pull.head, pull.updated_at, may, url)
        self.given[number] = (*before, review)

    def dismiss(self, number: int, by: str) -> None:
        self.set(number)
        self.given[number] = tuple(
            replace(item, state="DISMISSED") if item.author == by else item
            for item in self.given[number]
        )

    def comment(self, number: int, by: str, body: str) -> int:
        """A person's comment; its id."""
        return self._add_comment(number, by, body, by_us=False).id

    def close_issue(self, number: int) -> None:
        self.reports[number] = replace(self.reports[number], is_open=False, updated_at=self.now())

    def label(self, number: int, label: str) -> None:
        """Add a label to an issue; one of a pull request is nothing that the platform reads."""
        if number in self.reports:
            labels = (*self.reports[number].labels, label)
            self.reports[number] = replace(
                self.reports[number], labels=labels, updated_at=self.now()
            )
        else:
            self.set(number)

    # As `Forge` ----------------------------------------------------------------------------------

    def changed(self, since: Watermark) -> Changes:
        newest = max((pull.updated_at for pull in self.pulls.values()), default=_BEFORE_ANY)
        latest = sum(pull.updated_at == newest for pull in self.pulls.values())
        etag = f"{newest} {latest}"
        if since.etag and since.etag == etag:
            return Changes((), since)
        found = [pull for pull in self.pulls.values() if pull.updated_at >= since.updated_at]
        if not since.updated_at:
            found = [pull for pull in found if pull.is_open]
        ordered = sorted(found, key=lambda pull: (pull.updated_at, pull.number))
        return Changes(tuple(ordered), Watermark(max(newest, since.updated_at), etag))

    def pull_request(self, number: int) -> PullRequest:
        return self._pull(number)

    def reviews(self, number: int) -> tuple[Review, ...]:
        self._pull(number)
        return self.given.get(number, ())

    def members(self, team: str) -> frozenset[str]:
        if team not in self.teams:
            raise self._refused(f"read the members of the team {team}")
        return self.teams[team]

    def may_write(self, login: str) -> bool:
        return login not in self.strangers

    def comments(self, number: int) -> tuple[Comment, ...]:
        self._thing(number)
        return self.written.get(number, ())

    def write_comment(self, number: int, marker: str, body: str, known: int | None) -> Comment:
        self.fuse.burn()
        if len(body) > _MAX_BODY:
            raise self._refused(f"write the comment of {number}")
        before = self.comments(number)
        mine = [item for item in before if item.id == known or (item.by_us and marker in item.body)]
        if mine:
            at = self._touch(number)
            comment = replace(mine[0], body=body, updated_at=at)
            self.written[number] = (*(one for one in before if one.id != comment.id), comment)
        else:
            comment = self._add_comment(number, _BOT, body, by_us=True)
        self.shown(number, body, comment.updated_at)
        return comment

    def write_check(self, report: CheckReport, known: int | None) -> int:
        self.fuse.burn()
        self.checks[f"{report.head} {report.name}"] = report
        return int(digest([report.head, report.name])[:8], 16)

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
        self.fuse.burn()
        self.deployments[f"{environment} {commit} {key}"] = state
        return f"{_WEB}/{self.repository}/deployments/{environment}"

    def issues(self, label: str) -> tuple[Issue, ...]:
        return tuple(one for one in self.reports.values() if one.is_open and label in one.labels)

    def write_issue(
        self, marker: str, title: str, body: str, labels: tuple[str, ...], *, is_open: bool
    ) -> str:
        self.fuse.burn()
        mine = [one for one in self.reports.values() if one.author == _BOT and marker in one.body]
        if not mine and not is_open:
            return ""
        before = mine[0] if mine else self.open_issue(title, body, labels, by=_BOT)
        kept = (*before.labels, *(label for label in labels if label not in before.labels))
        wanted = replace(before, title=title, body=body, labels=kept, is_open=is_open)
        if wanted != before:
            wanted = replace(wanted, updated_at=self.now())
        self.reports[before.number] = wanted
        return wanted.url

    def open_issue(self, title: str, body: str, labels: tuple[str, ...], *, by: str) -> Issue:
        number = self.next_number
        url = f"{_WEB}/{self.repository}/issues/{number}"
        self.reports[number] = Issue(number, title, body, by, url, labels, True, self.now())
        return self.reports[number]

    def open_pull_request(
        self, *, head_branch: str, base_branch: str, title: str, body: str
    ) -> str:
        self.fuse.burn()
        for pull in self.pulls.values():
            if pull.is_open and (pull.head_branch, pull.base_branch) == (head_branch, base_branch):
                return pull.url
        return self.pulls[self.add_pull(head_branch, base_branch, title, by=_BOT)].url

    def add_pull(
        self, head_branch: str, base_branch: str, title: str, *, by: str, draft: bool = False
    ) -> int:
        """A new pull request from a branch that exists; its number."""
        if head_branch not in self.branches or base_branch not in self.branches:
            raise self._refused(f"open the pull request of {head_branch}")
        number, at = self.next_number, self.now()
        self.pulls[number] = PullRequest(
            number=number,
            title=title,
            author=by,
            url=f"{_WEB}/{self.repository}/pull/{number}",
            head=self.branches[head_branch],
            head_branch=head_branch,
            base_branch=base_branch,
            base_head=self.branches[base_branch],
            from_fork=False,
            draft=draft,
            is_open=True,
            merge_commit="",
            created_at=at,
            updated_at=at,
            merged_at="",
        )
        return number

    def git_url(self) -> str:
        return f"{_WEB}/{self.repository}.git"

    def git_token(self, *, write: bool = False) -> str:
        return "write-token" if write else "read-token"

    # Its parts -----------------------------------------------------------------------------------

    def _pull(self, number: int) -> PullRequest:
        if number not in self.pulls:
            raise self._refused(f"read pull request {number}")
        return self.pulls[number]

    def _thing(self, number: int) -> PullRequest | Issue:
        return self.reports[number] if number in self.reports else self._pull(number)

    def _touch(self, number: int) -> str:
        """Note a change of a pull request or an issue; when it was."""
        if number in self.reports:
            self.reports[number] = replace(self.reports[number], updated_at=self.now())
        else:
            self.set(number)
        return self._thing(number).updated_at

    def _add_comment(self, number: int, author: str, body: str, *, by_us: bool) -> Comment:
        before = self.comments(number)
        at = self._touch(number)
        made = Comment(number * 100 + len(before), author, body, at, at, by_us)
        self.written[number] = (*before, made)
        return made

    def _refused(self, doing: str) -> ForgeError:
        return ForgeError(
            f"not found or not allowed: could not {doing}", where=str(self.repository)
        )
