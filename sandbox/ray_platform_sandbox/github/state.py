"""What the server knows. Times are whole seconds since the epoch; people and Apps are named by login.

Plain dataclasses without behaviour beyond look-up: `snapshot` writes them as JSON and reads them back.
"""

from dataclasses import dataclass, field
from typing import Any, Literal

Kind = Literal["User", "Organization", "Bot"]


@dataclass
class Account:
    """A person, an organisation or an App's bot. ``members`` of an organisation: login to role."""

    id: int
    login: str
    kind: Kind
    name: str
    created_at: int
    email: str = ""
    members: dict[str, str] = field(default_factory=dict)


@dataclass
class Team:
    """``members``: login to role; ``repositories``: full name to permission (pull, push, admin)."""

    id: int
    organization: str
    slug: str
    name: str
    members: dict[str, str] = field(default_factory=dict)
    repositories: dict[str, str] = field(default_factory=dict)


@dataclass
class Webhook:
    """Where an App's events are sent; no address: nowhere."""

    url: str = ""
    secret: str = ""
    content_type: str = "json"


@dataclass
class App:
    """A GitHub App. Only the public half of its key is kept."""

    id: int
    slug: str
    name: str
    owner: str
    client_id: str
    public_key: str
    permissions: dict[str, str]
    events: list[str]
    webhook: Webhook
    created_at: int
    description: str = ""
    external_url: str = ""

    @property
    def bot(self) -> str:
        return f"{self.slug}[bot]"


@dataclass
class Installation:
    """An App in an account; ``repository_ids`` is read only where the selection is ``selected``."""

    id: int
    app_id: int
    account: str
    permissions: dict[str, str]
    events: list[str]
    created_at: int
    repository_selection: Literal["all", "selected"] = "all"
    repository_ids: list[int] = field(default_factory=list)
    suspended_at: int | None = None


@dataclass
class Token:
    """A token, found by its SHA-256. An installation's ends; a person's does not."""

    digest: str
    login: str
    installation_id: int = 0
    permissions: dict[str, str] = field(default_factory=dict)
    repository_ids: list[int] | None = None
    expires_at: int | None = None


@dataclass
class Label:
    id: int
    name: str
    color: str
    description: str = ""


@dataclass
class Comment:
    id: int
    issue: int
    user: str
    body: str
    created_at: int
    updated_at: int
    app_id: int = 0


@dataclass
class Review:
    id: int
    user: str
    body: str
    state: str
    commit: str
    submitted_at: int | None


@dataclass
class Pull:
    """What a pull request has beyond an issue. ``merging`` is the commit of a merge under way."""

    id: int
    head_repository: int
    head_ref: str
    head_sha: str
    base_ref: str
    base_sha: str
    draft: bool = False
    merged_at: int | None = None
    merged_by: str = ""
    merge_commit: str = ""
    mergeable: bool | None = None
    #: The base and head that ``mergeable`` and ``refs/pull/N/merge`` were made from.
    mergeable_of: str = ""
    merging: str = ""
    reviews: list[Review] = field(default_factory=list)


@dataclass
class Issue:
    """An issue, or with ``pull`` a pull request; both share one numbering."""

    id: int
    number: int
    title: str
    body: str
    user: str
    created_at: int
    updated_at: int
    state: Literal["open", "closed"] = "open"
    state_reason: str | None = None
    closed_at: int | None = None
    closed_by: str = ""
    labels: list[str] = field(default_factory=list)
    assignees: list[str] = field(default_factory=list)
    app_id: int = 0
    pull: Pull | None = None


@dataclass
class CheckSuite:
    id: int
    app_id: int
    head_sha: str
    head_branch: str
    before: str
    created_at: int
    updated_at: int


@dataclass
class CheckRun:
    """``output`` holds title, summary and text, ``annotations`` what was given with them."""

    id: int
    suite_id: int
    app_id: int
    name: str
    head_sha: str
    status: str
    conclusion: str | None
    started_at: int | None
    completed_at: int | None
    details_url: str
    external_id: str
    output: dict[str, str | None] = field(default_factory=dict)
    annotations: list[dict[str, Any]] = field(default_factory=list)


@dataclass
class DeploymentStatus:
    id: int
    state: str
    user: str
    description: str
    environment: str
    environment_url: str
    log_url: str
    created_at: int
    app_id: int = 0


@dataclass
class Deployment:
    id: int
    sha: str
    ref: str
    task: str
    payload: Any
    environment: str
    description: str
    user: str
    created_at: int
    updated_at: int
    production: bool = False
    transient: bool = False
    app_id: int = 0
    statuses: list[DeploymentStatus] = field(default_factory=list)


@dataclass
class Repository:
    """``roles``: login to read, triage, write, maintain or admin. ``refs`` is what was last seen in Git."""

    id: int
    owner: str
    name: str
    private: bool
    default_branch: str
    created_at: int
    updated_at: int
    pushed_at: int
    description: str = ""
    fork_of: int = 0
    roles: dict[str, str] = field(default_factory=dict)
    refs: dict[str, str] = field(default_factory=dict)
    labels: dict[str, Label] = field(default_factory=dict)
    issues: dict[int, Issue] = field(default_factory=dict)
    comments: dict[int, Comment] = field(default_factory=dict)
    check_suites: dict[int, CheckSuite] = field(default_factory=dict)
    check_runs: dict[int, CheckRun] = field(default_factory=dict)
    deployments: dict[int, Deployment] = field(default_factory=dict)
    next_number: int = 1

    @property
    def full_name(self) -> str:
        return f"{self.owner}/{self.name}"


@dataclass
class ManifestCode:
    """A manifest that was posted and waits for its one conversion."""

    code: str
    owner: str
    manifest: dict[str, Any]
    expires_at: int


@dataclass
class State:
    """Everything but Git objects and the delivery log. Names are found whatever their case."""

    last_id: int = 1000
    accounts: dict[str, Account] = field(default_factory=dict)
    teams: list[Team] = field(default_factory=list)
    apps: dict[int, App] = field(default_factory=dict)
    installations: dict[int, Installation] = field(default_factory=dict)
    tokens: dict[str, Token] = field(default_factory=dict)
    repositories: dict[int, Repository] = field(default_factory=dict)
    manifests: dict[str, ManifestCode] = field(default_factory=dict)

    def new_id(self) -> int:
        self.last_id += 1
        return self.last_id

    def account(self, login: str) -> Account | None:
        return self.accounts.get(login.lower())

    def repository(self, owner: str, name: str) -> Repository | None:
        wanted = f"{owner}/{name}".lower()
        return next((r for r in self.repositories.values() if r.full_name.lower() == wanted), None)

    def team(self, organization: str, slug: str) -> Team | None:
        wanted = (organization.lower(), slug.lower())
        return next((t for t in self.teams if (t.organization.lower(), t.slug) == wanted), None)

    def installation_of(self, app_id: int, account: str) -> Installation | None:
        for found in self.installations.values():
            if found.app_id == app_id and found.account.lower() == account.lower():
                return found
        return None
