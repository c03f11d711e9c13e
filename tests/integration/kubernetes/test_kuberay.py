"""The stand-in for KubeRay's operator: RayCluster objects and the real Ray nodes that they become."""

import os
import signal
import threading
import time
import uuid
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import dagster as dg
import pytest
import yaml
from ray_platform_sandbox.kuberay.service import (
    ensure_kuberay,
    find_kuberay,
    stop_kuberay,
)
from ray_platform_sandbox.kubernetes.service import kubernetes_access, stop_kubernetes
from ray_platform_sandbox.ray.nodes import MOST_CLUSTERS, Place, find_nodes, place, stop_ray
from ray_platform_sandbox.services import processes

from ray_platform.config.settings import Settings
from ray_platform.kubernetes.api_client import (
    EVENTS,
    NAMESPACES,
    PODS,
    RAY_CLUSTERS,
    RAY_JOBS,
    SECRETS,
    SERVICES,
    KubernetesApi,
)
from ray_platform.ray.cluster_client import describe_cluster, get_json
from ray_platform.ray.jobs_client import RayJobs
from ray_platform.ray.pipes_client import FAILURES, pipes_client, why
from ray_platform.text.errors import KubernetesError
from tests.integration.conftest import make_settings

pytestmark = [pytest.mark.real, pytest.mark.timeout(240), pytest.mark.xdist_group("ray")]

NAMESPACE, NAME = "team", "small"
TOKEN = uuid.uuid4().hex * 2
IMAGE = "rayproject/ray:2.60.0-py311"
SAMPLE = Path(__file__).resolve().parents[3] / "kubernetes" / "base" / "rayjob"


@pytest.fixture(scope="module")
def settings(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Settings]:
    settings = make_settings(tmp_path_factory.mktemp("kuberay"))
    yield settings
    stop_kuberay(settings)
    stop_ray(settings)
    stop_kubernetes(settings)


@pytest.fixture
def api(settings: Settings) -> KubernetesApi:
    ensure_kuberay(settings)
    api = KubernetesApi(kubernetes_access(settings), "test")
    if api.get(NAMESPACES, NAMESPACE) is None:
        api.create(NAMESPACES, {"metadata": {"name": NAMESPACE}})
        secret = {"metadata": {"name": "ray-token"}, "stringData": {"auth_token": TOKEN}}
        api.create(SECRETS, secret, NAMESPACE)
    return api


@pytest.fixture
def ready(api: KubernetesApi) -> dict[str, Any]:
    """The cluster of `ray_cluster()`, ready."""
    api.apply(RAY_CLUSTERS, ray_cluster())
    return wait(api, lambda status: status.get("state") == "ready")


def ray_cluster(
    image: str = IMAGE, name: str = NAME, least: int = 1, **spec: Any
) -> dict[str, Any]:
    token = {"name": "RAY_AUTH_TOKEN", "valueFrom": {"secretKeyRef": {"name": "ray-token"}}}
    token["valueFrom"]["secretKeyRef"]["key"] = "auth_token"  # type: ignore[index]
    limits = {"cpu": "1500m", "memory": "2Gi"}
    container = {"name": "ray", "image": image, "env": [token], "resources": {"limits": limits}}
    pod = {"spec": {"containers": [container]}}
    return {
        "apiVersion": "ray.io/v1",
        "kind": "RayCluster",
        "metadata": {"name": name, "namespace": NAMESPACE},
        "spec": {
            "rayVersion": "2.60.0",
            "enableInTreeAutoscaling": True,
            "autoscalerOptions": {"idleTimeoutSeconds": 6},
            "upgradeStrategy": {"type": "Recreate"},
            "headGroupSpec": {"template": pod},
            "workerGroupSpecs": [
                {"groupName": "cpu", "minReplicas": least, "maxReplicas": 3, "template": pod}
            ],
            "suspend": False,
            **spec,
        },
    }


def until(found: Callable[[], Any], seconds: float = 90) -> Any:
    """What it finds, once it finds something."""
    deadline = time.monotonic() + seconds
    while not (value := found()):
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.2)
    return value


