"""The Helm releases of the Ray cluster: installed once for the same input, and taken back by themselves."""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any

import yaml

from ray_platform.kubernetes.helm_chart_process import RenderedChart, chart_digest, render_chart
from ray_platform.kubernetes.helm_release_client import DEPLOYED, Release, label
from ray_platform.ray import readiness, repair_fields
from ray_platform.ray.clusters import RayOnKubernetes, ray_clusters
from ray_platform.ray.gone_client import wait_gone
from ray_platform.ray.running_jobs import require_no_jobs
from ray_platform.ray.spec import pods_digest
from ray_platform.ray.upgrade.switch import BLUE, release_values
from ray_platform.ray.writes import Tell, give_back_scaling, take_over, through_trouble
from ray_platform.session.environment_session import EnvironmentSession
from ray_platform.text.canonical import digest
from ray_platform.text.errors import (
    BusyError,
    NotFoundError,
    PlatformError,
    RayError,
)


@dataclass(frozen=True)
class Installed:
    """The release that stands, and what was done to it: ``installed``, ``upgraded`` or ``unchanged``."""

    release: Release
    done: str


def install(
    session: EnvironmentSession, values: Mapping[str, Any], rendered: RenderedChart, tell: Tell
) -> Installed:
    """Bring the release that takes new work in line with chart and values; wait until it is ready.

    The same input as what stands changes nothing; what somebody else changed or deleted is put back. An
    upgrade that does not get ready is rolled back.

    Args:
        session: The environment.
        values: The chart's values, as for the first release.
        rendered: What the chart makes of them.
        tell: Hears what is done.

    Raises:
        RayError: it does not get ready; jobs run on pods that the upgrade would replace.
        KubernetesError: Helm or the API refuses, or the API stays away.
        BusyError: another process is changing the release.
    """
    cluster = ray_clusters(session)
    cluster.wake()
    switch = through_trouble(cluster, cluster.switch, tell)
    name = switch.active
    before = _good_revision(cluster, name)
    # A first cluster that is still drained must not end with this.
    if name != BLUE and switch.upgrade is None:
        put(session, BLUE, values, tell, stands=False)
    installed = put(session, name, values, tell, rendered=rendered if name == BLUE else None)
    try:
        readiness.wait(cluster, tell, name)
    except RayError as error:
        if before is None or installed.done != "upgraded":
            raise
        _back_out(cluster, name, before, error, tell)
    return installed


class ReleaseState(StrEnum):
    """What a release lacks of what is asked for."""

    NOTHING = "nothing: it is in line"
    BOUNDS = "what replaces no pods"
    PODS = "what replaces its pods"
    ALL = "everything: it does not stand"


def standing(
    session: EnvironmentSession,
    name: str,
    values: Mapping[str, Any],
    rendered: RenderedChart | None = None,
) -> ReleaseState:
    """What a release lacks of chart and values; arguments and errors as `put`."""
    cluster = ray_clusters(session)
    history = cluster.releases.history(name)
    current = history[-1] if history else None
    content = cluster.ray_cluster(name)
    if current is None or content is None or content["metadata"].get("deletionTimestamp"):
        return ReleaseState.ALL
    own = release_values(values, name)
    if _is_made_from(current, _made_from(session.settings.ray_chart, own)):
        return ReleaseState.NOTHING
    made = rendered or rendered_for(session, name, values)
    same = pods_digest(_spec_of(cluster, current)) == pods_digest(spec_in(list(made.documents)))
    return ReleaseState.BOUNDS if same else ReleaseState.PODS


def rendered_for(
    session: EnvironmentSession, name: str, values: Mapping[str, Any], *, stands: bool = True
) -> RenderedChart:
    """What the chart makes of the environment's values for one of the two releases.

    Raises:
        SettingsError: the chart refuses the values.
    """
    own = release_values(values, name, stands=stands)
    namespace = ray_clusters(session).namespace
    return render_chart(session.settings.ray_chart, own, release=name, namespace=namespace)


def _made_from(chart: Path, values: Mapping[str, Any]) -> str:
    return digest({"chart": chart_digest(chart), "values": values})


def _is_made_from(release: Release, made_from: str) -> bool:
    return release.status == DEPLOYED and release.input == label(made_from)


