"""Calls about pull requests: list, open, change, files, commits, merge."""

from collections.abc import Callable

from ray_platform_sandbox.github import events
from ray_platform_sandbox.github.access.rights import ROLES, role_in
from ray_platform_sandbox.github.call import Answer, Call, Route
from ray_platform_sandbox.github.git import merges
from ray_platform_sandbox.github.git.pushes import BRANCHES, close, keep_head
from ray_platform_sandbox.github.problems import Problem, forbidden, validation_failed
from ray_platform_sandbox.github.rest.repositories import DIFF, network_repository
from ray_platform_sandbox.github.rest.texts import body_of, change_texts, new_texts
from ray_platform_sandbox.github.shapes import pulls, repositories
from ray_platform_sandbox.github.shapes.pulls import diff_base, pull_of
from ray_platform_sandbox.github.state import Issue, Pull, Repository

_READ, _WRITE = ("pull_requests:read",), ("pull_requests:write",)
_TIMES: dict[str, Callable[[Issue], int]] = {
    "created": lambda issue: issue.created_at,
    "updated": lambda issue: issue.updated_at,
    "popularity": lambda issue: 0,
    "long-running": lambda issue: issue.created_at,
}


def list_pulls(call: Call) -> Answer:
    state = call.asked("state", ("open", "closed", "all"))
    sort = call.asked("sort", ("created", "updated", "popularity", "long-running"))
    downwards = "desc" if sort == "created" else "asc"
    direction = call.query.get("direction", downwards if "sort" in call.query else "desc")
    found = [
        issue
        for issue in call.repository.issues.values()
        if issue.pull and (state == "all" or issue.state == state)
    ]
    if base := call.query.get("base"):
        found = [issue for issue in found if pull_of(issue).base_ref == base]
    if head := call.query.get("head"):
        found = [issue for issue in found if _label(call, issue) == head]
    # Numbers order what happened in the same second.
    found.sort(key=lambda one: (_TIMES[sort](one), one.number), reverse=direction == "desc")
    return call.page_of(found, lambda one: pulls.pull_simple(call.hub, call.repository, one))


def get_pull(call: Call) -> Answer:
    issue = call.issue
    merges.refresh(call.hub, call.repository, issue)
    store, held = call.hub.store(call.repository), pull_of(issue)
    if call.accept == DIFF:
        return Answer(store.diff(diff_base(store, held), held.head_sha), content_type=DIFF)
    return Answer(
        pulls.pull(call.hub, call.repository, issue),
        headers={"Last-Modified": http_date(issue.updated_at)},
    )


def create_pull(call: Call) -> Answer:
    hub, repository = call.hub, call.repository
    head_name, base_ref = call.required("head", str), call.required("base", str)
    owner, _, head_ref = head_name.rpartition(":")
    head = network_repository(call, owner) if owner else repository
    head_sha = head.refs.get(BRANCHES + head_ref)
    base_sha = repository.refs.get(BRANCHES + base_ref)
    if head_sha is None:
        raise validation_failed("PullRequest", "head", "invalid")
    if base_sha is None:
        raise validation_failed("PullRequest", "base", "invalid")
    _refuse_second(repository, head, head_ref, base_ref)
    now = hub.clock.now()
    issue = Issue(
        id=hub.state.new_id(),
        number=repository.next_number,
        title=call.required("title", str),
        body=body_of(call, "PullRequest") or "",
        user=call.caller.login,
        created_at=now,
        updated_at=now,
        app_id=call.caller.app_id,
        pull=Pull(
            id=hub.state.new_id(),
            head_repository=head.id,
            head_ref=head_ref,
            head_sha=head_sha,
            base_ref=base_ref,
            base_sha=base_sha,
            draft=bool(call.given("draft", bool)),
        ),
    )
    keep_head(hub, head, repository, issue, head_sha)
    if not hub.store(repository).commits(base_sha, head_sha):
        raise validation_failed(
            "PullRequest", "base", "custom", f"No commits between {base_ref} and {head_ref}"
        )
    repository.next_number += 1
    repository.issues[issue.number] = issue
    merges.refresh(hub, repository, issue)
    events.pull_request(hub, "opened", repository, issue, call.caller.login)
    return Answer(pulls.pull(hub, repository, issue), 201)


def change_pull(call: Call) -> Answer:
    """Title, body, base, and whether it is open."""
    hub, repository, issue = call.hub, call.repository, call.issue
    _require_author_or_writer(call, issue)
    # All is judged before the first is changed.
    texts, base = new_texts(call, issue, "PullRequest"), _new_base(call, issue)
    state = call.choice("state", ("open", "closed"))
    opens = state == "open" and issue.state == "closed"
    if opens:
        require_can_reopen(call, issue)

    hub.touch(issue)
    changes = change_texts(issue, texts)
    if base is not None:
        held = pull_of(issue)
        changes["base"] = {"ref": {"from": held.base_ref}, "sha": {"from": held.base_sha}}
        held.base_ref, held.mergeable = base, None
        held.base_sha = repository.refs[BRANCHES + base]
    if changes:
        events.pull_request(hub, "edited", repository, issue, call.caller.login, changes=changes)
    if opens:
        reopen(call, issue)
    elif state == "closed" and issue.state == "open":
        close(hub, repository, issue, call.caller.login)
        events.pull_request(hub, "closed", repository, issue, call.caller.login)
    merges.refresh(hub, repository, issue)
    return Answer(pulls.pull(hub, repository, issue))


