"""A Kubernetes API on 127.0.0.1 and a stand-in for KubeRay: docs/reference/local-kubernetes.md."""