def put(
    session: EnvironmentSession,
    name: str,
    values: Mapping[str, Any],
    tell: Tell,
    *,
    stands: bool = True,
    rendered: RenderedChart | None = None,
) -> Installed:
    """Bring one release in line with chart and values; waits for nothing.

    Args:
        session: The environment.
        name: The release, and its RayCluster.
        values: The chart's values, as for the first release.
        tell: Hears what is done.
        stands: Whether its RayCluster is to stand.
        rendered: What the chart makes of them for this release, where that is known.

    Raises:
        RayError: jobs run on pods that this would replace.
        KubernetesError: Helm or the API refuses, or the API stays away.
        BusyError: another process is changing the release.
    """
    cluster = ray_clusters(session)
    chart = session.settings.ray_chart
    own = release_values(values, name, stands=stands)
    made_from = _made_from(chart, own)
    made = rendered or rendered_for(session, name, values, stands=stands)

    def once() -> Installed:
        cluster.prepare()
        history = cluster.releases.settled_history(name)
        current = history[-1] if history else None
        if current is None:
            cluster.require_kuberay()
        content = cluster.ray_cluster(name)
        if content is not None and content["metadata"].get("deletionTimestamp"):
            # What is applied onto an object that is being deleted is lost with it.
            wait_gone(cluster.api, cluster.namespace, name, tell)
            content = None
        found = (
            repair_fields.compare(cluster.api, cluster.namespace, made.documents) if current else []
        )
        is_whole = (content is not None) == stands and not any(map(repair_fields.differs, found))
        if current is not None and is_whole and _is_made_from(current, made_from):
            return Installed(current, "unchanged")
        if current is not None and stands and content is None:
            if _spec_of(cluster, current):
                tell("The RayCluster is gone although its release stands: it is made again")
        elif current is not None and stands:
            _require_no_jobs(cluster, current, spec_in(list(made.documents)), tell)
        if current is not None and not is_whole:
            was = repair_fields.documents(cluster.releases.manifest(name, current.revision))
            repair_fields.clear_the_way(cluster, name, found, was, tell)
        with_replicas = take_over(cluster, own, cluster.ray_cluster(name))
        release = cluster.releases.install(chart, name, with_replicas, made_from=made_from)
        return Installed(release, "upgraded" if current else "installed")

    installed = through_trouble(cluster, once, tell)
    tell(f"Helm release {name} revision {installed.release.revision}: {installed.done}")
    return installed


def roll_back(session: EnvironmentSession, revision: int | None, tell: Tell) -> Release:
    """Make an earlier revision of the release the current one and wait until it is ready.

    Args:
        session: The environment.
        revision: Which; None: the one before the current.
        tell: Hears what is done.

    Raises:
        NotFoundError: there is no such revision.
        BusyError: a blue/green upgrade is under way, or another process is changing the release.
        RayError: jobs run on pods that would be replaced, or it does not get ready.
        KubernetesError: as `install`.
    """
    cluster = ray_clusters(session)
    switch = through_trouble(cluster, cluster.switch, tell)
    name = switch.active
    if switch.upgrade is not None:
        raise BusyError(
            f"a blue/green upgrade is {switch.upgrade.step}: it has its own way back",
            where=f"namespace {cluster.namespace}, since {switch.upgrade.started}",
            fix=f"ray-platform ray upgrade --back-out --env {session.name}",
        )
    history = cluster.releases.settled_history(name)
    earlier = [r for r in history[:-1] if r.status in (DEPLOYED, "superseded")]
    # A release whose RayCluster stood elsewhere meanwhile is no cluster to go back to.
    wanted = next(
        (r for r in reversed(earlier) if revision in (None, r.revision) and _spec_of(cluster, r)),
        None,
    )
    if wanted is None:
        known = ", ".join(str(r.revision) for r in earlier) or "none"
        raise NotFoundError(
            f"there is no earlier revision {revision or ''}".rstrip() + f" of release {name}",
            where=f"namespace {cluster.namespace}; earlier revisions: {known}",
            fix=f"ray-platform ray history --env {session.name}",
        )
    _require_no_jobs(cluster, history[-1], _spec_of(cluster, wanted), tell)
    release = through_trouble(cluster, lambda: _rolled_back(cluster, wanted), tell)
    readiness.wait(cluster, tell, name)
    return release


def _rolled_back(cluster: RayOnKubernetes, to: Release) -> Release:
    content = cluster.ray_cluster(to.name)
    take_over(cluster, {}, content)
    release = cluster.releases.rollback(to.name, to.revision)
    # The manifest of that revision knows nothing of what the autoscaler has wanted since.
    give_back_scaling(cluster, to.name, content)
    return release


def _back_out(
    cluster: RayOnKubernetes, name: str, before: Release, why: RayError, tell: Tell
) -> None:
    tell(f"The upgrade did not get ready; going back to revision {before.revision}")
    try:
        through_trouble(cluster, lambda: _rolled_back(cluster, before), tell)
        readiness.wait(cluster, tell, name)
    except PlatformError as error:
        raise RayError(
            f"the upgrade failed, and so did the way back to revision {before.revision}. "
            f"Upgrade: {why.what}. Way back: {error.what}",
            where=why.where,
            fix=f"{why.fix}; then run it again",
        ) from error
    raise RayError(
        f"the upgrade was rolled back to revision {before.revision}, which is ready again: {why.what}",
        where=why.where,
        fix=why.fix,
    ) from why


def _good_revision(cluster: RayOnKubernetes, name: str) -> Release | None:
    """The revision that stands, to go back to."""
    deployed = [r for r in cluster.releases.history(name) if r.status == DEPLOYED]
    return deployed[-1] if deployed else None


def _require_no_jobs(
    cluster: RayOnKubernetes, current: Release, wanted: Mapping[str, Any], tell: Tell
) -> None:
    """Refuse to replace pods under running jobs; bounds and replicas replace none."""
    if pods_digest(_spec_of(cluster, current)) != pods_digest(wanted):
        require_no_jobs(cluster, current.name, tell)


def _spec_of(cluster: RayOnKubernetes, release: Release) -> Mapping[str, Any]:
    """The RayCluster's spec in a revision; empty: it holds none."""
    manifest = cluster.releases.manifest(release.name, release.revision)
    documents = yaml.load_all(manifest, Loader=yaml.CSafeLoader)
    return spec_in([document for document in documents if document])


def spec_in(documents: list[dict[str, Any]]) -> Mapping[str, Any]:
    """The RayCluster's spec among manifests; empty: there is none."""
    return next((doc["spec"] for doc in documents if doc.get("kind") == "RayCluster"), {})
