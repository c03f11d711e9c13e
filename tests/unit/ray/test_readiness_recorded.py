"""When a recorded cluster is ready: by its pods, where the operator's own word does not say."""

from typing import Any

import pytest

from ray_platform.ray.health import is_ready
from ray_platform.ray.pods_ready import lacks, running_head
from tests.support.kuberay_recordings import Moment, recording


def ready(moment: Moment) -> bool:
    clusters = moment.of("RayCluster")
    return bool(clusters) and is_ready(clusters[0], moment.pods)


def spans(name: str) -> list[tuple[float, float]]:
    """From when to when a recorded cluster was ready."""
    found: list[tuple[float, float]] = []
    since: float | None = None
    for at, moment in recording(name).with_digests().moments():
        if ready(moment) and since is None:
            since = at
        elif not ready(moment) and since is not None:
            found.append((since, at))
            since = None
    return found + ([(since, float("inf"))] if since is not None else [])


def test_a_first_install_is_ready_when_the_worker_is() -> None:
    assert spans("install-ready") == [(pytest.approx(3.54), float("inf"))]


def test_a_change_of_tolerations_is_ready_at_once() -> None:
    """Its observedGeneration stays behind for 15 s, until a worker is deleted by hand."""
    first, second = spans("toleration-only")
    assert first == (pytest.approx(3.54, abs=0.1), pytest.approx(20.7, abs=0.1))
    assert second[1] == float("inf")
    stale = recording("toleration-only").at(15).ray_cluster
    assert stale["status"]["observedGeneration"] < stale["metadata"]["generation"]


def test_an_upgrade_is_not_ready_before_the_new_pods_are_though_the_state_is_ready() -> None:
    first, second = spans("upgrade-good-image")
    assert first[1] == pytest.approx(6.06, abs=0.1)
    assert second == (pytest.approx(10.3, abs=0.1), float("inf"))
    between = recording("upgrade-good-image").at(8).ray_cluster
    assert between["status"]["state"] == "ready"


def test_a_cluster_that_is_made_again_does_not_count_the_pods_of_the_one_before() -> None:
    _, again = spans("delete-hang-recreate")
    assert again[0] > 27  # its first status, at 5.97 s, said ready
    moment = recording("delete-hang-recreate").at(6.5)
    assert moment.ray_cluster["status"]["state"] == "ready"
    assert "earlier RayCluster" in " ".join(lacks(moment.ray_cluster, moment.pods))


def test_a_suspended_cluster_is_not_ready_and_nothing_else_is_said_of_it() -> None:
    found = [
        lacks(m.ray_cluster, m.pods)
        for _, m in recording("suspend-resume").moments()
        if m.of("RayCluster")
    ]
    assert ("it is suspended",) in found


def test_a_head_whose_sidecar_ended_is_not_ready_though_the_operator_does_nothing() -> None:
    moment = recording("autoscaler-container-exits").end
    assert moment.ray_cluster["status"]["state"] == "ready"
    assert lacks(moment.ray_cluster, moment.pods) == ("the head is not ready",)
    # Its Ray container runs, so that jobs may run on it.
    assert running_head(moment.pods) is not None


def test_a_head_with_an_image_that_does_not_exist_runs_no_jobs() -> None:
    moment = recording("install-bad-image-head").at(6)
    assert [p for p in moment.pods if p["metadata"]["labels"]["ray.io/node-type"] == "head"]
    assert running_head(moment.pods) is None


def test_a_cluster_that_is_being_deleted_is_not_ready_and_says_what_holds_it() -> None:
    going = [
        lacks(c, m.pods)
        for _, m in recording("delete-redis-ok").moments()
        for c in m.of("RayCluster")
        if c["metadata"].get("deletionTimestamp")
    ]
    assert going
    assert all("gcs-ft-redis-cleanup-finalizer" in found[0] for found in going)


def test_refused_pods_are_not_ready_even_where_the_head_is() -> None:
    refused: list[Any] = [
        m
        for _, m in recording("install-quota").moments()
        if "ReplicaFailure" in str(m.of("RayCluster"))
    ]
    assert refused
    assert not any(ready(moment) for moment in refused)
