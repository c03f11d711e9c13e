"""One environment at one commit, with the adapters that its stages use.

A session is made of small frozen parts: where its files come from, whose rules hold, who asks, and what it
runs on. A stage asks it for `terraform`, `artifacts` or `aws`, and never whether it is on a laptop or on AWS.
Topics add adapters of their own by `part`, so that the session knows none of them.
"""

import functools
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, TypeVar, cast

from dagster import DagsterInstance

from ray_platform.config.settings import Environment, Settings
from ray_platform.config.upgrade_wish import UpgradeWish
from ray_platform.git.commit_tree_store import commit_tree
from ray_platform.git.git_client import Git
from ray_platform.git.revision import Revision
from ray_platform.github.model import PullRef
from ray_platform.policy.policy_engine import PolicyEngine
from ray_platform.records.audit_store import AuditLog
from ray_platform.records.records_store import Records
from ray_platform.session.adapters import Adapters, Cloud, choose_adapters
from ray_platform.store.artifact_store import Artifacts, FileStore, S3Store, Store
from ray_platform.terraform.terraform_client import Terraform
from ray_platform.terraform.terraform_process import Watch
from ray_platform.text.errors import BusyError, SettingsError

Part = TypeVar("Part")


class Lock(Watch, Protocol):
    """An environment that is held (`session.lock`)."""

    def require(self) -> None:
        """Make sure that it is still held. Raises `BusyError`."""


@dataclass(frozen=True)
class Source:
    """Where the files of a session come from.

    ``current`` are the settings of this process's checkout, ``at`` those of the commit's files. ``commit``
    is None for the working tree.
    """

    current: Settings
    at: Settings
    git: Git
    commit: str | None


@dataclass(frozen=True)
class Rules:
    """Whose policies, approvals and budget hold: ``base`` is the commit that has them."""

    base: str | None
    policy_root: Path


@dataclass(frozen=True)
class Caller:
    """Who asks, for the audit log and the gates.

    ``asked_by`` is a person or a program, ``run_id`` the Dagster run, ``instance`` Dagster's storage, which
    knows the live runs. ``pull`` is the pull request that this is about, ``issue`` the issue that asks for
    the environment's removal. ``despite_live_runs``: live burst runs may be disrupted. ``ray_upgrade`` is
    how Ray pods are replaced; None as the environment says.
    """

    asked_by: str
    run_id: str
    instance: DagsterInstance | None
    pull: PullRef | None
    issue: PullRef | None
    despite_live_runs: bool
    ray_upgrade: UpgradeWish | None