def wait(
    api: KubernetesApi, of_status: Callable[[Mapping[str, Any]], bool], name: str = NAME
) -> dict[str, Any]:
    """The RayCluster, once its status is of its generation and as asked."""

    def seen() -> dict[str, Any] | None:
        content = api.get(RAY_CLUSTERS, name, NAMESPACE) or {}
        status = content.get("status") or {}
        fresh = status.get("observedGeneration") == content["metadata"]["generation"]
        return content if fresh and of_status(status) else None

    found: dict[str, Any] = until(seen)
    return found


def pods(api: KubernetesApi, kind: str) -> dict[str, dict[str, Any]]:
    listed = api.list(
        PODS, NAMESPACE, labelSelector=f"ray.io/cluster={NAME},ray.io/node-type={kind}"
    )
    return {pod["metadata"]["name"]: pod for pod in listed["items"]}


def jobs_of(settings: Settings, content: Mapping[str, Any]) -> RayJobs:
    status = content["status"]
    address = f"http://{status['head']['serviceIP']}:{status['endpoints']['dashboard']}"
    return RayJobs(address, where(settings).folder / "token")


def where(settings: Settings) -> Place:
    """The place that the standing cluster has; whatever it had before, where it has none."""
    places = [place(settings, number) for number in range(MOST_CLUSTERS)]
    return next((at for at in places if is_for(at, NAME)), places[0])


def head_pid(settings: Settings) -> int:
    service = processes.find(settings.home, where(settings).name)
    assert service is not None
    return service.pid


def test_an_object_becomes_a_cluster_with_pods_a_service_and_a_status(
    settings: Settings, api: KubernetesApi, ready: dict[str, Any]
) -> None:
    status = ready["status"]
    assert (status["desiredCPU"], status["desiredMemory"]) == ("3", "4Gi")
    conditions = {c["type"]: c["status"] for c in status["conditions"]}
    assert conditions["HeadPodReady"] == conditions["RayClusterProvisioned"] == "True"
    (head,) = pods(api, "head").values()
    assert status["head"]["podName"] == head["metadata"]["name"]
    assert head["status"]["phase"] == "Running"
    (worker,) = pods(api, "worker").values()
    assert worker["metadata"]["ownerReferences"][0]["uid"] == ready["metadata"]["uid"]
    assert api.get(SERVICES, status["head"]["serviceName"], NAMESPACE)
    assert "the head runs" in api.log(head["metadata"]["name"], NAMESPACE)
    # The token is the secret's, and it is asked for.
    assert where(settings).folder.joinpath("token").read_text() == TOKEN
    assert jobs_of(settings, ready).running() == ()
    reasons = {event["reason"] for event in api.list(EVENTS, NAMESPACE)["items"]}
    assert {"CreatedHeadPod", "CreatedWorkerPod"} <= reasons


def test_a_deleted_worker_pod_ends_its_node_and_another_takes_its_place(
    settings: Settings, api: KubernetesApi, ready: dict[str, Any]
) -> None:
    (name,) = pods(api, "worker")
    before = head_pid(settings)
    api.delete(PODS, name, NAMESPACE)
    until(lambda: pods(api, "worker") and name not in pods(api, "worker"))
    (other,) = pods(api, "worker").values()
    cluster = find_nodes(where(settings))
    assert cluster is not None
    nodes = describe_cluster(cluster.address, cluster.token_path).nodes
    up = {node.node_id for node in nodes if node.is_up and node.group == "cpu"}
    assert up == {other["metadata"]["annotations"]["ray-platform.local/ray-node-id"]}
    assert head_pid(settings) == before


def test_the_stand_in_killed_in_the_middle_of_a_job_neither_loses_nor_doubles_the_cluster(
    settings: Settings, api: KubernetesApi, ready: dict[str, Any]
) -> None:
    jobs = jobs_of(settings, ready)
    job = jobs.submit(["sleep", "3"], submission_id=uuid.uuid4().hex)
    before, stand_in = head_pid(settings), find_kuberay(settings)
    names = set(pods(api, "head")) | set(pods(api, "worker"))
    assert stand_in is not None
    os.kill(stand_in.pid, signal.SIGKILL)
    until(lambda: find_kuberay(settings) is None)
    patch = [{"op": "replace", "path": "/spec/workerGroupSpecs/0/maxReplicas", "value": 4}]
    api.patch(RAY_CLUSTERS, NAME, NAMESPACE, patch, how="json")
    ensure_kuberay(settings)
    wait(api, lambda status: status.get("maxWorkerReplicas") == 4)
    jobs.wait(job, timeout_seconds=30)
    assert head_pid(settings) == before
    assert names == set(pods(api, "head")) | set(pods(api, "worker"))


