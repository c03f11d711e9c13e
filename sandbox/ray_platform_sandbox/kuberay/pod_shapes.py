"""The pods that KubeRay 1.7 makes of a RayCluster: Ray's start command, the autoscaler beside the head, the
init container of workers, and what is added to environment, volumes and probes."""

import copy
from collections.abc import Mapping
from typing import Any

from ray_platform_sandbox.kuberay import labels as names
from ray_platform_sandbox.kuberay.ray_start import start_command, start_parameters
from ray_platform_sandbox.kubernetes.amounts import amount

Content = dict[str, Any]
SHELL = ["/bin/bash", "-c", "--"]
GCS_PORT, METRICS_PORT, AGENT_PORT = 6379, 8080, 52365
WAIT_GCS, AUTOSCALER = "wait-gcs-ready", "autoscaler"
_SMALL = {"cpu": "200m", "memory": "256Mi"}
_AUTOSCALER_START = (
    "ray kuberay-autoscaler --cluster-name $(RAY_CLUSTER_NAME) --cluster-namespace "
    "$(RAY_CLUSTER_NAMESPACE)"
)
_LIMITS = {"cpu": "500m", "memory": "512Mi"}


def is_autoscaling(spec: Mapping[str, Any]) -> bool:
    return bool(spec.get("enableInTreeAutoscaling"))


def autoscaler_version(spec: Mapping[str, Any]) -> str:
    """``v1``, ``v2``, or empty where the object does not say."""
    return str((spec.get("autoscalerOptions") or {}).get("version") or "")


def is_fault_tolerant(cluster: Mapping[str, Any]) -> bool:
    annotations = cluster["metadata"].get("annotations") or {}
    by_annotation = str(annotations.get(names.FT_ENABLED, "")).lower() == "true"
    return by_annotation or bool(cluster["spec"].get("gcsFaultToleranceOptions"))


def head_address(cluster: Mapping[str, Any]) -> str:
    namespace = cluster["metadata"]["namespace"]
    return f"{names.head_service_name(cluster)}.{namespace}.svc.cluster.local"


def head_account(cluster: Mapping[str, Any]) -> str:
    own = cluster["spec"]["headGroupSpec"]["template"]["spec"].get("serviceAccountName")
    return str(own or cluster["metadata"]["name"])


def head_pod(cluster: Mapping[str, Any]) -> Content:
    """The head, without the annotations that are put on when it is created."""
    spec, name = cluster["spec"], cluster["metadata"]["name"]
    group = spec["headGroupSpec"]
    parameters = start_parameters(group)
    pod = _pod(cluster, group, names.HEAD, names.HEAD_GROUP, names.pod_prefix(name, names.HEAD))
    annotations, body = pod["metadata"]["annotations"], pod["spec"]
    ray = body["containers"][0]
    if is_autoscaling(spec):
        parameters["no-monitor"] = "true"
        body["serviceAccountName"] = names.checked_name(head_account(cluster))
        body["containers"].append(_autoscaler(spec, ray["image"], name))
        version = autoscaler_version(spec)
        if version:
            _env(ray).append(
                {
                    "name": "RAY_enable_autoscaler_v2",
                    "value": "true" if version == "v2" else "false",
                }
            )
        if version == "v2":
            body["restartPolicy"] = "Never"
    annotations[names.FT_ENABLED] = str(is_fault_tolerant(cluster)).lower()
    if is_fault_tolerant(cluster):
        _with_redis(cluster, ray, annotations, parameters)
    _with_metrics_port(ray)
    _with_token(spec, ray, name)
    parameters.setdefault("dashboard-host", "0.0.0.0")  # noqa: S104  (an argument of Ray in its pod)
    _completed(cluster, pod, names.HEAD, parameters, "127.0.0.1")
    return pod


