"""A short look after the apply of a pull request: does what was applied work?"""

from ray_platform.change.deploy_ray import RayClusterReady
from ray_platform.session.environment_session import EnvironmentSession
from ray_platform.text.errors import RayError


def verify(session: EnvironmentSession, ready: RayClusterReady) -> tuple[str, ...]:
    """Ask the cloud for the control plane and the node groups; Ray has just answered.

    One call for the cluster, one for the list of node groups, one for each of them.

    Returns:
        What was seen, a line each.

    Raises:
        RayError: something of it is not as it should be.
    """
    outputs = session.artifacts.read(f"environments/{session.name}/outputs.json") or {}
    cluster = str(outputs.get("cluster_name", ""))
    eks = session.aws("eks")
    status = eks.describe_cluster(name=cluster)["cluster"]["status"]
    seen = [(f"EKS cluster {cluster} is {status}", status == "ACTIVE")]
    for name in eks.list_nodegroups(clusterName=cluster)["nodegroups"]:
        group = eks.describe_nodegroup(clusterName=cluster, nodegroupName=name)["nodegroup"]
        issues = group.get("health", {}).get("issues", [])
        good = group["status"] == "ACTIVE" and not issues
        why = f", {issues[0].get('message', '')}" if issues else ""
        seen.append((f"node group {name} is {group['status']}{why}", good))
    alive = sum(1 for node in ready.info.nodes if node.is_up)
    seen.append((f"Ray {ready.ray.version} answers with {alive} live nodes", alive > 0))
    if broken := [line for line, good in seen if not good]:
        raise RayError(
            f"what was applied does not work yet: {'; '.join(broken)}",
            where=session.name,
            fix="see why in the cloud's console; then start the apply's run again",
        )
    return tuple(line for line, _ in seen)