class EnvironmentSession:
    """The adapters of one environment, each made when it is first asked for; opened by `open_session`.

    Args:
        name: The environment.
        environment: Its settings, under the rules that hold.
        source: Where its files come from.
        rules: Whose rules hold.
        caller: Who asks.
        adapters: What it runs on; None to choose them when they are first needed.
        parts: Adapters of topics to use in place of those that `part` would make, by their makers.
    """

    def __init__(
        self,
        name: str,
        environment: Environment,
        source: Source,
        rules: Rules,
        caller: Caller,
        adapters: Adapters | None = None,
        parts: Mapping[Callable[..., Any], Any] | None = None,
    ) -> None:
        self.name = name
        self.environment = environment
        self.source = source
        self.rules = rules
        self.caller = caller
        self._given = adapters
        self._parts: dict[Callable[..., Any], Any] = dict(parts or {})
        self._lock: Lock | None = None

    def part(self, make: Callable[["EnvironmentSession"], Part]) -> Part:
        """The adapter that ``make`` makes of this session, made once."""
        if make not in self._parts:
            self._parts[make] = make(self)
        return cast(Part, self._parts[make])

    def at_commit(self, commit: str, git: Git) -> "EnvironmentSession":
        """The same environment at another commit, under the same rules."""
        return open_session(
            self.source.current,
            self.name,
            commit,
            base=self.rules.base,
            git=git,
            asked_by=self.caller.asked_by,
        )

    @property
    def settings(self) -> Settings:
        return self.source.at

    @property
    def current_settings(self) -> Settings:
        """The settings of this process's checkout, whatever commit the session is at."""
        return self.source.current

    @property
    def home(self) -> Path:
        return self.source.current.home

    @property
    def git(self) -> Git:
        return self.source.git

    @property
    def commit(self) -> str | None:
        return self.source.commit

    @property
    def base(self) -> str | None:
        return self.rules.base

    @property
    def policy_root(self) -> Path:
        return self.rules.policy_root

    @property
    def asked_by(self) -> str:
        return self.caller.asked_by

    @property
    def run_id(self) -> str:
        return self.caller.run_id

    @property
    def instance(self) -> DagsterInstance | None:
        return self.caller.instance

    @property
    def pull(self) -> PullRef | None:
        return self.caller.pull

    @property
    def issue(self) -> PullRef | None:
        return self.caller.issue

    @property
    def despite_live_runs(self) -> bool:
        return self.caller.despite_live_runs

    @property
    def ray_upgrade(self) -> UpgradeWish:
        choice = self.environment.ray
        return self.caller.ray_upgrade or UpgradeWish(choice.upgrade, choice.drain_seconds)

    @functools.cached_property
    def revision(self) -> Revision:
        """What the files of this session come from."""
        if self.commit:
            return Revision(commit=self.commit, subject=self.git.subject(self.commit))
        return Git(self.settings.root).revision()

    @property
    def repository(self) -> str:
        """The name of the repository that this environment comes from, the same for each of its plans."""
        app = self.current_settings.github
        named = self.environment.pull_requests.repository
        return named or (str(app.repositories[0]) if app else self.git.remote())

    @functools.cached_property
    def adapters(self) -> Adapters:
        """What this environment runs on.

        Raises:
            SettingsError: it runs on the sandbox, which is not installed.
        """
        return self._given or choose_adapters(self.settings, self.environment)

    @property
    def cloud(self) -> Cloud:
        return self.adapters.cloud

    @functools.cached_property
    def cloud_variables(self) -> Mapping[str, str]:
        """What a child process needs to reach this environment's cloud; an emulator is started."""
        return self.cloud.variables()

    def aws(self, service: str) -> Any:
        """A boto3 client for this environment's cloud."""
        return self.cloud.client(service)

    @property
    def artifacts(self) -> Artifacts:
        """The artifact store.

        Raises:
            SettingsError: its URI is neither ``file`` nor ``s3://BUCKET/PREFIX``.
        """
        return self.part(make_artifacts)

    @functools.cached_property
    def records(self) -> Records:
        return Records(self.artifacts, self.name)

    @functools.cached_property
    def audit(self) -> AuditLog:
        return AuditLog(self.artifacts, self.name)

    @property
    def policies(self) -> PolicyEngine:
        return self.part(make_policies)

    def terraform(self, progress: Callable[[str], None] | None = None) -> Terraform:
        """Terraform on this environment's root, state and cloud."""
        return self.part(terraform_maker)(progress, self._lock)

    @property
    def is_held(self) -> bool:
        """Whether this session holds its environment."""
        return self._lock is not None

    @contextmanager
    def holding(self, lock: Lock) -> Iterator[None]:
        """Hold the environment by ``lock`` until the end of the block (`session.lock.change_lock`)."""
        self._lock = lock
        try:
            yield
        finally:
            self._lock = None

    def require_held(self) -> None:
        """Make sure, at the store, that the environment is still ours; asked right before a change.

        Raises:
            BusyError: it is not: this change never held it, or another one took it over.
            ArtifactError: the store does not answer.
        """
        if self._lock is None:
            raise BusyError(
                "the environment is not held by this change",
                where=self.name,
                fix="change it through the stages, which hold it",
            )
        self._lock.require()


#: Makes Terraform for an environment, which reports to the first and is watched by the second argument.
TerraformMaker = Callable[[Callable[[str], None] | None, Watch | None], Terraform]


