"""Small objects of KubeRay's kinds."""

from typing import Any


def ray_cluster(name: str, namespace: str, **spec: Any) -> dict[str, Any]:
    pod = {"spec": {"containers": [{"name": "ray", "image": "rayproject/ray:2.60.0"}]}}
    group = {"groupName": "cpu", "minReplicas": 1, "maxReplicas": 3, "template": pod}
    return {
        "apiVersion": "ray.io/v1",
        "kind": "RayCluster",
        "metadata": {"name": name, "namespace": namespace},
        "spec": {"headGroupSpec": {"template": pod}, "workerGroupSpecs": [group], **spec},
    }
