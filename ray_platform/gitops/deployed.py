"""How an environment that Argo CD deploys stands, what its export was, and what is refused there."""

from dataclasses import dataclass
from typing import Any

from ray_platform.git.folder_commit_client import FolderCommit
from ray_platform.gitops import argocd_sync
from ray_platform.gitops.argocd import HEALTHY, SYNCED, read_application
from ray_platform.gitops.deliver import is_by_git, place
from ray_platform.gitops.export import delivery_of
from ray_platform.session.environment_session import EnvironmentSession
from ray_platform.text.errors import Refused

#: Commits that `ray history` lists.
HISTORY = 20


@dataclass(frozen=True)
class DeployedState:
    """How an environment that Argo CD deploys stands; texts are empty for what is not known.

    ``commit`` is what was deployed last, ``revision`` what Argo CD has compared with, ``is_known`` whether
    it has the Application at all.
    """

    application: str
    is_known: bool
    repository: str
    branch: str
    path: str
    commit: str
    revision: str
    sync: str
    health: str
    why_not: str

    def to_json(self) -> dict[str, Any]:
        return dict(self.__dict__)


def standing(session: EnvironmentSession) -> DeployedState | None:
    """How it stands, as recorded and as Argo CD says; None where the platform itself deploys.

    Raises:
        KubernetesError: the Kubernetes API refuses or does not answer.
    """
    if not is_by_git(session):
        return None
    target = delivery_of(session)
    recorded = session.artifacts.read(f"environments/{session.name}/release.json") or {}
    content = argocd_sync.application(argocd_sync.argocd_api(session), target)
    found = read_application(content or {})
    is_good = found.status == SYNCED and found.health == HEALTHY
    return DeployedState(
        application=target.application,
        is_known=content is not None,
        repository=target.repository,
        branch=target.revision,
        path=target.path,
        commit=str(recorded.get("commit", "")),
        revision=found.revision,
        sync=found.status,
        health=found.health,
        why_not="" if is_good or content is None else found.words(lambda _revision: True),
    )


def history(session: EnvironmentSession) -> tuple[FolderCommit, ...]:
    """The commits of the export, the oldest first.

    Raises:
        GitError: the branch is not there, or the server does not answer.
    """
    return place(session, delivery_of(session))[0].history(HISTORY)


def require_own_release(session: EnvironmentSession) -> None:
    """Refuse what is done to a release of the platform's own: where Argo CD deploys, Git says what runs.

    Raises:
        Refused: where Argo CD deploys.
    """
    if is_by_git(session):
        raise Refused(
            f"the platform has no release of its own in {session.name}: Argo CD applies what Git says",
            where=f"environments/{session.name}.toml, gitops.mode",
            fix="change the environment's files, or revert their change, in Git and run `ray-platform up`; "
            "in a hurry `git revert` the export's commit, which "
            f"`ray-platform ray history --env {session.name}` names, and push that",
        )


def require_nobody_makes_it_again(session: EnvironmentSession) -> None:
    """Refuse to remove an environment whose Ray cluster Argo CD would make again at once.

    Raises:
        Refused: its Application is still there.
        KubernetesError: the Kubernetes API refuses or does not answer.
    """
    if not is_by_git(session):
        return
    target = delivery_of(session)
    if argocd_sync.application(argocd_sync.argocd_api(session), target) is not None:
        raise Refused(
            f"Argo CD would make again what is removed from {session.name}: its Application is there",
            where=f"Application argocd/{target.application}",
            fix=f"`argocd app delete {target.application} --cascade`, after taking the environment out of an "
            f"ApplicationSet that makes it, and the folder {target.path} out of Git; then run it again",
        )
