"""Stage `burst_run`: what a run runs on is settled before it starts, and what it used is kept after it."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from ray_platform.cost.ledger import usage
from ray_platform.cost.session_parts import usage_of
from ray_platform.gitops.argocd_sync import require_as_rendered
from ray_platform.gitops.deliver import is_by_git
from ray_platform.ray.chart import render
from ray_platform.ray.endpoint import RayEndpoint
from ray_platform.ray.spec import HEAD_GROUP, worker_groups
from ray_platform.run_history.burst_metrics import BurstMetrics, join_messages, read_metrics
from ray_platform.session.applied import require_applied
from ray_platform.session.environment_session import EnvironmentSession
from ray_platform.store.checked_keys import check_key
from ray_platform.text.canonical import short
from ray_platform.text.errors import NotFoundError, RayError, StalePlan
from ray_platform.training.autoscaling_trace import Trace, read_trace
from ray_platform.whatif.simulate import worker_cpus


@dataclass(frozen=True)
class RunBaseline:
    """What a run stands on: the infra version and its manifest."""

    infra_version: str
    manifest: Mapping[str, Any]


@dataclass(frozen=True)
class BurstResult:
    """What a run measured, its autoscaling trace, and what it cost.

    ``usd`` is the share of node time that the ledger attributes to the run, in US dollars;
    ``node_seconds`` likewise.
    """

    metrics: BurstMetrics
    trace: Trace
    node_seconds: float
    usd: Decimal
    files: Mapping[str, str]


def resolve_infra_version(session: EnvironmentSession) -> RunBaseline:
    """The infra version that a run is about to run on.

    Raises:
        NotFoundError: nothing is applied, or no Ray cluster is deployed.
        StalePlan: the infrastructure moved on after the last recorded apply, or the Ray cluster after
            the last deployment.
        SyncError: where Argo CD deploys, the Ray cluster is not what was exported last.
    """
    again = f"ray-platform up --env {session.name}"
    terraform = session.terraform()
    terraform.init()
    require_applied(session, terraform)
    ray = session.records.ray()
    if ray is None:
        raise NotFoundError(f"no Ray cluster is deployed in {session.name}", fix=again)
    _, rendered = render(session)
    if rendered.digest != ray.manifest_digest:
        raise StalePlan(
            "chart or node pools have changed since the Ray cluster was deployed",
            where=f"{session.name}, manifest {short(ray.manifest_digest)}",
            fix=again,
        )
    if is_by_git(session):
        # A commit that was reverted in Git is applied without us.
        require_as_rendered(session, rendered)
    version = session.records.record_infra_version()
    if version is None:
        raise NotFoundError(f"nothing is applied in {session.name}", fix=again)
    return RunBaseline(version, session.records.manifest(version))


def workload_command(session: EnvironmentSession, endpoint: RayEndpoint, run_id: str) -> list[str]:
    """The workload's command line, run in its own folder on the cluster.

    A task takes all CPUs of a worker, so that each has a worker of its own; how many those are, the
    workers that are up say, or else the node pools. Right after an upgrade none may be up yet.
    """
    seen = [
        int(node.resources.get("CPU", 0))
        for node in endpoint.info.nodes
        if node.is_up and node.group != HEAD_GROUP and not node.resources.get("GPU")
    ]
    groups = worker_groups(session.environment.node_pools)
    specified = [worker_cpus(session, group.cpus) for group in groups]
    wanted = session.environment.burst
    return [
        "python",
        session.settings.workload.name,
        "--run-id",
        run_id,
        "--phases",
        ",".join(str(workers) for workers in wanted.phases),
        "--task-seconds",
        str(wanted.task_seconds),
        "--seed",
        str(wanted.seed),
        "--cpus-per-worker",
        str(min(seen or specified)),
        "--reach-timeout",
        str(session.environment.ray.ready_timeout_seconds),
    ]


def store_results(
    session: EnvironmentSession, run_id: str, messages: Iterable[Any], tell: Callable[[str], None]
) -> BurstResult:
    """Store what a run sent back (metrics, trace, usage) and price it; ``tell`` hears what is amiss.

    Raises:
        RayError: it sent nothing back.
        ArtifactError: what it sent is damaged, or bears a name that is no file's of a run.
    """
    files = join_messages(messages)
    if "metrics.json" not in files or "trace.json" not in files:
        raise RayError(
            "the workload ended without its metrics",
            where=f"run {run_id}",
            fix="its log says how far it came: see the run's compute logs",
        )
    for name in files:
        check_key(f"runs/{run_id}/{name}")  # before the first one is written
    for name, content in files.items():
        session.artifacts.write(f"runs/{run_id}/{name}", content)
    metrics = read_metrics(files["metrics.json"])
    window = (metrics.started, metrics.ended)
    usage_of(session).append(
        usage.usages(
            session, metrics.node_intervals, seen=metrics.ended, run_id=run_id, window=window
        ),
        [
            usage.tasks_done(
                session, run_id, sum(p.tasks for p in metrics.phases if not p.error), metrics.ended
            )
        ],
    )
    usage.compact(session, metrics.ended, tell)
    node_seconds, usd = usage.price_run(session, run_id, metrics.started, metrics.ended)
    return BurstResult(
        metrics=metrics,
        trace=read_trace(files["trace.json"]),
        node_seconds=node_seconds,
        usd=usd,
        files={name: session.artifacts.store.url(f"runs/{run_id}/{name}") for name in files},
    )
