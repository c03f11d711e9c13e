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


def test_ready_is_what_the_operator_found_of_the_object_as_it_is_now() -> None:
    def seen(generation: int, state: str = "ready") -> bool:
        return is_ready({**CLUSTER, "status": {"state": state, "observedGeneration": generation}})

    assert seen(2)
    assert seen(3)
    assert not seen(1)
    assert not seen(2, "failed")
    assert not is_ready(CLUSTER)
    # One that scales is up all the time.
    assert is_up({**CLUSTER, "status": {"state": "ready", "observedGeneration": 1}})
    assert not is_up(CLUSTER)


def test_an_image_that_is_not_there_is_hopeless_and_told_once_with_what_to_do() -> None:
    found = diagnose(
        CLUSTER,
        [pod("ray-head", "ImagePullBackOff", 'image "x:1"\n  not found')],
        [warning("Failed", 'image "x:1" not found', "1")],
    )
    assert found.is_hopeless
    assert found.reasons == ('pod ray-head waits: ImagePullBackOff: image "x:1" not found',)
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
    assert found.text == "pod ray-gpu waits: Unschedulable: 0/3 nodes are available"
    assert not found.is_hopeless
    assert "node pool" in found.fix


def test_without_waiting_pods_the_conditions_and_the_last_warnings_of_the_object_are_told() -> None:
    status = {
        "minWorkerReplicas": 2,
        "availableWorkerReplicas": 1,
        "conditions": [
            {"type": "HeadPodReady", "status": "True"},
            {
                "type": "RayClusterProvisioned",
                "status": "False",
                "reason": "Provisioning",
                "message": "in work",
            },
        ],
    }
    found = diagnose(
        {**CLUSTER, "status": status},
        [],
        [
            warning("Late", "the late one", "2"),
            warning("Early", "the early one", "1"),
            warning("Late", "the late one", "3"),
            warning("Other", "c", "4", name="another"),
        ],
    )
    assert found.reasons == (
        "RayClusterProvisioned is False: Provisioning: in work",
        "1 of 2 workers are missing",
        "event Early: the early one",
        "event Late: the late one",
    )


def test_nothing_at_all_points_at_the_operator() -> None:
    found = diagnose(CLUSTER, [], [])
    assert "no operator" in found.text
    assert "operator runs" in found.fix
