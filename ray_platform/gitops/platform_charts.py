"""The third-party charts of a cluster: what is pinned of each, and its values in one environment.

``helm/platform/charts.yaml`` says version and common values; cluster, region, roles, the Kubernetes version
and the node pool of the system's own pods come from the environment and Terraform's outputs.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import yaml

from ray_platform.config.node_pools import NodePool
from ray_platform.ray.spec import head_place
from ray_platform.text.errors import SettingsError

_DIGEST = re.compile(r"[0-9a-f]{64}")
_VERSION = re.compile(r"\d+\.\d+\.\d+")
_KEYS = {"why", "repository", "chart", "version", "digest", "namespace", "values"}


@dataclass(frozen=True)
class PinnedChart:
    """A chart of somebody else. ``digest`` is the hex SHA-256 of its archive, empty where it is not known."""

    name: str
    repository: str
    chart: str
    version: str
    digest: str
    namespace: str
    values: Mapping[str, Any]


@dataclass(frozen=True)
class Cluster:
    """What the charts must know of the cluster; ``autoscaler_role`` is an ARN, empty before an apply."""

    name: str
    region: str
    kubernetes_version: str
    autoscaler_role: str


def read_charts(text: str, *, where: str) -> tuple[PinnedChart, ...]:
    """The charts of a ``charts.yaml``, in its order.

    Args:
        text: The file's content.
        where: Names the file in error messages.

    Raises:
        SettingsError: it is no such file, or a chart lacks a key or has an unknown one, or is not pinned.
    """
    try:
        charts = yaml.safe_load(text)["charts"]
        return tuple(_chart(name, dict(told)) for name, told in charts.items())
    except yaml.YAMLError as error:
        raise SettingsError(
            f"the list of charts is not YAML: {' '.join(str(error).split())}",
            where=where,
            fix="mend the line",
        ) from error
    except (KeyError, TypeError, AttributeError, ValueError) as error:
        raise SettingsError(
            f"the list of charts is wrong: {error}",
            where=where,
            fix="give each chart " + ", ".join(sorted(_KEYS)),
        ) from error


def _chart(name: str, told: dict[str, Any]) -> PinnedChart:
    if missing := sorted(_KEYS - set(told)):
        raise ValueError(f"{name} has no {missing[0]}")
    if unknown := sorted(set(told) - _KEYS):
        raise ValueError(f"{name} has an unknown key {unknown[0]!r}")
    if not _VERSION.fullmatch(str(told["version"])):
        raise ValueError(f"{name}: version {told['version']!r} pins nothing")
    if told["digest"] and not _DIGEST.fullmatch(str(told["digest"])):
        raise ValueError(f"{name}: digest {told['digest']!r} is no SHA-256")
    del told["why"]
    return PinnedChart(name=name, **told)


def values_for(chart: PinnedChart, cluster: Cluster, pools: Sequence[NodePool]) -> dict[str, Any]:
    """A chart's values in one environment: the pinned ones, with what is the cluster's own.

    The pods of these charts go where the head of Ray goes, off the nodes of the workers, but for those that
    run on each node of a kind.
    """
    place = head_place(pools)
    own: Mapping[str, Mapping[str, Any]] = {
        "cluster-autoscaler": {
            **place,
            "awsRegion": cluster.region,
            # By the tags that Terraform gives to each node group.
            "autoDiscovery": {
                "clusterName": cluster.name,
                "tags": [
                    "k8s.io/cluster-autoscaler/enabled",
                    f"k8s.io/cluster-autoscaler/{cluster.name}",
                ],
            },
            # Of the control plane's minor version, as the autoscaler asks for.
            "image": {"tag": f"v{cluster.kubernetes_version}.0"},
            "rbac": {
                "serviceAccount": {
                    "name": "cluster-autoscaler",
                    "annotations": (
                        {"eks.amazonaws.com/role-arn": cluster.autoscaler_role}
                        if cluster.autoscaler_role
                        else {}
                    ),
                }
            },
        },
        "nvidia-device-plugin": {"tolerations": _gpu_tolerations(pools)},
        "metrics-server": place,
        "kuberay-operator": place,
        "aws-node-termination-handler": {"awsRegion": cluster.region},
    }
    return {**chart.values, **own.get(chart.name, {})}


def _gpu_tolerations(pools: Sequence[NodePool]) -> list[dict[str, str]]:
    """What the GPU pools' taints ask for, whatever their effect."""
    keys = sorted({str(taint["key"]) for pool in pools if pool.gpu for taint in pool.taints})
    return [{"key": key, "operator": "Exists"} for key in keys]


def needed(charts: Sequence[PinnedChart], pools: Sequence[NodePool]) -> tuple[PinnedChart, ...]:
    """The charts that an environment has a use for: no GPU plugin without GPUs, no drain without spot."""
    useless = set()
    if not any(pool.gpu for pool in pools):
        useless.add("nvidia-device-plugin")
    if not any(pool.spot for pool in pools):
        useless.add("aws-node-termination-handler")
    return tuple(chart for chart in charts if chart.name not in useless)
