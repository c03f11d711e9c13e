"""One look of the operator at a RayCluster: what KubeRay 1.7 makes, deletes, writes and reports of it.

No processes, no clock, no network: `Objects` is the Kubernetes API. The stand-in that runs Ray on this
machine and the replay of recordings (`replay`) use the same shapes, hash and status.
"""

import copy
import secrets
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from ray_platform_sandbox.kuberay import labels as names
from ray_platform_sandbox.kuberay import owned_objects, pod_shapes
from ray_platform_sandbox.kuberay.cluster_status import (
    SUSPENDED,
    SUSPENDING,
    desired_replicas,
    is_worth_writing,
    next_status,
    suspension,
)
from ray_platform_sandbox.kuberay.objects import (
    Content,
    Failed,
    Objects,
    Outcome,
    Refused,
    as_go,
    as_go_writes,
    label,
    should_delete,
    terminated,
)
from ray_platform_sandbox.kuberay.recreate_hash import recreate_hash
from ray_platform_sandbox.kuberay.refusals import METADATA, refusal

#: How soon the operator looks again: after it wrote, while a head ends, and in any case.
SOON, HEAD_ENDS, ALWAYS = 2.0, 10.0, 300.0
#: How long the clean-up of Redis may hold a RayCluster up.
CLEANUP_SECONDS = 300
CLEANUP_ANNOTATION = "ray.io/gcs-ft-deletion-timeout"