def test_new_bounds_reach_the_running_autoscaler_which_owns_the_replicas(
    settings: Settings, api: KubernetesApi, ready: dict[str, Any]
) -> None:
    before = head_pid(settings)
    api.apply(RAY_CLUSTERS, ray_cluster(least=2))
    content = wait(api, lambda status: status.get("availableWorkerReplicas") == 2)
    assert content["spec"]["workerGroupSpecs"][0]["replicas"] == 2
    assert len(until(lambda: pods(api, "worker"))) == 2
    assert head_pid(settings) == before
    (theirs,) = [
        entry["fieldsV1"]
        for entry in content["metadata"]["managedFields"]
        if entry["manager"] == "python-requests"
    ]
    assert theirs == {"f:spec": {"f:workerGroupSpecs": {}}}
    # What the autoscaler owns, nobody else's apply overwrites by chance.
    with pytest.raises(KubernetesError, match=r'conflicts? with "python-requests"'):
        api.apply(RAY_CLUSTERS, ray_cluster(least=1), force=False)


def test_a_deleted_head_pod_starts_the_head_afresh(
    settings: Settings, api: KubernetesApi, ready: dict[str, Any]
) -> None:
    before, (name,) = head_pid(settings), pods(api, "head")
    api.delete(PODS, name, NAMESPACE)
    until(lambda: pods(api, "head") and name not in pods(api, "head"))
    content = wait(api, lambda status: status.get("state") == "ready" and bool(pods(api, "worker")))
    (other,) = pods(api, "head")
    assert content["status"]["head"]["podName"] == other != name
    assert head_pid(settings) != before


def ray_job(name: str, entrypoint: str, **spec: Any) -> dict[str, Any]:
    """A RayJob on the standing cluster."""
    chosen = {"entrypoint": entrypoint, "clusterSelector": {"ray.io/cluster": NAME}, **spec}
    metadata = {"name": name, "namespace": NAMESPACE}
    return {"apiVersion": "ray.io/v1", "kind": "RayJob", "metadata": metadata, "spec": chosen}


def job_status(
    api: KubernetesApi, name: str, *phases: str, namespace: str = NAMESPACE
) -> dict[str, Any]:
    """The status of a RayJob, once its deployment status is one of the phases."""

    def seen() -> dict[str, Any] | None:
        status: dict[str, Any] = (api.get(RAY_JOBS, name, namespace) or {}).get("status") or {}
        return status if status.get("jobDeploymentStatus") in phases else None

    found: dict[str, Any] = until(seen)
    return found


def running(api: KubernetesApi, name: str) -> set[str]:
    """The id of a RayJob's job once it runs."""
    status = (api.get(RAY_JOBS, name, NAMESPACE) or {}).get("status") or {}
    return {status["jobId"]} if status.get("jobStatus") == "RUNNING" else set()


def submitted(settings: Settings, content: Mapping[str, Any]) -> list[str]:
    """The ids of all jobs that the cluster's head knows."""
    status = content["status"]
    address = f"http://{status['head']['serviceIP']}:{status['endpoints']['dashboard']}"
    jobs = get_json(address, "/api/jobs/", where(settings).folder / "token")
    return [job["submission_id"] for job in jobs if job["submission_id"]]


