"""Keeps the RayJobs: each object becomes a job on a standing cluster, or on one of its own.

One thread looks at all of them, once a second while one of them is under way. Like the keeper of a
RayCluster it remembers nothing: what was settled stands in the object's status.
"""

import logging
import threading
import time
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any

from ray_platform.config.settings import Settings
from ray_platform.kubernetes.api_client import EVENTS, RAY_CLUSTERS, RAY_JOBS, KubernetesApi
from ray_platform.text.errors import KubernetesError, RayError
from ray_platform_sandbox.kuberay import job_status as states
from ray_platform_sandbox.kuberay.job_server import JobServer
from ray_platform_sandbox.kuberay.job_status import Status, WantedJob, read_ray_job
from ray_platform_sandbox.kuberay.manifests import event_on
from ray_platform_sandbox.kuberay.status import READY
from ray_platform_sandbox.ray.nodes import MOST_CLUSTERS, place

STEP_SECONDS = 1.0
WATCH_SECONDS = 240.0
RETRY_SECONDS = 0.5
#: Lets a job that runs be stopped before its object goes; the name is KubeRay's.
FINALIZER = "ray.io/rayjob-finalizer"


class JobKeeper(threading.Thread):
    """The RayJobs of a home.

    Args:
        settings: Where the clusters' processes live.
        api: The Kubernetes API, as the operator.
        clock: The time.
    """

    def __init__(
        self,
        settings: Settings,
        api: KubernetesApi,
        *,
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        super().__init__(name="RayJobs", daemon=True)
        self._settings = settings
        self._api = api
        self._clock = clock

    def run(self) -> None:
        while True:
            try:
                listed = self._api.list(RAY_JOBS)
                if any([self._look(content) for content in listed["items"]]):
                    time.sleep(STEP_SECONDS)
                    continue
                version = listed["metadata"]["resourceVersion"]
                next(iter(self._api.watch(RAY_JOBS, version, seconds=WATCH_SECONDS)), None)
            except KubernetesError as error:
                logging.info("the API: %s", error.what)
                time.sleep(RETRY_SECONDS)

    def _look(self, content: dict[str, Any]) -> bool:
        """One step of one object; whether it needs another one soon."""
        key = f"{content['metadata']['namespace']}/{content['metadata']['name']}"
        try:
            return self.step(content)
        except (KubernetesError, RayError) as error:
            logging.info("RayJob %s: %s", key, error.what)
        except Exception:
            # One object that is not understood must not end the others' keeper with it.
            logging.exception("RayJob %s: unexpected", key)
        return True

    def step(self, content: dict[str, Any]) -> bool:
        """Bring one RayJob a step on; whether it needs another one soon.

        Raises:
            KubernetesError: somebody else wrote in between, or the API is away.
            RayError: the cluster's job server does not answer.
        """
        if content["spec"].get("managedBy") not in (None, "ray.io/kuberay-operator"):
            return False
        job, status = read_ray_job(content), dict(content.get("status") or {})
        if "deletionTimestamp" in content["metadata"]:
            self._let_go(content, job, status)
            return False
        match status.get("jobDeploymentStatus", ""):
            case states.NEW:
                after: Status | None = self._begin(content, job, status)
            case states.INITIALIZING | states.RUNNING:
                after = self._go_on(job, status)
            case states.SUSPENDING | states.RETRYING:
                after = states.cleared(job, status) if self._is_gone(job, status) else None
            case states.SUSPENDED:
                after = None if job.suspended else {**status, "jobDeploymentStatus": states.NEW}
                if after is None:
                    return False
            case _:
                return self._shut_down(job, status)
        self._write(job, content, after)
        return True

    def _begin(self, content: dict[str, Any], job: WantedJob, status: Status) -> Status:
        if why := states.problem_of(job):
            self._tell(job, "InvalidRayJobSpec", why, kind="Warning")
            return states.refused(status, why)
        held = content["metadata"].get("finalizers") or []
        if FINALIZER not in held:
            patch = {"metadata": {"finalizers": [*held, FINALIZER]}}
            self._api.patch(RAY_JOBS, job.name, job.namespace, patch)
        return states.begun(job, status, self._clock())

    def _go_on(self, job: WantedJob, status: Status) -> Status | None:
        if job.suspended:
            return {**status, "jobDeploymentStatus": states.SUSPENDING}
        if (over := states.past_deadline(job, status, self._clock())) is not None:
            return over
        cluster = self._cluster(job, status)
        of_cluster = (cluster or {}).get("status") or {}
        if of_cluster.get("state") != READY or not of_cluster.get("head"):
            return None
        server = self._server(of_cluster)
        if status["jobDeploymentStatus"] == states.INITIALIZING:
            url = server.address.removeprefix("http://")
            return {**status, "jobDeploymentStatus": states.RUNNING, "dashboardURL": url}
        info = server.find(status["jobId"])
        if info is None:
            # Not yet, or a head that was lost took it with it: as KubeRay, it is handed in with the same id.
            server.submit(job.submission(status["jobId"]))
            self._tell(job, "SubmittedRayJob", f"submitted {status['jobId']} to {server.address}")
            return None
        return states.told_by(job, {**status, "rayClusterStatus": of_cluster}, info, self._clock())

    def _cluster(self, job: WantedJob, status: Status) -> dict[str, Any] | None:
        """The RayCluster that runs it; its own is made where it is missing."""
        name = status["rayClusterName"]
        found = self._api.get(RAY_CLUSTERS, name, job.namespace)
        if found is not None or job.cluster:
            return found
        labels = {
            "ray.io/originated-from-cr-name": job.name,
            "ray.io/originated-from-crd": "RayJob",
        }
        owner = {**_reference(job), "controller": True, "blockOwnerDeletion": True}
        del owner["namespace"]
        metadata = {"name": name, "labels": labels, "ownerReferences": [owner]}
        made: dict[str, Any] = self._api.create(
            RAY_CLUSTERS, {"metadata": metadata, "spec": job.cluster_spec}, job.namespace
        )
        self._tell(job, "CreatedRayCluster", f"Created RayCluster {job.namespace}/{name}")
        return made

    def _server(self, of_cluster: Mapping[str, Any]) -> JobServer:
        port = str(of_cluster["endpoints"]["dashboard"])
        places = (place(self._settings, number) for number in range(MOST_CLUSTERS))
        at = next((at for at in places if str(at.dashboard_port) == port), None)
        if at is None:
            raise RayError(
                f"no Ray cluster of this machine has the port {port}",
                where=str(self._settings.home),
                fix="`kubectl get rayclusters --all-namespaces` shows those that there are",
            )
        return JobServer(f"http://{of_cluster['head']['serviceIP']}:{port}", at.folder / "token")

    def _is_gone(self, job: WantedJob, status: Status) -> bool:
        """Whether the job's own cluster is gone; asked to go where it is not."""
        name = status.get("rayClusterName", "")
        if job.cluster or not name:
            return True
        found = self._api.get(RAY_CLUSTERS, name, job.namespace)
        if found is None:
            return True
        if "deletionTimestamp" not in found["metadata"]:
            self._api.delete(RAY_CLUSTERS, name, job.namespace)
            self._tell(job, "DeletedRayCluster", f"Deleted cluster {job.namespace}/{name}")
        return False

    def _shut_down(self, job: WantedJob, status: Status) -> bool:
        if job.cluster or not job.shuts_down or not status.get("endTime"):
            return False
        due = states.shutdown_due(job, status, self._clock())
        return not (due and self._is_gone(job, status))

    def _let_go(self, content: dict[str, Any], job: WantedJob, status: Status) -> None:
        """Stop what runs of an object that is deleted, and let it go, whether that worked or not."""
        if status.get("jobId") and status.get("jobStatus") not in states.ENDED:
            try:
                cluster = self._api.get(RAY_CLUSTERS, status["rayClusterName"], job.namespace) or {}
                self._server(cluster.get("status") or {}).stop(status["jobId"])
            except (RayError, KeyError) as error:
                logging.info("RayJob %s: its job was not stopped: %s", job.key, error)
        held = content["metadata"].get("finalizers") or []
        if FINALIZER in held:
            left = [name for name in held if name != FINALIZER] or None
            patch = {"metadata": {"finalizers": left}}
            self._api.patch(RAY_JOBS, job.name, job.namespace, patch)

    def _write(self, job: WantedJob, content: Mapping[str, Any], after: Status | None) -> None:
        old = content.get("status") or {}
        states_of = ("jobStatus", "jobDeploymentStatus")
        # As KubeRay: only another state is worth a write.
        if after is None or all(after.get(key) == old.get(key) for key in states_of):
            return
        new = {**after, "observedGeneration": job.generation}
        gone = {key: None for key in old if key not in new}
        self._api.patch(
            RAY_JOBS, job.name, job.namespace, {"status": {**gone, **new}}, subresource="status"
        )

    def _tell(self, job: WantedJob, reason: str, message: str, *, kind: str = "Normal") -> None:
        logging.info("RayJob %s: %s: %s", job.key, reason, message)
        content = event_on(_reference(job), reason, message, kind=kind)
        self._api.create(EVENTS, content, job.namespace)


def _reference(job: WantedJob) -> dict[str, Any]:
    return {
        "apiVersion": "ray.io/v1",
        "kind": "RayJob",
        "name": job.name,
        "namespace": job.namespace,
        "uid": job.uid,
    }
