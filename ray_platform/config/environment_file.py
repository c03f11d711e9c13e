"""The shape of ``environments/NAME.toml``: what the platform does in an environment."""

from collections.abc import Mapping
from datetime import date
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator
from pydantic.functional_validators import field_validator


class _Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class CloudSection(_Section):
    emulator: bool = False


class StateSection(_Section):
    """Where the Terraform state lies in S3."""

    bucket: str
    key: str


class ArtifactsSection(_Section):
    uri: str = "file"


class Kubernetes(_Section):
    """Which Kubernetes API it is: that of a kubeconfig's ``context``; empty: the one that EKS names.

    ``api_port`` is where the API server itself listens, for the network policies of the pods.
    """

    context: str = ""
    api_port: int = Field(443, ge=1, le=65535)


class RaySection(_Section):
    """Which adapter carries Ray: a release on the environment's ``kubernetes``, or an ``existing`` cluster.

    Times in seconds; ``address`` and ``token_path`` (a file) are of an existing cluster,
    ``head_volume_gib`` is the volume of the head's sessions, 0 for none, ``redis_secret`` the
    Kubernetes secret with the user of Terraform's Redis, empty while Ray does not use it. ``upgrade``:
    how pods that must be replaced are, ``drain_seconds`` how long the old cluster's jobs may then run on.
    """

    runtime: Literal["kubernetes", "existing"]
    address: str = ""
    token_path: str = ""
    idle_timeout_seconds: float = Field(60, gt=0)
    ready_timeout_seconds: float = Field(900, gt=0)
    head_volume_gib: int = Field(20, ge=0)
    upgrade: Literal["in-place", "blue-green"] = "in-place"
    drain_seconds: float = Field(3600, ge=0)
    redis_secret: str = Field("", pattern=r"^([a-z0-9]([-a-z0-9.]*[a-z0-9])?)?$")


class BurstSection(_Section):
    """The burst run's workload: workers of each phase, seconds of a task, seed of data and weights.

    ``team`` is who its runs are for, in cost reports.
    """

    phases: tuple[int, ...] = Field((2, 5, 10, 8, 4, 2), min_length=1)
    task_seconds: float = Field(6.0, gt=0)
    seed: int = Field(7, ge=0)
    team: str = ""


class ApprovalSection(_Section):
    """How many people must approve a plan before it is applied; 0 means automatic.

    ``people`` are logins, ``teams`` are ``ORGANISATION/TEAM``. With neither, whoever may write to the
    repository may approve.
    """

    required: int = Field(ge=0, le=5)
    people: tuple[str, ...] = ()
    teams: tuple[str, ...] = ()

    @field_validator("teams")
    @classmethod
    def _with_organisation(cls, teams: tuple[str, ...]) -> tuple[str, ...]:
        for team in teams:
            if team.count("/") != 1 or not all(team.split("/")):
                raise ValueError(f"{team!r}: give a team as ORGANISATION/TEAM")
        return teams


class PullRequestsSection(_Section):
    """What a pull request does in an environment, where the GitHub App is set up.

    ``apply``: when its approved plan is applied: ``approved``, while it is open; ``merged``; or ``never``.
    ``after``: the environment in which the same commit must have been applied before. ``forks``: whether
    a fork's pull request is planned; its plan runs foreign code, so only where the cloud is the emulator.
    ``repository``: which of the watched repositories; empty: the first. ``plan``: whether pull requests
    have anything to do with it.
    """

    plan: bool = True
    apply: Literal["approved", "merged", "never"] = "never"
    after: str = ""
    forks: Literal["ignore", "plan"] = "ignore"
    repository: str = Field("", pattern=r"^([^/\s]+/[^/\s]+)?$")


class Budget(_Section):
    """``unpriced``: what a plan needs that changes a resource without a price: one approval more
    (``approve``), or it is not applied (``refuse``)."""

    monthly_usd: float = Field(gt=0)
    unpriced: Literal["approve", "refuse"] = "approve"


class Cost(_Section):
    """Where the bill comes from, and what reports are written in.

    ``rate`` is units of ``currency`` for one US dollar, as of ``rate_date``; ``cur_uri`` is the S3
    place of a Cost and Usage Report, for ``bill = "cur"``. ``use`` are the units a month that estimates
    assume of each resource billed by use, by SKU (``s3_standard = 500`` is 500 GB in each bucket).
    """

    bill: Literal["none", "cost-explorer", "cur"] = "none"
    cur_uri: str = Field("", pattern=r"^(s3://[^/]+(/.*)?)?$")
    currency: Literal["USD", "INR", "EUR"] = "USD"
    rate: float = Field(1.0, gt=0)
    rate_date: date | None = None
    use: Mapping[str, Annotated[float, Field(ge=0)]] = Field(default_factory=dict)

    @model_validator(mode="after")
    def _whole(self) -> "Cost":
        if self.currency != "USD" and self.rate_date is None:
            raise ValueError(f"give the rate of one US dollar in {self.currency} and its rate_date")
        if self.currency == "USD" and self.rate != 1:
            raise ValueError("a rate needs a currency other than USD")
        if (self.bill == "cur") != bool(self.cur_uri):
            raise ValueError('bill = "cur" and cur_uri go together')
        return self


