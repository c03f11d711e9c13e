"""What-if: a recorded burst's demand on other worker groups, replayed through Ray's own autoscaler."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from ray_platform.config.node_pools import NodePool, read_node_pools
from ray_platform.cost.session_parts import prices_of
from ray_platform.ray.spec import worker_groups
from ray_platform.run_history.burst_metrics import read_metrics
from ray_platform.session.environment_session import EnvironmentSession
from ray_platform.text.errors import NotFoundError
from ray_platform.text.redaction import redact, redact_text
from ray_platform.whatif.answer import Answer, same_workers
from ray_platform.whatif.demand import (
    Group,
    ReplayOutcome,
    measured_outcome,
    measured_pace,
    recorded_burst,
)
from ray_platform.whatif.ray_scheduler_client import RayScheduler
from ray_platform.whatif.replay import replay


@dataclass(frozen=True)
class _Cluster:
    """What a Ray runtime is like: seconds between two decisions, CPUs of a worker (None: its group's)."""

    beat_seconds: float
    worker_cpus: float | None


#: Ray's own AUTOSCALER_UPDATE_INTERVAL_S (ray/autoscaler/_private/constants.py), which the chart keeps.
_ON_AWS = _Cluster(5, None)


def _cluster(session: EnvironmentSession) -> _Cluster:
    local = session.adapters.local_kubernetes
    return _Cluster(local.autoscaler_seconds, local.worker_cpus) if local else _ON_AWS


def worker_cpus(session: EnvironmentSession, specified: int) -> int:
    """CPUs that a worker has where the environment's Ray runs: on one machine one, else as specified."""
    known = _cluster(session).worker_cpus
    return specified if known is None else int(known)


def remember(session: EnvironmentSession, run_id: str, infra_version: str) -> None:
    """Make a burst run whose metrics are stored the latest recorded one of its environment."""
    session.artifacts.write(
        _latest_key(session), {"run_id": run_id, "infra_version": infra_version}
    )


def latest(session: EnvironmentSession) -> tuple[str, str]:
    """Run id and infra version of the environment's latest recorded burst.

    Raises:
        NotFoundError: none is recorded.
    """
    found = session.artifacts.read(_latest_key(session))
    if not found:
        raise NotFoundError(
            f"no burst run is recorded in {session.name}, so there is no demand to replay",
            where=session.artifacts.store.url(_latest_key(session)),
            fix=f"ray-platform burst --env {session.name}, or name a run with --run",
        )
    return str(found["run_id"]), str(found["infra_version"])


def ask(
    session: EnvironmentSession,
    run_id: str,
    infra_version: str,
    proposed: Sequence[NodePool],
    *,
    boot_seconds: Sequence[float] = (),
) -> Answer:
    """Replay a recorded burst on the pools that it ran on, and on the proposed ones.

    Args:
        session: The environment.
        run_id: The recorded run.
        infra_version: What it ran on.
        proposed: All node pools of the proposal.
        boot_seconds: How long a node takes to come, in place of what the run measured.

    Raises:
        NotFoundError: the run has no metrics, or started no node and no ``boot_seconds`` are given.
        RayError: Ray's scheduler cannot be asked.
    """
    key = f"runs/{run_id}/metrics.json"
    stored = session.artifacts.read(key)
    if stored is None:
        raise NotFoundError(
            f"run {run_id} has no recorded metrics",
            where=session.artifacts.store.url(key),
            fix="name a run that ended well: `ray-platform runs` lists them",
        )
    metrics = read_metrics(stored, where=session.artifacts.store.url(key))
    before = _groups(
        session, pools_of(session, session.records.manifest(infra_version)["variables_digest"])
    )
    after = _groups(session, proposed)
    cluster, ray = _cluster(session), session.environment.ray
    pace = measured_pace(
        metrics,
        beat_seconds=cluster.beat_seconds,
        idle_timeout_seconds=ray.idle_timeout_seconds,
        reach_timeout_seconds=ray.ready_timeout_seconds,
        boot_seconds=boot_seconds,
    )
    burst = recorded_burst(metrics, hold_seconds=session.environment.burst.task_seconds)

    def outcome(groups: tuple[Group, ...]) -> ReplayOutcome:
        return replay(
            burst,
            groups,
            pace,
            lambda: RayScheduler(groups, burst.task, pace.idle_timeout_seconds),
        )

    return Answer(
        environment=session.name,
        run_id=run_id,
        before=before,
        after=after,
        measured=measured_outcome(metrics, before),
        unchanged=outcome(before),
        proposed=outcome(after),
        own_boots=bool(boot_seconds),
    )


def for_plan(session: EnvironmentSession) -> tuple[str, dict[str, Any]] | None:
    """What a plan's worker groups would mean for the latest recorded burst, as Markdown and JSON.

    None where the plan leaves the applied worker groups as they are. Whatever keeps the replay from
    being made is told in its place: an answer that only advises never stops a plan.
    """
    applied = session.records.applied()
    if applied is None:
        return None
    try:
        if same_workers(
            pools_of(session, applied.variables_digest), session.environment.node_pools
        ):
            return None
        answer = ask(session, *latest(session), session.environment.node_pools)
    except Exception as error:
        said = redact_text(str(error))
        return f"The worker groups change, but a burst could not be replayed: {said}", {
            "error": said
        }
    return redact_text(answer.to_markdown()), redact(answer.to_json())


def pools_of(session: EnvironmentSession, variables_digest: str) -> tuple[NodePool, ...]:
    """The node pools of stored variables.

    Raises:
        NotFoundError: the artifact store holds no such variables.
    """
    variables = session.artifacts.get_content("variables", variables_digest)
    return read_node_pools(variables, where=f"variables {variables_digest}")


def _groups(session: EnvironmentSession, pools: Sequence[NodePool]) -> tuple[Group, ...]:
    cpus = _cluster(session).worker_cpus
    spot = {pool.name: pool.spot for pool in pools}
    return tuple(
        Group(
            name=group.name,
            instance_type=group.instance_type,
            cpus=cpus if cpus is not None else group.cpus,
            gpus=group.gpus,
            min=group.min,
            max=group.max,
            usd_per_hour=prices_of(session).hourly(group.instance_type, spot[group.name]),
            spot=spot[group.name],
        )
        for group in worker_groups(pools)
    )


def _latest_key(session: EnvironmentSession) -> str:
    return f"environments/{session.name}/burst.json"
