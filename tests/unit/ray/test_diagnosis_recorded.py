"""What is said of recorded clusters that do not get ready: the cause, once, and what helps."""

from ray_platform.ray.health import Diagnosis, diagnose
from tests.support.kuberay_recordings import Moment, recording


def said(moment: Moment) -> Diagnosis:
    return diagnose(moment.ray_cluster, moment.pods, moment.events)


def test_the_exit_code_of_a_head_that_is_gone_is_read_from_the_operator_s_normal_event() -> None:
    found = said(recording("head-oom").at(6.6))
    assert (
        "container ray-head of pod ray-head-vv8hd ended with exit code 137 (OOMKilled)"
        in found.text
    )
    assert found.text.count("137") == 1
    assert "memory" in found.fix
    assert not found.is_hopeless


def test_a_head_that_is_made_again_is_hopeless_after_three_times() -> None:
    recorded = recording("head-exit")
    tries = [
        event["at"]
        for event in recorded.content["events"]
        if event["object"].get("reason") == "DeletedHeadPod"
        and event["object"]["apiVersion"] == "v1"
        and event["type"] == "ADDED"
    ]
    assert not said(recorded.at(tries[1])).is_hopeless
    third = said(recorded.at(tries[2]))
    assert third.is_hopeless
    assert "exit code 1" in third.text
    assert "the latest of 3" in third.text
    assert "ray-platform ray logs" in third.fix
    # What was before this wait does not count.
    moment = recorded.at(tries[2])
    late = diagnose(moment.ray_cluster, moment.pods, moment.events, since="2099-01-01T00:00:00Z")
    assert not late.is_hopeless


def test_a_worker_that_crashes_is_told_with_its_exit_code() -> None:
    found = said(recording("worker-crash").at(6))
    assert "container ray-worker" in found.text
    assert "exit code 1" in found.text
    assert "--worker ray-cpu-worker-" in found.fix
    assert "not looked" not in found.text


def test_a_worker_that_is_restarted_in_place_is_told_with_the_exit_code_of_its_last_end() -> None:
    crashing = [
        m
        for _, m in recording("worker-crash-always").moments()
        if "CrashLoopBackOff" in str(m.pods)
    ]
    found = said(crashing[-1])
    assert "exit code 137 (OOMKilled)" in found.text
    assert "waits: CrashLoopBackOff" not in found.text


def test_an_init_container_s_reason_is_read() -> None:
    found = said(recording("install-bad-image-group").at(6))
    assert "container wait-gcs-ready, waits: " in found.text
    assert "rayproject/ray:9.9.9-gpu" in found.text
    assert found.is_hopeless
    assert "image.tag" in found.fix
    assert found.text.count("container wait-gcs-ready") == 1


def test_a_quota_that_refuses_pods_is_hopeless_and_named() -> None:
    found = said(recording("install-quota").at(10))
    assert "exceeded quota: ray" in found.text
    assert found.is_hopeless
    assert "ResourceQuota" in found.fix
    assert sum("exceeded quota" in reason for reason in found.reasons) == 1


def test_a_missing_service_account_is_hopeless_though_there_is_no_status_at_all() -> None:
    found = said(recording("install-no-account").at(5))
    assert "ServiceAccount ray is not found" in found.text
    assert found.is_hopeless
    assert "service account" in found.fix


def test_a_pod_that_fits_no_node_is_told_by_the_scheduler_s_reason() -> None:
    found = said(recording("install-unschedulable").at(4))
    assert "12 nodes are available" in found.text
    assert not found.is_hopeless
    assert "node pool" in found.fix


def test_a_spec_that_the_operator_refuses_is_told_with_its_reason() -> None:
    refused = [
        (m.of("RayCluster")[0], m)
        for _, m in recording("invalid-specs").moments()
        if m.of("RayCluster")
    ]
    found = [diagnose(cluster, m.pods, m.events) for cluster, m in refused]
    assert sum(d.is_hopeless and "the operator refuses it" in d.text for d in found) > 10
