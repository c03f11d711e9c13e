"""The stand-in for KubeRay's operator: local Ray processes for RayCluster objects.

See docs/reference/local-kubernetes.md.
"""