def test_a_ray_job_runs_once_on_the_standing_cluster_though_the_stand_in_is_killed(
    settings: Settings, api: KubernetesApi, ready: dict[str, Any]
) -> None:
    line = "sh -c 'echo $WHO; sleep 2'"
    api.apply(RAY_JOBS, ray_job("once", line, runtimeEnvYAML="env_vars: {WHO: a newcomer}"))
    status = job_status(api, "once", "Running")
    stand_in = find_kuberay(settings)
    assert stand_in is not None
    os.kill(stand_in.pid, signal.SIGKILL)
    until(lambda: find_kuberay(settings) is None)
    ensure_kuberay(settings)
    done = job_status(api, "once", "Complete", "Failed")
    assert (done["jobStatus"], done["succeeded"]) == ("SUCCEEDED", 1)
    assert done["jobId"] == status["jobId"]
    assert submitted(settings, ready).count(done["jobId"]) == 1
    assert "a newcomer" in jobs_of(settings, ready).logs(done["jobId"])


def test_a_ray_job_that_fails_is_tried_again_one_past_its_deadline_not_and_a_deleted_one_is_stopped(
    settings: Settings, api: KubernetesApi, ready: dict[str, Any]
) -> None:
    api.apply(RAY_JOBS, ray_job("long", "sleep 300"))
    api.apply(RAY_JOBS, ray_job("twice", "false", backoffLimit=1))
    api.apply(RAY_JOBS, ray_job("late", "sleep 300", backoffLimit=1, activeDeadlineSeconds=1))
    api.apply(RAY_JOBS, ray_job("wrong", "true", ttlSecondsAfterFinished=5))
    assert "ttlSecondsAfterFinished" in job_status(api, "wrong", "ValidationFailed")["message"]
    late = job_status(api, "late", "Failed")
    assert (late["reason"], late["failed"]) == ("DeadlineExceeded", 1)
    twice = job_status(api, "twice", "Failed")
    assert (twice["reason"], twice["failed"]) == ("AppFailed", 2)
    assert len([job for job in submitted(settings, ready) if job.startswith("twice-")]) == 2
    long = until(lambda: running(api, "long"))
    api.delete(RAY_JOBS, "long", NAMESPACE)
    jobs = jobs_of(settings, ready)
    until(lambda: jobs.status(*long) == "STOPPED")
    until(lambda: api.get(RAY_JOBS, "long", NAMESPACE) is None)


def test_a_head_killed_in_the_middle_ends_a_burst_in_one_clear_failure_and_a_ray_job_begins_anew(
    settings: Settings, api: KubernetesApi, ready: dict[str, Any]
) -> None:
    status = ready["status"]
    address = f"http://{status['head']['serviceIP']}:{status['endpoints']['dashboard']}"
    api.apply(RAY_JOBS, ray_job("anew", "sleep 4"))
    raised: list[BaseException] = []

    @dg.asset
    def burst(context: dg.AssetExecutionContext) -> None:
        try:
            pipes_client(address, where(settings).folder / "token").run(
                context=context,
                submit_job_params={"entrypoint": "sleep 300", "submission_id": "burst-lost"},
            )
        except FAILURES as error:
            raised.append(error)
            raise

    run = threading.Thread(target=lambda: dg.materialize([burst], raise_on_error=False))
    run.start()
    jobs = jobs_of(settings, ready)
    until(lambda: running(api, "anew") and "burst-lost" in jobs.running())
    os.kill(head_pid(settings), signal.SIGKILL)
    run.join(timeout=120)
    assert not run.is_alive()
    # A new head says that it knows nothing of it; a machine that is too slow for one, that none answers.
    assert why(raised[0]).startswith("the head ")  # type: ignore[arg-type]
    done = job_status(api, "anew", "Complete", "Failed")
    assert (done["jobStatus"], done["failed"]) == ("SUCCEEDED", 0)


