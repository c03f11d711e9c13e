"""What KubeRay 1.7 refuses in a RayCluster that the API server has accepted. Its reasons are KubeRay's, its
words are not."""

import re
from collections.abc import Iterator, Mapping
from typing import Any

from ray_platform_sandbox.kuberay import labels as names
from ray_platform_sandbox.kuberay.pod_shapes import (
    autoscaler_version,
    is_autoscaling,
    is_fault_tolerant,
)

METADATA, SPEC = "InvalidRayClusterMetadata", "InvalidRayClusterSpec"
#: Names of services are made of a cluster's, with a suffix.
_LONGEST_NAME = 53
_DNS_LABEL = re.compile(r"[a-z]([-a-z0-9]*[a-z0-9])?")
_LABEL_VALUE = re.compile(r"([A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?)?")
_LABEL_KEY = re.compile(r"([a-z0-9.-]+/)?[A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?")
_TOKEN_SINCE, _KUBERNETES_TOKEN_SINCE, _PRIORITY_SINCE = (2, 52), (2, 55), (2, 56)
_RESOURCES = ("num-cpus", "num-gpus", "memory", "resources")
V2 = "RAY_enable_autoscaler_v2"


def refusal(cluster: Mapping[str, Any], gates: frozenset[str]) -> tuple[str, str] | None:
    """Reason and message; None: it is accepted.

    Args:
        cluster: The object.
        gates: The operator's feature gates that are on.
    """
    name = cluster["metadata"]["name"]
    if len(name) > _LONGEST_NAME or not _DNS_LABEL.fullmatch(name):
        return METADATA, f"the name {name!r} is no DNS label of at most {_LONGEST_NAME} characters"
    found = next(_of_spec(cluster, gates), None)
    return (SPEC, found) if found else None


def _of_spec(cluster: Mapping[str, Any], gates: frozenset[str]) -> Iterator[str]:
    spec = cluster["spec"]
    head = spec["headGroupSpec"]
    containers = head["template"]["spec"].get("containers") or []
    if not containers:
        yield "the head has no container"
        return
    env = {variable["name"]: variable.get("value") for variable in containers[0].get("env") or []}
    groups = spec.get("workerGroupSpecs") or []
    yield from _of_group("head", head)
    for group in groups:
        if not group["template"]["spec"].get("containers"):
            yield f"group {group['groupName']} has no container"
        yield from _of_bounds(spec, group)
        yield from _of_group(group["groupName"], group)
        yield from _of_scaling(spec, group, env)
    yield from _of_fault_tolerance(cluster, env, gates)
    if is_autoscaling(spec):
        yield from _of_autoscaler(spec, groups, env)
    elif env.get(V2) in ("1", "true"):
        yield f"{V2} is set without an autoscaler"
    options = spec.get("autoscalerOptions") or {}
    if int(options.get("idleTimeoutSeconds") or 0) < 0:
        yield "autoscalerOptions.idleTimeoutSeconds is negative"
    if any(v["name"] == "KUBERAY_GEN_AUTOSCALER_START_CMD" for v in options.get("env") or []):
        yield "autoscalerOptions.env names a variable of the operator"
    yield from _of_gates(spec, gates)
    yield from _of_token(spec)
    strategy = (spec.get("upgradeStrategy") or {}).get("type")
    origin = (cluster["metadata"].get("labels") or {}).get(names.ORIGIN_KIND)
    if strategy and origin in ("RayJob", "RayService"):
        yield f"upgradeStrategy on a cluster that a {origin} made"


def _of_group(name: str, group: Mapping[str, Any]) -> Iterator[str]:
    parameters = group.get("rayStartParams") or {}
    if group.get("resources") and any(parameters.get(key) for key in _RESOURCES):
        yield f"group {name} says its resources twice"
    if "labels" in parameters:
        yield f"rayStartParams of group {name} has labels"
    for key, value in (group.get("labels") or {}).items():
        if not (_LABEL_KEY.fullmatch(key) and _LABEL_VALUE.fullmatch(value)):
            yield f"group {name} has the label {key!r}={value!r}"


def _of_bounds(spec: Mapping[str, Any], group: Mapping[str, Any]) -> Iterator[str]:
    name, least, most = group["groupName"], group.get("minReplicas"), group.get("maxReplicas")
    if not is_autoscaling(spec) and None in (least, most):
        yield f"group {name} lacks a bound, without an autoscaler"
    if (least or 0) < 0 or (most or 0) < 0:
        yield f"group {name} has a negative bound"
    if least is not None and most is not None and least > most:
        yield f"group {name}: minReplicas {least} is greater than maxReplicas {most}"


