"""What a push leads to: pull requests follow their branches, events are sent, suites are asked for."""

from ray_platform_sandbox.github import events
from ray_platform_sandbox.github.git.store import NOTHING
from ray_platform_sandbox.github.hub import Hub
from ray_platform_sandbox.github.state import CheckSuite, Issue, Repository

BRANCHES = "refs/heads/"


def take_in(hub: Hub, repository: Repository, sender: str) -> None:
    """Bring the state in line with what Git holds now; safe to repeat.

    Run after each push and each ref that a call changed, and at the start: a server that was killed
    between Git and its own record finds here what it missed.
    """
    before, after = repository.refs, hub.store(repository).refs()
    if before == after:
        return
    repository.refs = after
    repository.pushed_at = repository.updated_at = hub.clock.now()
    changed = sorted(name for name in {*before, *after} if before.get(name) != after.get(name))
    for ref in changed:
        old, new = before.get(ref, NOTHING), after.get(ref, NOTHING)
        events.push(hub, repository, ref, old, new, sender)
        if ref.startswith(BRANCHES) and new != NOTHING:
            _ask_for_suites(hub, repository, ref.removeprefix(BRANCHES), old, new, sender)
    moved = {ref.removeprefix(BRANCHES) for ref in changed if ref.startswith(BRANCHES)}
    for other in list(hub.state.repositories.values()):
        for issue in list(other.issues.values()):
            if issue.pull is None or issue.state != "open":
                continue
            if issue.pull.head_repository == repository.id and issue.pull.head_ref in moved:
                _follow_head(hub, repository, other, issue, sender)
            if other is repository and issue.pull.base_ref in moved:
                _look_at_base(hub, other, issue, sender)


def close(hub: Hub, repository: Repository, issue: Issue, by: str) -> None:
    """Close an issue or a pull request."""
    now = hub.clock.now()
    issue.state, issue.closed_at, issue.closed_by = "closed", now, by
    hub.touch(issue)


def _follow_head(hub: Hub, head: Repository, base: Repository, issue: Issue, sender: str) -> None:
    assert issue.pull is not None  # noqa: S101  (asked by the caller)
    pull = issue.pull
    new = head.refs.get(BRANCHES + pull.head_ref)
    if new is None:
        close(hub, base, issue, sender)
        events.pull_request(hub, "closed", base, issue, sender)
        return
    if new == pull.head_sha:
        return
    keep_head(hub, head, base, issue, new)
    before, pull.head_sha = pull.head_sha, new
    pull.base_sha = base.refs.get(BRANCHES + pull.base_ref, pull.base_sha)
    pull.mergeable = None
    hub.touch(issue)
    events.pull_request(hub, "synchronize", base, issue, sender, before=before, after=new)


def keep_head(hub: Hub, head: Repository, base: Repository, issue: Issue, sha: str) -> None:
    """Point ``refs/pull/N/head`` at a commit; a fork's is brought over first."""
    store, ref = hub.store(base), f"refs/pull/{issue.number}/head"
    if head is base:
        store.update(ref, sha)
    else:
        store.fetch(hub.store(head), sha, ref)


def _look_at_base(hub: Hub, repository: Repository, issue: Issue, sender: str) -> None:
    assert issue.pull is not None  # noqa: S101  (asked by the caller)
    tip = repository.refs.get(BRANCHES + issue.pull.base_ref)
    if tip is None:
        return
    issue.pull.mergeable = None
    # Someone brought the commits into the base by Git alone: GitHub calls that merged, too.
    if hub.store(repository).is_ancestor(issue.pull.head_sha, tip):
        mark_merged(hub, repository, issue, tip, sender)


def mark_merged(hub: Hub, repository: Repository, issue: Issue, sha: str, by: str) -> None:
    assert issue.pull is not None  # noqa: S101  (asked by the caller)
    close(hub, repository, issue, by)
    pull = issue.pull
    pull.merged_at, pull.merged_by, pull.merge_commit = issue.closed_at, by, sha
    pull.merging = ""
    events.pull_request(hub, "closed", repository, issue, sender=by)


def _ask_for_suites(
    hub: Hub, repository: Repository, branch: str, before: str, sha: str, sender: str
) -> None:
    for installation in hub.state.installations.values():
        if installation.account.lower() != repository.owner.lower():
            continue
        if installation.permissions.get("checks") != "write":
            continue
        known = find_suite(repository, installation.app_id, sha)
        suite = known or make_suite(hub, repository, installation.app_id, sha, branch, before)
        events.check_suite_event(hub, "requested", repository, suite, sender)


def find_suite(repository: Repository, app_id: int, sha: str) -> CheckSuite | None:
    for suite in repository.check_suites.values():
        if suite.app_id == app_id and suite.head_sha == sha:
            return suite
    return None


def make_suite(
    hub: Hub, repository: Repository, app_id: int, sha: str, branch: str, before: str
) -> CheckSuite:
    now = hub.clock.now()
    suite = CheckSuite(hub.state.new_id(), app_id, sha, branch, before, now, now)
    repository.check_suites[suite.id] = suite
    return suite