def worker_pod(
    cluster: Mapping[str, Any],
    group: Mapping[str, Any],
    *,
    replica: int,
    replica_name: str = "",
    host: int = 0,
) -> Content:
    """A worker of a group.

    Args:
        cluster: The RayCluster.
        group: The group's spec.
        replica: Which replica of the group it belongs to.
        replica_name: Names a replica of several hosts; empty: of one.
        host: Which host of its replica.
    """
    spec, name = cluster["spec"], cluster["metadata"]["name"]
    own = group["groupName"]
    parameters = start_parameters(group)
    pod = _pod(cluster, group, names.WORKER, own, names.pod_prefix(f"{name}-{own}", names.WORKER))
    pod["metadata"]["labels"][names.REPLICA_INDEX] = str(replica)
    if int(group.get("numOfHosts") or 1) > 1:
        pod["metadata"]["labels"][names.REPLICA_NAME] = replica_name
        pod["metadata"]["labels"][names.HOST_INDEX] = str(host)
    body = pod["spec"]
    ray = body["containers"][0]
    port = _head_port(spec)
    address = head_address(cluster)
    body.setdefault("initContainers", []).append(_wait_for_gcs(ray, f"{address}:{port}"))
    parameters.setdefault("address", f"{address}:{port}")
    if is_fault_tolerant(cluster):
        _add(ray, "RAY_gcs_rpc_server_reconnect_timeout_s", "600")
    _with_metrics_port(ray)
    if is_autoscaling(spec) and autoscaler_version(spec) == "v2":
        body["restartPolicy"] = "Never"
    _with_token(spec, ray, name)
    _with_token(spec, body["initContainers"][-1], name)
    _completed(cluster, pod, names.WORKER, parameters, address)
    return pod


def redis_cleanup_job(cluster: Mapping[str, Any]) -> Content:
    """The job that clears the cluster's part of Redis when its RayCluster is deleted."""
    pod = head_pod(cluster)
    metadata, body = pod["metadata"], pod["spec"]
    metadata["labels"][names.NODE_TYPE] = names.REDIS_CLEANUP
    ray = body["containers"][0]
    body["containers"] = [ray]
    body["restartPolicy"] = "Never"
    ray["command"] = list(SHELL)
    ray["args"] = ["python -c 'from ray._private.gcs_utils import cleanup_redis_storage'"]
    ray.pop("livenessProbe", None)
    ray.pop("readinessProbe", None)
    ray["env"] += [
        {"name": "RAY_redis_db_connect_retries", "value": "120"},
        {"name": "RAY_redis_db_connect_wait_milliseconds", "value": "500"},
    ]
    ray["resources"] = {"limits": dict(_SMALL), "requests": dict(_SMALL)}
    name = names.checked_label(f"{cluster['metadata']['name']}-redis-cleanup")
    return {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": {
            "name": name,
            "namespace": cluster["metadata"]["namespace"],
            "labels": dict(metadata["labels"]),
            "annotations": dict(metadata["annotations"]),
            "ownerReferences": [names.owner(cluster)],
        },
        "spec": {
            "backoffLimit": 0,
            "activeDeadlineSeconds": 300,
            "template": {"metadata": metadata, "spec": body},
        },
    }


def _pod(
    cluster: Mapping[str, Any], group: Mapping[str, Any], kind: str, name: str, prefix: str
) -> Content:
    template = copy.deepcopy(dict(group["template"]))
    metadata = template.get("metadata") or {}
    overrides = {**(metadata.get("labels") or {}), **(group.get("labels") or {})}
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {
            "generateName": prefix,
            "namespace": cluster["metadata"]["namespace"],
            "labels": names.pod_labels(cluster["metadata"]["name"], kind, name, overrides),
            "annotations": dict(metadata.get("annotations") or {}),
            "ownerReferences": [names.owner(cluster)],
        },
        "spec": template["spec"],
    }


def _completed(
    cluster: Mapping[str, Any],
    pod: Content,
    kind: str,
    parameters: dict[str, str],
    address: str,
) -> None:
    """Shared memory, logs, the start command, the environment and the probes, in KubeRay's order."""
    body = pod["spec"]
    if (cluster["metadata"].get("labels") or {}).get(names.ORIGIN_KIND) == "RayService":
        pod["metadata"]["labels"]["ray.io/serve"] = str(kind == names.WORKER).lower()
    ray = body["containers"][0]
    parameters.setdefault("metrics-export-port", str(METRICS_PORT))
    parameters["block"] = "true"
    parameters.setdefault("dashboard-agent-listen-port", str(AGENT_PORT))
    resources = ray.get("resources") or {}
    if "plasma-directory" not in parameters:
        memory = (resources.get("limits") or {}).get("memory") or (
            resources.get("requests") or {}
        ).get("memory")
        shared: Content = {"medium": "Memory", **({"sizeLimit": memory} if memory else {})}
        _mounted(body, ray, "shared-mem", "/dev/shm", shared)  # noqa: S108  (in the pod)
    scaler = next((c for c in body["containers"] if c["name"] == AUTOSCALER), None)
    if scaler is not None and kind == names.HEAD:
        for container in (ray, scaler):
            _mounted(body, container, "ray-logs", "/tmp/ray", {})  # noqa: S108  (in the pod)
    command = start_command(kind == names.HEAD, parameters, resources)
    own = "".join(f" {part} " for part in (*(ray.get("command") or []), *(ray.get("args") or [])))
    if "ray start" not in own:
        limit = "ulimit -n ${RAY_START_ULIMIT_OPEN_FILES:-65536}"
        ray["command"] = list(SHELL)
        ray["args"] = [(f"{own} && " if own else "") + f"{limit}; {command}"]
    for container in body.get("initContainers") or []:
        _env(container).extend(_of_head(head_address(cluster)))
    _environment(cluster, ray, kind, address, command)
    _probes(cluster["spec"], ray, kind, parameters)