def _of_scaling(
    spec: Mapping[str, Any], group: Mapping[str, Any], env: Mapping[str, Any]
) -> Iterator[str]:
    is_v2 = autoscaler_version(spec) == "v2" or env.get(V2) in ("1", "true")
    name, idle = group["groupName"], group.get("idleTimeoutSeconds")
    if idle is not None and (idle < 0 or not is_v2):
        yield f"group {name}: idleTimeoutSeconds {idle} is negative, or without autoscaler v2"
    if group.get("priority") and not (is_v2 and _version(spec) >= _PRIORITY_SINCE):
        yield f"group {name}: priority needs autoscaler v2 and Ray 2.56"


def _of_fault_tolerance(
    cluster: Mapping[str, Any], env: Mapping[str, Any], gates: frozenset[str]
) -> Iterator[str]:
    spec = cluster["spec"]
    annotations = cluster["metadata"].get("annotations") or {}
    options = spec.get("gcsFaultToleranceOptions")
    parameters = spec["headGroupSpec"].get("rayStartParams") or {}
    if annotations.get(names.FT_ENABLED) and options is not None:
        yield "fault tolerance is asked for twice, by annotation and by options"
    if not is_fault_tolerant(cluster) and "RAY_REDIS_ADDRESS" in env:
        yield "RAY_REDIS_ADDRESS without fault tolerance"
    if options is not None:
        if parameters.get("redis-password") or {"REDIS_PASSWORD", "RAY_REDIS_ADDRESS"} & set(env):
            yield "Redis is named outside of gcsFaultToleranceOptions"
        if annotations.get(names.STORAGE_NAMESPACE):
            yield "the storage namespace is named outside of gcsFaultToleranceOptions"
        if options.get("backend") == "rocksdb" and "GCSFaultToleranceEmbeddedStorage" not in gates:
            yield "the backend rocksdb needs a feature gate"
        elif options.get("backend") != "rocksdb" and options.get("storage"):
            yield "storage is for the backend rocksdb alone"
    if parameters.get("redis-username") or "REDIS_USERNAME" in env:
        yield "Redis' user is named outside of gcsFaultToleranceOptions"


def _of_autoscaler(
    spec: Mapping[str, Any], groups: list[Mapping[str, Any]], env: Mapping[str, Any]
) -> Iterator[str]:
    for group in groups:
        if group.get("suspend"):
            yield f"group {group['groupName']} is suspended while an autoscaler runs"
    if autoscaler_version(spec) and V2 in env:
        yield "the autoscaler's version is said twice"
    if autoscaler_version(spec) == "v2":
        for group in (spec["headGroupSpec"], *groups):
            if group["template"]["spec"].get("restartPolicy", "Never") not in ("", "Never"):
                yield "restartPolicy must be Never with autoscaler v2"


def _of_gates(spec: Mapping[str, Any], gates: frozenset[str]) -> Iterator[str]:
    for field, gate in (
        ("historyServerOptions", "RayClusterHistoryServer"),
        ("networkPolicy", "RayClusterNetworkPolicy"),
        ("tlsOptions", "RayClusterMTLS"),
    ):
        if spec.get(field) is not None and gate not in gates:
            yield f"{field} needs the feature gate {gate}"
    collector = (spec.get("historyServerOptions") or {}).get("collectorOptions")
    if spec.get("historyServerOptions") is not None and collector is None:
        yield "historyServerOptions without collectorOptions"
    if collector is not None:
        env = {variable["name"] for variable in collector.get("env") or []}
        if "STORAGE_BACKEND" not in env:
            yield "the collector has no STORAGE_BACKEND"


def _of_token(spec: Mapping[str, Any]) -> Iterator[str]:
    options = spec.get("authOptions") or {}
    by_kubernetes = bool(options.get("enableK8sTokenAuth"))
    if options.get("mode") == "token":
        if _version(spec) < _TOKEN_SINCE:
            yield "authOptions.mode token needs Ray 2.52"
        if by_kubernetes and _version(spec) < _KUBERNETES_TOKEN_SINCE:
            yield "authOptions.enableK8sTokenAuth needs Ray 2.55"
        if by_kubernetes and options.get("secretName"):
            yield "authOptions names a secret and Kubernetes' own tokens"
    elif by_kubernetes:
        yield "authOptions.enableK8sTokenAuth without mode token"


def _version(spec: Mapping[str, Any]) -> tuple[int, ...]:
    found = re.match(r"v?(\d+)\.(\d+)", str(spec.get("rayVersion") or ""))
    return (int(found[1]), int(found[2])) if found else (0, 0)
