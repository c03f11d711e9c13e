"""What tests of the delivery by Git share: a remote, a session that delivers to it, a double of Argo CD."""

import json
import shutil
import subprocess
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

import yaml

from ray_platform.config.settings import Settings
from ray_platform.gitops import deliver
from ray_platform.kubernetes.api_client import NAMESPACES
from ray_platform.kubernetes.helm_chart_process import RenderedChart, render_chart
from ray_platform.ray.chart import render
from ray_platform.ray.cluster_access import RELEASE
from ray_platform.ray.clusters import make_clusters, ray_clusters
from ray_platform.session.environment_session import EnvironmentSession, Lock, open_session
from tests.support.argocd import APPLICATIONS, NAMESPACE, ArgoCd
from tests.support.charts import ROOT
from tests.support.ray_operator import Cluster
from tests.support.sessions import changed, environment_with, on_cluster

APPLICATION = "ray-platform-local"
FOLDER = "gitops/local"


@dataclass
class Held:
    """An environment that is ours; ``asked`` is called each time that somebody makes sure of it."""

    asked: Callable[[], None] = lambda: None

    def require(self) -> None:
        self.asked()


#: What keeps sessions held: a context that nobody refers to ends.
_HOLDING: list[Any] = []


def hold(session: EnvironmentSession, held: Held) -> None:
    """Hold a session's environment for as long as the tests run."""
    holding = session.holding(cast(Lock, held))
    holding.__enter__()
    _HOLDING.append(holding)


def git(folder: Path, *arguments: str) -> str:
    """What git says, as bob."""
    who = ("-c", "user.name=bob", "-c", "user.email=bob@example.com")
    done = subprocess.run(
        ["git", "-C", str(folder), *who, *arguments], capture_output=True, text=True, check=True
    )
    return done.stdout.strip()


def make_checkout(root: Path) -> Path:
    """A checkout with a commit and an `origin`."""
    for part in ("environments", "terraform/environments", "policies", "helm"):
        shutil.copytree(ROOT / part, root / part)
    (root / "workspace.yaml").touch()
    git(root, "init", "--quiet")
    git(root, "remote", "add", "origin", "https://example.com/team/infra.git")
    git(root, "add", "--all")
    git(root, "commit", "--quiet", "--message", "All")
    return root


def make_remote(folder: Path) -> Path:
    """A bare repository with one commit on `main`."""
    folder.mkdir(parents=True)
    git(folder, "init", "--quiet", "--bare", "--initial-branch=main", "remote.git")
    git(folder, "clone", "--quiet", "remote.git", "clone")
    clone = folder / "clone"
    (clone / "README.md").write_text("The cluster's manifests.\n")
    git(clone, "add", "--all")
    git(clone, "commit", "--quiet", "--message", "First")
    git(clone, "push", "--quiet", "origin", "HEAD:main")
    return folder / "remote.git"


def make_session(
    checkout: Path, home: Path, port: int, repository: str, **gitops: Any
) -> EnvironmentSession:
    """The environment `local` as one that Argo CD deploys, held, with Terraform's outputs."""
    settings = Settings(checkout, home, {"RAY_PLATFORM_PORT_BASE": str(port)})
    session = open_session(settings, "local")
    changes = {"mode": "gitops", "repository": repository, "timeout_seconds": 60, **gitops}
    environment = environment_with(
        session.environment, gitops=session.environment.gitops.model_copy(update=changes)
    )
    session.artifacts.write(
        "environments/local/outputs.json",
        {"cluster_name": "local", "role_arns": {"ray": "arn:aws:iam::000000000000:role/ray"}},
    )
    cluster = Cluster.of(settings, environment)
    made = on_cluster(changed(session, environment=environment), cluster)
    hold(made, Held())
    return made


def rendered_with(
    session: EnvironmentSession, most: int = 0
) -> tuple[Mapping[str, Any], RenderedChart]:
    """The chart with another bound of the CPU workers, or as the environment's files say."""
    values, rendered = render(session)
    if not most:
        return values, rendered
    changed = json.loads(json.dumps(values))
    changed["workerGroups"]["cpu"]["maxReplicas"] = most
    return changed, render_chart(
        session.settings.ray_chart, changed, release=RELEASE, namespace="ray"
    )


@dataclass
class World:
    """A remote, the session that delivers to it, and what was told."""

    remote: Path
    session: EnvironmentSession
    argocd: ArgoCd
    charts: Mapping[int, tuple[Mapping[str, Any], RenderedChart]]
    said: list[str] = field(default_factory=list)
    heard: Callable[[str], None] = lambda line: None

    def deliver(self, most: int = 0) -> deliver.OnCluster:
        """Deliver the charts with so many CPU workers at most."""
        return deliver.deliver(self.session, *self.charts[most], self.tell)

    def tell(self, line: str) -> None:
        self.said.append(line)
        self.heard(line)

    def set(self, **gitops: Any) -> None:
        """Other settings of the section `gitops`."""
        environment = self.session.environment
        changes = environment_with(environment, gitops=environment.gitops.model_copy(update=gitops))
        self.change(environment=changes)

    def change(self, **parts: Any) -> None:
        """Another environment, another caller or other settings for the session, held as before."""
        cluster = ray_clusters(self.session)
        self.session = changed(self.session, **parts, parts={make_clusters: cluster})
        self.hold()

    def hold(self, check: Callable[[], None] = lambda: None) -> None:
        """Hold the environment; ``check`` is called where a change makes sure of that."""
        hold(self.session, Held(check))

    def apply_application(self, **spec: Any) -> None:
        """As `kubectl apply` of the committed Application."""
        content = yaml.safe_load(self.show(f"{FOLDER}/argocd/application.yaml"))
        content["spec"] |= spec
        ray_clusters(self.session).api.apply(APPLICATIONS, content)

    def show(self, path: str) -> str:
        return git(self.remote, "show", f"main:{path}")

    def head(self) -> str:
        return git(self.remote, "rev-parse", "main")

    def subjects(self) -> list[str]:
        """Of the branch's commits, the oldest first."""
        return git(self.remote, "log", "--reverse", "--format=%s", "main").splitlines()

    def push(self, path: str, text: str) -> str:
        """A commit by bob; its id."""
        clone = self.remote.with_name("clone")
        git(clone, "fetch", "--quiet")
        git(clone, "reset", "--quiet", "--hard", "origin/main")
        file = clone / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
        git(clone, "add", "--all")
        git(clone, "commit", "--quiet", "--message", f"Bob's {path}")
        git(clone, "push", "--quiet", "origin", "HEAD:main")
        return git(clone, "rev-parse", "HEAD")

    def clear(self) -> None:
        """Nothing of this test's stays on the cluster."""
        api = ray_clusters(self.session).api
        api.delete(APPLICATIONS, APPLICATION, NAMESPACE)
        api.delete(NAMESPACES, "ray")
