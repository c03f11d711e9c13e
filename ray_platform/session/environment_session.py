"""One environment with all that its stages talk to; the settings choose each adapter.

A stage asks the site for `terraform`, `artifacts` or `ray` and never whether it is on a laptop or on AWS.
"""

import functools
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from dagster import DagsterInstance
from ray_platform_sandbox.aws.service import ensure_emulator, find_emulator
from ray_platform_sandbox.kubernetes.service import find_kubernetes

from ray_platform.config.settings import Environment, Settings
from ray_platform.config.upgrade_wish import UpgradeWish
from ray_platform.cost.ledger.usage_store import UsageLedger
from ray_platform.cost.price_book import PriceBook, load_price_book
from ray_platform.drift.cloudtrail_client import CloudTrail, cloudtrail
from ray_platform.git.commit_tree_store import commit_tree
from ray_platform.git.git_client import Git
from ray_platform.git.revision import Revision
from ray_platform.github.model import PullRef
from ray_platform.policy.policy_engine import PolicyEngine
from ray_platform.ray import readiness
from ray_platform.ray.cluster_client import ClusterInfo, describe_cluster, wait_ready
from ray_platform.ray.clusters import RayOnKubernetes
from ray_platform.records.audit_store import AuditLog
from ray_platform.records.records_store import Records
from ray_platform.store.artifact_store import Artifacts, FileStore, S3Store, Store
from ray_platform.terraform.terraform_client import Terraform
from ray_platform.terraform.terraform_process import Watch
from ray_platform.text.errors import BusyError, KubernetesError, SettingsError


class Lock(Watch, Protocol):
    """An environment that is held (`stages.lock`)."""

    def require(self) -> None:
        """Make sure that it is still held. Raises `BusyError`."""


@dataclass(frozen=True)
class RayEndpoint:
    """A Ray cluster that answers: its job server's address, the file of its token, and its nodes."""

    address: str
    token_path: Path | None
    info: ClusterInfo