def _environment(
    cluster: Mapping[str, Any], ray: Content, kind: str, address: str, command: str
) -> None:
    port = _head_port(cluster["spec"])
    env = _env(ray)
    if kind == names.WORKER:
        env.extend(_of_head(address))
    env.extend(
        [
            _from_field("RAY_CLUSTER_NAME", f"metadata.labels['{names.CLUSTER}']"),
            _from_field("RAY_CLUSTER_NAMESPACE", "metadata.namespace"),
            _from_field("RAY_CLOUD_INSTANCE_ID", "metadata.name"),
            _from_field("RAY_NODE_TYPE_NAME", f"metadata.labels['{names.GROUP}']"),
            {"name": "KUBERAY_GEN_RAY_START_CMD", "value": command},
        ]
    )
    origin = (cluster["metadata"].get("labels") or {}).get(names.ORIGIN_KIND, "RayCluster")
    _add(ray, "RAY_PORT", port)
    if origin == "RayService":
        _add(ray, "RAY_timeout_ms_task_wait_for_death_info", "0")
        _add(ray, "RAY_gcs_server_request_timeout_seconds", "5")
        _add(ray, "RAY_SERVE_KV_TIMEOUT_S", "5")
    _add(ray, "RAY_ADDRESS", f"{address}:{port}")
    _add(ray, "RAY_USAGE_STATS_KUBERAY_IN_USE", "1")
    if kind == names.HEAD:
        tags = f"kuberay_version={names.KUBERAY};kuberay_crd={origin}"
        _add(ray, "RAY_USAGE_STATS_EXTRA_TAGS", tags)
    _add(ray, "RAY_DASHBOARD_ENABLE_K8S_DISK_USAGE", "1")


def _probes(
    spec: Mapping[str, Any], ray: Content, kind: str, parameters: Mapping[str, str]
) -> None:
    """Ray's one health check, which its versions since 2.53 have; older ones are asked by commands."""
    check = {"path": "/api/healthz", "port": int(parameters["dashboard-agent-listen-port"])}
    patience = 5 if kind == names.HEAD else 2
    by_http = [int(p) for p in str(spec.get("rayVersion") or "0.0").split(".")[:2]] >= [2, 53]
    for name, delay, period, failures in (
        ("livenessProbe", 30, 5, 120),
        ("readinessProbe", 10, 5, 10),
    ):
        if name not in ray:
            how: Content = {"httpGet": check} if by_http else {"exec": {"command": ["bash", "-c"]}}
            ray[name] = {
                **how,
                "initialDelaySeconds": delay,
                "timeoutSeconds": patience,
                "periodSeconds": period,
                "successThreshold": 1,
                "failureThreshold": failures,
            }


def _autoscaler(spec: Mapping[str, Any], image: str, name: str) -> Content:
    own = spec.get("autoscalerOptions") or {}
    container: Content = {
        "name": AUTOSCALER,
        "image": own.get("image") or image,
        "imagePullPolicy": own.get("imagePullPolicy") or "IfNotPresent",
        "env": [
            _from_field("RAY_CLUSTER_NAME", f"metadata.labels['{names.CLUSTER}']"),
            _from_field("RAY_CLUSTER_NAMESPACE", "metadata.namespace"),
            _from_field("RAY_HEAD_POD_NAME", "metadata.name"),
            {"name": "KUBERAY_CRD_VER", "value": "v1"},
            {"name": "KUBERAY_GEN_AUTOSCALER_START_CMD", "value": _AUTOSCALER_START},
        ],
        "command": own.get("command") or list(SHELL),
        "args": own.get("args") or [_AUTOSCALER_START],
        "resources": own.get("resources") or {"limits": dict(_LIMITS), "requests": dict(_LIMITS)},
    }
    _with_token(spec, container, name)
    container["env"] += own.get("env") or []
    for field in ("envFrom", "volumeMounts"):
        if own.get(field):
            container[field] = copy.deepcopy(own[field])
    if own.get("securityContext"):
        container["securityContext"] = copy.deepcopy(own["securityContext"])
    return container


