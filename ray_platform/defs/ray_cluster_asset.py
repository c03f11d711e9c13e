"""Stage `ray_cluster`: a Ray cluster that answers, derived from the node pools."""

from collections.abc import Mapping
from typing import Any

import dagster as dg

from ray_platform.change.deploy_ray import RayClusterReady, data_version, deploy
from ray_platform.change.verify import verify
from ray_platform.config.partitions import environments
from ray_platform.defs.resources import EnvironmentSessions
from ray_platform.pull_requests.reporting import note_verified
from ray_platform.ray.endpoint import ray_endpoint
from ray_platform.records.infra_version import MODULES
from ray_platform.run_history.asset_facts import RayClusterFacts
from ray_platform.session.lock import change_lock


@dg.asset(
    deps=list(MODULES),
    partitions_def=environments,
    group_name="ray",
    kinds={"ray", "helm"},
    owners=["team:platform"],
    code_version="1",
    description="The Ray cluster: one worker group for each node pool that carries Ray workers.",
)
def ray_cluster(
    context: dg.AssetExecutionContext, sessions: EnvironmentSessions
) -> dg.MaterializeResult[Any]:
    with (
        sessions.open(context) as session,
        change_lock(session, f"ray_cluster, run {context.run_id}", tell=context.log.info),
    ):
        ready = deploy(session, progress=context.log.info)
        context.log.info(f"Ray {ready.ray.version} answers at {ready.address}")
        if session.pull is not None:
            note_verified(session, ready.infra_version, verify(session, ready))
        return dg.MaterializeResult(
            data_version=dg.DataVersion(data_version(ready.ray)), metadata=metadata_of(ready)
        )


def metadata_of(ready: RayClusterReady) -> Mapping[str, Any]:
    """What a materialization of `ray_cluster` says, also one that a way back makes."""
    rows = "\n".join(
        f"| {group.name} | {group.instance_type} | {group.min} | {group.max} | {group.gpus} |"
        for group in ready.groups
    )
    facts = RayClusterFacts(
        address=ready.address,
        ray_version=ready.ray.version,
        image=ready.ray.image,
        release=ready.release.name if ready.release else None,
        release_revision=ready.release.revision if ready.release else None,
        git_commit=ready.by_git.commit if ready.by_git else None,
        manifest_digest=ready.ray.manifest_digest,
        chart_digest=ready.ray.chart_digest,
        values_digest=ready.ray.values_digest,
        infra_version=ready.infra_version,
    )
    return {
        **facts.to_metadata(),
        "address": dg.MetadataValue.url(facts.address),
        # For people alone.
        "worker groups": dg.MetadataValue.md(
            "| group | instance type | min | max | GPUs |\n|---|---|---|---|---|\n" + rows
        ),
        "manifest": dg.MetadataValue.md(f"```yaml\n{ready.manifest}\n```"),
    }


@dg.asset_check(
    asset=ray_cluster,
    partitions_def=environments,
    description="The EKS control plane is active and the Ray API answers with live nodes.",
)
def cluster_reachable(
    context: dg.AssetCheckExecutionContext, sessions: EnvironmentSessions
) -> dg.AssetCheckResult:
    with sessions.open(context) as session:
        info = ray_endpoint(session).info
        name = (session.artifacts.read(f"environments/{session.name}/outputs.json") or {}).get(
            "cluster_name", ""
        )
        status = session.aws("eks").describe_cluster(name=name)["cluster"]["status"]
        alive = sum(1 for node in info.nodes if node.is_up)
        return dg.AssetCheckResult(
            passed=status == "ACTIVE" and alive > 0,
            description=f"EKS cluster {name} is {status}; Ray has {alive} live nodes",
            metadata={"eks_status": status, "live_ray_nodes": alive},
        )


deploy_ray_cluster = dg.define_asset_job(
    "deploy_ray_cluster",
    selection=dg.AssetSelection.assets(ray_cluster),
    partitions_def=environments,
    description="Bring the Ray cluster in line with chart and node pools.",
)