def test_the_sample_ray_job_runs_on_a_cluster_of_its_own_which_goes_with_it(
    settings: Settings, api: KubernetesApi
) -> None:
    sample = yaml.safe_load((SAMPLE / "rayjob.yaml").read_text(encoding="utf-8"))
    sample["metadata"]["namespace"] = NAMESPACE
    sample["spec"]["ttlSecondsAfterFinished"] = 0
    api.apply(RAY_JOBS, sample)
    name = sample["metadata"]["name"]
    assert "rayClusterName" not in job_status(api, name, "Suspended")
    api.patch(RAY_JOBS, name, NAMESPACE, {"spec": {"suspend": False}})
    cluster = job_status(api, name, "Initializing", "Running")["rayClusterName"]
    owned = until(lambda: api.get(RAY_CLUSTERS, cluster, NAMESPACE))
    assert owned["metadata"]["ownerReferences"][0]["kind"] == "RayJob"
    done = job_status(api, name, "Complete", "Failed")
    assert (done["jobStatus"], done["message"]) == ("SUCCEEDED", "Job finished successfully.")
    until(lambda: api.get(RAY_CLUSTERS, cluster, NAMESPACE) is None)
    assert api.delete(RAY_JOBS, name, NAMESPACE)
    until(lambda: api.get(RAY_JOBS, name, NAMESPACE) is None)


def test_a_suspended_cluster_runs_nothing_and_one_whose_image_is_not_there_says_so(
    settings: Settings, api: KubernetesApi, ready: dict[str, Any]
) -> None:
    api.patch(RAY_CLUSTERS, NAME, NAMESPACE, {"spec": {"suspend": True}})
    wait(api, lambda status: status.get("state") == "suspended")
    assert find_nodes(where(settings)) is None
    assert pods(api, "head") == pods(api, "worker") == {}
    api.apply(RAY_CLUSTERS, ray_cluster("rayproject/ray:9.9.9"))
    content = wait(api, lambda status: status.get("state") == "failed")
    assert "ImagePullBackOff" in content["status"]["reason"]
    (head,) = pods(api, "head").values()
    state = head["status"]["containerStatuses"][0]["state"]
    assert state["waiting"]["reason"] == "ImagePullBackOff"
    assert "9.9.9" in state["waiting"]["message"]
    warnings = [e for e in api.list(EVENTS, NAMESPACE)["items"] if e["type"] == "Warning"]
    assert any("9.9.9" in event["message"] for event in warnings)
    assert find_nodes(where(settings)) is None
    api.delete(RAY_CLUSTERS, NAME, NAMESPACE)
    until(lambda: not pods(api, "head"))


def test_a_fourth_cluster_waits_for_room_says_so_and_gets_the_place_of_one_that_goes(
    settings: Settings, api: KubernetesApi
) -> None:
    names = ["one", "two", "three", "four"]
    api.delete(RAY_CLUSTERS, NAME, NAMESPACE)
    until(lambda: find_nodes(where(settings)) is None)
    for name in names[:3]:
        api.apply(RAY_CLUSTERS, ray_cluster(name=name, suspend=True))
        wait(api, lambda status: status.get("state") == "suspended", name)
    api.apply(RAY_CLUSTERS, ray_cluster(name="four", suspend=True))
    told = until(
        lambda: [e for e in api.list(EVENTS, NAMESPACE)["items"] if e["reason"] == "NoRoom"]
    )
    assert [event["involvedObject"]["name"] for event in told] == ["four"]
    assert not (api.get(RAY_CLUSTERS, "four", NAMESPACE) or {}).get("status")
    api.delete(RAY_CLUSTERS, "two", NAMESPACE)
    wait(api, lambda status: status.get("state") == "suspended", "four")
    for name in names:
        api.delete(RAY_CLUSTERS, name, NAMESPACE)


def test_an_object_that_goes_while_nobody_watches_has_its_processes_ended(
    settings: Settings, api: KubernetesApi
) -> None:
    api.apply(RAY_CLUSTERS, ray_cluster(name="brief"))
    at = until(
        lambda: next(
            (a for a in (place(settings, n) for n in range(3)) if is_for(a, "brief")), None
        )
    )
    until(lambda: find_nodes(at))
    stand_in = find_kuberay(settings)
    assert stand_in is not None
    os.kill(stand_in.pid, signal.SIGKILL)
    until(lambda: find_kuberay(settings) is None)
    api.delete(RAY_CLUSTERS, "brief", NAMESPACE)
    ensure_kuberay(settings)
    until(lambda: find_nodes(at) is None)


def is_for(at: Any, name: str) -> bool:
    record = at.folder / "cluster.json"
    return record.exists() and f"{NAMESPACE}/{name} " in record.read_text()