def _wait_for_gcs(ray: Content, address: str) -> Content:
    """As KubeRay's in name, image, resources and environment; its script is worded differently."""
    made: Content = {
        "name": WAIT_GCS,
        "image": ray["image"],
        "command": list(SHELL),
        "args": [f"until ray health-check --address {address}; do sleep 5; done"],
        "env": copy.deepcopy(ray.get("env") or []),
        "volumeMounts": copy.deepcopy(ray.get("volumeMounts") or []),
        "resources": {"limits": dict(_SMALL), "requests": dict(_SMALL)},
    }
    for field in ("imagePullPolicy", "securityContext"):
        if field in ray:
            made[field] = copy.deepcopy(ray[field])
    return made


def _with_redis(
    cluster: Mapping[str, Any], ray: Content, annotations: Content, parameters: dict[str, str]
) -> None:
    own = cluster["metadata"].get("annotations") or {}
    options = cluster["spec"].get("gcsFaultToleranceOptions") or {}
    namespace = options.get("externalStorageNamespace") or own.get(
        names.STORAGE_NAMESPACE, cluster["metadata"]["uid"]
    )
    annotations[names.STORAGE_NAMESPACE] = namespace
    _add(ray, "RAY_external_storage_namespace", namespace)
    if not options:
        return
    _env(ray).append({"name": "RAY_REDIS_ADDRESS", "value": options.get("redisAddress", "")})
    for field, variable, parameter in (
        ("redisUsername", "REDIS_USERNAME", "redis-username"),
        ("redisPassword", "REDIS_PASSWORD", "redis-password"),
    ):
        if options.get(field):
            parameters[parameter] = f"${variable}"
            _env(ray).append({"name": variable, **copy.deepcopy(options[field])})


def _with_token(spec: Mapping[str, Any], container: Content, cluster: str) -> None:
    options = spec.get("authOptions") or {}
    if options.get("mode") != "token":
        return
    _add(container, "RAY_AUTH_MODE", "token")
    if not any(variable["name"] == "RAY_AUTH_TOKEN" for variable in _env(container)):
        secret = options.get("secretName") or names.checked_name(cluster)
        source = {"secretKeyRef": {"name": secret, "key": "auth_token"}}
        _env(container).append({"name": "RAY_AUTH_TOKEN", "valueFrom": source})


def _with_metrics_port(ray: Content) -> None:
    ports = ray.setdefault("ports", [])
    if not any(port.get("name") == "metrics" for port in ports):
        ports.append({"name": "metrics", "containerPort": METRICS_PORT})


def _mounted(body: Content, container: Content, name: str, path: str, source: Content) -> None:
    mounts = container.setdefault("volumeMounts", [])
    if any(mount["mountPath"] == path for mount in mounts):
        return
    volumes = body.setdefault("volumes", [])
    if not any(volume["name"] == name for volume in volumes):
        volumes.append({"name": name, "emptyDir": source})
    mounts.append({"mountPath": path, "name": name})


def _env(container: Content) -> list[Content]:
    env: list[Content] = container.setdefault("env", [])
    return env


def _add(container: Content, name: str, value: str) -> None:
    if not any(variable["name"] == name for variable in _env(container)):
        _env(container).append({"name": name, "value": value})


def _of_head(address: str) -> list[Content]:
    return [
        {"name": "FQ_RAY_IP", "value": address},
        {"name": "RAY_IP", "value": address.partition(".")[0]},
    ]


def _from_field(name: str, path: str) -> Content:
    return {"name": name, "valueFrom": {"fieldRef": {"fieldPath": path}}}


def _head_port(spec: Mapping[str, Any]) -> str:
    return str((spec["headGroupSpec"].get("rayStartParams") or {}).get("port", GCS_PORT))


def requests_of(template: Mapping[str, Any]) -> dict[str, Any]:
    """What the containers of a template ask for together, as exact numbers; limits where no request is."""
    total: dict[str, Any] = {}
    for container in template["spec"].get("containers") or []:
        resources = container.get("resources") or {}
        asked = {**(resources.get("limits") or {}), **(resources.get("requests") or {})}
        for name, value in asked.items():
            total[name] = total.get(name, 0) + amount(value)
    return total
