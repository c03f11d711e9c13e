"""What a RayJob object asks for, and its status as KubeRay writes it.

::

    "" -> Initializing -> Running -> Complete | Failed
              |              |                   |
              +--------------+-> Suspending      +-> Retrying -> ""
                                     |
                                 Suspended -> ""

``jobId`` and ``rayClusterName`` are settled before anything is made of them, so that a killed stand-in makes
nothing twice. Source: https://docs.ray.io/en/latest/cluster/kubernetes/getting-started/rayjob-quick-start.html
"""

import json
import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import yaml

NEW, INITIALIZING, RUNNING = "", "Initializing", "Running"
COMPLETE, FAILED, INVALID = "Complete", "Failed", "ValidationFailed"
SUSPENDING, SUSPENDED, RETRYING = "Suspending", "Suspended", "Retrying"
#: States of the job itself that it never leaves.
ENDED = ("SUCCEEDED", "FAILED", "STOPPED")
SELECTOR = "ray.io/cluster"
DEADLINE = "DeadlineExceeded"
#: What belongs to one attempt; the next begins without.
_OF_AN_ATTEMPT = ("jobId", "dashboardURL", "message", "reason", "rayJobInfo", "rayClusterStatus")
_NAME_CHARACTERS = 47
Status = dict[str, Any]


@dataclass(frozen=True)
class WantedJob:
    """One RayJob object, read. Times in seconds; ``cluster`` names the standing cluster that runs it,
    empty: it has one of its own by ``cluster_spec``."""

    namespace: str
    name: str
    uid: str
    generation: int
    spec: Mapping[str, Any]
    cluster: str
    cluster_spec: Mapping[str, Any] | None
    suspended: bool
    retries: int
    deadline_seconds: int | None
    shuts_down: bool
    ttl_seconds: int

    @property
    def key(self) -> str:
        return f"{self.namespace}/{self.name}"

    def submission(self, job_id: str) -> dict[str, Any]:
        """The request by which Ray's job server starts it."""
        spec = self.spec
        asked = {
            "entrypoint": spec["entrypoint"],
            "submission_id": job_id,
            "runtime_env": yaml.safe_load(spec.get("runtimeEnvYAML") or "") or {},
            "metadata": spec.get("metadata") or {},
            "entrypoint_num_cpus": spec.get("entrypointNumCpus"),
            "entrypoint_num_gpus": spec.get("entrypointNumGpus"),
            "entrypoint_resources": json.loads(spec.get("entrypointResources") or "null"),
        }
        return {key: value for key, value in asked.items() if value is not None}


def read_ray_job(content: Mapping[str, Any]) -> WantedJob:
    """A RayJob object, with the CRD's defaults filled in."""
    metadata, spec = content["metadata"], content["spec"]
    return WantedJob(
        namespace=metadata["namespace"],
        name=metadata["name"],
        uid=metadata["uid"],
        generation=int(metadata.get("generation", 1)),
        spec=spec,
        cluster=str((spec.get("clusterSelector") or {}).get(SELECTOR, "")),
        cluster_spec=spec.get("rayClusterSpec"),
        suspended=bool(spec.get("suspend")),
        retries=int(spec.get("backoffLimit") or 0),
        deadline_seconds=spec.get("activeDeadlineSeconds"),
        shuts_down=bool(spec.get("shutdownAfterJobFinishes")),
        ttl_seconds=int(spec.get("ttlSecondsAfterFinished") or 0),
    )


def problem_of(job: WantedJob) -> str:
    """Why KubeRay would not take it, or why nobody here can run it; empty: it can be run."""
    spec = job.spec
    if spec.get("clusterSelector") and not job.cluster:
        return f"clusterSelector has no {SELECTOR}"
    if not job.cluster and job.cluster_spec is None:
        return "one of rayClusterSpec or clusterSelector must be set"
    if job.suspended and job.cluster:
        return "the clusterSelector mode doesn't support the suspend operation"
    if job.suspended and not job.shuts_down:
        return "a RayJob with shutdownAfterJobFinishes set to false is not allowed to be suspended"
    if job.ttl_seconds < 0 or (job.ttl_seconds and not job.shuts_down):
        return (
            "ttlSecondsAfterFinished is for a RayJob with shutdownAfterJobFinishes, and not below 0"
        )
    if job.deadline_seconds is not None and job.deadline_seconds <= 0:
        return "activeDeadlineSeconds must be a positive integer"
    if job.retries < 0:
        return "backoffLimit must be a positive integer"
    if spec.get("submissionMode") not in (None, "K8sJobMode", "HTTPMode"):
        return f"submissionMode {spec['submissionMode']} is not emulated: K8sJobMode or HTTPMode"
    if not spec.get("entrypoint"):
        return "entrypoint is missing"
    try:
        job.submission("")
    except (yaml.YAMLError, ValueError) as error:
        return f"runtimeEnvYAML or entrypointResources cannot be read: {error}"
    return ""


