"""Stage `git`: which commits are new to which environment, and what they ask for.

The cursor holds, for each environment, the commit that was handed on last. A tick hands on the branch's
head once with all paths that changed since, so that many commits at once become one run; a tick that is
repeated from the same cursor gives the same keys, so that Dagster starts nothing twice.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from ray_platform.git.git_client import Git
from ray_platform.git.revision import WORK_ORDER, Work, work_for


@dataclass(frozen=True)
class SeenCommits:
    """The commit that an environment was handed last.

    ``rewinds`` counts the moves that were not forward (a force push), so that a commit to which the
    branch returns is work again: the environment has been somewhere else meanwhile.
    """

    commit: str
    rewinds: int = 0


@dataclass(frozen=True)
class Push:
    """Work for one environment. ``key`` names it for ever; ``commits`` is how many commits it covers."""

    environment: str
    commit: str
    work: tuple[Work, ...]
    key: str
    commits: int


def read_cursor(text: str | None) -> dict[str, SeenCommits]:
    """The cursor of the last tick; empty for the first."""
    return {name: SeenCommits(**seen) for name, seen in json.loads(text).items()} if text else {}


def write_cursor(cursor: Mapping[str, SeenCommits]) -> str:
    return json.dumps(
        {name: {"commit": s.commit, "rewinds": s.rewinds} for name, s in sorted(cursor.items())}
    )


def watch(
    git: Git,
    branch: str,
    cursor: Mapping[str, SeenCommits],
    environments: Sequence[str],
    applied: Mapping[str, str],
) -> tuple[dict[str, SeenCommits], tuple[Push, ...], str]:
    """One look at the branch.

    Args:
        git: The repository.
        branch: Its name; empty for the one that is checked out.
        cursor: What each environment was handed last.
        environments: Those to watch for.
        applied: The commit of what is applied, for environments that the cursor does not know yet. One
            with neither is left alone: its first walk is started by a person.

    Returns:
        The next cursor, the pushes, and why there are none (empty when there are some).
    """
    head = git.head(branch)
    if head is None:
        return (
            dict(cursor),
            (),
            f"branch {branch or 'HEAD'} does not exist (any more); waiting for it",
        )
    following = dict(cursor)
    pushes: list[Push] = []
    waiting: list[str] = []
    for name in environments:
        seen = cursor.get(name) or (SeenCommits(applied[name]) if name in applied else None)
        if seen is None:
            waiting.append(name)
            continue
        if seen.commit == head:
            following[name] = seen
            continue
        known = git.has(seen.commit)
        forward = known and git.is_ancestor(seen.commit, head)
        # A commit that is gone leaves nothing to compare with: everything may have changed.
        work = work_for(git.changed_paths(seen.commit, head), name) if known else WORK_ORDER[1:]
        following[name] = SeenCommits(head, seen.rewinds if forward else seen.rewinds + 1)
        if work:
            suffix = f"-{following[name].rewinds}" if following[name].rewinds else ""
            pushes.append(
                Push(
                    environment=name,
                    commit=head,
                    work=work,
                    key=f"{head}-{name}{suffix}",
                    commits=len(git.commits_between(seen.commit, head)) if known else 1,
                )
            )
    if pushes:
        return following, tuple(pushes), ""
    note = (
        f"; nothing is applied yet in {', '.join(waiting)}: run `ray-platform up`"
        if waiting
        else ""
    )
    return following, (), f"nothing to do at {head[:12]}{note}"