class Reconciler:
    """The operator's part for RayClusters in one namespace.

    Args:
        objects: The Kubernetes API.
        gates: Its feature gates that are on.
    """

    def __init__(self, objects: Objects, gates: frozenset[str] = frozenset()) -> None:
        self._objects = objects
        self._gates = gates
        #: Pods whose deletion was asked for and is not over, by cluster and group: that group is left alone.
        self._ending: dict[tuple[str, str], set[str]] = {}

    def reconcile(self, name: str, now: datetime) -> Outcome:
        """One look.

        Args:
            name: The RayCluster's.
            now: The time.
        """
        cluster = self._objects.get("rayclusters", name)
        if cluster is None or cluster["spec"].get("managedBy") not in (
            None,
            "ray.io/kuberay-operator",
        ):
            return Outcome(None)
        refused = refusal(cluster, self._gates)
        if refused:
            what = "metadata" if refused[0] == METADATA else "spec"
            at = f"{cluster['metadata']['namespace']}/{name}"
            note = f"The RayCluster {what} is invalid {at}: {refused[1]}"
            self._tell(cluster, "Warning", refused[0], "Validate", note)
            return Outcome(None)
        going = "deletionTimestamp" in cluster["metadata"]
        if pod_shapes.is_fault_tolerant(cluster):
            held = cluster["metadata"].get("finalizers") or []
            if not going and names.REDIS_FINALIZER not in held:
                changed = copy.deepcopy(cluster)
                changed["metadata"]["finalizers"] = [*held, names.REDIS_FINALIZER]
                as_go_writes(changed["spec"])
                self._objects.update("rayclusters", changed)
                return Outcome(SOON)
            if going:
                return self._clean_up(cluster, now)
        if going:
            return Outcome(None)
        return self._bring_up(cluster, now)

    def _bring_up(self, cluster: Content, now: datetime) -> Outcome:
        failure: tuple[str, str] | None = None
        failed = False
        try:
            self._owned(cluster)
            self._pods(cluster)
        except Failed as error:
            failed = True
            failure = (error.reason, f"{error.reason}\n{error}") if error.reason else None
        services = self._objects.list("services", self._head_service_labels(cluster))
        pods = self._objects.list("pods", self._of(cluster))
        if not services:
            return Outcome(SOON, failed=True)  # without a head service no status is made
        old = cluster.get("status") or {}
        stamp = now.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        status = next_status(cluster, pods, services, failure=failure, failed=failed, now=stamp)
        if not is_worth_writing(old, status):
            return Outcome(None if failed else ALWAYS, failed)
        try:
            self._objects.update_status("rayclusters", {**cluster, "status": status})
        except Refused:
            return Outcome(None, failed=True)
        return Outcome(None if failed else SOON, failed)

    def _owned(self, cluster: Content) -> None:
        spec, metadata = cluster["spec"], cluster["metadata"]
        if pod_shapes.is_autoscaling(spec):
            account = pod_shapes.head_account(cluster)
            named = spec["headGroupSpec"]["template"]["spec"].get("serviceAccountName")
            if self._objects.get("serviceaccounts", account) is None:
                if named:
                    note = f"ServiceAccount {account} is not found. Please create one."
                    self._tell(
                        cluster, "Warning", "AutoscalerServiceAccountNotFound", "Validate", note
                    )
                    raise Failed(f"serviceaccount {account} not found")
                self._make(cluster, owned_objects.service_account(cluster), "service account")
            if self._objects.get("roles", names.checked_name(metadata["name"])) is None:
                self._make(cluster, owned_objects.role(cluster), "role")
            if self._objects.get("rolebindings", names.checked_name(metadata["name"])) is None:
                self._make(cluster, owned_objects.role_binding(cluster), "role binding")
        if not self._objects.list("services", self._head_service_labels(cluster)):
            self._make(cluster, owned_objects.head_service(cluster), "service")
        hosts = [int(g.get("numOfHosts") or 1) for g in spec.get("workerGroupSpecs") or []]
        if max(hosts, default=1) > 1 and not self._objects.list(
            "services", {names.HEADLESS: metadata["name"]}
        ):
            self._make(cluster, owned_objects.headless_service(cluster), "service")

    def _make(self, cluster: Content, content: Content, what: str) -> None:
        kind, name = content["kind"], content["metadata"]["name"]
        at = f"{content['metadata']['namespace']}/{name}"
        try:
            self._objects.create(f"{kind.lower()}s", content)
        except Refused as error:
            note = f"Failed to create {what} {at}, {error}"
            self._tell(cluster, "Warning", f"FailedToCreate{kind}", "Create", note)
            raise Failed(str(error)) from error
        self._tell(cluster, "Normal", f"Created{kind}", "Create", f"Created {what} {at}")

    def _pods(self, cluster: Content) -> None:
        metadata, spec = cluster["metadata"], cluster["spec"]
        at = f"{metadata['namespace']}/{metadata['name']}"
        suspended = suspension(cluster.get("status") or {})
        if suspended == SUSPENDING:
            self._delete_all(self._of(cluster))
            note = f"Deleted Pods for RayCluster {at} due to suspension"
            self._tell(cluster, "Normal", "DeletedPod", "Delete", note)
            return
        if suspended == SUSPENDED or spec.get("suspend"):
            return
        wanted = recreate_hash(spec)
        heads = self._objects.list("pods", {**self._of(cluster), names.NODE_TYPE: names.HEAD})
        recreates = (spec.get("upgradeStrategy") or {}).get("type") == "Recreate"
        if recreates and heads and self._is_outdated(heads[0], wanted):
            self._delete_all(self._of(cluster))
            for key in [key for key in self._ending if key[0] == metadata["name"]]:
                del self._ending[key]
            note = f"Deleted all Pods for RayCluster {at} due to spec change with Recreate upgradeStrategy"
            self._tell(cluster, "Normal", "DeletedPod", "Delete", note)
            return
        self._head(cluster, heads, wanted)
        for group in spec.get("workerGroupSpecs") or []:
            if self._is_settled(cluster, group["groupName"]):
                self._group(cluster, group)

    def _is_outdated(self, head: Mapping[str, Any], wanted: str) -> bool:
        actual = (head["metadata"].get("annotations") or {}).get(names.HASH)
        return bool(actual) and actual != wanted

    def _head(self, cluster: Content, heads: Sequence[Content], wanted: str) -> None:
        if not self._is_settled(cluster, names.HEAD_GROUP):
            return
        if len(heads) > 1:
            raise Failed(f"{len(heads)} head pods found")
        if heads:
            if should_delete(heads[0]):
                self._end(cluster, names.HEAD_GROUP, heads[0], "DeletedHeadPod", "head")
                raise Failed("the head has ended")
            return
        pod = pod_shapes.head_pod(cluster)
        pod["metadata"]["annotations"] |= {names.HASH: wanted, names.VERSION: names.KUBERAY}
        at = pod["metadata"]["namespace"]
        try:
            made = self._objects.create("pods", pod)
        except Refused as error:
            note = f"Failed to create head Pod {at}/, {error}"
            self._tell(cluster, "Warning", "FailedToCreateHeadPod", "Create", note)
            raise Failed(str(error), "FailedCreateHeadPod") from error
        note = f"Created head Pod {at}/{made['metadata']['name']}"
        self._tell(cluster, "Normal", "CreatedHeadPod", "Create", note)

    def _group(self, cluster: Content, group: Mapping[str, Any]) -> None:
        name, metadata = group["groupName"], cluster["metadata"]
        selector = {**self._of(cluster), names.GROUP: name}
        if group.get("suspend"):
            self._delete_all(selector)
            note = (
                f"Deleted all pods for suspended worker group {name} in RayCluster "
                f"{metadata['namespace']}/{metadata['name']}"
            )
            self._tell(cluster, "Normal", "DeletedWorkerPod", "Delete", note)
            return
        pods = self._objects.list("pods", selector)
        if int(group.get("numOfHosts") or 1) > 1:
            self._replicas(cluster, group, pods)
            return
        ended = [pod for pod in pods if should_delete(pod)]
        for pod in ended:
            self._end(cluster, name, pod, "DeletedWorkerPod", "worker")
        if ended:
            raise Failed(f"{len(ended)} workers have ended")
        gone = set()
        for worker in (group.get("scaleStrategy") or {}).get("workersToDelete") or []:
            try:
                self._objects.delete("pods", worker)
            except Refused:
                continue
            gone.add(worker)
            self._note_ending(cluster, name, worker)
            note = f"Deleted pod {metadata['namespace']}/{worker}"
            self._tell(cluster, "Normal", "DeletedWorkerPod", "Delete", note)
        running = [pod for pod in pods if pod["metadata"]["name"] not in gone]
        missing = desired_replicas(group) - len(running)
        used = {int(label(pod, names.REPLICA_INDEX) or -1) for pod in running}
        for _ in range(missing):
            index = next(i for i in range(len(used) + 1) if i not in used)
            used.add(index)
            self._make_worker(cluster, group, replica=index)
        # With an autoscaler it alone says which workers go.
        if missing < 0 and not pod_shapes.is_autoscaling(cluster["spec"]):
            for pod in running[:-missing]:
                worker = pod["metadata"]["name"]
                self._objects.delete("pods", worker)
                self._note_ending(cluster, name, worker)
                note = f"Deleted Pod {metadata['namespace']}/{worker}"
                self._tell(cluster, "Normal", "DeletedWorkerPod", "Delete", note)

    def _replicas(
        self, cluster: Content, group: Mapping[str, Any], pods: Sequence[Content]
    ) -> None:
        """Replicas of several hosts live and die as a whole."""
        name, hosts = group["groupName"], int(group["numOfHosts"])
        replicas: dict[str, list[Content]] = {}
        for pod in pods:
            if replica := label(pod, names.REPLICA_NAME):
                replicas.setdefault(replica, []).append(pod)
        for members in replicas.values():
            if len(members) < hosts:
                self._end_replica(cluster, name, members, "cleanup of incomplete multi-host group")
                raise Failed("an incomplete replica was ended")
        for replica, members in list(replicas.items()):
            if any(map(should_delete, members)):
                self._end_replica(cluster, name, members, "a host has ended")
                del replicas[replica]
        doomed = set((group.get("scaleStrategy") or {}).get("workersToDelete") or [])
        for members in replicas.values():
            if doomed & {pod["metadata"]["name"] for pod in members}:
                self._end_replica(cluster, name, members, "autoscaler scale-down request")
                raise Failed("replicas were deleted")
        missing = desired_replicas(group) // hosts - len(replicas)
        used = {int(label(members[0], names.REPLICA_INDEX) or -1) for members in replicas.values()}
        for _ in range(missing):
            index = next(i for i in range(len(used) + 1) if i not in used)
            used.add(index)
            own = f"{name}-{secrets.token_hex(3)[:5]}"
            for host in range(hosts):
                self._make_worker(cluster, group, replica=index, replica_name=own, host=host)
        if missing < 0 and not pod_shapes.is_autoscaling(cluster["spec"]):
            for members in list(replicas.values())[:-missing]:
                self._end_replica(cluster, name, members, "scaling down")

    def _make_worker(self, cluster: Content, group: Mapping[str, Any], **which: Any) -> None:
        metadata = cluster["metadata"]
        at = f"{metadata['namespace']}/{metadata['name']}"
        try:
            made = self._objects.create("pods", pod_shapes.worker_pod(cluster, group, **which))
        except Refused as error:
            note = f"Failed to create worker Pod for the cluster {at}, {error}"
            self._tell(cluster, "Warning", "FailedToCreateWorkerPod", "Create", note)
            raise Failed(str(error), "FailedCreateWorkerPod") from error
        note = f"Created worker Pod {metadata['namespace']}/{made['metadata']['name']}"
        self._tell(cluster, "Normal", "CreatedWorkerPod", "Create", note)

    def _end(self, cluster: Content, group: str, pod: Content, reason: str, what: str) -> None:
        name, status = pod["metadata"]["name"], pod.get("status") or {}
        said = (
            f"{what} Pod {pod['metadata']['namespace']}/{name}; Pod status: {status.get('phase')}; "
            f"Pod restart policy: {pod['spec'].get('restartPolicy', '')}; "
            f"Ray container terminated status: {as_go(terminated(pod))}"
        )
        try:
            self._objects.delete("pods", name)
        except Refused as error:
            failed = f"FailedToDelete{what.capitalize()}Pod"
            self._tell(cluster, "Warning", failed, "Delete", f"Failed deleting {said}, {error}")
            raise Failed(str(error), f"FailedDelete{what.capitalize()}Pod") from error
        self._note_ending(cluster, group, name)
        self._tell(cluster, "Normal", reason, "Delete", f"Deleted {said}")

    def _end_replica(
        self, cluster: Content, group: str, members: Sequence[Content], why: str
    ) -> None:
        for pod in members:
            name = pod["metadata"]["name"]
            try:
                self._objects.delete("pods", name)
            except Refused:
                continue
            self._note_ending(cluster, group, name)
            at = f"{pod['metadata']['namespace']}/{name}"
            note = f"Deleted worker Pod {at} for group {group}: {why}"
            self._tell(cluster, "Normal", "DeletedWorkerPod", "Delete", note)

    def _clean_up(self, cluster: Content, now: datetime) -> Outcome:
        """The end of a RayCluster with fault tolerance: pods, then Redis, then the finalizer."""
        metadata = cluster["metadata"]
        if names.REDIS_FINALIZER not in (metadata.get("finalizers") or []):
            return Outcome(None)
        heads = {**self._of(cluster), names.NODE_TYPE: names.HEAD}
        there = self._objects.list("pods", heads)
        self._delete_all(heads)
        self._delete_all({**self._of(cluster), names.NODE_TYPE: names.WORKER})
        if there:
            return Outcome(HEAD_ENDS)
        jobs = self._objects.list(
            "jobs", {**self._of(cluster), names.NODE_TYPE: names.REDIS_CLEANUP}
        )
        since = datetime.fromisoformat(metadata["deletionTimestamp"])
        given = (metadata.get("annotations") or {}).get(CLEANUP_ANNOTATION, "")
        patience = int(given) if given.isdigit() and int(given) > 0 else CLEANUP_SECONDS
        if (now - since).total_seconds() >= patience:
            self._release(cluster)
            note = "Force-removed GCS FT finalizer due to Redis cleanup timeout"
            self._tell(cluster, "Warning", "ForceDeletedStuckCluster", "Cleanup", note)
            return Outcome(None)
        if jobs:
            finished = any(
                condition["type"] in ("Complete", "Failed") and condition["status"] == "True"
                for condition in (jobs[0].get("status") or {}).get("conditions") or []
            )
            if finished:
                self._release(cluster)
                return Outcome(None)
            return Outcome(SOON)
        job = pod_shapes.redis_cleanup_job(cluster)
        at = f"{metadata['namespace']}/{job['metadata']['name']}"
        try:
            self._objects.create("jobs", job)
        except Refused as error:
            note = f"Failed to create Redis cleanup Job {at}, {error}"
            self._tell(cluster, "Warning", "FailedToCreateRedisCleanupJob", "Create", note)
            return Outcome(None, failed=True)
        self._tell(
            cluster, "Normal", "CreatedRedisCleanupJob", "Create", f"Created Redis cleanup Job {at}"
        )
        return Outcome(SOON)

    def _release(self, cluster: Content) -> None:
        changed = copy.deepcopy(cluster)
        changed["metadata"]["finalizers"] = [
            held for held in changed["metadata"]["finalizers"] if held != names.REDIS_FINALIZER
        ]
        self._objects.update("rayclusters", changed)

    def _delete_all(self, labels: Mapping[str, str]) -> None:
        for pod in self._objects.list("pods", labels):
            if "deletionTimestamp" not in pod["metadata"]:
                self._objects.delete("pods", pod["metadata"]["name"])

    def _note_ending(self, cluster: Content, group: str, pod: str) -> None:
        self._ending.setdefault((cluster["metadata"]["name"], group), set()).add(pod)

    def _is_settled(self, cluster: Content, group: str) -> bool:
        pods = self._ending.get((cluster["metadata"]["name"], group), set())
        pods -= {pod for pod in pods if self._objects.get("pods", pod) is None}
        return not pods

    def _of(self, cluster: Content) -> dict[str, str]:
        return {names.CLUSTER: cluster["metadata"]["name"]}

    def _head_service_labels(self, cluster: Content) -> dict[str, str]:
        identifier = names.checked_label(f"{cluster['metadata']['name']}-head")
        return {**self._of(cluster), names.NODE_TYPE: names.HEAD, names.IDENTIFIER: identifier}

    def _tell(self, cluster: Content, kind: str, reason: str, action: str, note: str) -> None:
        self._objects.tell(cluster, kind, reason, action, note)
