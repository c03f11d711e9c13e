"""Deployment by Git: the export is committed, Argo CD applies it, and the stage waits for that.

Where a process is killed at any point, a repeat finds the commit that was made and goes on from there.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from ray_platform.git.address import same_repository
from ray_platform.git.folder_commit_client import DeliveryFolder
from ray_platform.git.mirror_store import GitMirror
from ray_platform.git.own_mirror_store import OwnMirror
from ray_platform.git.push_client import Author
from ray_platform.github.app_client import connect
from ray_platform.github.github_client import GitHubRepository
from ray_platform.github.mirror import mirror_of
from ray_platform.gitops import argocd_sync
from ray_platform.gitops.export import applied_outputs, delivery_of, export_of, refuse_foreign
from ray_platform.gitops.export_files import Delivery, export_path, files_digest
from ray_platform.kubernetes.helm_chart_process import RenderedChart
from ray_platform.ray import readiness
from ray_platform.ray.clusters import ray_clusters
from ray_platform.ray.endpoint import is_ray_ours
from ray_platform.ray.running_jobs import jobs_on, require_no_jobs
from ray_platform.ray.spec import pods_digest
from ray_platform.ray.upgrade.switch import BLUE
from ray_platform.session.environment_session import EnvironmentSession
from ray_platform.text.canonical import short
from ray_platform.text.errors import RayError, Refused

GITOPS = "gitops"
Tell = Callable[[str], None]


@dataclass(frozen=True)
class OnCluster:
    """A commit that Argo CD has applied; ``revision`` is the one that it has compared with.

    ``is_new``: this deployment made the commit; else it was there already.
    """

    commit: str
    revision: str
    is_new: bool
    repository: str
    branch: str
    path: str
    application: str

    def to_json(self) -> dict[str, Any]:
        return dict(self.__dict__)


def is_by_git(session: EnvironmentSession) -> bool:
    """Whether Argo CD deploys the Ray cluster of the environment."""
    return is_ray_ours(session) and session.environment.gitops.mode == GITOPS


def deliver(
    session: EnvironmentSession, values: Mapping[str, Any], rendered: RenderedChart, tell: Tell
) -> OnCluster:
    """Commit the export and wait until Argo CD has applied it and the Ray cluster is ready.

    The same files make no commit.

    Raises:
        GitError: the branch is not there or was rewritten, or the push is refused.
        Refused: the folder holds what is no export, a second Ray cluster carries the work, or Argo CD
            would apply at once what a person is to sync.
        SyncError: Argo CD has not applied it in time or cannot; says why.
        RayError: the Ray cluster does not get ready, or jobs run on pods that would be replaced.
        KubernetesError: the Kubernetes API refuses or does not answer.
    """
    cluster = ray_clusters(session)
    cluster.wake()
    target = delivery_of(session)
    files = export_of(session, applied_outputs(session), values, rendered)
    cluster.prepare()
    active = cluster.switch().active
    if active != BLUE or session.ray_upgrade.how == "blue-green":
        raise Refused(
            f"Argo CD deploys {BLUE} alone: there is no blue/green upgrade by Git"
            + (f", and {active} carries the work" if active != BLUE else ""),
            where=f"{session.name}, namespace {cluster.namespace}",
            fix=f'go back to {BLUE} first, with gitops.mode = "install": `ray-platform ray status` tells'
            if active != BLUE
            else 'set ray.upgrade = "in-place", or gitops.mode = "install"',
        )
    argocd_sync.require_by_hand(session, target)
    folder, author = place(session, target)

    def check(found: Mapping[str, bytes]) -> None:
        refuse_foreign(found, session.name, f"{target.repository}, {target.path}")
        if any(found.get(path) != text.encode() for path, text in files.items()):
            _spare_jobs(session, found, files, target, tell)
            session.require_held()

    delivered = folder.deliver(
        files, message=_message(session, rendered, files), author=author, check=check
    )
    done = "committed" if delivered.is_new else "there already"
    tell(f"Export of {session.name} in {target.path}: {done}, commit {short(delivered.commit)}")
    revision = argocd_sync.wait(session, target, folder, delivered, tell)
    readiness.wait(cluster, tell, BLUE)
    argocd_sync.require_as_rendered(session, rendered)
    return OnCluster(
        commit=delivered.commit,
        revision=revision,
        is_new=delivered.is_new,
        repository=target.repository,
        branch=target.revision,
        path=target.path,
        application=target.application,
    )


def place(
    session: EnvironmentSession, target: Delivery
) -> tuple[DeliveryFolder, Callable[[], Author]]:
    """Where the export is committed, and who commits: the GitHub App where it watches that repository.

    Elsewhere it is the user of this process, by his own sign-in.
    """
    app = session.current_settings.github
    for repository in app.repositories if app else ():
        forge = GitHubRepository(connect(app), repository)
        if same_repository(target.repository, forge.git_url()):
            return _folder(mirror_of(session.current_settings, forge), target), _bot(forge)
    own = OwnMirror(session.home, target.repository)
    return _folder(own, target), own.author


def _bot(forge: GitHubRepository) -> Callable[[], Author]:
    return lambda: Author(*forge.bot())


def _folder(mirror: GitMirror, target: Delivery) -> DeliveryFolder:
    return DeliveryFolder(mirror, target.revision, target.path)


def _message(session: EnvironmentSession, rendered: RenderedChart, files: Mapping[str, str]) -> str:
    source = session.revision
    dirty = f", changed since ({short(source.changes_digest)})" if source.dirty else ""
    return (
        f"Ray in {session.name}: manifest {short(rendered.digest)}\n\n"
        f"Environment: {session.name}\n"
        f"Source commit: {source.commit}{dirty}\n"
        f"Manifest digest: {rendered.digest}\n"
        f"Export digest: {files_digest(files)}\n"
    )


def _spare_jobs(
    session: EnvironmentSession,
    found: Mapping[str, bytes],
    files: Mapping[str, str],
    target: Delivery,
    tell: Tell,
) -> None:
    """Refuse a commit that would end jobs as soon as it is pushed; where a person syncs, tell him."""
    path = export_path("ray", "RayCluster", BLUE, target.namespace)
    if _pods(found.get(path, b"")) in ("", _pods(files[path].encode())):
        return
    if target.sync == "automatic":
        require_no_jobs(ray_clusters(session), BLUE, tell)
    elif jobs := jobs_on(ray_clusters(session), BLUE):
        tell(f"The sync will end these jobs, wait for them first: {', '.join(jobs)}")


def _pods(text: bytes) -> str:
    """Names what the pods of an exported RayCluster are made of; empty for none."""
    import yaml

    try:
        return pods_digest(yaml.safe_load(text)["spec"]) if text else ""
    except (yaml.YAMLError, KeyError, TypeError) as error:
        raise RayError(
            f"the RayCluster that was exported last cannot be read: {error!r}",
            where="the export's folder",
            fix="restore the folder from Git, or take it out and commit that",
        ) from error
