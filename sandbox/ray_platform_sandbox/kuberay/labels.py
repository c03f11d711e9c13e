"""The names and labels that KubeRay gives: of clusters, pods and services."""

from collections.abc import Mapping
from typing import Any

CLUSTER, GROUP, NODE_TYPE = "ray.io/cluster", "ray.io/group", "ray.io/node-type"
IDENTIFIER, IS_NODE = "ray.io/identifier", "ray.io/is-ray-node"
APP_NAME, CREATED_BY = "app.kubernetes.io/name", "app.kubernetes.io/created-by"
ORIGIN_NAME, ORIGIN_KIND = "ray.io/originated-from-cr-name", "ray.io/originated-from-crd"
REPLICA_INDEX, REPLICA_NAME = (
    "ray.io/worker-group-replica-index",
    "ray.io/worker-group-replica-name",
)
HOST_INDEX, HEADLESS = "ray.io/replica-host-index", "ray.io/headless-worker-svc"
HEAD, WORKER, REDIS_CLEANUP = "head", "worker", "redis-cleanup"
HEAD_GROUP = "headgroup"
APPLICATION, OPERATOR = "kuberay", "kuberay-operator"
HASH, VERSION = "ray.io/upgrade-strategy-recreate-hash", "ray.io/kuberay-version"
KUBERAY = "v1.7.0"
FT_ENABLED, STORAGE_NAMESPACE = "ray.io/ft-enabled", "ray.io/external-storage-namespace"
REDIS_FINALIZER = "ray.io/gcs-ft-redis-cleanup-finalizer"
#: Room for the suffix of a pod's name.
_LONGEST_PREFIX, _LONGEST_LABEL = 50, 63
_NOT_OVERRIDABLE = (NODE_TYPE, GROUP, CLUSTER)


def checked_name(name: str) -> str:
    """KubeRay keeps the end of a name that is too long, and begins it with a letter."""
    name = name[-_LONGEST_PREFIX:]
    return name if name[0].isalpha() else f"r{name[1:]}"


def checked_label(value: str) -> str:
    value = value[-_LONGEST_LABEL:]
    return value if value[0].isalnum() else f"r{value[1:]}"


def pod_prefix(name: str, node_type: str) -> str:
    """What a pod's name begins with, of the cluster's name (and the group's)."""
    return f"{name[:_LONGEST_PREFIX]}-{node_type}-".lower()


def pod_labels(
    cluster: str, node_type: str, group: str, overrides: Mapping[str, str]
) -> dict[str, str]:
    return {
        IS_NODE: "yes",
        CLUSTER: cluster,
        NODE_TYPE: node_type,
        GROUP: group,
        IDENTIFIER: checked_label(f"{cluster}-{node_type}"),
        APP_NAME: APPLICATION,
        CREATED_BY: OPERATOR,
        **{key: value for key, value in overrides.items() if key not in _NOT_OVERRIDABLE},
    }


def owner(cluster: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "apiVersion": "ray.io/v1",
        "kind": "RayCluster",
        "name": cluster["metadata"]["name"],
        "uid": cluster["metadata"]["uid"],
        "controller": True,
        "blockOwnerDeletion": True,
    }


def head_service_name(cluster: Mapping[str, Any]) -> str:
    service = cluster["spec"]["headGroupSpec"].get("headService") or {}
    own = (service.get("metadata") or {}).get("name")
    return own or f"{cluster['metadata']['name']}-head-svc"
