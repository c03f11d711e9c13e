"""Comments and issues of a repository on GitHub: read, and written once each."""

from collections.abc import Mapping
from typing import Any, Literal

from ray_platform.github.answers import is_ours, read_comment, read_issue
from ray_platform.github.calls_client import PER_PAGE
from ray_platform.github.model import Comment, Issue
from ray_platform.github.repository_client import RepositoryCalls
from ray_platform.text.redaction import redact_text


class Issues(RepositoryCalls):
    """The part of `GitHubRepository` about comments and issues."""

    def comments(self, number: int) -> tuple[Comment, ...]:
        """The comments of a pull request or issue, oldest first. One call for each hundred."""
        doing = f"read the comments of {number}"
        found = self._app.pages(
            doing,
            self._where,
            lambda rest, page: rest.issues.list_comments(
                self._owner, self._name, number, per_page=PER_PAGE, page=page
            ),
        )
        return self._parse(lambda: tuple(self._comment(one) for one in found), doing)

    def write_comment(self, number: int, marker: str, body: str, known: int | None) -> Comment:
        """The one comment of ours that bears the marker; its times are GitHub's.

        Known: one call. Not known: one for each hundred comments, and one that writes. A known one that
        somebody deleted is looked for and made anew.
        """
        body = redact_text(body)
        doing = f"write the comment of {number}"
        if known is not None and (edited := self._edit_comment(known, body, doing)):
            return edited
        ours = [one for one in self.comments(number) if one.by_us and marker in one.body]
        for one in ours:
            if one.body == body:
                return one
            if edited := self._edit_comment(one.id, body, doing):
                return edited
        made = self._app.write(
            doing,
            self._where,
            lambda rest: rest.issues.create_comment(self._owner, self._name, number, body=body),
        )
        return self._parse(lambda: self._comment(made), doing)

    def _edit_comment(self, comment: int, body: str, doing: str) -> Comment | None:
        found = self._unless_gone(
            lambda: self._app.write(
                doing,
                self._where,
                lambda rest: rest.issues.update_comment(
                    self._owner, self._name, comment, body=body
                ),
                repeatable=True,
            )
        )
        return self._parse(lambda: self._comment(found), doing) if found else None

    def issues(self, label: str) -> tuple[Issue, ...]:
        """The open issues with a label, pull requests left out. One call for each hundred."""
        doing = f"read the issues with the label {label}"
        found = self._app.pages(
            doing,
            self._where,
            lambda rest, page: rest.issues.list_for_repo(
                self._owner, self._name, labels=label, state="open", per_page=PER_PAGE, page=page
            ),
        )
        return self._parse(
            lambda: tuple(read_issue(one) for one in found if "pull_request" not in one), doing
        )

    def write_issue(
        self, marker: str, title: str, body: str, labels: tuple[str, ...], *, is_open: bool
    ) -> str:
        """The one issue of ours that bears the marker; its address, empty where none is to be made.

        One call for each hundred issues that our App ever opened, and one where something is to change.
        Labels that people added stay.
        """
        doing = "write an issue"
        title, body = redact_text(title), redact_text(body)
        bot = self._app.installation.bot
        listed = self._app.pages(
            doing,
            self._where,
            lambda rest, page: rest.issues.list_for_repo(
                self._owner,
                self._name,
                creator=bot,
                state="all",
                sort="created",
                direction="asc",
                per_page=PER_PAGE,
                page=page,
            ),
        )
        found = self._parse(
            lambda: [
                read_issue(one)
                for one in listed
                if "pull_request" not in one
                and marker in str(one.get("body") or "")
                and is_ours(one, app_id=self._app.installation.app_id, bot=bot)
            ],
            doing,
        )
        if found:
            return self._edit_issue(found[0], title, body, labels, is_open, doing)
        if not is_open:
            return ""
        made = self._app.write(
            doing,
            self._where,
            lambda rest: rest.issues.create(
                self._owner, self._name, title=title, body=body, labels=list(labels)
            ),
        )
        return self._parse(lambda: str(made["html_url"]), doing)

    def _edit_issue(
        self,
        issue: Issue,
        title: str,
        body: str,
        labels: tuple[str, ...],
        is_open: bool,
        doing: str,
    ) -> str:
        wanted = [*issue.labels, *(label for label in labels if label not in issue.labels)]
        same = (issue.title, issue.body, issue.is_open, len(issue.labels))
        if same != (title, body, is_open, len(wanted)):
            state: Literal["open", "closed"] = "open" if is_open else "closed"
            self._app.write(
                doing,
                self._where,
                lambda rest: rest.issues.update(
                    self._owner,
                    self._name,
                    issue.number,
                    title=title,
                    body=body,
                    state=state,
                    labels=list(wanted),
                ),
                repeatable=True,
            )
        return issue.url

    def _comment(self, found: Mapping[str, Any]) -> Comment:
        installation = self._app.installation
        return read_comment(found, app_id=installation.app_id, bot=installation.bot)
