"""What a Ray cluster is to be: worker groups derived from the node pools, for Helm and for one
machine.

One node pool with ``ray_workers`` is one worker group of the same name with the same bounds, and
one Ray worker fills one node. A node's own services need their share, so the worker asks for less
than the instance type has.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ray_platform.config.node_pools import INSTANCE_TYPES, NodePool
from ray_platform.text.canonical import digest
from ray_platform.text.errors import SettingsError

#: What kubelet, the operating system and the daemon sets of a node take: vCPUs and GiB. EKS
#: reserves up to 0.1 vCPU and 1.8 GiB by itself
#: (https://docs.aws.amazon.com/eks/latest/eksctl/node-resource-manager.html); the log and metric
#: agents, the CSI and CNI pods ask for the rest.
RESERVED_CPUS = 1
RESERVED_MEMORY_GIB = 3

#: Where an EKS cluster's API server listens, as whatever else is outside.
HTTPS_PORT = 443

#: Beside Ray in its namespace: Dagster's own pods and its runs, and KubeRay's helpers.
ROOM_CPUS = 8
ROOM_MEMORY_GIB = 32
ROOM_PODS = 40
#: What the autoscaler beside a head asks for, rounded up (``autoscaler.resources`` of the chart).
AUTOSCALER_CPUS = 1
AUTOSCALER_MEMORY_GIB = 1

#: The label that Terraform gives to the nodes of a pool, and to the autoscaler's picture of them.
POOL_LABEL = "ray-platform/pool"
#: Ray node labels: the worker group, and the instance type that it stands on.
GROUP_LABEL = "ray.io/node-group"
INSTANCE_TYPE_LABEL = "node.kubernetes.io/instance-type"
HEAD_GROUP = "head"
#: RFC 1123's label, which Kubernetes asks of a namespace.
NAMESPACE = re.compile(r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?")
#: Ray's own name for the head among the autoscaler's node types.
HEAD_NODE_TYPE = "ray.head.default"

#: The chart writes the pods' digest here, on the templates of head and workers (helm/ray, _digest.tpl).
PODS_DIGEST = "ray-platform/pods-digest"
#: What KubeRay 1.7 leaves out of the hash that its strategy ``Recreate`` compares, and nothing else
#: (``GenerateHashWithoutReplicasAndWorkersToDelete`` in ray-operator/controllers/ray/utils/util.go).
_NOT_OF_CLUSTER = ("upgradeStrategy",)
_NOT_OF_GROUP = ("replicas", "minReplicas", "maxReplicas")
_NOT_OF_TEMPLATE = ("tolerations", "schedulingGates")
#: What the CRD's schema fills in where a group does not say it, and that counts.
_GROUP_DEFAULTS = {"numOfHosts": 1}

_TAINT_EFFECTS = {
    "NO_SCHEDULE": "NoSchedule",
    "NO_EXECUTE": "NoExecute",
    "PREFER_NO_SCHEDULE": "PreferNoSchedule",
}


@dataclass(frozen=True)
class WorkerGroup:
    """Ray workers of one kind. ``memory_gib`` and ``cpus`` are what one worker gets, bounds count
    workers."""

    name: str
    instance_type: str
    cpus: int
    memory_gib: int
    gpus: int
    min: int
    max: int
    tolerations: tuple[Mapping[str, str], ...] = ()
    spot: bool = False


@dataclass(frozen=True)
class Redis:
    """The Redis of Ray's control store: ``cidr`` is where its addresses lie, ``secret`` the Kubernetes secret
    with ``username`` and ``password``.
    """

    host: str
    port: int
    cidr: str
    secret: str


def worker_groups(pools: Sequence[NodePool]) -> tuple[WorkerGroup, ...]:
    """The worker groups of the node pools that carry Ray workers, by name.

    Raises:
        SettingsError: no pool carries Ray workers, or one has an instance type of unknown size.
    """
    groups = tuple(_group(pool) for pool in sorted(pools, key=lambda p: p.name) if pool.ray_workers)
    if not groups:
        raise SettingsError(
            "no node pool carries Ray workers",
            where="node_pools",
            fix="give at least one pool ray_workers = true",
        )
    return groups


def _group(pool: NodePool) -> WorkerGroup:
    size = INSTANCE_TYPES.get(pool.instance_type)
    if size is None:
        raise SettingsError(
            f"the size of the instance type {pool.instance_type!r} is not known",
            where=f"node pool {pool.name!r}",
            fix="use a listed type, or add it to ray_platform/config/node_pools.py; listed: "
            + ", ".join(sorted(INSTANCE_TYPES)),
        )
    vcpus, memory_gib, gpus = size
    return WorkerGroup(
        name=pool.name,
        instance_type=pool.instance_type,
        cpus=max(1, vcpus - RESERVED_CPUS),
        memory_gib=max(1, int(memory_gib) - RESERVED_MEMORY_GIB),
        gpus=gpus if pool.gpu else 0,
        min=pool.min_size,
        max=pool.max_size,
        tolerations=tuple(_toleration(taint) for taint in pool.taints),
        spot=pool.spot,
    )


def _toleration(taint: Mapping[str, str]) -> dict[str, str]:
    effect = str(taint.get("effect", "NO_SCHEDULE"))
    return {
        "key": str(taint["key"]),
        "operator": "Equal",
        "value": str(taint.get("value", "")),
        "effect": _TAINT_EFFECTS.get(effect, effect),
    }


def helm_values(
    environment: str,
    pools: Sequence[NodePool],
    *,
    ray_version: str,
    image_repository: str = "rayproject/ray",
    image_tag: str = "",
    idle_timeout_seconds: float = 60,
    head_cpus: int = 1,
    head_memory_gib: int = 4,
    head_volume_gib: int = 0,
    role_arn: str = "",
    redis: Redis | None = None,
    api_port: int = HTTPS_PORT,
) -> dict[str, Any]:
    """The values of the chart ``helm/ray``.

    Args:
        environment: Names the environment.
        pools: The node pools.
        ray_version: Of Ray, as in ``2.60.0``.
        image_repository: Without a tag.
        image_tag: Default: the Ray version for Python 3.11.
        idle_timeout_seconds: How long a worker idles before the autoscaler takes it away.
        head_cpus: vCPUs of the head; it offers none of them to tasks.
        head_memory_gib: GiB of the head.
        head_volume_gib: GiB of the volume of the head's sessions; 0 for none.
        role_arn: The IAM role of the Ray pods; empty for none.
        redis: Where the control store lies; None: in the head, and its work ends with it.
        api_port: Where the Kubernetes API server listens.

    Raises:
        SettingsError: as `worker_groups`.
    """
    groups = worker_groups(pools)
    # Ray's own images hold CUDA under a tag of their own; whoever names an image has it for all.
    gpu_tag = "" if image_tag else f"{ray_version}-py311-gpu"
    head: dict[str, Any] = {
        "resources": {"cpu": head_cpus, "memory": f"{head_memory_gib}Gi"},
        **head_place(pools),
    }
    if head_volume_gib:
        head["persistence"] = {"enabled": True, "size": f"{head_volume_gib}Gi"}
    return {
        "environment": environment,
        "image": {"repository": image_repository, "tag": image_tag or f"{ray_version}-py311"},
        "rayVersion": ray_version,
        "serviceAccount": {"roleArn": role_arn},
        "head": head,
        "workerGroups": {
            group.name: {
                "minReplicas": group.min,
                "maxReplicas": group.max,
                "instanceType": group.instance_type,
                "resources": {
                    "cpu": group.cpus,
                    "memory": f"{group.memory_gib}Gi",
                    "gpu": group.gpus,
                },
                "nodeSelector": {POOL_LABEL: group.name},
                "tolerations": [dict(toleration) for toleration in group.tolerations],
                "spot": group.spot,
                "imageTag": gpu_tag if group.gpus else "",
            }
            for group in groups
        },
        "autoscaler": {"idleTimeoutSeconds": int(idle_timeout_seconds)},
        "quota": {"hard": _quota(groups, head_cpus, head_memory_gib)},
        **({"gcsFaultTolerance": _fault_tolerance(redis)} if redis else {}),
        **({"networkPolicy": policy} if (policy := _network_policy(redis, api_port)) else {}),
    }


def groups_in(values: Mapping[str, Any]) -> tuple[WorkerGroup, ...]:
    """The worker groups of chart values that `chart_values` made."""
    return tuple(
        WorkerGroup(
            name=name,
            instance_type=str(group["instanceType"]),
            cpus=int(group["resources"]["cpu"]),
            memory_gib=int(str(group["resources"]["memory"]).removesuffix("Gi")),
            gpus=int(group["resources"]["gpu"]),
            min=int(group["minReplicas"]),
            max=int(group["maxReplicas"]),
            tolerations=tuple(group["tolerations"]),
            spot=bool(group["spot"]),
        )
        for name, group in values["workerGroups"].items()
    )


def _fault_tolerance(redis: Redis) -> dict[str, Any]:
    # TLS alone: it answers nothing else.
    return {
        "redisAddress": f"rediss://{redis.host}:{redis.port}",
        "secretName": redis.secret,
    }


def _network_policy(redis: Redis | None, api_port: int) -> dict[str, Any]:
    return {
        **({"redis": {"cidrs": [redis.cidr]}} if redis else {}),
        **({"https": {"apiPort": api_port}} if api_port != HTTPS_PORT else {}),
    }


def head_place(pools: Sequence[NodePool]) -> dict[str, Any]:
    """Where the head goes: the first pool without Ray workers, GPUs and spot nodes; else anywhere."""
    for pool in sorted(pools, key=lambda p: p.name):
        if not (pool.ray_workers or pool.gpu or pool.spot):
            return {
                "nodeSelector": {POOL_LABEL: pool.name},
                "tolerations": [_toleration(taint) for taint in pool.taints],
            }
    return {}


def _quota(
    groups: Sequence[WorkerGroup], head_cpus: int, head_memory_gib: int
) -> dict[str, str | int]:
    """All workers that the pools have nodes for, two heads (an upgrade needs a second one), Dagster."""
    workers = sum(group.max for group in groups)
    cpus = sum(group.max * group.cpus for group in groups)
    cpus += 2 * (head_cpus + AUTOSCALER_CPUS) + ROOM_CPUS
    memory = sum(group.max * group.memory_gib for group in groups)
    memory += 2 * (head_memory_gib + AUTOSCALER_MEMORY_GIB) + ROOM_MEMORY_GIB
    return {
        "pods": workers + 2 + ROOM_PODS,
        "requests.cpu": cpus,
        "limits.cpu": cpus,
        "requests.memory": f"{memory}Gi",
        "limits.memory": f"{memory}Gi",
        "requests.nvidia.com/gpu": sum(group.max * group.gpus for group in groups),
    }


def ray_namespace(variables: Mapping[str, Any], *, where: str) -> str:
    """The Kubernetes namespace of Ray, ``ray`` where the variables file names none.

    Args:
        variables: The parsed variables file.
        where: Names the file in error messages.

    Raises:
        SettingsError: it is no name of a namespace.
    """
    name = variables.get("ray_namespace", "ray")
    if not isinstance(name, str) or not NAMESPACE.fullmatch(name):
        raise SettingsError(
            f"ray_namespace is {name!r}, which is no name of a Kubernetes namespace",
            where=where,
            fix="give 1 to 63 lower-case letters, digits or hyphens, with no hyphen at either end",
        )
    return name


def local_autoscaling(
    groups: Sequence[WorkerGroup],
    *,
    provider: str,
    head_node_id: str,
    gcs_address: str,
    idle_timeout_seconds: float,
) -> dict[str, Any]:
    """Ray's autoscaler configuration for workers that are processes of one machine.

    Each worker offers one CPU, whatever its instance type, so that the largest group fits on two
    cores; a GPU is a resource in name only.

    Args:
        groups: The worker groups.
        provider: Python path of the node provider's class.
        head_node_id: Ray's id of the head node.
        gcs_address: ``host:port`` of the head's control store.
        idle_timeout_seconds: How long a worker idles before it is stopped.
    """
    types: dict[str, Any] = {
        HEAD_NODE_TYPE: {"resources": {"CPU": 0}, "node_config": {}, "max_workers": 0}
    }
    for group in groups:
        resources = {"CPU": 1, **({"GPU": group.gpus} if group.gpus else {})}
        types[group.name] = {
            "resources": resources,
            "node_config": {},
            "min_workers": group.min,
            "max_workers": group.max,
            "labels": {GROUP_LABEL: group.name, INSTANCE_TYPE_LABEL: group.instance_type},
        }
    return {
        "cluster_name": "local",
        "max_workers": sum(group.max for group in groups),
        # All at once: a machine starts processes without asking anybody for capacity.
        "upscaling_speed": max(1, sum(group.max for group in groups)),
        "idle_timeout_minutes": idle_timeout_seconds / 60,
        "provider": {
            "type": "external",
            "module": provider,
            "launch_multiple": True,
            "head_node_id": head_node_id,
            "gcs_address": gcs_address,
        },
        "auth": {"ssh_user": "nobody"},
        "available_node_types": types,
        "head_node_type": HEAD_NODE_TYPE,
        # Ray refuses a configuration without these, although nothing is set up here.
        "initialization_commands": [],
        "setup_commands": [],
        "head_setup_commands": [],
        "worker_setup_commands": [],
        "head_start_ray_commands": [],
        "worker_start_ray_commands": [],
        "file_mounts": {},
        "cluster_synced_files": [],
    }


def pods_digest(spec: Mapping[str, Any]) -> str:
    """Names what KubeRay makes the pods of a RayCluster of: two specs with the same replace no pod.

    Every field counts but those that KubeRay's own hash leaves out: upgradeStrategy, and of the groups
    replicas, minReplicas, maxReplicas, workersToDelete, tolerations and schedulingGates. So a field that
    this code has never heard of counts too.

    Args:
        spec: The RayCluster's, as rendered or as the API has it.
    """
    kept = {key: value for key, value in spec.items() if key not in _NOT_OF_CLUSTER}
    if "headGroupSpec" in kept:
        kept["headGroupSpec"] = _without_placement(kept["headGroupSpec"])
    kept["workerGroupSpecs"] = [
        _group_of_pods(group) for group in spec.get("workerGroupSpecs") or []
    ]
    return digest(kept)


def _group_of_pods(group: Mapping[str, Any]) -> dict[str, Any]:
    kept = {**_GROUP_DEFAULTS, **_without_placement(group)}
    kept = {key: value for key, value in kept.items() if key not in _NOT_OF_GROUP}
    strategy = dict(kept.pop("scaleStrategy", None) or {})
    strategy.pop("workersToDelete", None)
    # An empty strategy is the same as none: KubeRay's own field is no pointer.
    return {**kept, "scaleStrategy": strategy} if strategy else kept


def _without_placement(group: Mapping[str, Any]) -> dict[str, Any]:
    template = group.get("template") or {}
    pod = template.get("spec")
    if not isinstance(pod, Mapping):
        return dict(group)
    kept = {key: value for key, value in pod.items() if key not in _NOT_OF_TEMPLATE}
    return {**group, "template": {**template, "spec": kept}}


def wanted_digest(spec: Mapping[str, Any]) -> str:
    """The digest that the chart has put on a RayCluster's pod templates; empty: it has put none."""
    template = (spec.get("headGroupSpec") or {}).get("template") or {}
    return str(((template.get("metadata") or {}).get("annotations") or {}).get(PODS_DIGEST, ""))