class Site:
    """The adapters of one environment, each made when it is first asked for.

    Args:
        settings: Where the checkout and the local state are.
        name: The environment.
        commit: Take the files (Terraform, chart, policies, workload, environment) of this commit instead
            of the working tree's. A commit that the branch has left behind, as in a rollback, is judged by
            today's policies, approvals and budget: it must not bring back what was forbidden since.
        base: The commit whose policies, approvals and budget hold for ``commit``: of a pull request, its
            base branch's. What a pull request says of them holds once it is merged.
        git: The repository that holds the commits; by default the watched one.
        pull: The pull request that this is about, if any.
        issue: The issue that asks for the environment's removal, if any.
        asked_by: Who or what asks, for the audit log.
        run_id: The Dagster run that asks; likewise.
        instance: Dagster's storage, which knows the runs that are live.
        despite_live_runs: Somebody said that live burst runs may be harmed.
        ray_upgrade: How the Ray cluster's pods are replaced; by default as the environment says.
    """

    def __init__(
        self,
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
    ) -> None:
        self.name = name
        self.asked_by = asked_by or "unknown"
        self.run_id = run_id
        self.instance = instance
        self.despite_live_runs = despite_live_runs
        self.lock: Lock | None = None
        self.commit = commit
        self.base = base
        self.pull = pull
        self.issue = issue
        self.home = settings.home
        self.git = git or Git(Path(settings.repository))
        self.today = settings
        self.settings = self._at(settings, commit) if commit else settings
        self.environment: Environment = self.settings.environment(name)
        choice = self.environment.ray
        self.ray_upgrade = ray_upgrade or UpgradeWish(choice.upgrade, choice.drain_seconds)
        self.policy_root = self.settings.policy_root
        if commit and (base or self._left_behind(commit)):
            ruling = self._at(settings, base) if base else settings
            self.environment = self.environment.governed_by(ruling.environment(name))
            self.policy_root = ruling.policy_root

    def at_commit(self, commit: str, git: Git) -> "Site":
        """The same environment at another commit, under the same rules."""
        return Site(self.today, self.name, commit, base=self.base, git=git, asked_by=self.asked_by)

    def _at(self, settings: Settings, commit: str) -> Settings:
        return settings.at(commit_tree(self.git, commit, settings.home / "checkouts"))

    def _left_behind(self, commit: str) -> bool:
        head = self.git.head(self.settings.branch)
        return bool(head) and head != commit and self.git.is_ancestor(commit, head or "")

    @functools.cached_property
    def revision(self) -> Revision:
        """What the files of this site come from."""
        if self.commit:
            return Revision(commit=self.commit, subject=self.git.subject(self.commit))
        return Git(self.settings.root).revision()

    @property
    def repository(self) -> str:
        """The name of the repository that this environment comes from, the same for each of its plans."""
        app = self.today.github
        named = self.environment.pull_requests.repository
        return named or (str(app.repositories[0]) if app else self.git.remote())

    @functools.cached_property
    def cloud_variables(self) -> Mapping[str, str]:
        """What a child process needs to reach this environment's cloud.

        On AWS nothing: the usual chain (OIDC, IRSA) applies. With the emulator its address and throw-away
        credentials; it is started where it does not run.
        """
        return ensure_emulator(self.settings).env if self.environment.cloud.emulator else {}

    def aws(self, service: str) -> Any:
        """A boto3 client for this environment's cloud."""
        if self.environment.cloud.emulator:
            return ensure_emulator(self.settings).client(service)
        self._require_filled_in()
        import boto3

        make: Any = boto3.client  # its typed overloads want the service as a literal
        return make(service, region_name=self.environment.region)

    @property
    def trail(self) -> Callable[[str], CloudTrail] | None:
        """CloudTrail by region; None where the cloud keeps no trail, as the emulator does not."""
        return None if self.environment.cloud.emulator else cloudtrail

    @functools.cached_property
    def kubernetes(self) -> RayOnKubernetes:
        """The Kubernetes cluster of this environment, and the RayCluster on it."""

        def cluster() -> str:
            outputs = self.artifacts.read(f"environments/{self.name}/outputs.json") or {}
            return str(outputs.get("cluster_name", ""))

        return RayOnKubernetes(
            self.settings, self.environment, eks=lambda: self.aws("eks"), cluster=cluster
        )

    @property
    def is_ray_ours(self) -> bool:
        """Whether the platform deploys the Ray cluster, and does not only connect to it."""
        return self.environment.ray.runtime == "kubernetes"

    def ray(self, progress: Callable[[str], None] | None = None) -> RayEndpoint:
        """The Ray cluster of this environment, once it answers.

        Raises:
            RayError: there is none, or it does not get ready in time; says why.
            KubernetesError: the Kubernetes API refuses or does not answer.
            LocalServiceError: what stands in for Kubernetes on this machine does not start.
        """
        tell = progress or (lambda _line: None)
        if self.is_ray_ours:
            return RayEndpoint(*readiness.endpoint(self.kubernetes, tell))
        choice = self.environment.ray
        token_path = Path(choice.token_path) if choice.token_path else None
        tell(f"Waiting for Ray at {choice.address}")
        info = wait_ready(choice.address, token_path, timeout_seconds=choice.ready_timeout_seconds)
        return RayEndpoint(choice.address, token_path, info)

    def ray_now(self) -> ClusterInfo | None:
        """What the running Ray cluster says of itself; None where none runs. Waits for nothing.

        Raises:
            RayError: it does not answer.
        """
        if self.is_ray_ours:
            return self.kubernetes.now()
        choice = self.environment.ray
        token_path = Path(choice.token_path) if choice.token_path else None
        return describe_cluster(choice.address, token_path)

    def stop_ray(self) -> None:
        """Take away the Ray cluster that the platform deployed; one that is only used is left alone."""
        if self.is_ray_ours:
            self.kubernetes.stop()

    def services(self) -> dict[str, str | None]:
        """The addresses of what runs for this environment; None where nothing does. Starts nothing."""
        emulated = self.environment.cloud.emulator
        emulator = find_emulator(self.settings) if emulated else None
        ray = self.kubernetes.address_now() if self.is_ray_ours else self.environment.ray.address
        return {
            "emulator": emulator.url if emulator else None,
            "kubernetes": self._kubernetes_now(),
            "ray": ray,
        }

    def _kubernetes_now(self) -> str | None:
        """The address of a Kubernetes API that this machine reaches as it is: the local one, a context's."""
        if self.environment.has_local_kubernetes:
            found = find_kubernetes(self.settings)
            return found.url if found else None
        if not self.environment.kubernetes.context:
            return None
        try:
            self.kubernetes.api.version()
            return self.kubernetes.api.access.endpoint
        except KubernetesError:
            return None

    @functools.cached_property
    def artifacts(self) -> Artifacts:
        """The artifact store.

        Raises:
            SettingsError: its URI is neither ``file`` nor ``s3://BUCKET/PREFIX``.
        """
        return Artifacts(self._store())

    @functools.cached_property
    def records(self) -> Records:
        return Records(self.artifacts, self.name)

    @functools.cached_property
    def audit(self) -> AuditLog:
        return AuditLog(self.artifacts, self.name)

    @functools.cached_property
    def usage(self) -> UsageLedger:
        """The usage ledger, of all environments that share the artifact store."""
        return UsageLedger(self.artifacts.store, self.home / "usage")

    @functools.cached_property
    def policies(self) -> PolicyEngine:
        return PolicyEngine(self.policy_root)

    @functools.cached_property
    def prices(self) -> PriceBook:
        return load_price_book(self.environment.region)

    def terraform(self, progress: Callable[[str], None] | None = None) -> Terraform:
        """Terraform on this environment's root, state and cloud."""
        return Terraform(
            self.settings,
            self.environment,
            env=self.cloud_variables,
            commit=self.revision.commit,
            repository=self.repository,
            progress=progress,
            # On AWS it needs our credentials, and with them all that they open.
            untrusted=self.pull is not None and self.environment.cloud.emulator,
            watch=self.lock,
        )

    def require_held(self) -> None:
        """Make sure, at the store, that the environment is still ours; asked right before a change.

        Raises:
            BusyError: it is not: nobody asked for it, or somebody took it over.
            ArtifactError: the store does not say.
        """
        if self.lock is None:
            raise BusyError(
                "the environment is not held by this change",
                where=self.name,
                fix="change it through the stages, which hold it",
            )
        self.lock.require()

    def _require_filled_in(self) -> None:
        if unset := self.environment.unset:
            raise SettingsError(
                f"the environment {self.name} is not set up yet: {', '.join(unset)}",
                where=str(self.settings.root / "environments" / f"{self.name}.toml"),
                fix="follow docs/environments.md and set the names of your own buckets",
            )

    def _store(self) -> Store:
        uri = self.environment.artifacts.uri
        if uri == "file":
            return FileStore(self.home / "artifacts")
        if uri.startswith("s3://"):
            bucket, _, prefix = uri.removeprefix("s3://").partition("/")
            return S3Store(bucket, prefix, self.aws("s3"))
        raise SettingsError(
            f"artifacts.uri is {uri!r}",
            where=str(self.settings.root / "environments" / f"{self.name}.toml"),
            fix='give "file" or "s3://BUCKET/PREFIX"',
        )
