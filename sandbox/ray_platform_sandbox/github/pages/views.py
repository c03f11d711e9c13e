"""What the pages show, gathered from the state: the timeline, the checks, the reviews, the changes."""

import re
from collections.abc import Sequence
from typing import Any

from ray_platform_sandbox.github.clock import read
from ray_platform_sandbox.github.git.history import Commit, FileChange
from ray_platform_sandbox.github.hub import Hub
from ray_platform_sandbox.github.state import CheckRun, Issue, Pull, Repository, Review

#: Lines of one file's difference that a page shows; how many more there are is said.
_MOST_LINES = 2000
_VERDICTS = {
    "APPROVED": ("good", "✓", "approved"),
    "CHANGES_REQUESTED": ("bad", "✗", "asked for changes at"),
    "COMMENTED": ("grey", "●", "reviewed"),
    "DISMISSED": ("grey", "○", "reviewed (dismissed)"),
}
_DEPLOYED = {"success": ("good", "✓"), "failure": ("bad", "✗"), "error": ("bad", "✗")}


def when(seconds: int | None) -> str:
    from datetime import UTC, datetime

    if seconds is None:
        return ""
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")


def state_of(issue: Issue) -> tuple[str, str]:
    """(class, words) of the state of an issue or pull request."""
    if issue.pull and issue.pull.merged_at is not None:
        return "merged", "Merged"
    if issue.state == "closed":
        reason = (
            "" if issue.pull else f" as {(issue.state_reason or 'completed').replace('_', ' ')}"
        )
        return ("closed" if issue.pull else "done"), f"Closed{reason}"
    return ("draft", "Draft") if issue.pull and issue.pull.draft else ("open", "Open")


def timeline(
    hub: Hub, repository: Repository, issue: Issue, commits: Sequence[Commit]
) -> list[dict[str, Any]]:
    """Everything that happened, in its order: commits, comments, reviews, deployments, the end."""
    found: list[tuple[int, int, dict[str, Any]]] = []
    for one in commits:
        shown = commit_line(one)
        found.append((max(read(one.committed), issue.created_at), 0, {"kind": "commit", **shown}))
    for held in repository.comments.values():
        if held.issue == issue.number:
            said = {
                "kind": "comment",
                "id": held.id,
                "user": held.user,
                "bot": bool(held.app_id),
                "verb": "commented",
                "at": when(held.created_at),
                "edited": when(held.updated_at) if held.updated_at != held.created_at else "",
                "body": held.body,
            }
            found.append((held.created_at, held.id, said))
    for review in issue.pull.reviews if issue.pull else ():
        if review.submitted_at is not None:
            found.append((review.submitted_at, review.id, _review(issue, review)))
    for line in deployment_lines(repository, issue.pull):
        found.append((line["time"], line["id"], {"kind": "event", **line}))
    if issue.closed_at is not None:
        found.append((issue.closed_at, 1 << 60, _end(issue)))
    first = {
        "kind": "comment",
        "id": issue.id,
        "user": issue.user,
        "bot": bool(issue.app_id),
        "verb": "opened it",
        "at": when(issue.created_at),
        "edited": "",
        "body": issue.body,
    }
    return [first, *(one for _, _, one in sorted(found, key=lambda item: item[:2]))]


def _review(issue: Issue, held: Review) -> dict[str, Any]:
    colour, mark, text = _VERDICTS[held.state]
    return {
        "kind": "review",
        "user": held.user,
        "colour": colour,
        "mark": mark,
        "text": text,
        "sha": held.commit,
        "at": when(held.submitted_at),
        "body": held.body,
        "stale": issue.pull is not None and held.commit != issue.pull.head_sha,
    }


def _end(issue: Issue) -> dict[str, Any]:
    at = when(issue.closed_at)
    if issue.pull and issue.pull.merged_at is not None:
        text = f"{issue.pull.merged_by} merged it as {issue.pull.merge_commit[:7]}"
        return {"kind": "event", "colour": "good", "mark": "⇥", "text": text, "at": at}
    text = f"{issue.closed_by} closed it"
    return {"kind": "event", "colour": "bad", "mark": "○", "text": text, "at": at}


