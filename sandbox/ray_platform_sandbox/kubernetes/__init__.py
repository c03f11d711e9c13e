"""A Kubernetes API on 127.0.0.1 and the stand-in for the KubeRay operator: docs/kubernetes.md."""
