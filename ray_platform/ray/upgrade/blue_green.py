"""Blue/green: a second Ray cluster is brought up, takes the new work, and the first ends when its jobs have.

KubeRay changes the pods of a RayCluster only by ending all of them. Here nothing ends that works: the new
cluster stands beside the old one and shows that it takes jobs, one write sends new work to it
(`core.ray_switch`), and the old one is drained (`ray_drain`). Each step finds in the cluster where it
stands, so that a killed process goes on, and until the old cluster is gone there is a way back.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from ray_platform.kubernetes.helm_chart_process import RenderedChart
from ray_platform.kubernetes.helm_release_client import Release
from ray_platform.ray import ray_release, readiness
from ray_platform.ray.chart import require_allowed
from ray_platform.ray.clusters import ray_clusters
from ray_platform.ray.jobs_client import RayJobs
from ray_platform.ray.ray_release import Installed, ReleaseState
from ray_platform.ray.running_jobs import jobs_on
from ray_platform.ray.upgrade.drain import drain, now, take_away
from ray_platform.ray.upgrade.switch import (
    BACKING_OUT,
    BLUE,
    DRAINING,
    PREPARING,
    Switch,
)
from ray_platform.ray.writes import Tell, through_trouble
from ray_platform.session import audit_notes
from ray_platform.session.environment_session import EnvironmentSession
from ray_platform.text.errors import BusyError, KubernetesError, NotFoundError, RayError

PROBE_SECONDS = 180.0
#: A job that joins the cluster as any other does.
_PROBE = "import ray; ray.init(); print(len(ray.nodes()), 'nodes')"


@dataclass(frozen=True)
class Outlook:
    """What an upgrade would do now; ``jobs`` run on the cluster that takes the work."""

    active: str
    lacks: ReleaseState
    jobs: tuple[str, ...]
    switch: Switch

    def to_json(self) -> dict[str, Any]:
        return {
            "active": self.active,
            "lacks": self.lacks.value,
            "jobs": list(self.jobs),
            "upgrade": self.switch.upgrade.to_json() if self.switch.upgrade else None,
        }


def outlook(
    session: EnvironmentSession, values: Mapping[str, Any], rendered: RenderedChart
) -> Outlook:
    """What an upgrade to chart and values would do; changes nothing.

    Raises:
        RayError: the jobs cannot be asked for.
        KubernetesError: the API refuses or does not answer.
    """
    switch = ray_clusters(session).switch()
    name = switch.active
    lacks = ray_release.standing(session, name, values, rendered if name == BLUE else None)
    return Outlook(name, lacks, jobs_on(ray_clusters(session), name), switch)


def bring(
    session: EnvironmentSession,
    values: Mapping[str, Any],
    rendered: RenderedChart,
    tell: Tell,
) -> Installed:
    """Bring the Ray cluster in line; where that replaces pods, by a second one that then takes the work.

    The first cluster stands when this returns: `ray_drain.drain` ends it.

    Raises:
        PolicyDenied: a rule denies the manifests under the second cluster's name.
        RayError: the new cluster does not get ready or takes no jobs; it was taken away again.
        BusyError: an earlier upgrade is being backed out, or its old cluster still has jobs.
        KubernetesError: as `ray_release.install`.
    """
    cluster = ray_clusters(session)
    cluster.wake()
    switch = through_trouble(cluster, cluster.switch, tell)
    patience = None if session.ray_upgrade.waits else now()
    if switch.upgrade and switch.upgrade.step == BACKING_OUT:
        switch = drain(session, values, tell, until=patience)
    name = switch.active
    lacks = ray_release.standing(session, name, values, rendered if name == BLUE else None)
    if lacks is not ReleaseState.PODS:
        if switch.upgrade and switch.upgrade.step == PREPARING:
            tell(f"What was asked for stands already: {switch.upgrade.after} is not needed")
            take_away(session, switch, values, tell)
        return ray_release.install(session, values, rendered, tell)
    if switch.upgrade and switch.upgrade.step == DRAINING:
        tell(f"An earlier upgrade still drains {switch.other}: that is finished first")
        switch = drain(session, values, tell, until=patience)
    if switch.upgrade is None:
        switch = cluster.write_switch(switch.preparing(now()))
    return _switched(session, switch, values, rendered, tell)


def _switched(
    session: EnvironmentSession,
    switch: Switch,
    values: Mapping[str, Any],
    rendered: RenderedChart,
    tell: Tell,
) -> Installed:
    """The new cluster, ready and taking the work."""
    cluster, old, new = ray_clusters(session), switch.active, switch.other
    if new != BLUE:
        rendered = ray_release.rendered_for(session, new, values)
        require_allowed(session, rendered)
    tell(f"Blue/green: {new} is brought up beside {old}, which goes on working")
    try:
        installed = ray_release.put(session, new, values, tell, rendered=rendered)
        address, token_path, _ = readiness.endpoint(cluster, tell, new)
        release = installed.release
        jobs = RayJobs(address, token_path)
        probe = f"ready-{release.input[:12]}-{release.revision}"
        jobs.submit(["python", "-c", _PROBE], submission_id=probe)
        jobs.wait(probe, timeout_seconds=PROBE_SECONDS)
    except (RayError, KubernetesError) as error:
        if isinstance(error, KubernetesError) and not error.code:
            raise  # the API is away: nothing is known, and the next run goes on
        tell(f"{new} is taken away again: {error.what}")
        take_away(session, switch, values, tell)
        audit_notes.note(session, "ray-upgrade", "failed", reason=f"{new}: {error.what}")
        raise RayError(
            f"the new Ray cluster {new} does not work and was taken away; {old} goes on as before: "
            f"{error.what}",
            where=error.where,
            fix=error.fix,
        ) from error
    session.require_held()
    until = now() + timedelta(seconds=session.ray_upgrade.drain_seconds)
    cluster.write_switch(switch.switched(now(), until))
    audit_notes.note(
        session, "ray-upgrade", "switched", reason=f"new work goes to {new}, {old} is drained"
    )
    tell(f"New work goes to {new} at {address}; {old} is drained")
    return Installed(installed.release, "switched")


def back_out(session: EnvironmentSession, tell: Tell) -> Release | None:
    """Send new work back to the cluster that was there before; `drain` ends the new one.

    Returns:
        The release that takes the work again; None: it never ceased to.

    Raises:
        NotFoundError: no upgrade is under way: the old cluster is gone, or there never was one.
        RayError: the cluster to go back to is not ready.
    """
    cluster = ray_clusters(session)
    cluster.wake()
    switch = through_trouble(cluster, cluster.switch, tell)
    upgrade = switch.upgrade
    if upgrade is None:
        raise NotFoundError(
            "no blue/green upgrade is under way: there is nothing to back out of",
            where=f"namespace {cluster.namespace}",
            fix=f"`ray-platform rollback --env {session.name}` deploys an older commit",
        )
    if upgrade.step == DRAINING:
        readiness.endpoint(cluster, tell, upgrade.before)
    if upgrade.step != BACKING_OUT:
        switch = cluster.write_switch(switch.backing_out(now()))
        reason = f"new work goes to {upgrade.before} again"
        audit_notes.note(session, "ray-upgrade", "backing out", reason=reason)
        tell(f"New work goes to {upgrade.before} again; {upgrade.after} is drained")
    moved = upgrade.step == DRAINING or upgrade.moved
    return cluster.releases.history(upgrade.before)[-1] if moved else None


def going_on(session: EnvironmentSession, values: Mapping[str, Any], tell: Tell) -> None:
    """What a deployment in place does about an upgrade under way: end what is idle, refuse the rest.

    Raises:
        BusyError: the upgrade has not switched yet, or is being backed out.
    """
    cluster = ray_clusters(session)
    switch = through_trouble(cluster, cluster.switch, tell)
    upgrade = switch.upgrade
    if upgrade is None:
        return
    if upgrade.step != PREPARING and not jobs_on(cluster, switch.other):
        drain(session, values, tell, until=now())
        return
    if upgrade.step != DRAINING:
        raise BusyError(
            f"a blue/green upgrade from {upgrade.before} to {upgrade.after} is {upgrade.step}",
            where=f"namespace {cluster.namespace}, since {upgrade.started}",
            fix=f"go on with `ray-platform ray upgrade --blue-green --env {session.name}`, or back out of "
            f"it with `ray-platform ray upgrade --back-out --env {session.name}`",
        )
    tell(f"{switch.other} is still drained; `ray-platform ray upgrade --blue-green` finishes that")
