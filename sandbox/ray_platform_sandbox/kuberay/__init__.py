"""The stand-in for KubeRay's operator: RayCluster objects become local Ray processes (docs/kubernetes.md)."""