def reviewers(issue: Issue) -> list[dict[str, Any]]:
    """Each reviewer's last verdict; a comment does not change one."""
    last: dict[str, Review] = {}
    for held in issue.pull.reviews if issue.pull else ():
        earlier = last.get(held.user)
        if held.submitted_at is None or (earlier and held.state == "COMMENTED"):
            continue
        last[held.user] = held
    shown = []
    for login, held in last.items():
        line = _review(issue, held)
        text = line["text"].removesuffix(" at") + (
            ", before the last push" if line["stale"] else ""
        )
        colour = "wait" if line["stale"] and held.state == "APPROVED" else line["colour"]
        shown.append({"user": login, "colour": colour, "mark": line["mark"], "text": text})
    return shown


def deployment_lines(repository: Repository, pull: Pull | None) -> list[dict[str, Any]]:
    """The statuses of the deployments of a pull request's commits, the oldest first."""
    if pull is None:
        return []
    found = []
    for held in repository.deployments.values():
        if held.sha not in (pull.head_sha, pull.merge_commit):
            continue
        for status in held.statuses:
            colour, mark = _DEPLOYED.get(status.state, ("wait", "●"))
            said = f": {status.description}" if status.description else ""
            text = (
                f"{status.user} deployed {held.sha[:7]} to {held.environment}: {status.state}{said}"
            )
            found.append(
                {
                    "id": status.id,
                    "time": status.created_at,
                    "at": when(status.created_at),
                    "colour": colour,
                    "mark": mark,
                    "text": text,
                    "environment": held.environment,
                    "state": status.state,
                    "sha": held.sha,
                    "said": status.description,
                }
            )
    return found


def latest_runs(repository: Repository, sha: str) -> list[dict[str, Any]]:
    """The newest check run of each name and App at a commit."""
    newest: dict[tuple[int, str], CheckRun] = {}
    for run in repository.check_runs.values():
        if run.head_sha == sha:
            newest[(run.app_id, run.name)] = run
    return [run_line(run) for run in newest.values()]


def run_line(run: CheckRun) -> dict[str, Any]:
    said = run.conclusion or run.status
    return {
        "name": run.name,
        "status": run.status,
        "conclusion": run.conclusion,
        "said": said.replace("_", " "),
        "title": run.output.get("title"),
        "summary": run.output.get("summary"),
        "text": run.output.get("text"),
        "link": run.details_url if run.details_url.startswith(("http://", "https://")) else "",
        "sha": run.head_sha,
        "at": when(run.completed_at or run.started_at),
    }


def commit_line(one: Commit) -> dict[str, Any]:
    return {
        "sha": one.sha,
        "subject": one.message.split("\n")[0],
        "user": one.author.name,
        "at": when(read(one.committed)),
    }


def file_views(changes: Sequence[FileChange]) -> list[dict[str, Any]]:
    """Each changed file with the lines of its difference, numbered as in both versions."""
    return [
        {
            "path": one.path,
            "previous": one.previous,
            "status": one.status,
            "additions": one.additions,
            "deletions": one.deletions,
            "lines": (lines := _lines(one.patch or ""))[:_MOST_LINES],
            "hidden": max(0, len(lines) - _MOST_LINES),
        }
        for one in changes
    ]


def _lines(patch: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = []
    old = new = 0
    for text in patch.split("\n") if patch else ():
        if head := re.match(r"@@ -(\d+)(?:,\d+)? \+(\d+)", text):
            old, new = int(head[1]), int(head[2])
            found.append({"kind": "hunk", "old": "", "new": "", "text": text})
        elif text.startswith("+"):
            found.append({"kind": "added", "old": "", "new": new, "text": text})
            new += 1
        elif text.startswith("-"):
            found.append({"kind": "removed", "old": old, "new": "", "text": text})
            old += 1
        elif text.startswith("\\"):
            found.append({"kind": "same", "old": "", "new": "", "text": text})
        else:
            found.append({"kind": "same", "old": old, "new": new, "text": text})
            old, new = old + 1, new + 1
    return found
