"""What a run's pod gets on Kubernetes, and how often a run is begun anew when its pod was lost.

Elsewhere than on Kubernetes these tags mean nothing. A run that gets no tag gets what the launcher gives
by default (`runLauncher` in deploy/dagster/values.yaml), which is enough for Terraform.
"""

from collections.abc import Mapping
from typing import Any


def _pod(requests: Mapping[str, str], limits: Mapping[str, str]) -> Mapping[str, Any]:
    resources = {"requests": dict(requests), "limits": dict(limits)}
    return {"container_config": {"resources": resources}}


#: For a run that starts no Terraform. Measured on one machine: a cost report 0.26 GB, the client of a
#: burst run 0.31 GB; a plan with the AWS provider 0.92 GB.
LIGHT: Mapping[str, Any] = {
    "dagster-k8s/config": _pod({"cpu": "250m", "memory": "512Mi"}, {"cpu": "500m", "memory": "1Gi"})
}

#: For a run that changes nothing, or nothing that a second run would not change in the same way. It is begun
#: anew when its pod is lost, and not when a stage says no or fails (`run_retries` in dagster.yaml).
REPEATABLE: Mapping[str, Any] = {"dagster/max_retries": "2"}
