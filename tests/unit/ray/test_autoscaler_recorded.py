"""Ray's autoscaler is recognized by what it writes, and what it wants is handed on."""

from typing import Any

import pytest

from ray_platform.kubernetes.field_managers import may_be_scaler
from ray_platform.kubernetes.manifests import differences
from ray_platform.ray.writes import give_back_scaling, take_over
from tests.support.kuberay_recordings import recording


def entries(at: float) -> list[dict[str, Any]]:
    cluster = recording("autoscaler-0-3-1").at(at).ray_cluster
    return list(cluster["metadata"]["managedFields"])


def test_the_recorded_autoscaler_is_recognized_and_nobody_else() -> None:
    found = {entry["manager"]: may_be_scaler(entry) for entry in entries(20)}
    assert found["python-requests"]
    assert not found["ray-platform-helm"]
    assert not found["kuberay-operator"]


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({"manager": "another-library"}, True),
        ({"manager": "kubectl-edit"}, False),
        ({"operation": "Apply"}, False),
        ({"subresource": "status"}, False),
        ({"fieldsV1": {"f:spec": {"f:workerGroupSpecs": {}, "f:rayVersion": {}}}}, False),
        ({"fieldsV1": {"f:metadata": {"f:labels": {"f:a": {}}}}}, False),
    ],
)
def test_it_is_known_by_its_fields_and_never_by_its_name(
    change: dict[str, Any], expected: bool
) -> None:
    (entry,) = [e for e in entries(20) if e["manager"] == "python-requests"]
    assert may_be_scaler({**entry, **change}) is expected


def test_what_it_has_scaled_is_no_difference() -> None:
    recorded = recording("autoscaler-0-3-1")
    applied = next(
        step["object"]
        for step in recorded.content["steps"]
        if step["do"] == "apply" and step["object"]["kind"] == "RayCluster"
    )
    live = recorded.at(20).ray_cluster
    group = live["spec"]["workerGroupSpecs"][1]
    assert group["replicas"] == 1
    assert group["scaleStrategy"]["workersToDelete"]
    assert list(differences(applied, live)) == []


class Api:
    def __init__(self, content: dict[str, Any]) -> None:
        self.content = content
        self.patches: list[Any] = []

    def patch(self, of: Any, name: str, namespace: str, patch: Any, **how: Any) -> Any:
        self.patches.append(patch)
        return self.content


class Cluster:
    namespace = "ray"

    def __init__(self, content: dict[str, Any]) -> None:
        self.api = Api(content)

    def ray_cluster(self, name: str = "") -> dict[str, Any]:
        return self.api.content


def test_an_upgrade_hands_on_replicas_and_workers_to_delete_as_they_are() -> None:
    live = recording("autoscaler-0-3-1").at(20).ray_cluster
    cluster: Any = Cluster(live)
    values = {"workerGroups": {"gpu": {"minReplicas": 2, "maxReplicas": 9}}}
    handed = take_over(cluster, values, live)
    (group,) = [g for g in live["spec"]["workerGroupSpecs"] if g["groupName"] == "gpu"]
    assert handed["workerGroups"]["gpu"] == {
        "minReplicas": 2,
        "maxReplicas": 9,
        "replicas": group["replicas"],
        "scaleStrategy": group["scaleStrategy"],
    }


def test_a_rollback_gives_back_what_the_autoscaler_wanted() -> None:
    """The recorded apply at 22.9 s without replicas set them to the schema's default 0."""
    recorded = recording("autoscaler-0-3-1")
    before, after = recorded.at(22).ray_cluster, recorded.at(23.2).ray_cluster
    assert [g.get("replicas") for g in after["spec"]["workerGroupSpecs"]] == [0, 0]
    cluster: Any = Cluster(after)
    give_back_scaling(cluster, "ray", before)
    ((test, *operations),) = cluster.api.patches
    assert test["op"] == "test"
    assert {o["path"]: o["value"] for o in operations if o["path"].endswith("replicas")} == {
        f"/spec/workerGroupSpecs/{place}/replicas": group["replicas"]
        for place, group in enumerate(before["spec"]["workerGroupSpecs"])
        if group["replicas"]
    }
    assert any(o["path"].endswith("scaleStrategy") for o in operations)
