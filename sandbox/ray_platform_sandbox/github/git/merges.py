"""Merging pull requests: whether it can be done, ``refs/pull/N/merge``, and the three ways to do it."""

from ray_platform_sandbox.github.clock import spell
from ray_platform_sandbox.github.git.history import Person
from ray_platform_sandbox.github.git.pushes import BRANCHES, mark_merged, take_in
from ray_platform_sandbox.github.hub import Hub
from ray_platform_sandbox.github.problems import Problem, not_found
from ray_platform_sandbox.github.shapes.pulls import diff_base, pull_of
from ray_platform_sandbox.github.state import Issue, Repository

SERVER = Person("GitHub", "noreply@example.invalid")


def refresh(hub: Hub, repository: Repository, issue: Issue) -> None:
    """Find out whether an open pull request can be merged now, and keep its merge ref."""
    pull = pull_of(issue)
    tip = repository.refs.get(BRANCHES + pull.base_ref)
    if issue.state != "open" or tip is None:
        return
    sides = f"{tip} {pull.head_sha}"
    if pull.mergeable is not None and pull.mergeable_of == sides:
        return
    store, ref = hub.store(repository), f"refs/pull/{issue.number}/merge"
    tree = store.merge(tip, pull.head_sha)
    pull.mergeable, pull.mergeable_of = tree is not None, sides
    if tree is None:
        store.update(ref, None)
        return
    now = spell(hub.clock.now())
    message = f"Merge {pull.head_sha} into {tip}"
    made = store.make_commit(
        tree,
        (tip, pull.head_sha),
        message,
        author=SERVER,
        authored=now,
        committer=SERVER,
        committed=now,
    )
    store.update(ref, made)
    pull.merge_commit = made


def refresh_all(hub: Hub, repository: Repository) -> None:
    """What a fetch of the merge refs is to find."""
    for issue in repository.issues.values():
        if issue.pull is not None:
            refresh(hub, repository, issue)


def merge(
    hub: Hub, repository: Repository, issue: Issue, by: str, method: str, title: str, message: str
) -> str:
    """Merge an open pull request and say the commit that the base now stands at.

    Raises:
        Problem: 405: it conflicts, is closed or a draft; 409: the base moved meanwhile.
    """
    pull = pull_of(issue)
    base = BRANCHES + pull.base_ref
    tip = repository.refs.get(base)
    if tip is None:
        raise not_found()
    if issue.state != "open":
        raise Problem(405, "Pull Request is not mergeable")
    if pull.draft:
        raise Problem(405, "Pull Request is still a draft")
    made = _commit(hub, repository, issue, by, method, title, message, tip)
    # First the intention, then Git, then the fact: `settle` finishes what a kill leaves between.
    pull.merging, pull.merged_by = made, by
    hub.save()
    if not hub.store(repository).update(base, made, tip):
        pull.merging = ""
        raise Problem(409, "Base branch was modified. Review and try the merge again.")
    mark_merged(hub, repository, issue, made, by)
    take_in(hub, repository, by)
    return made


def settle(hub: Hub, repository: Repository) -> None:
    """Finish, or forget, the merges that a killed server had begun."""
    store = hub.store(repository)
    refs = store.refs()
    for issue in repository.issues.values():
        if issue.pull is None or not issue.pull.merging:
            continue
        tip = refs.get(BRANCHES + issue.pull.base_ref)
        if tip and store.is_ancestor(issue.pull.merging, tip):
            mark_merged(hub, repository, issue, issue.pull.merging, issue.pull.merged_by)
        else:
            issue.pull.merging = issue.pull.merged_by = ""


def _commit(
    hub: Hub,
    repository: Repository,
    issue: Issue,
    by: str,
    method: str,
    title: str,
    message: str,
    tip: str,
) -> str:
    store, pull = hub.store(repository), pull_of(issue)
    now = spell(hub.clock.now())
    account = hub.account(by)
    person = Person(account.name or account.login, account.email)
    if method == "rebase":
        onto = tip
        for one in store.commits(diff_base(store, pull), pull.head_sha):
            picked = store.pick(one, onto)
            if picked is None:
                raise Problem(405, "This branch can't be rebased")
            onto = store.make_commit(
                picked,
                (onto,),
                one.message,
                author=one.author,
                authored=one.authored,
                committer=person,
                committed=now,
            )
        return onto
    tree = store.merge(tip, pull.head_sha)
    if tree is None:
        raise Problem(405, "Pull Request is not mergeable")
    squash = method == "squash"
    head = hub.state.repositories.get(pull.head_repository, repository)
    default = (
        f"{issue.title} (#{issue.number})"
        if squash
        else f"Merge pull request #{issue.number} from {head.owner}/{pull.head_ref}"
    )
    body = message if message or squash else issue.title
    return store.make_commit(
        tree,
        (tip,) if squash else (tip, pull.head_sha),
        f"{title or default}\n\n{body}".rstrip() + "\n",
        author=person,
        authored=now,
        committer=SERVER,
        committed=now,
    )
