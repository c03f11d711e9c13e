"""Keeps one RayCluster: what its object asks for becomes processes, what stands becomes its status.

Each step looks at everything anew and remembers nothing that matters, so that a killed stand-in goes
on where it was: the nodes are found by their service's record, the pods by their labels.
"""

import base64
import importlib.metadata
import logging
import threading
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from ray_platform.kubernetes.api_client import (
    EVENTS,
    PODS,
    RAY_CLUSTERS,
    SECRETS,
    SERVICES,
    KubernetesApi,
)
from ray_platform.ray.cluster_client import RayNode, describe_cluster, is_ready
from ray_platform.ray.spec import HEAD_GROUP
from ray_platform.text.errors import KubernetesError, LocalServiceError, RayError
from ray_platform_sandbox.kuberay import manifests
from ray_platform_sandbox.kuberay.manifests import PodState
from ray_platform_sandbox.kuberay.status import Seen, ray_cluster_status
from ray_platform_sandbox.kuberay.wanted import (
    Wanted,
    image_problem,
    read_ray_cluster,
)
from ray_platform_sandbox.kubernetes.store import now
from ray_platform_sandbox.ray.nodes import (
    Place,
    Shape,
    ensure_nodes,
    find_nodes,
    kill_node,
    recorded,
    stop_nodes,
)

STEP_SECONDS = 1.0
#: How long after a failed start the next one is tried.
RETRY_SECONDS = 10.0
START_SECONDS = 180.0
#: Who writes `replicas`: the name of the HTTP library of Ray's own autoscaler.
AUTOSCALER = "python-requests"


def frame_of(wanted: Wanted) -> str:
    """What a place's record says of its cluster: whose it is, and what its pods are made of."""
    return f"{wanted.key} {wanted.uid} {wanted.hash}"


