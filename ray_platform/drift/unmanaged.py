"""Resources inside our VPC or cluster that Terraform does not know and that lack our tags.

What AWS and Kubernetes make by themselves is left alone: it bears the cluster's own tags, is managed by
the service that asked for it, or is one of the defaults that every VPC has.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

#: The tags by which what we made is told; the commit tag may be missing (terraform/README.md).
OURS = ("environment", "managed-by")


@dataclass(frozen=True)
class LiveResource:
    """Something that exists. ``type`` is Terraform's word for it, ``id`` what its state would hold.

    ``details`` are what a severity rule may look at; ``owned`` says that AWS or Kubernetes made it for
    something else and will remove it. ``made_at`` is ISO 8601, empty where AWS does not tell.
    """

    type: str
    id: str
    place: str
    tags: Mapping[str, str]
    details: Mapping[str, Any]
    arn: str
    owned: bool
    made_at: str

    @property
    def names(self) -> Mapping[str, Any]:
        """What a call in the audit trail may name it by."""
        return {"id": self.id, "arn": self.arn, **self.details}

    @property
    def missing(self) -> str:
        return ", ".join(tag for tag in OURS if tag not in self.tags)


def find_unmanaged(
    live: Iterable[LiveResource],
    state: Mapping[str, Mapping[str, Any]],
    *,
    environment: str,
    cluster: str,
) -> tuple[LiveResource, ...]:
    """What is live, not in the state, not owned by AWS or the cluster, and without our tags.

    Args:
        live: What was found in the VPC and the cluster.
        state: Attributes of the managed resources by address.
        environment: The environment's name, the value of its tag.
        cluster: The cluster's name, as the tags of what Kubernetes makes hold it.
    """
    known = {
        str(value)
        for attributes in state.values()
        for key in ("id", "arn", "network_interface_id", "default_route_table_id")
        if (value := attributes.get(key))
    }
    known |= {
        str(attributes[key])
        for attributes in state.values()
        for key in ("main_route_table_id", "default_network_acl_id", "default_security_group_id")
        if attributes.get(key)
    }
    for attributes in state.values():
        known |= {str(item) for item in attributes.get("network_interface_ids") or ()}
        for config in attributes.get("vpc_config") or ():
            if isinstance(config, Mapping) and config.get("cluster_security_group_id"):
                known.add(str(config["cluster_security_group_id"]))
    found = {
        (item.type, item.id): item
        for item in live
        if item.id not in known
        and item.arn not in known
        and not item.owned
        and not _made_by_cluster(item.tags, cluster)
        and not _ours(item.tags, environment)
    }
    return tuple(found[key] for key in sorted(found))


def _ours(tags: Mapping[str, str], environment: str) -> bool:
    return tags.get("environment") == environment and "managed-by" in tags


def _made_by_cluster(tags: Mapping[str, str], cluster: str) -> bool:
    """Tags that EKS, the load balancer controller and the EBS driver put on what they make."""
    return (
        tags.get("aws:eks:cluster-name") == cluster
        or tags.get("eks:cluster-name") == cluster
        or tags.get("elbv2.k8s.aws/cluster") == cluster
        or tags.get("ebs.csi.aws.com/cluster") == "true"
        or tags.get(f"kubernetes.io/cluster/{cluster}") == "owned"
    )
