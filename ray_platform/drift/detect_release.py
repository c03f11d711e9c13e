"""Drift of what the platform deployed of Ray: the manifests that Helm keeps against the live objects."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from ray_platform.drift.items import DriftItem
from ray_platform.drift.release_items import not_asked, release_gone, release_items
from ray_platform.drift.rules import RuleBook
from ray_platform.gitops.deliver import is_by_git
from ray_platform.kubernetes.helm_release_client import DEPLOYED, HelmReleases, Release
from ray_platform.kubernetes.manifests import Compared, identity
from ray_platform.ray.chart import render
from ray_platform.ray.clusters import ray_clusters
from ray_platform.ray.endpoint import is_ray_ours
from ray_platform.ray.ray_release import rendered_for
from ray_platform.ray.repair_fields import compare, documents
from ray_platform.ray.upgrade.switch import BLUE, NAMES
from ray_platform.session.environment_session import EnvironmentSession
from ray_platform.text.errors import KubernetesError, NotFoundError, PlatformError


def ray_drift(
    session: EnvironmentSession, book: RuleBook, *, progress: Callable[[str], None]
) -> tuple[DriftItem, ...]:
    """What of the platform's Ray was changed or deleted behind its back.

    Nothing where the platform does not deploy Ray or where Argo CD does, which reports drift itself. When
    the API does not answer, one item says so: an environment that was not looked at is not clean.

    Args:
        session: The environment.
        book: How severe what is.
        progress: Is told what could not be looked at.
    """
    if not is_ray_ours(session) or is_by_git(session):
        return ()
    recorded = session.artifacts.read(f"environments/{session.name}/release.json") or {}
    if "revision" not in recorded or recorded.get("mode"):
        recorded = {}  # what Argo CD deployed before is no release
    try:
        return tuple(_items(session, recorded, book))
    except NotFoundError:
        return ()  # no Kubernetes cluster was applied
    except KubernetesError as error:
        if not recorded:
            return ()  # nothing was deployed that could have drifted
        progress(f"Whether Ray has drifted is not known: {error.what}")
        return (not_asked(error.what),)


def _items(
    session: EnvironmentSession, recorded: Mapping[str, Any], book: RuleBook
) -> Iterator[DriftItem]:
    cluster = ray_clusters(session)
    api = cluster.api_now()
    releases = HelmReleases(api, cluster.namespace)
    for name in NAMES:
        history = releases.history(name)
        is_recorded = recorded.get("name") == name
        if not history:
            # The first release stands beside the second too, for what the namespace has once.
            if is_recorded or (recorded and name == BLUE):
                yield release_gone(name, book)
            continue
        revision = _revision(history, recorded if is_recorded else {})
        if revision is None:
            continue  # never deployed: its first installation was cut short
        wanted = documents(releases.manifest(name, revision))
        found = compare(api, cluster.namespace, wanted)
        if any(release_items(name, found, book)):
            asked = _asked(session, name, wanted)
            found = [Compared(o.wanted, o.live, asked.get(identity(o.wanted))) for o in found]
        yield from release_items(name, found, book)


def _revision(history: Sequence[Release], recorded: Mapping[str, Any]) -> int | None:
    """What the platform deployed last: a revision that somebody else made by Helm is drift too."""
    known = [release.revision for release in history]
    if recorded.get("revision") in known:
        return int(recorded["revision"])
    deployed = [release.revision for release in history if release.status == DEPLOYED]
    return deployed[-1] if deployed else None


def _asked(
    session: EnvironmentSession, release: str, wanted: Sequence[Mapping[str, Any]]
) -> dict[tuple[str, str], Mapping[str, Any]]:
    """What chart and values of now make, to tell a change of Git from one by hand."""
    stands = any(document["kind"] == "RayCluster" for document in wanted)
    try:
        made = rendered_for(session, release, render(session)[0], stands=stands)
    except PlatformError:
        # They are judged, with their reason, where they are deployed.
        return {}
    return {identity(document): document for document in made.documents}
