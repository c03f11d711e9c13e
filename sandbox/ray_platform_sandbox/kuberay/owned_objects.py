"""What else KubeRay 1.7 makes for a RayCluster: the services, and the autoscaler's role."""

from collections.abc import Mapping
from typing import Any

from ray_platform_sandbox.kuberay import labels as names
from ray_platform_sandbox.kuberay.pod_shapes import METRICS_PORT, head_account

Content = dict[str, Any]
_DEFAULT_PORTS = {
    "client": 10001,
    "gcs-server": 6379,
    "dashboard": 8265,
    "metrics": 8080,
    "serve": 8000,
}


def head_service(cluster: Mapping[str, Any]) -> Content:
    """The head's service: headless, unless another type is asked for."""
    group, name = cluster["spec"]["headGroupSpec"], cluster["metadata"]["name"]
    own_labels = (group["template"].get("metadata") or {}).get("labels") or {}
    selector = {
        names.CLUSTER: name,
        names.NODE_TYPE: names.HEAD,
        names.IDENTIFIER: names.checked_label(f"{name}-head"),
        names.APP_NAME: own_labels.get(names.APP_NAME, names.APPLICATION),
        names.CREATED_BY: names.OPERATOR,
    }
    ports = [
        {"name": port, "port": number, "appProtocol": "tcp"}
        for port, number in sorted(_ports(cluster).items())
    ]
    kind = group.get("serviceType") or "ClusterIP"
    spec: Content = {"selector": dict(selector), "ports": ports, "type": kind}
    metadata: Content = {
        "name": names.head_service_name(cluster),
        "namespace": cluster["metadata"]["namespace"],
        "labels": selector,
        "annotations": dict(cluster["spec"].get("headServiceAnnotations") or {}),
        "ownerReferences": [names.owner(cluster)],
    }
    if own := group.get("headService"):
        of_own = own.get("metadata") or {}
        metadata["labels"] = {**(of_own.get("labels") or {}), **selector}
        metadata["annotations"] = {**(of_own.get("annotations") or {}), **metadata["annotations"]}
        own_spec = dict(own.get("spec") or {})
        own_ports = [*(own_spec.pop("ports", None) or []), *ports]
        spec = {"type": kind, **own_spec, "selector": dict(selector), "ports": own_ports}
    elif kind == "ClusterIP":
        spec |= {"clusterIP": "None", "publishNotReadyAddresses": True}
    return {"apiVersion": "v1", "kind": "Service", "metadata": metadata, "spec": spec}


def headless_service(cluster: Mapping[str, Any]) -> Content:
    """By which the hosts of one replica find each other."""
    name = cluster["metadata"]["name"]
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {
            "name": f"{name}-headless",
            "namespace": cluster["metadata"]["namespace"],
            "labels": {names.HEADLESS: name},
            "ownerReferences": [names.owner(cluster)],
        },
        "spec": {
            "type": "ClusterIP",
            "clusterIP": "None",
            "selector": {names.CLUSTER: name, names.NODE_TYPE: names.WORKER},
            "publishNotReadyAddresses": True,
        },
    }


def _ports(cluster: Mapping[str, Any]) -> dict[str, int]:
    container = cluster["spec"]["headGroupSpec"]["template"]["spec"]["containers"][0]
    ports = {
        port.get("name") or f"{port['containerPort']}-port": int(port["containerPort"])
        for port in container.get("ports") or []
    }
    return {"metrics": METRICS_PORT, **(ports or _DEFAULT_PORTS)}


def _metadata(cluster: Mapping[str, Any], name: str) -> Content:
    return {
        "name": names.checked_name(name),
        "namespace": cluster["metadata"]["namespace"],
        "labels": {
            names.CLUSTER: cluster["metadata"]["name"],
            names.APP_NAME: names.APPLICATION,
            names.CREATED_BY: names.OPERATOR,
        },
        "ownerReferences": [names.owner(cluster)],
    }


def service_account(cluster: Mapping[str, Any]) -> Content:
    metadata = _metadata(cluster, head_account(cluster))
    return {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": metadata}


def role(cluster: Mapping[str, Any]) -> Content:
    """What the autoscaler may do: read pods, and change its RayCluster."""
    return {
        "apiVersion": "rbac.authorization.k8s.io/v1",
        "kind": "Role",
        "metadata": _metadata(cluster, cluster["metadata"]["name"]),
        "rules": [
            {"apiGroups": [""], "resources": ["pods"], "verbs": ["get", "list", "watch", "patch"]},
            {"apiGroups": [""], "resources": ["pods/resize"], "verbs": ["patch"]},
            {"apiGroups": ["ray.io"], "resources": ["rayclusters"], "verbs": ["get", "patch"]},
        ],
    }


def role_binding(cluster: Mapping[str, Any]) -> Content:
    name, namespace = cluster["metadata"]["name"], cluster["metadata"]["namespace"]
    account = names.checked_name(head_account(cluster))
    return {
        "apiVersion": "rbac.authorization.k8s.io/v1",
        "kind": "RoleBinding",
        "metadata": _metadata(cluster, name),
        "subjects": [{"kind": "ServiceAccount", "name": account, "namespace": namespace}],
        "roleRef": {
            "apiGroup": "rbac.authorization.k8s.io",
            "kind": "Role",
            "name": names.checked_name(name),
        },
    }
