"""What stands before the first call: people, organisations, teams, Apps, installations, repositories."""

import re
from pathlib import Path
from typing import Literal

from ray_platform_sandbox.github.git.history import Person
from ray_platform_sandbox.github.git.merges import settle
from ray_platform_sandbox.github.git.program import run_git
from ray_platform_sandbox.github.git.pushes import take_in
from ray_platform_sandbox.github.git.store import EMPTY_TREE, GitStore
from ray_platform_sandbox.github.hub import Hub
from ray_platform_sandbox.github.problems import validation_failed
from ray_platform_sandbox.github.state import (
    Account,
    App,
    Installation,
    Kind,
    Repository,
    Team,
    Webhook,
)

#: What the platform's App may do, and hears of.
PERMISSIONS = {
    "metadata": "read",
    "contents": "write",
    "pull_requests": "write",
    "issues": "write",
    "checks": "write",
    "deployments": "write",
    "members": "read",
}
EVENTS = (
    "check_run",
    "check_suite",
    "issue_comment",
    "issues",
    "pull_request",
    "pull_request_review",
    "push",
)


def add_account(hub: Hub, login: str, kind: Kind = "User", name: str = "") -> Account:
    """The account of that login, made where there is none."""
    if found := hub.state.account(login):
        return found
    number = hub.state.new_id()
    email = f"{number}+{login}@users.noreply.example.invalid"
    account = Account(number, login, kind, name or login.title(), hub.clock.now(), email)
    hub.state.accounts[login.lower()] = account
    return account


def add_member(hub: Hub, organization: str, login: str, role: str = "member") -> None:
    """``role``: member or admin."""
    hub.account(organization).members[login] = role


def add_team(hub: Hub, organization: str, slug: str, members: dict[str, str]) -> Team:
    """The team of that name, with these members (login to member or maintainer)."""
    team = hub.state.team(organization, slug)
    if team is None:
        team = Team(hub.state.new_id(), organization, slug, slug.replace("-", " ").title())
        hub.state.teams.append(team)
    team.members = dict(members)
    return team


def add_app(
    hub: Hub,
    slug: str,
    owner: str,
    public_key: str,
    *,
    permissions: dict[str, str] | None = None,
    events: tuple[str, ...] = EVENTS,
    webhook: Webhook | None = None,
) -> App:
    """A new App with the public half of its key, and its bot."""
    number = hub.state.new_id()
    app = App(
        id=number,
        slug=slug,
        name=slug.replace("-", " ").title(),
        owner=owner,
        client_id=f"Iv23local{number:011d}",
        public_key=public_key,
        permissions=dict(PERMISSIONS if permissions is None else permissions),
        events=list(events),
        webhook=webhook or Webhook(),
        created_at=hub.clock.now(),
    )
    hub.state.apps[number] = app
    add_account(hub, app.bot, "Bot", app.bot)
    return app


def install(
    hub: Hub,
    app: App,
    account: str,
    *,
    selection: Literal["all", "selected"] = "all",
    repository_ids: tuple[int, ...] = (),
) -> Installation:
    """Install an App in an account."""
    installation = Installation(
        id=hub.state.new_id(),
        app_id=app.id,
        account=account,
        permissions=dict(app.permissions),
        events=list(app.events),
        created_at=hub.clock.now(),
        repository_selection=selection,
        repository_ids=list(repository_ids),
    )
    hub.state.installations[installation.id] = installation
    return installation


def add_repository(
    hub: Hub,
    owner: str,
    name: str,
    *,
    from_git: Path | None = None,
    commit: str = "",
    private: bool = True,
    default_branch: str = "main",
    team: str = "",
    empty: bool = False,
) -> Repository:
    """A new repository: with a commit of another one on this machine, or with an empty first commit.

    A ``team`` of the owner's, where there is one of that name, may push to it.

    Raises:
        GitStoreError: the other repository, or the commit in it, cannot be read.
    """
    now = hub.clock.now()
    repository = Repository(hub.state.new_id(), owner, name, private, default_branch, now, now, now)
    store = new_store(hub, repository)
    if empty:
        pass  # its first commit comes by a push
    elif from_git is None:
        account = hub.account(owner)
        person = Person(account.name, account.email)
        first = store.make_commit(
            EMPTY_TREE,
            (),
            "The first commit",
            author=person,
            authored=f"{now} +0000",
            committer=person,
            committed=f"{now} +0000",
        )
        store.update(f"refs/heads/{default_branch}", first)
    else:
        found = commit or run_git(None, "-C", from_git, "rev-parse", "HEAD").strip()
        store.import_commit(from_git, found, default_branch)
    repository.refs = store.refs()
    hub.state.repositories[repository.id] = repository
    if team and (found_team := hub.state.team(owner, team)):
        found_team.repositories[repository.full_name] = "push"
    return repository


def add_fork(hub: Hub, parent: Repository, owner: str, name: str) -> Repository:
    """The fork of a repository in another account, made where there is none."""
    if found := hub.state.repository(owner, name):
        return found
    now = hub.clock.now()
    fork = Repository(
        hub.state.new_id(),
        owner,
        name,
        parent.private,
        parent.default_branch,
        now,
        now,
        now,
        fork_of=parent.id,
    )
    store = new_store(hub, fork)
    for ref, sha in parent.refs.items():
        store.fetch(hub.store(parent), sha, ref)
    fork.refs = store.refs()
    hub.state.repositories[fork.id] = fork
    return fork


def new_store(hub: Hub, repository: Repository) -> GitStore:
    store = hub.store(repository)
    store.path.parent.mkdir(parents=True, exist_ok=True)
    if not store.path.exists():
        store.create(repository.default_branch)
    return store


def catch_up(hub: Hub) -> None:
    """After a start from a snapshot: take in what Git got and the snapshot did not."""
    for repository in list(hub.state.repositories.values()):
        settle(hub, repository)
        take_in(hub, repository, repository.owner)


def require_name(name: str) -> None:
    """Raises:
    Problem: 422, a repository cannot have that name.
    """
    if not re.fullmatch(r"[A-Za-z0-9._-]{1,100}", name) or name in (".", "..", ".git"):
        raise validation_failed("Repository", "name", "invalid")