def list_files(call: Call) -> Answer:
    held, store = pull_of(call.issue), call.hub.store(call.repository)
    changes = store.changes(diff_base(store, held), held.head_sha)
    return call.page_of(
        list(changes),
        lambda one: repositories.file_change(call.hub, call.repository, one, held.head_sha),
    )


def list_commits(call: Call) -> Answer:
    held, store = pull_of(call.issue), call.hub.store(call.repository)
    found = store.commits(diff_base(store, held), held.head_sha)
    return call.page_of(
        list(found), lambda one: repositories.commit(call.hub, call.repository, one)
    )


def is_merged(call: Call) -> Answer:
    if pull_of(call.issue).merged_at is None:
        raise Problem(404, "Not Found")
    return Answer(status=204)


def merge_pull(call: Call) -> Answer:
    issue = call.issue
    method = call.choice("merge_method", ("merge", "squash", "rebase")) or "merge"
    expected = call.given("sha", str)
    if expected is not None and expected != pull_of(issue).head_sha:
        raise Problem(409, "Head branch was modified. Review and try the merge again.")
    made = merges.merge(
        call.hub,
        call.repository,
        issue,
        call.caller.login,
        method,
        call.given("commit_title", str) or "",
        call.given("commit_message", str) or "",
    )
    message = "Pull Request successfully merged"
    return Answer({"sha": made, "merged": True, "message": message})


def pulls_of_commit(call: Call) -> Answer:
    sha = call.values["commit_sha"]
    store = call.hub.store(call.repository)
    found = [
        issue
        for issue in call.repository.issues.values()
        if issue.pull
        and (
            sha in (issue.pull.head_sha, issue.pull.merge_commit)
            or sha
            in {c.sha for c in store.commits(diff_base(store, issue.pull), issue.pull.head_sha)}
        )
    ]
    return call.page_of(found, lambda one: pulls.pull_simple(call.hub, call.repository, one))


def http_date(seconds: int) -> str:
    """A time as HTTP's headers hold it."""
    from email.utils import formatdate

    return formatdate(seconds, usegmt=True)


def _label(call: Call, issue: Issue) -> str:
    held = pull_of(issue)
    head = call.hub.state.repositories.get(held.head_repository)
    return f"{head.owner if head else ''}:{held.head_ref}"


def _refuse_second(repository: Repository, head: Repository, head_ref: str, base_ref: str) -> None:
    for other in repository.issues.values():
        pull = other.pull
        if pull is None or other.state != "open" or pull.base_ref != base_ref:
            continue
        if pull.head_repository == head.id and pull.head_ref == head_ref:
            label = f"{head.owner}:{head_ref}"
            text = f"A pull request already exists for {label}."
            raise Problem(
                422,
                "Validation Failed",
                errors=[{"resource": "PullRequest", "code": "custom", "message": text}],
            )


def _require_author_or_writer(call: Call, issue: Issue) -> None:
    if call.caller.kind != "user" or issue.user.lower() == call.caller.login.lower():
        return
    role = role_in(call.hub.state, call.repository, call.caller.login)
    if ROLES.index(role) < ROLES.index("triage"):
        raise forbidden("Must have triage access to Repository.")


def _new_base(call: Call, issue: Issue) -> str | None:
    base = call.given("base", str)
    if base is None or base == pull_of(issue).base_ref:
        return None
    if BRANCHES + base not in call.repository.refs:
        raise validation_failed("PullRequest", "base", "invalid")
    return base


def require_can_reopen(call: Call, issue: Issue) -> None:
    """Raises:
    Problem: 422, it was merged, or its branch is gone.
    """
    held = pull_of(issue)
    head = call.hub.state.repositories.get(held.head_repository)
    if held.merged_at is not None or head is None or BRANCHES + held.head_ref not in head.refs:
        raise validation_failed("PullRequest", "state", "invalid", "state cannot be changed.")


def reopen(call: Call, issue: Issue) -> None:
    """Open a closed pull request again, at what its branch holds now."""
    hub, held = call.hub, pull_of(issue)
    head = hub.state.repositories[held.head_repository]
    sha = head.refs[BRANCHES + held.head_ref]
    issue.state, issue.closed_at, issue.closed_by = "open", None, ""
    keep_head(hub, head, call.repository, issue, sha)
    held.head_sha, held.mergeable = sha, None
    events.pull_request(hub, "reopened", call.repository, issue, call.caller.login)


_AT = "/repos/{owner}/{repo}/pulls"
ROUTES = (
    Route("GET", _AT, list_pulls, _READ),
    Route("POST", _AT, create_pull, _WRITE, content=True),
    Route("GET", f"{_AT}/{{pull_number}}", get_pull, _READ),
    Route("PATCH", f"{_AT}/{{pull_number}}", change_pull, _WRITE),
    Route("GET", f"{_AT}/{{pull_number}}/files", list_files, _READ),
    Route("GET", f"{_AT}/{{pull_number}}/commits", list_commits, _READ),
    Route("GET", f"{_AT}/{{pull_number}}/merge", is_merged, ("contents:read",)),
    Route("PUT", f"{_AT}/{{pull_number}}/merge", merge_pull, ("contents:write",), "write"),
    Route("GET", "/repos/{owner}/{repo}/commits/{commit_sha}/pulls", pulls_of_commit, _READ),
)
