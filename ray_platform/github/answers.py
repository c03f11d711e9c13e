"""GitHub's JSON as the platform's words. A field that GitHub leaves out raises KeyError or TypeError."""

from collections.abc import Mapping
from typing import Any

from ray_platform.github.model import Comment, Issue, PullRequest, Review
from ray_platform.text.redaction import redact_text

#: What GitHub shows in place of a person who left.
GHOST = "ghost"

#: A first filter alone: a member of the organisation may have read access only (`may_write`).
_HAVE_A_SAY = frozenset({"OWNER", "MEMBER", "COLLABORATOR"})

_REVIEW_STATES = frozenset({"APPROVED", "CHANGES_REQUESTED", "COMMENTED", "DISMISSED"})


def read_pull_request(found: Mapping[str, Any]) -> PullRequest:
    """``merge_commit_sha`` is a trial merge until it is merged, so ``merged_at`` decides.

    A head whose repository was deleted counts as a fork's. Title and branch are shown and remembered:
    secrets in them are masked.
    """
    head, base = found["head"], found["base"]
    merged_at = found["merged_at"]  # null until it is merged
    head_repository = head.get("repo")
    return PullRequest(
        number=int(found["number"]),
        title=redact_text(str(found["title"])),
        author=_login(found.get("user")),
        url=str(found["html_url"]),
        head=str(head["sha"]),
        head_branch=redact_text(str(head["ref"])),
        base_branch=str(base["ref"]),
        base_head=str(base["sha"]),
        from_fork=head_repository is None or head_repository["id"] != base["repo"]["id"],
        draft=bool(found["draft"]),
        is_open=found["state"] == "open",
        merge_commit=_text(found, "merge_commit_sha") if merged_at else "",
        created_at=_text(found, "created_at"),
        updated_at=_text(found, "updated_at"),
        merged_at=_text(found, "merged_at") if merged_at else "",
    )


def read_review(found: Mapping[str, Any]) -> Review | None:
    """A submitted review; None for one that is still being written."""
    if found["state"] not in _REVIEW_STATES:
        return None
    return Review(
        id=int(found["id"]),
        author=_login(found.get("user")),
        state=found["state"],
        commit=str(found.get("commit_id") or ""),
        submitted_at=_text(found, "submitted_at"),
        may_write=found["author_association"] in _HAVE_A_SAY,
        url=_text(found, "html_url"),
    )


def read_comment(found: Mapping[str, Any], *, app_id: int, bot: str) -> Comment:
    author = _login(found.get("user"))
    return Comment(
        id=int(found["id"]),
        author=author,
        body=str(found.get("body") or ""),
        created_at=_text(found, "created_at"),
        updated_at=_text(found, "updated_at"),
        by_us=is_ours(found, app_id=app_id, bot=bot),
    )


def read_issue(found: Mapping[str, Any]) -> Issue:
    return Issue(
        number=int(found["number"]),
        title=str(found["title"]),
        body=str(found.get("body") or ""),
        author=_login(found.get("user")),
        url=str(found["html_url"]),
        labels=tuple(
            str(label["name"] if isinstance(label, dict) else label) for label in found["labels"]
        ),
        is_open=found["state"] == "open",
        updated_at=_text(found, "updated_at"),
    )


def is_ours(found: Mapping[str, Any], *, app_id: int, bot: str) -> bool:
    """Whether our App wrote a comment or an issue.

    A person may write *through* an App (a user's token of it): only the App's own bot counts.
    """
    user = found.get("user") or {}
    through = found.get("performed_via_github_app") or {}
    if through and through.get("id") != app_id:
        return False
    return user.get("type") == "Bot" and user.get("login") == bot


def _text(found: Mapping[str, Any], name: str) -> str:
    """A text that must be there: an empty time would count as earlier than every other."""
    value = found[name]
    if not isinstance(value, str) or not value:
        raise ValueError(f"{name} is {value!r}")
    return value


def _login(user: Any) -> str:
    return str(user["login"]) if user else GHOST