def begun(job: WantedJob, status: Mapping[str, Any], now: datetime) -> Status:
    """The status of a new attempt: names are settled, nothing is made yet."""
    name = job.name[:_NAME_CHARACTERS]
    return {
        **status,
        "jobId": job.spec.get("jobId") or f"{name}-{_random()}",
        "rayClusterName": job.cluster or status.get("rayClusterName") or f"{name}-{_random()}",
        "jobStatus": "",
        "jobDeploymentStatus": INITIALIZING,
        "startTime": _text(now),
        "endTime": None,
    }


def refused(status: Mapping[str, Any], why: str) -> Status:
    """The status of a job that is never run."""
    return {**status, "jobDeploymentStatus": INVALID, "reason": INVALID, "message": why}


def past_deadline(job: WantedJob, status: Mapping[str, Any], now: datetime) -> Status | None:
    """The status once its time is over, else None."""
    if job.deadline_seconds is None:
        return None
    started = datetime.fromisoformat(status["startTime"])
    if now < started + timedelta(seconds=job.deadline_seconds):
        return None
    message = (
        f"The RayJob has passed the activeDeadlineSeconds. StartTime: {status['startTime']}. "
        f"ActiveDeadlineSeconds: {job.deadline_seconds}"
    )
    failed = {**status, "jobDeploymentStatus": FAILED, "reason": DEADLINE, "message": message}
    return _counted(job, failed, now)


def told_by(
    job: WantedJob, status: Mapping[str, Any], info: Mapping[str, Any], now: datetime
) -> Status:
    """The status after what Ray's job server says of the job."""
    state = str(info.get("status", ""))
    times = {
        ours: _text(datetime.fromtimestamp(info[theirs] / 1000, UTC))
        for ours, theirs in (("startTime", "start_time"), ("endTime", "end_time"))
        if info.get(theirs)
    }
    known = {
        **status,
        "jobStatus": state,
        "message": str(info.get("message") or ""),
        **({"rayJobInfo": times} if times else {}),
    }
    if state not in ENDED:
        return known
    if state == "FAILED":
        return _counted(job, {**known, "jobDeploymentStatus": FAILED, "reason": "AppFailed"}, now)
    return _counted(job, {**known, "jobDeploymentStatus": COMPLETE}, now)


def _counted(job: WantedJob, status: Status, now: datetime) -> Status:
    """A finished attempt, counted; one that failed is tried again while the limit allows it."""
    failed, succeeded = int(status.get("failed") or 0), int(status.get("succeeded") or 0)
    is_failed = status["jobDeploymentStatus"] == FAILED
    failed += is_failed
    succeeded += status["jobDeploymentStatus"] == COMPLETE and status["jobStatus"] == "SUCCEEDED"
    status |= {"failed": failed, "succeeded": succeeded}
    if is_failed and failed <= job.retries and status["reason"] != DEADLINE:
        return {**status, "jobDeploymentStatus": RETRYING}
    return {**status, "endTime": _text(now)}


def cleared(job: WantedJob, status: Mapping[str, Any]) -> Status:
    """The status once the attempt's own cluster is gone: suspended, or ready for the next attempt."""
    was = status["jobDeploymentStatus"]
    kept = {key: value for key, value in status.items() if key not in _OF_AN_ATTEMPT}
    if not job.cluster:
        kept.pop("rayClusterName", None)
    return {
        **kept,
        "jobStatus": "",
        "jobDeploymentStatus": SUSPENDED if was == SUSPENDING else NEW,
    }


def shutdown_due(job: WantedJob, status: Mapping[str, Any], now: datetime) -> bool:
    """Whether the cluster of a finished job is to go now."""
    ended = datetime.fromisoformat(status["endTime"])
    return now >= ended + timedelta(seconds=job.ttl_seconds)


def _random() -> str:
    return secrets.token_hex(3)[:5]


def _text(at: datetime) -> str:
    return at.strftime("%Y-%m-%dT%H:%M:%SZ")