class Keeper(threading.Thread):
    """One RayCluster's thread; it ends when the object is gone and its processes with it.

    Args:
        key: Namespace and name.
        at: Where its processes live.
        api: The Kubernetes API, as the operator.
        logs: Where the API looks for ``NAMESPACE/POD.log``.
        head_log: The file that the head's service writes.
        ended: Called when the thread is about to end.
    """

    def __init__(
        self,
        key: tuple[str, str],
        at: Place,
        api: KubernetesApi,
        logs: Path,
        head_log: Path,
        *,
        ended: Callable[[], None],
    ) -> None:
        super().__init__(name="/".join(key), daemon=True)
        self.namespace, self.cluster = key
        self.at = at
        self._api = api
        self._logs = logs
        self._head_log = head_log
        self._ended = ended
        self._changed = threading.Event()
        self._latest: Mapping[str, Any] | None = None
        self._retry_at = 0.0
        self._told: tuple[str, str] | None = None
        #: What the autoscaler was told last; None: not known since this process started.
        self._given: Shape | None = None

    def hear(self, content: Mapping[str, Any] | None) -> None:
        """The object as it is now; None: it is gone."""
        self._latest = content
        self._changed.set()

    def run(self) -> None:
        is_over = False
        while not is_over:
            self._changed.wait(STEP_SECONDS)
            self._changed.clear()
            try:
                is_over = self.step()
            except KubernetesError as error:
                # Somebody else wrote in between, or the API is away: the next step sees it anew.
                logging.info("%s: %s", self.name, error.what)
            except (LocalServiceError, RayError) as error:
                logging.warning("%s: %s", self.name, error.what)
            except Exception:
                # One object that is not understood must not end the others' keeper with it.
                logging.exception("%s: unexpected", self.name)
                time.sleep(STEP_SECONDS)
        self._ended()

    def step(self) -> bool:
        """Bring what stands one step nearer to what is asked for; True: the object is gone."""
        content = self._api.get(RAY_CLUSTERS, self.cluster, self.namespace)
        pods = self._pods()
        if content is None or content["metadata"].get("deletionTimestamp"):
            stop_nodes(self.at)
            self._take_away(pods)
            logging.info("%s is gone", self.name)
            return content is None
        self._latest = content
        wanted = read_ray_cluster(content)
        problem = self._problem(wanted)
        head = next(
            (p for p in pods if p["metadata"]["labels"][manifests.TYPE_LABEL] == "head"), None
        )
        frame = self._frame(wanted)
        must_stop = (
            wanted.suspended
            or (problem is not None and find_nodes(self.at) is None)
            or (head is not None and "deletionTimestamp" in head["metadata"])
            or (find_nodes(self.at) is not None and recorded(self.at).get("frame") != frame)
            or (head is not None and find_nodes(self.at) is None and _was_running(head))
        )
        if must_stop and (pods or find_nodes(self.at)) and not _only_waits(pods, problem):
            stop_nodes(self.at)
            self._take_away(pods)
            self._tell(wanted, "DeletedPods", f"ended {len(pods)} pods of {wanted.name}")
            pods, head = [], None
        nodes: tuple[RayNode, ...] = ()
        if find_nodes(self.at) is not None:
            # What runs is not replaced, so what new pods would lack does not touch it.
            problem = None
        if wanted.suspended:
            head = None
        elif problem:
            head = self._held_head(wanted, head, problem)
        else:
            head = self._run_head(wanted, head, frame)
            if find_nodes(self.at) is not None:
                nodes = describe_cluster(self._address, self.at.folder / "token").nodes
        workers = [node for node in nodes if node.is_up and node.group != HEAD_GROUP]
        if head is not None and not problem:
            self._match_pods(wanted, workers, pods)
        self._write(wanted, content, head, workers, problem)
        return False

    @property
    def _address(self) -> str:
        return f"http://{manifests.LOOPBACK}:{self.at.dashboard_port}"

    def _frame(self, wanted: Wanted) -> str:
        """What runs stays until its pods are to be replaced; another object is another cluster."""
        running = recorded(self.at).get("frame", "")
        same_object = running.split(" ")[:2] == [wanted.key, wanted.uid]
        if find_nodes(self.at) is None or not same_object or wanted.recreates:
            return frame_of(wanted)
        return running

    def _problem(self, wanted: Wanted) -> tuple[str, str] | None:
        """Reason and message when pods of the object cannot run here."""
        installed = importlib.metadata.version("ray")
        if missing := image_problem(wanted.image, wanted.ray_version, installed):
            return "ImagePullBackOff", missing
        if wanted.token_secret and not self._token(wanted):
            name, key = wanted.token_secret
            return (
                "CreateContainerConfigError",
                f'secret "{name}" with the key "{key}" not found in namespace {wanted.namespace}',
            )
        return None

    def _token(self, wanted: Wanted) -> str:
        if wanted.token_secret is None:
            return ""
        name, key = wanted.token_secret
        secret = self._api.get(SECRETS, name, wanted.namespace) or {}
        return base64.b64decode((secret.get("data") or {}).get(key, "")).decode()

    def _held_head(
        self, wanted: Wanted, head: dict[str, Any] | None, problem: tuple[str, str]
    ) -> dict[str, Any]:
        """The head's pod of a cluster that cannot run: it waits, and says why."""
        if self._told != problem:
            self._told = problem
            self._tell(wanted, "FailedToStartHeadPod", ": ".join(problem), kind="Warning")
        head = head or self._make_pod(wanted)
        self._set(head, PodState("Pending", waiting=problem[0], message=problem[1]))
        return head

    def _run_head(self, wanted: Wanted, head: dict[str, Any] | None, frame: str) -> dict[str, Any]:
        """The pod of a head that answers; started where there is none."""
        shape = Shape(wanted.groups, wanted.idle_timeout_seconds, frame)
        is_new = find_nodes(self.at) is None
        if not is_new and head is not None and _was_running(head) and self._given == shape:
            return head
        if head is None:
            head = self._make_pod(wanted)
            self._link_log(head["metadata"]["name"])
            self._tell(wanted, "CreatedHeadPod", f"created head pod {head['metadata']['name']}")
        if is_new:
            if time.monotonic() < self._retry_at:
                return head
            self._set(head, manifests.STARTING)
            service = manifests.head_service(wanted, self._ports())
            self._api.apply(SERVICES, service)
            self._write(wanted, self._latest or {}, head, [], None)
        try:
            ensure_nodes(
                self.at,
                shape,
                ready=self._ready_or_unwanted(wanted),
                timeout_seconds=START_SECONDS,
                token=self._token(wanted),
            )
        except LocalServiceError as error:
            self._retry_at = time.monotonic() + RETRY_SECONDS
            message = error.what.splitlines()[0]
            self._tell(wanted, "FailedToStartHeadPod", message, kind="Warning")
            self._set(head, PodState("Pending", waiting="CrashLoopBackOff", message=message))
            raise
        self._set(head, manifests.RUNNING)
        self._told, self._given = None, shape
        return head

    def _ready_or_unwanted(self, wanted: Wanted) -> Callable[[], bool]:
        def ready() -> bool:
            latest = self._latest
            if latest is None or latest["metadata"]["uid"] != wanted.uid:
                return True
            if latest["spec"].get("suspend"):
                return True
            return is_ready(self._address, self.at.folder / "token")

        return ready

    def _match_pods(
        self, wanted: Wanted, workers: list[RayNode], there: list[dict[str, Any]]
    ) -> None:
        """A pod for each worker that is up, and none for any other; a deleted pod ends its worker."""
        pods = {
            pod["metadata"]["annotations"][manifests.NODE_ID]: pod
            for pod in there
            if manifests.NODE_ID in pod["metadata"].get("annotations", {})
        }
        up = {node.node_id: node for node in workers}
        for node_id, pod in pods.items():
            name = pod["metadata"]["name"]
            if "deletionTimestamp" in pod["metadata"]:
                kill_node(self.at, node_id)
                self._take_away([pod])
                self._tell(
                    wanted, "DeletedWorkerPod", f"ended worker pod {name}, which was deleted"
                )
                up.pop(node_id, None)
            elif node_id not in up:
                self._take_away([pod])
                self._tell(
                    wanted, "DeletedWorkerPod", f"deleted pod {name}: its Ray node has ended"
                )
        for node_id, node in up.items():
            if node_id not in pods and node.group in wanted.pod_templates:
                made = self._make_pod(wanted, node.group, node_id, replica=len(there))
                self._set(made, manifests.RUNNING)
                name = made["metadata"]["name"]
                self._tell(wanted, "CreatedWorkerPod", f"created worker pod {name}")

    def _write(
        self,
        wanted: Wanted,
        content: Mapping[str, Any],
        head: Mapping[str, Any] | None,
        workers: list[RayNode],
        problem: tuple[str, str] | None,
    ) -> None:
        counts: dict[str, int] = {}
        for node in workers:
            counts[node.group] = counts.get(node.group, 0) + 1
        is_up = head is not None and _was_running(head) and find_nodes(self.at) is not None
        seen = Seen(
            workers=counts,
            head_pod=head["metadata"]["name"] if head is not None else "",
            head_ready=is_up,
            problem=problem if not is_up else None,
            ports=self._ports(),
        )
        if is_up and (operations := manifests.replicas_patch(content, counts)):
            self._api.patch(
                RAY_CLUSTERS,
                self.cluster,
                self.namespace,
                operations,
                how="json",
                manager=AUTOSCALER,
            )
        old = dict(content.get("status") or {})
        status = ray_cluster_status(wanted, seen, old, counts)
        if status != {key: value for key, value in old.items() if key != "lastUpdateTime"}:
            gone = {key: None for key in old if key not in status}
            stamped = {**gone, **status, "lastUpdateTime": now()}
            self._api.patch(
                RAY_CLUSTERS,
                self.cluster,
                self.namespace,
                {"status": stamped},
                subresource="status",
            )

    def _ports(self) -> dict[str, int]:
        return {"dashboard": self.at.dashboard_port, "gcs-server": self.at.gcs_port}

    def _pods(self) -> list[dict[str, Any]]:
        selector = f"{manifests.CLUSTER_LABEL}={self.cluster}"
        found: list[dict[str, Any]] = self._api.list(PODS, self.namespace, labelSelector=selector)[
            "items"
        ]
        return found

    def _make_pod(
        self, wanted: Wanted, group: str = "", node_id: str = "", *, replica: int = 0
    ) -> dict[str, Any]:
        ports = {
            manifests.DASHBOARD_PORT: self.at.dashboard_port,
            manifests.GCS_PORT: self.at.gcs_port,
        }
        content = manifests.pod(wanted, group, node_id, {} if group else ports, replica=replica)
        made: dict[str, Any] = self._api.create(PODS, content, self.namespace)
        return made

    def _set(self, pod: dict[str, Any], state: PodState) -> None:
        status = manifests.pod_status(pod, state)
        if status != pod.get("status"):
            name = pod["metadata"]["name"]
            self._api.patch(PODS, name, self.namespace, {"status": status}, subresource="status")
            pod["status"] = status

    def _take_away(self, pods: list[dict[str, Any]]) -> None:
        for pod in pods:
            name = pod["metadata"]["name"]
            self._api.delete(PODS, name, self.namespace)
            if self._api.get(PODS, name, self.namespace) is not None:
                free = {"metadata": {"finalizers": None}}
                self._api.patch(PODS, name, self.namespace, free)
            (self._logs / self.namespace / f"{name}.log").unlink(missing_ok=True)

    def _link_log(self, pod: str) -> None:
        link = self._logs / self.namespace / f"{pod}.log"
        link.parent.mkdir(parents=True, exist_ok=True)
        link.unlink(missing_ok=True)
        link.symlink_to(self._head_log)

    def _tell(self, wanted: Wanted, reason: str, message: str, *, kind: str = "Normal") -> None:
        logging.info("%s: %s: %s", self.name, reason, message)
        self._api.create(
            EVENTS, manifests.event(wanted, reason, message, kind=kind), self.namespace
        )


def _was_running(pod: Mapping[str, Any]) -> bool:
    return (pod.get("status") or {}).get("phase") == "Running"


def _only_waits(pods: list[dict[str, Any]], problem: tuple[str, str] | None) -> bool:
    """Whether all that is left is a head's pod that waits because of a problem that lasts."""
    return (
        bool(problem)
        and len(pods) == 1
        and not (_was_running(pods[0]) or "deletionTimestamp" in pods[0]["metadata"])
    )
