"""What is said of a Ray cluster that is not ready."""

from typing import Any

from ray_platform.ray.health import diagnose, is_ready, is_up

CLUSTER: dict[str, Any] = {"metadata": {"name": "ray", "generation": 2}}


def pod(name: str, reason: str, message: str = "") -> dict[str, Any]:
    state = {"waiting": {"reason": reason, "message": message}}
    return {"metadata": {"name": name}, "status": {"containerStatuses": [{"state": state}]}}


def warning(reason: str, message: str, at: str, name: str = "ray") -> dict[str, Any]:
    return {
        "type": "Warning",
        "reason": reason,
        "message": message,
        "lastTimestamp": at,
        "involvedObject": {"name": name},
    }


def test_a_cluster_is_up_while_it_scales_and_not_when_its_head_is_gone() -> None:
    def up(head: str, state: str = "ready") -> bool:
        condition = {"type": "HeadPodReady", "status": head}
        return is_up({**CLUSTER, "status": {"state": state, "conditions": [condition]}})

    assert up("True")
    assert not up("False")  # the operator never takes `ready` back
    assert not up("True", "")
    assert not is_up(CLUSTER)
    assert not is_ready(CLUSTER, [])


def test_an_image_that_is_not_there_is_hopeless_and_told_once_with_what_to_do() -> None:
    found = diagnose(
        CLUSTER,
        [pod("ray-head", "ImagePullBackOff", 'image "x:1"\n  not found')],
        [warning("Failed", 'image "x:1" not found', "1")],
    )
    assert found.is_hopeless
    assert found.reasons[0] == 'pod ray-head waits: ImagePullBackOff: image "x:1" not found'
    assert found.text.count("not found") == 1
    assert "image.tag" in found.fix


def test_a_pod_without_a_node_is_told_as_that_and_may_still_get_one() -> None:
    pending = {
        "metadata": {"name": "ray-gpu"},
        "status": {
            "conditions": [
                {"type": "PodScheduled", "status": "False", "message": "0/3 nodes are available"}
            ]
        },
    }
    found = diagnose(CLUSTER, [pending], [])
    assert found.reasons[0] == "pod ray-gpu waits: Unschedulable: 0/3 nodes are available"
    assert not found.is_hopeless
    assert "node pool" in found.fix


def test_without_pods_the_lacks_and_the_last_warnings_of_the_object_are_told() -> None:
    condition = {
        "type": "HeadPodReady",
        "status": "False",
        "reason": "HeadPodNotFound",
        "message": "Head Pod not found",
    }
    spec = {"workerGroupSpecs": [{"groupName": "cpu", "minReplicas": 2}]}
    found = diagnose(
        {**CLUSTER, "spec": spec, "status": {"conditions": [condition]}},
        [],
        [
            warning("Late", "the late one", "2"),
            warning("Early", "the early one", "1"),
            warning("Late", "the late one", "3"),
            warning("Other", "c", "4", name="another"),
            warning("Other", "of another cluster", "5", name="ray-green"),
        ],
    )
    assert found.reasons == (
        "the head does not exist",
        "0 of 2 workers of group cpu are ready",
        "HeadPodReady is False: HeadPodNotFound: Head Pod not found",
        "event Early: the early one",
        "event Late: the late one",
    )


def test_nothing_at_all_points_at_the_operator() -> None:
    found = diagnose(CLUSTER, [], [])
    assert "no operator" in found.text
    assert "operator runs" in found.fix
