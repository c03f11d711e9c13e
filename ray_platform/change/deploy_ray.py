"""Stage `ray_cluster`: the rendered chart passes policy, then a cluster of that shape answers."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from ray_platform.change.sources import keep_sources
from ray_platform.gitops import deliver
from ray_platform.gitops.deliver import OnCluster
from ray_platform.gitops.deployed import require_own_release
from ray_platform.kubernetes.helm_chart_process import chart_digest
from ray_platform.kubernetes.helm_release_client import Release
from ray_platform.ray import ray_release
from ray_platform.ray.chart import render, require_allowed
from ray_platform.ray.cluster_client import ClusterInfo
from ray_platform.ray.clusters import ray_clusters
from ray_platform.ray.endpoint import is_ray_ours, ray_endpoint
from ray_platform.ray.spec import WorkerGroup, groups_in, worker_groups
from ray_platform.ray.upgrade import blue_green, drain
from ray_platform.ray.upgrade.switch import BLUE
from ray_platform.records.infra_version import Ray
from ray_platform.session import audit_notes
from ray_platform.session.environment_session import EnvironmentSession
from ray_platform.text.canonical import digest
from ray_platform.text.errors import NotFoundError, SettingsError


@dataclass(frozen=True)
class RayClusterReady:
    """A Ray cluster that answers, and what it was made from.

    ``release`` is the platform's own Helm release, ``by_git`` the commit that Argo CD applied; with neither
    it was found, not made.
    """

    ray: Ray
    address: str
    groups: tuple[WorkerGroup, ...]
    info: ClusterInfo
    manifest: str
    infra_version: str
    release: Release | None = None
    by_git: OnCluster | None = None


def deploy(session: EnvironmentSession, *, progress: Callable[[str], None]) -> RayClusterReady:
    """Bring up the Ray cluster of an environment; a cluster of the same shape is left as it is.

    Raises:
        PolicyDenied: a rule of policies/ray.rego or policies/kubernetes.rego denies the manifest.
        RayError: it does not get ready in time, with the reason; an upgrade is rolled back then.
        KubernetesError: Helm or the Kubernetes API refuses, or the API stays away.
        GitError, Refused, SyncError: as `deliver.deliver`, where Argo CD deploys.
    """
    values, rendered = render(session)
    require_allowed(session, rendered)
    session.require_held()
    release = by_git = None
    if deliver.is_by_git(session):
        by_git = deliver.deliver(session, values, rendered, progress)
    elif is_ray_ours(session) and session.ray_upgrade.how == "blue-green":
        release = blue_green.bring(session, values, rendered, progress).release
    elif is_ray_ours(session):
        blue_green.going_on(session, values, progress)
        release = ray_release.install(session, values, rendered, progress).release
    endpoint = ray_endpoint(session, progress)
    address = endpoint.address
    ray = Ray(
        chart_digest=chart_digest(session.settings.ray_chart),
        values_digest=session.artifacts.put_content("values", values),
        manifest_digest=rendered.digest,
        image=f"{values['image']['repository']}:{values['image']['tag']}",
        version=endpoint.info.ray_version,
    )
    keep_sources(session)
    session.require_held()
    session.records.save_ray(ray)
    if release is not None:
        session.artifacts.write(
            f"environments/{session.name}/releases/{release.input}.json", ray.to_json()
        )
        revision = session.revision
        at = {"commit": revision.commit, "changes_digest": revision.changes_digest}
        address = _note_release(session, {**release.to_json(), **at}, ray)
    elif by_git is not None:
        address = _note_release(session, {"mode": "gitops", **by_git.to_json()}, ray)
    ready = RayClusterReady(
        ray=ray,
        address=address,
        groups=worker_groups(session.environment.node_pools),
        info=endpoint.info,
        manifest=rendered.text,
        infra_version=session.records.record_infra_version() or "",
        release=release,
        by_git=by_git,
    )
    if (
        release is not None
        and session.ray_upgrade.how == "blue-green"
        and session.ray_upgrade.waits
    ):
        # What runs from now on is tied to the new cluster, while the old one is still drained.
        drain.drain(session, values, progress)
    return ready


def finish_upgrade(session: EnvironmentSession, *, progress: Callable[[str], None]) -> None:
    """End the cluster that a blue/green upgrade has left, if it has no jobs.

    Raises:
        BusyError: jobs still run on it at the deadline.
        RayError: it cannot be asked for its jobs, or does not go.
        KubernetesError: the Kubernetes API refuses or stays away.
    """
    session.require_held()
    values, _ = render(session)
    drain.drain(session, values, progress, until=drain.now())


def require_ours(session: EnvironmentSession) -> None:
    """Refuse what is done to a Ray cluster that the platform does not deploy.

    Raises:
        SettingsError: it only connects to it.
        Refused: Argo CD deploys it.
    """
    if not is_ray_ours(session):
        raise SettingsError(
            f"the platform does not deploy Ray in {session.name}: it only connects to "
            f"{session.environment.ray.address}",
            where=f"environments/{session.name}.toml, [ray] runtime",
            fix='set runtime = "kubernetes", or ask who deployed that cluster',
        )
    require_own_release(session)


def roll_back(
    session: EnvironmentSession, revision: int | None, *, progress: Callable[[str], None]
) -> RayClusterReady:
    """Make an earlier revision of the release the current one, and record that.

    Args:
        session: The environment.
        revision: Which; None: the one before the current.
        progress: Hears what is done.

    Raises:
        SettingsError, Refused: as `require_ours`.
        NotFoundError: there is no such revision, or it is not known here what it was made from.
        BusyError, RayError, KubernetesError: as `ray_release.roll_back`.
    """
    require_ours(session)
    session.require_held()
    release = ray_release.roll_back(session, revision, progress)
    reason = f"release {release.name} is revision {release.revision}, as an earlier one was"
    audit_notes.note(session, "ray-rollback", "done", reason=reason)
    return rolled_back(session, release)


def back_out(
    session: EnvironmentSession,
    *,
    progress: Callable[[str], None],
    moved: Callable[[RayClusterReady], None] = lambda ready: None,
) -> str:
    """Go back to the cluster that was there before a blue/green upgrade; its name.

    Args:
        session: The environment.
        progress: Hears what is done.
        moved: Gets the cluster that new runs go to again, before the other one is drained. Not called
            where the upgrade had not sent them elsewhere yet.

    Raises:
        SettingsError, Refused: as `require_ours`.
        NotFoundError: no upgrade is under way.
        BusyError: jobs still run on the new cluster at the deadline.
        RayError: the cluster to go back to does not work.
        KubernetesError: the Kubernetes API refuses or stays away.
    """
    require_ours(session)
    session.require_held()
    values, _ = render(session)
    if (release := blue_green.back_out(session, progress)) is not None:
        moved(rolled_back(session, release))
    return drain.drain(session, values, progress).active


def rolled_back(session: EnvironmentSession, release: Release) -> RayClusterReady:
    """Record that the release is what it was: what runs on it from now on is tied to that.

    Raises:
        NotFoundError: it is not known here what that revision was made from.
    """
    key = f"environments/{session.name}/releases/{release.input}.json"
    known = session.artifacts.read(key)
    if known is None:
        raise NotFoundError(
            f"revision {release.revision} is ready, but what it was made from is not recorded here",
            where=session.artifacts.store.url(key),
            fix=f"ray-platform up --env {session.name}",
        )
    ray = Ray.from_json(known)
    session.records.save_ray(ray)
    # Not before it answers.
    info = ray_endpoint(session).info
    address = _note_release(session, release.to_json(), ray)
    values = session.artifacts.get_content("values", ray.values_digest)
    return RayClusterReady(
        ray=ray,
        address=address,
        groups=groups_in(values),
        info=info,
        manifest=ray_clusters(session).releases.manifest(release.name, release.revision),
        infra_version=session.records.record_infra_version() or "",
        release=release,
    )


def _note_release(session: EnvironmentSession, made: Mapping[str, Any], ray: Ray) -> str:
    """Record what was deployed; the address that it stays at: a forwarded port ends with this process."""
    cluster = ray_clusters(session)
    content = cluster.ray_cluster() or {"metadata": {"name": made.get("name", BLUE)}}
    address = cluster.lasting_address(content)
    session.artifacts.write(
        f"environments/{session.name}/release.json",
        {
            **made,
            "manifest_digest": ray.manifest_digest,
            "image": ray.image,
            "image_digest": cluster.image_digest(content),
            "address": address,
        },
    )
    return address


def data_version(ray: Ray) -> str:
    """The digest that names the `ray_cluster` asset inside an infra version."""
    return digest(ray.to_json())
