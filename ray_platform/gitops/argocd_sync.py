"""Waits until Argo CD has applied a commit, and says why it has not when it has not."""

import time
from collections.abc import Callable
from typing import Any

from ray_platform.git.address import same_repository
from ray_platform.git.folder_commit_client import Delivered, DeliveryFolder
from ray_platform.gitops.argocd import REFRESH, Sync, read_application
from ray_platform.gitops.export_files import ARGOCD_NAMESPACE, Delivery
from ray_platform.kubernetes.api_client import KubernetesApi
from ray_platform.kubernetes.helm_chart_process import RenderedChart
from ray_platform.kubernetes.kubeconfig_client import context_access
from ray_platform.kubernetes.manifests import differences
from ray_platform.ray.cluster_access import MANAGER
from ray_platform.ray.clusters import ray_clusters
from ray_platform.ray.upgrade.switch import BLUE
from ray_platform.session.environment_session import EnvironmentSession
from ray_platform.text.canonical import short
from ray_platform.text.errors import GitError, KubernetesError, Refused, SyncError
from ray_platform.text.tree_differences import ABSENT

APPLICATIONS = ("argoproj.io/v1alpha1", "applications")
POLL_SECONDS = 1.0
#: Argo CD looks at Git every three minutes by itself: an error that stands longer is none of an old commit.
ERROR_SECONDS = 240.0
Tell = Callable[[str], None]


def argocd_api(session: EnvironmentSession) -> KubernetesApi:
    """The cluster that Argo CD runs in: of ``gitops.context``, or the environment's own.

    Raises:
        KubernetesError: it is not known how to reach it.
        NotFoundError: no cluster was applied.
    """
    if context := session.environment.gitops.context:
        return KubernetesApi(context_access(session.settings.kubeconfig_files, context), MANAGER)
    return ray_clusters(session).api


def application(api: KubernetesApi, target: Delivery) -> dict[str, Any] | None:
    """The environment's Application; None where there is none.

    Raises:
        KubernetesError: the Kubernetes API refuses or does not answer.
    """
    return api.get(APPLICATIONS, target.application, ARGOCD_NAMESPACE)


def require_by_hand(session: EnvironmentSession, target: Delivery) -> None:
    """Refuse a commit that Argo CD would apply at once where a person is to start each sync.

    Raises:
        Refused: the Application syncs by itself, and the environment's settings say ``manual``.
        KubernetesError: the Kubernetes API refuses or does not answer.
    """
    if target.sync != "manual":
        return
    content = application(argocd_api(session), target)
    if content is not None and read_application(content).is_automatic:
        raise Refused(
            f"a person starts each sync of {session.name}, but its Application syncs by itself",
            where=f"Application {ARGOCD_NAMESPACE}/{target.application}",
            fix=f"`argocd app set {target.application} --sync-policy none`, or gitops.sync = "
            f'"automatic" in environments/{session.name}.toml',
        )


def wait(
    session: EnvironmentSession,
    target: Delivery,
    folder: DeliveryFolder,
    delivered: Delivered,
    tell: Tell,
) -> str:
    """The commit that Argo CD has applied, once it is ours or one that stands on it, and all is healthy.

    Raises:
        SyncError: it is not in time, it failed, or there is no such Application; says why.
        GitError: our commit is gone from the branch.
        KubernetesError: the Kubernetes API refuses, or stays away for as long.
    """
    api = argocd_api(session)
    seconds = session.environment.gitops.timeout_seconds
    deadline = time.monotonic() + seconds
    reaches = _Reaches(folder, delivered)
    errors_since: float | None = None
    told, is_hand_told, is_refreshed = "", False, False
    while True:
        try:
            sync = _looked_at(api, target)
            if not is_refreshed:
                is_refreshed = True
                if not reaches(sync.revision):
                    _refresh(api, target, tell)
        except KubernetesError as error:
            if error.code or time.monotonic() >= deadline:
                raise
            ray_clusters(session).wake()
            time.sleep(POLL_SECONDS)
            continue
        if sync.is_done(reaches):
            _require_ours(target, folder, delivered, sync.revision)
            tell(f"Argo CD: Synced to {short(sync.revision)}, Healthy")
            return sync.revision
        errors_since = (errors_since or time.monotonic()) if sync.errors else None
        is_stuck = errors_since is not None and time.monotonic() - errors_since > ERROR_SECONDS
        words = sync.words(reaches)
        if sync.has_failed(reaches) or is_stuck or time.monotonic() >= deadline:
            raise _failure(target, delivered, sync, reaches, None if is_stuck else seconds)
        if not sync.is_automatic and not is_hand_told:
            is_hand_told = True
            tell(f"Somebody must sync now: `argocd app sync {target.application}`, or in the UI")
        if words != told:
            told = words
            tell(f"Waiting for Argo CD: {words}")
        time.sleep(POLL_SECONDS)


