"""What every Kubernetes API keeps to that the platform is run on.

The local one always; with `RAY_PLATFORM_TEST_CONTEXT` also the one of that kubeconfig context
(`KUBECONFIG`), where KubeRay's definitions must be installed. The workflow for kind does that.
"""

import os
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from ray_platform_sandbox.kubernetes.service import (
    ensure_kubernetes,
    kubernetes_access,
    stop_kubernetes,
)

from ray_platform.kubernetes.api_access import ClusterAccess
from ray_platform.kubernetes.api_client import (
    NAMESPACES,
    RAY_CLUSTERS,
    SECRETS,
    Collection,
    KubernetesApi,
)
from ray_platform.kubernetes.kubeconfig_client import context_access
from ray_platform.text.errors import KubernetesError
from tests.integration.conftest import make_settings
from tests.support.ray_objects import ray_cluster

pytestmark = [pytest.mark.real, pytest.mark.xdist_group("kubernetes")]

CONTEXT = os.environ.get("RAY_PLATFORM_TEST_CONTEXT", "")
#: A controller of a real cluster works beside the API.
PATIENCE_SECONDS = 30.0


@pytest.fixture(scope="module", params=["local", *([CONTEXT] if CONTEXT else [])])
def cluster(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[ClusterAccess]:
    if request.param != "local":
        paths = os.environ.get("KUBECONFIG") or str(Path.home() / ".kube" / "config")
        yield context_access([Path(path) for path in paths.split(os.pathsep)], request.param)
        return
    settings = make_settings(tmp_path_factory.mktemp("kubernetes"))
    ensure_kubernetes(settings)
    yield kubernetes_access(settings)
    stop_kubernetes(settings)


@pytest.fixture
def api(cluster: ClusterAccess) -> KubernetesApi:
    return KubernetesApi(cluster, "test")


@pytest.fixture
def namespace(api: KubernetesApi) -> Iterator[str]:
    name = f"contract-{uuid.uuid4().hex[:8]}"
    api.create(NAMESPACES, {"metadata": {"name": name}})
    yield name
    api.delete(NAMESPACES, name)


def names(api: KubernetesApi, of: Collection, namespace: str) -> set[str]:
    return {each["metadata"]["name"] for each in api.list(of, namespace)["items"]}


def wait_until(holds: Callable[[], bool]) -> None:
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not holds():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def test_an_absent_object_is_none_and_a_second_creation_a_conflict(
    api: KubernetesApi, namespace: str
) -> None:
    assert api.get(SECRETS, "s", namespace) is None
    assert api.delete(SECRETS, "s", namespace) is False
    made = api.create(SECRETS, secret("s", a="b"), namespace)
    assert made["data"] == {"a": "Yg=="}
    with pytest.raises(KubernetesError) as twice:
        api.create(SECRETS, secret("s", a="c"), namespace)
    assert (twice.value.code, twice.value.reason) == (409, "AlreadyExists")


def test_a_server_side_apply_takes_away_its_own_fields_and_names_who_owns_others(
    cluster: ClusterAccess, namespace: str
) -> None:
    first, second = KubernetesApi(cluster, "first"), KubernetesApi(cluster, "second")
    body = {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "s", "namespace": namespace}}
    first.apply(SECRETS, {**body, "data": {"a": "YQ==", "b": "Yg=="}})
    assert first.apply(SECRETS, {**body, "data": {"a": "YQ=="}})["data"] == {"a": "YQ=="}
    with pytest.raises(KubernetesError, match=r'conflict with "first".*\.data\.a') as taken:
        second.apply(SECRETS, {**body, "data": {"a": "Yw=="}}, force=False)
    assert taken.value.code == 409
    assert second.apply(SECRETS, {**body, "data": {"a": "Yw=="}})["data"] == {"a": "Yw=="}


def test_a_json_patch_whose_test_does_not_hold_changes_nothing(
    api: KubernetesApi, namespace: str
) -> None:
    api.create(SECRETS, secret("s", a="b"), namespace)
    patch = [
        {"op": "test", "path": "/data/a", "value": "Yw=="},
        {"op": "replace", "path": "/data/a", "value": "ZA=="},
    ]
    with pytest.raises(KubernetesError) as refused:
        api.patch(SECRETS, "s", namespace, patch, how="json")
    assert refused.value.code == 422
    assert (api.get(SECRETS, "s", namespace) or {})["data"] == {"a": "Yg=="}


def test_an_object_is_deleted_only_if_it_is_the_one_that_was_meant(
    api: KubernetesApi, namespace: str
) -> None:
    uid = api.create(SECRETS, secret("s"), namespace)["metadata"]["uid"]
    with pytest.raises(KubernetesError) as other:
        api.delete(SECRETS, "s", namespace, uid=str(uuid.uuid4()))
    assert other.value.code == 409
    assert api.delete(SECRETS, "s", namespace, uid=uid)


def test_an_object_with_a_finalizer_is_marked_and_goes_when_it_is_taken_away(
    api: KubernetesApi, namespace: str
) -> None:
    held = ray_cluster("held", namespace)
    held["metadata"]["finalizers"] = ["example.com/held"]
    made = api.create(RAY_CLUSTERS, held, namespace)
    api.delete(RAY_CLUSTERS, "held", namespace)
    marked = api.get(RAY_CLUSTERS, "held", namespace) or {}
    assert marked["metadata"]["deletionTimestamp"]
    assert marked["metadata"]["generation"] == made["metadata"]["generation"] + 1
    api.patch(RAY_CLUSTERS, "held", namespace, {"metadata": {"finalizers": None}})
    assert api.get(RAY_CLUSTERS, "held", namespace) is None


