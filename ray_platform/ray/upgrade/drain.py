"""The end of a Ray cluster that takes no new work: its jobs first, until a deadline, then the cluster."""

import time
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from typing import Any

from ray_platform.kubernetes.api_client import PODS
from ray_platform.ray import ray_release
from ray_platform.ray.clusters import RayOnKubernetes, ray_clusters
from ray_platform.ray.running_jobs import Followers, followers, jobs_on, stop_job
from ray_platform.ray.upgrade.switch import BLUE, DRAINING, PREPARING, Switch
from ray_platform.ray.writes import Tell, through_trouble
from ray_platform.session import audit_notes
from ray_platform.session.environment_session import EnvironmentSession
from ray_platform.text.errors import BusyError, RayError

POLL_SECONDS = 1.0
#: How long no job must be seen on a cluster that takes no new work: somebody may have read its address before
#: the switch, and hand in a job after it; and whoever waited for a job reads its log then.
QUIET_SECONDS = 10.0
#: How long a burst run, which is known to live, may take from the address to its job, and read after it.
FOLLOWED_SECONDS = 120.0
REMOVAL_SECONDS = 300.0


def drain(
    session: EnvironmentSession,
    values: Mapping[str, Any],
    tell: Tell,
    *,
    until: datetime | None = None,
) -> Switch:
    """Wait until the cluster that goes has no jobs, and take it away; nothing where none goes.

    Args:
        session: The environment; its wish says whether jobs are ended at the deadline.
        values: The chart's values for what the namespace has once.
        tell: Hears what is waited for.
        until: How long jobs are waited for; None: as long as the session wishes, which becomes the deadline.

    Raises:
        BusyError: jobs still run at the deadline and may not be ended; the cluster is left to them.
        RayError: it cannot be asked for its jobs, or does not go.
        KubernetesError: the API refuses, or stays away.
    """
    cluster, wish = ray_clusters(session), session.ray_upgrade
    switch = through_trouble(cluster, cluster.switch, tell)
    upgrade = switch.upgrade
    if upgrade is None or upgrade.step == PREPARING:
        return switch
    going, deadline = switch.other, until or now() + timedelta(seconds=wish.drain_seconds)
    if until is None:
        switch = cluster.write_switch(switch.until(deadline))
    last = datetime.fromisoformat(upgrade.moved) if upgrade.moved else None
    told: str | None = None
    ended: set[str] = set()
    while True:
        jobs = through_trouble(cluster, lambda: jobs_on(cluster, going), tell)
        last = now() if jobs else last
        live = Followers()
        if not jobs:
            live = through_trouble(cluster, lambda: followers(session, going, switch.active), tell)
            if _is_quiet(last, live):
                break
        waits = f"waiting for {', '.join(jobs)}" if jobs else "no jobs"
        waits += f", {live}" if live else ""
        if waits != told:
            tell(f"Draining {going}: {waits}")
            told = waits
        if jobs and now() >= deadline:
            if not wish.end_jobs:
                raise _left_to(session, switch, jobs)
            for job in set(jobs) - ended:
                ended.add(job)
                tell(f"The deadline is over: job {job} is ended")
                why = f"{job} on {going}, at the deadline"
                audit_notes.note(session, "ray-upgrade", "job ended", reason=why)
                stop_job(cluster, going, job)
        time.sleep(POLL_SECONDS)
    switch = take_away(session, switch, values, tell)
    what = "finished" if upgrade.step == DRAINING else "backed out"
    audit_notes.note(session, "ray-upgrade", what, reason=f"{going} is gone, {switch.active} works")
    tell(f"Blue/green: {going} is gone; {switch.active} works")
    return switch


def _is_quiet(last: datetime | None, live: Followers) -> bool:
    """Whether nobody is on the way to the cluster that goes, or still reads what its jobs told.

    Args:
        last: When new work was sent elsewhere, or a job ended; None: it never took any.
        live: Burst runs that count on it.
    """
    seconds = FOLLOWED_SECONDS if live else QUIET_SECONDS
    return last is None or now() - last >= timedelta(seconds=seconds)


def _left_to(session: EnvironmentSession, switch: Switch, jobs: tuple[str, ...]) -> BusyError:
    going = switch.other
    return BusyError(
        f"the time is over, and jobs still run on {going}: {', '.join(jobs)}; new work goes to "
        f"{switch.active}, and {going} is left to them",
        where=f"RayCluster {ray_clusters(session).namespace}/{going}",
        fix=f"`ray-platform ray upgrade --blue-green --env {session.name}` goes on waiting; with "
        "--end-jobs it ends them; with --back-out the work goes back",
    )


class Due(StrEnum):
    """What is to be done about an upgrade that no person waits for. The values are part of run keys.

    ``END``: the old cluster has no jobs. ``LATE``: the deadline is over and it still has some.
    """

    NOTHING = "nothing"
    END = "end"
    LATE = "late"


def due(session: EnvironmentSession) -> tuple[Due, Switch]:
    """What an environment's upgrade waits for, and where it stands; changes nothing.

    Raises:
        RayError: it cannot be asked for its jobs.
        KubernetesError: the API refuses or does not answer.
    """
    switch = ray_clusters(session).switch()
    upgrade = switch.upgrade
    if upgrade is None or upgrade.step == PREPARING:
        return Due.NOTHING, switch
    if not jobs_on(ray_clusters(session), switch.other):
        return Due.END, switch
    is_late = bool(upgrade.deadline) and datetime.fromisoformat(upgrade.deadline) < now()
    return (Due.LATE if is_late else Due.NOTHING), switch


def take_away(
    session: EnvironmentSession, switch: Switch, values: Mapping[str, Any], tell: Tell
) -> Switch:
    """End the cluster that takes no new work; what the namespace has once stays."""
    cluster, going = ray_clusters(session), switch.other
    session.require_held()
    if going == BLUE:
        ray_release.put(session, BLUE, values, tell, stands=False)
    else:
        through_trouble(cluster, lambda: cluster.releases.uninstall(going), tell)
    deadline = time.monotonic() + REMOVAL_SECONDS
    while through_trouble(cluster, lambda: _is_there(cluster, going), tell):
        if time.monotonic() >= deadline:
            raise RayError(
                f"the RayCluster {going} does not go",
                where=f"namespace {cluster.namespace}",
                fix=f"see what holds it: `kubectl --namespace {cluster.namespace} get pods`; then "
                "run it again",
            )
        time.sleep(POLL_SECONDS)
    return cluster.write_switch(through_trouble(cluster, cluster.switch, tell).settled())


def _is_there(cluster: RayOnKubernetes, name: str) -> bool:
    if cluster.ray_cluster(name) is not None:
        return True
    selector = f"ray.io/cluster={name}"
    return bool(cluster.api.list(PODS, cluster.namespace, labelSelector=selector)["items"])


def now() -> datetime:
    """The time, to the second, as the switch keeps it."""
    return datetime.now(UTC).replace(microsecond=0)