def require_as_rendered(session: EnvironmentSession, rendered: RenderedChart) -> None:
    """Make sure that the RayCluster, where there is one, is what the export says.

    Raises:
        SyncError: it is not, whatever Argo CD says.
        KubernetesError: the Kubernetes API refuses or does not answer.
    """
    wanted = next(one for one in rendered.documents if one["kind"] == "RayCluster")
    if (found := ray_clusters(session).ray_cluster(BLUE)) is None:
        return
    # What others added is Argo CD's to judge.
    other = [one.text for one in differences(wanted, found) if one.wanted is not ABSENT]
    if other := [text for text in other if text.startswith("spec")]:
        raise SyncError(
            f"the RayCluster is not what was exported: {', '.join(other[:5])}",
            where=f"RayCluster {ray_clusters(session).namespace}/{BLUE}",
            fix=f"`ray-platform up --env {session.name}` where its export was reverted in Git; else see what "
            "the Application ignores (ignoreDifferences), and who else writes to the object: "
            "`kubectl get raycluster --output yaml --show-managed-fields`",
        )


class _Reaches:
    """Whether a commit is ours or stands on it; asks Git once for each commit."""

    def __init__(self, folder: DeliveryFolder, delivered: Delivered) -> None:
        self._folder = folder
        self._ours = delivered.commit
        self._known = {"": False, delivered.commit: True}

    def __call__(self, revision: str) -> bool:
        if revision not in self._known:
            head = self._folder.head()
            if not self._folder.is_ancestor(self._ours, head):
                raise GitError(
                    f"the branch was rewritten: commit {short(self._ours)} with the export is gone from it",
                    where=f"{self._folder.mirror.url}, branch {self._folder.branch}",
                    fix="run it again: the export is committed on the branch as it is now",
                )
            self._known[revision] = self._folder.is_ancestor(self._ours, revision)
        return self._known[revision]


def _looked_at(api: KubernetesApi, target: Delivery) -> Sync:
    content = application(api, target)
    where = f"Application {ARGOCD_NAMESPACE}/{target.application}"
    if content is None:
        raise SyncError(
            f"Argo CD has no Application {target.application}, so nobody applies the commit",
            where=where,
            fix=f"once, from a clone of {target.repository}: "
            f"`kubectl apply -f {target.path}/argocd/charts -f {target.path}/argocd/application.yaml`",
        )
    sync = read_application(content)
    repository, branch, path = sync.source
    reads = f"{path or '(no path)'} on {branch or 'HEAD'} of {repository}"
    is_same = same_repository(repository, target.repository) and path.strip("/") == target.path
    if not is_same or branch not in ("", "HEAD", target.revision):
        raise SyncError(
            f"the Application reads {reads}, and the export is committed elsewhere",
            where=where,
            fix=f"apply {target.path}/argocd/application.yaml again, or set gitops.repository, "
            "gitops.revision and gitops.path to where it reads",
        )
    return sync


def _refresh(api: KubernetesApi, target: Delivery, tell: Tell) -> None:
    """Ask Argo CD to look at Git now; where that right is missing it looks within three minutes."""
    note = {"metadata": {"annotations": {REFRESH: "normal"}}}
    try:
        api.patch(APPLICATIONS, target.application, ARGOCD_NAMESPACE, note)
    except KubernetesError as error:
        if error.code != 403:
            raise
        tell("Argo CD may not be asked to look at Git now; it does every three minutes")


def _require_ours(
    target: Delivery, folder: DeliveryFolder, delivered: Delivered, revision: str
) -> None:
    if not folder.holds(revision, delivered.tree):
        raise SyncError(
            f"Argo CD has applied {short(revision)}, which changed the export after our commit "
            f"{short(delivered.commit)}",
            where=f"{target.repository}, {target.path} on {target.revision}",
            fix="see who committed there; then run it again: it puts the export in its place",
        )


def _failure(
    target: Delivery,
    delivered: Delivered,
    sync: Sync,
    reaches: Callable[[str], bool],
    seconds: float | None,
) -> SyncError:
    name, ours = target.application, short(delivered.commit)
    if sync.has_failed(reaches):
        why, fix = "could not apply", f"mend what it names, then `argocd app sync {name}`"
    elif seconds is None:
        why, fix = "cannot apply", f"mend what it names; `argocd app get {name}` shows the same"
    else:
        why = f"has not applied, within {seconds:.0f} s,"
        fix = f"see `argocd app get {name}`"
        if not sync.is_automatic:
            fix = f"sync it: `argocd app sync {name}`, or in the UI"
    return SyncError(
        f"Argo CD {why} commit {ours}: {sync.words(reaches)}",
        where=f"Application {ARGOCD_NAMESPACE}/{name}",
        fix=f"{fix}; then run it again: it goes on from that commit",
    )