def make_artifacts(session: EnvironmentSession) -> Artifacts:
    """The artifact store that an environment's settings name. Raises `SettingsError`."""
    return Artifacts(_store(session))


def make_policies(session: EnvironmentSession) -> PolicyEngine:
    """The policies whose rules hold for a session."""
    return PolicyEngine(session.policy_root, opa=session.settings.opa_binary)


def terraform_maker(session: EnvironmentSession) -> TerraformMaker:
    """What makes Terraform for a session's environment."""

    def make(progress: Callable[[str], None] | None, watch: Watch | None) -> Terraform:
        return Terraform(
            session.settings,
            session.environment,
            env=session.cloud_variables,
            commit=session.revision.commit,
            repository=session.repository,
            progress=progress,
            # On AWS it needs our credentials, and with them all that they open.
            untrusted=session.pull is not None and session.cloud.is_disposable,
            pull_request=session.pull is not None,
            watch=watch,
        )

    return make


def _store(session: EnvironmentSession) -> Store:
    uri = session.environment.artifacts.uri
    if uri == "file":
        return FileStore(session.home / "artifacts")
    if uri.startswith("s3://"):
        bucket, _, prefix = uri.removeprefix("s3://").partition("/")
        return S3Store(bucket, prefix, session.aws("s3"))
    raise SettingsError(
        f"artifacts.uri is {uri!r}",
        where=str(session.settings.root / "environments" / f"{session.name}.toml"),
        fix='give "file" or "s3://BUCKET/PREFIX"',
    )


def open_session(
    settings: Settings,
    name: str,
    commit: str | None = None,
    *,
    base: str | None = None,
    git: Git | None = None,
    pull: PullRef | None = None,
    issue: PullRef | None = None,
    asked_by: str = "",
    run_id: str = "",
    instance: DagsterInstance | None = None,
    despite_live_runs: bool = False,
    ray_upgrade: UpgradeWish | None = None,
    adapters: Adapters | None = None,
    parts: Mapping[Callable[..., Any], Any] | None = None,
) -> EnvironmentSession:
    """A session on an environment.

    Args:
        settings: Where the checkout and the local state are.
        name: The environment.
        commit: Take the files (Terraform, chart, policies, workload, environment) of this commit instead
            of the working tree's. A commit that the branch has left behind, as in a rollback, is judged by
            the present policies, approvals and budget: it must not bring back what was forbidden since.
        base: The commit whose policies, approvals and budget hold for ``commit``: of a pull request, its
            base branch's. What a pull request says of them holds once it is merged.
        git: The repository that holds the commits; by default the watched one.
        pull, issue, asked_by, run_id, instance, despite_live_runs, ray_upgrade: Who asks: see `Caller`.
        adapters: What it runs on; by default as the environment says.
        parts: Adapters of topics, by their makers (`EnvironmentSession.part`).

    Raises:
        SettingsError: the environment is unknown, or its file is malformed.
        GitError: the repository lacks the commit.
    """
    git = git or Git(Path(settings.repository))

    def files_at(at: str) -> Settings:
        return settings.at(commit_tree(git, at, settings.home / "checkouts"))

    own = files_at(commit) if commit else settings
    environment, policy_root = own.environment(name), own.policy_root
    if commit and (base or _is_left_behind(git, settings.branch, commit)):
        ruling = files_at(base) if base else settings
        environment = environment.with_rules_of(ruling.environment(name))
        policy_root = ruling.policy_root
    return EnvironmentSession(
        name,
        environment,
        Source(settings, own, git, commit),
        Rules(base, policy_root),
        Caller(
            asked_by or "unknown", run_id, instance, pull, issue, despite_live_runs, ray_upgrade
        ),
        adapters,
        parts,
    )


def _is_left_behind(git: Git, branch: str, commit: str) -> bool:
    head = git.head(branch)
    return bool(head) and head != commit and git.is_ancestor(commit, head or "")