class Drift(_Section):
    """What drift leads to: incidents alone (``report``); besides, a pull request that adopts what was
    changed by hand (``adopt``), or a change that applies major drift away (``revert``)."""

    response: Literal["report", "adopt", "revert"] = "report"


class WatchSection(_Section):
    """What is watched: the Git branch by a sensor, cost and drift by schedules."""

    git_pushes: bool = False
    daily_cost: bool = False
    hourly_drift: bool = False


class Lineage(_Section):
    """Who else is told of burst runs; empty: nobody.

    ``openlineage`` is ``file`` (below the home) or a server's address, ``mlflow`` a tracking server's
    address. Tokens stand in variables of the process, never in a file.
    """

    openlineage: str = Field("", pattern=r"^(file|https?://[^@\s]+)?$")
    mlflow: str = Field("", pattern=r"^(https?://[^@\s]+)?$")


class GitOps(_Section):
    """Who deploys Ray: the platform (``install``), or Argo CD from a commit of the platform's (``gitops``).

    ``repository`` is a Git address, empty for the checkout's own; ``path`` the export's folder in it,
    empty for ``gitops/NAME``; ``revision`` its branch. ``sync``: a person starts each sync (``manual``),
    or Argo CD does by itself; ``timeout_seconds`` is how long the stage waits for it. ``context``: the
    kubeconfig's context of the cluster that Argo CD runs in, empty for the environment's own.
    """

    mode: Literal["install", "gitops"] = "install"
    repository: str = Field(
        "",
        pattern=r"^((https|ssh)://[^@\s]+|ssh://git@[^\s]+|git@[^\s]+:[^\s]+|file:///[^\s]+"
        r"|http://127\.0\.0\.1(:\d+)?/[^@\s]+)?$",
    )
    revision: str = Field("main", min_length=1)
    path: str = Field("", pattern=r"^([A-Za-z0-9][\w./-]*)?$")
    sync: Literal["automatic", "manual"] = "automatic"
    timeout_seconds: float = Field(1800, gt=0)
    context: str = ""

    @field_validator("path")
    @classmethod
    def _inside(cls, path: str) -> str:
        if any(part in ("", ".", "..", ".git") for part in path.split("/")) and path:
            raise ValueError(f"{path!r}: give a folder of the repository, as in gitops/prod")
        return path


class EnvironmentFile(_Section):
    """The shape of ``environments/NAME.toml``."""

    description: str
    cloud: CloudSection
    state: StateSection
    artifacts: ArtifactsSection
    kubernetes: Kubernetes = Field(default_factory=lambda: Kubernetes.model_validate({}))
    ray: RaySection
    burst: BurstSection = Field(default_factory=lambda: BurstSection.model_validate({}))
    approval: ApprovalSection
    pull_requests: PullRequestsSection = Field(
        default_factory=lambda: PullRequestsSection.model_validate({})
    )
    budget: Budget
    cost: Cost = Field(default_factory=lambda: Cost.model_validate({}))
    drift: Drift = Field(default_factory=Drift)
    watch: WatchSection
    lineage: Lineage = Field(default_factory=lambda: Lineage.model_validate({}))
    gitops: GitOps = Field(default_factory=lambda: GitOps.model_validate({}))

    @model_validator(mode="after")
    def _a_context_is_for_a_release(self) -> "EnvironmentFile":
        if self.kubernetes.context and self.ray.runtime != "kubernetes":
            raise ValueError(
                'kubernetes.context is for ray.runtime = "kubernetes": nothing is deployed to it otherwise'
            )
        return self

    @model_validator(mode="after")
    def _one_way_to_apply_a_merge(self) -> "EnvironmentFile":
        if self.pull_requests.apply == "merged" and self.watch.git_pushes:
            raise ValueError(
                'pull_requests.apply = "merged" and watch.git_pushes = true would both apply a merge: '
                "choose one"
            )
        return self

    @model_validator(mode="after")
    def _argo_cd_can_be_asked(self) -> "EnvironmentFile":
        if self.gitops.mode == "gitops" and self.ray.runtime != "kubernetes":
            raise ValueError(
                'gitops.mode = "gitops" asks the environment\'s Kubernetes API how the sync goes: it needs '
                'ray.runtime = "kubernetes"'
            )
        if self.gitops.mode == "gitops" and self.ray.upgrade == "blue-green":
            raise ValueError(
                'gitops.mode = "gitops" delivers one Ray cluster: ray.upgrade = "blue-green" needs '
                'gitops.mode = "install"'
            )
        return self

    @model_validator(mode="after")
    def _forks_see_no_secrets(self) -> "EnvironmentFile":
        if self.pull_requests.forks == "plan" and not self.cloud.emulator:
            raise ValueError(
                'pull_requests.forks = "plan" would run foreign code with this cloud\'s credentials: '
                "it is for the emulator alone"
            )
        return self
