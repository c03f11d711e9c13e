"""The jobs that run on a RayCluster: what an upgrade must not end."""

import time
from collections.abc import Callable
from dataclasses import dataclass

from ray_platform.ray import pods_ready
from ray_platform.ray.clusters import RayOnKubernetes, ray_clusters
from ray_platform.ray.jobs_client import RayJobs
from ray_platform.run_history.run_history_store import live_bursts
from ray_platform.session.environment_session import EnvironmentSession
from ray_platform.text.errors import KubernetesError, RayError

POLL_SECONDS = 0.5
#: How long jobs may finish before an upgrade that replaces their pods is refused.
PATIENCE_SECONDS = 10.0


def job_of(run_id: str) -> str:
    """The id of a burst run's job on its Ray cluster."""
    return f"burst-{run_id}"


def jobs_on(cluster: RayOnKubernetes, name: str) -> tuple[str, ...]:
    """The ids of the jobs that run on a RayCluster; none where no head of it runs: they end with their head.

    Raises:
        RayError: its head runs, and does not say.
        KubernetesError: the API refuses or does not answer.
    """
    return _asked(cluster, name, RayJobs.running)


@dataclass(frozen=True)
class Followers:
    """Jobs of live burst runs that keep a cluster which goes, though none of its jobs runs.

    ``reading``: ended there, and what they told is still being read. ``coming``: no cluster has them yet;
    their runs may have read its address before the work was sent elsewhere.
    """

    reading: tuple[str, ...] = ()
    coming: tuple[str, ...] = ()

    def __bool__(self) -> bool:
        return bool(self.reading or self.coming)

    def __str__(self) -> str:
        said = {"is being read": self.reading, "may come": self.coming}
        return ", ".join(f"{', '.join(jobs)} {what}" for what, jobs in said.items() if jobs)


def followers(session: EnvironmentSession, going: str, active: str) -> Followers:
    """Who still counts on the RayCluster ``going``, now that ``active`` takes the new work.

    Raises:
        RayError, KubernetesError: as `jobs_on`.
    """
    live = live_bursts(session.instance, session.name) if session.instance else ()
    wanted = {job_of(run.run_id) for run in live}
    if not wanted:
        return Followers()
    reading = wanted.intersection(_asked(ray_clusters(session), going, RayJobs.known))
    rest = wanted - reading
    coming = rest.difference(_asked(ray_clusters(session), active, RayJobs.known)) if rest else ()
    return Followers(tuple(sorted(reading)), tuple(sorted(coming)))


def _asked(
    cluster: RayOnKubernetes, name: str, question: Callable[[RayJobs], tuple[str, ...]]
) -> tuple[str, ...]:
    content = cluster.ray_cluster(name)
    if content is None or not is_head_running(cluster, name):
        return ()
    try:
        return question(RayJobs(cluster.address(content), cluster.token_file()))
    except (RayError, KubernetesError):
        # It may have ended meanwhile; that it does not answer may also be the network's fault.
        if is_head_running(cluster, name):
            raise
        return ()


def is_head_running(cluster: RayOnKubernetes, name: str) -> bool:
    """Whether Ray runs in a head of a RayCluster, ready or not: without one there are no jobs.

    Raises:
        KubernetesError: the API refuses or does not answer.
    """
    return pods_ready.running_head(cluster.pods(name)) is not None


def stop_job(cluster: RayOnKubernetes, name: str, job: str) -> None:
    """Ask a job on a RayCluster to end.

    Raises:
        RayError: its head does not answer, or there is no such job.
        KubernetesError: the API refuses or does not answer.
    """
    content = cluster.ray_cluster(name)
    if content is not None and is_head_running(cluster, name):
        RayJobs(cluster.address(content), cluster.token_file()).stop(job)


def require_no_jobs(cluster: RayOnKubernetes, name: str, tell: Callable[[str], None]) -> None:
    """Refuse to replace the pods of a RayCluster under its jobs.

    Args:
        cluster: Where it is.
        name: The RayCluster.
        tell: Hears it when no head runs, so that nothing can run on it.

    Raises:
        RayError: jobs run on it, or its head does not say.
        KubernetesError: the API refuses or does not answer.
    """
    if not is_head_running(cluster, name):
        tell(f"No head of {name} runs, so no jobs do either: its pods may be replaced")
        return
    deadline = time.monotonic() + PATIENCE_SECONDS
    while jobs := jobs_on(cluster, name):
        if time.monotonic() >= deadline:
            env = cluster.environment.name
            raise RayError(
                "the upgrade would replace the Ray cluster's pods, but jobs still run on them: "
                + ", ".join(jobs),
                where=f"RayCluster {cluster.namespace}/{name}",
                fix="wait for them, or stop them, and try again; or let a second cluster take the new "
                f"work: `ray-platform ray upgrade --blue-green --env {env}`",
            )
        time.sleep(POLL_SECONDS)