def test_a_list_selects_by_labels(api: KubernetesApi, namespace: str) -> None:
    for name, labels in (("a", {"x": "1"}), ("b", {"x": "2"}), ("c", {})):
        api.create(SECRETS, {"metadata": {"name": name, "labels": labels}}, namespace)
    for selector, expected in (("x=1", {"a"}), ("x", {"a", "b"}), ("x in (1,2),x!=2", {"a"})):
        found = api.list(SECRETS, namespace, labelSelector=selector)["items"]
        assert {each["metadata"]["name"] for each in found} == expected


def test_a_watch_hears_what_comes_to_be_selected_and_what_ceases_to_be(
    api: KubernetesApi, namespace: str
) -> None:
    heard: list[str] = []
    version = api.list(SECRETS)["metadata"]["resourceVersion"]

    def listen() -> None:
        for kind, content in api.watch(SECRETS, version, seconds=20):
            heard.append(f"{kind} {content['metadata']['name']}")
            if kind == "DELETED":
                return

    listener = threading.Thread(target=listen)
    listener.start()
    api.create(SECRETS, {"metadata": {"name": "s"}, "stringData": {"a": "b"}}, namespace)
    api.patch(SECRETS, "s", namespace, {"metadata": {"labels": {"x": "y"}}})
    api.delete(SECRETS, "s", namespace)
    listener.join(20)
    assert heard == ["ADDED s", "MODIFIED s", "DELETED s"]


def test_what_is_wrong_is_refused_with_its_field(api: KubernetesApi, namespace: str) -> None:
    wrong = ray_cluster("wrong", namespace)
    wrong["spec"]["workerGroupSpecs"][0]["maxReplicas"] = "many"
    with pytest.raises(KubernetesError, match=r"spec\.workerGroupSpecs\.0\.maxReplicas"):
        api.create(RAY_CLUSTERS, wrong, namespace)
    misspelt = ray_cluster("wrong", namespace, rayVersoin="2.60.0")
    with pytest.raises(KubernetesError, match=r'unknown field "spec\.rayVersoin"'):
        api.create(RAY_CLUSTERS, misspelt, namespace)
    with pytest.raises(KubernetesError, match='namespaces "nowhere" not found'):
        api.create(RAY_CLUSTERS, ray_cluster("x", "nowhere"), "nowhere")
    api.create(RAY_CLUSTERS, ray_cluster("small", namespace), namespace)
    with pytest.raises(KubernetesError, match="already exists") as twice:
        api.create(RAY_CLUSTERS, ray_cluster("small", namespace), namespace)
    assert (twice.value.code, twice.value.reason) == (409, "AlreadyExists")
    old = {"metadata": {"resourceVersion": "1"}, "spec": {"suspend": True}}
    with pytest.raises(KubernetesError, match="has been modified"):
        api.patch(RAY_CLUSTERS, "small", namespace, old)


def test_status_and_spec_are_written_apart_and_only_spec_makes_a_generation(
    api: KubernetesApi, namespace: str
) -> None:
    api.create(RAY_CLUSTERS, ray_cluster("small", namespace), namespace)
    both = {"status": {"state": "ready"}, "spec": {"suspend": True}}
    through_status = api.patch(RAY_CLUSTERS, "small", namespace, both, subresource="status")
    assert "suspend" not in through_status["spec"]
    assert through_status["metadata"]["generation"] == 1
    through_spec = api.patch(
        RAY_CLUSTERS, "small", namespace, {"status": {"state": "failed"}, "spec": {"suspend": True}}
    )
    assert through_spec["status"] == {"state": "ready"}
    assert through_spec["metadata"]["generation"] == 2
    same = api.patch(RAY_CLUSTERS, "small", namespace, {"spec": {"suspend": True}})
    assert same["metadata"]["resourceVersion"] == through_spec["metadata"]["resourceVersion"]


def test_what_was_made_after_its_owner_went_is_collected_with_it(
    api: KubernetesApi, namespace: str
) -> None:
    """As Kubernetes' garbage collector does: it looks the owner up by uid, also for a late object."""
    owner = api.create(RAY_CLUSTERS, ray_cluster("owner", namespace), namespace)
    reference = {"apiVersion": "ray.io/v1", "kind": "RayCluster", "name": "owner"}

    def owned(name: str, *uids: str) -> dict[str, Any]:
        owners = [{**reference, "uid": uid} for uid in uids]
        return {"metadata": {"name": name, "ownerReferences": owners}, "data": {}}

    uid = owner["metadata"]["uid"]
    other = api.create(RAY_CLUSTERS, ray_cluster("other", namespace), namespace)["metadata"]["uid"]
    api.create(SECRETS, owned("early", uid), namespace)
    api.delete(RAY_CLUSTERS, "owner", namespace)
    api.create(SECRETS, owned("late", uid), namespace)
    api.create(SECRETS, owned("shared", uid, other), namespace)
    wait_until(lambda: {"early", "late"}.isdisjoint(names(api, SECRETS, namespace)))
    assert "shared" in names(api, SECRETS, namespace)


def secret(name: str, **values: str) -> dict[str, Any]:
    return {"metadata": {"name": name}, "stringData": values}
