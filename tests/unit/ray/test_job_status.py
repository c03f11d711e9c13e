"""A RayJob's states: each event leads on as in KubeRay, and what was settled is never settled anew."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from ray_platform_sandbox.kuberay import job_status as states
from ray_platform_sandbox.kuberay.job_status import Status, WantedJob, read_ray_job

NOW = datetime(2026, 11, 20, 10, tzinfo=UTC)


def job(**spec: Any) -> WantedJob:
    chosen = {"entrypoint": "true", "clusterSelector": {"ray.io/cluster": "ray"}, **spec}
    if chosen["clusterSelector"] is None:
        chosen |= {"rayClusterSpec": {"headGroupSpec": {}}}
    metadata = {"namespace": "team", "name": "job", "uid": "1", "generation": 1}
    return read_ray_job({"metadata": metadata, "spec": chosen})


def own(**spec: Any) -> WantedJob:
    return job(clusterSelector=None, shutdownAfterJobFinishes=True, **spec)


def running(wanted: WantedJob, **status: Any) -> Status:
    begun = states.begun(wanted, status, NOW)
    return {**begun, "jobDeploymentStatus": states.RUNNING, "dashboardURL": "127.0.0.1:1"}


@pytest.mark.parametrize(
    ("wanted", "why"),
    [
        (job(clusterSelector={"app": "x"}), "has no ray.io/cluster"),
        (job(clusterSelector={}), "must be set"),
        (job(suspend=True), "doesn't support the suspend"),
        (job(clusterSelector=None, suspend=True), "not allowed to be suspended"),
        (job(ttlSecondsAfterFinished=5), "ttlSecondsAfterFinished"),
        (job(activeDeadlineSeconds=0), "positive"),
        (job(backoffLimit=-1), "backoffLimit"),
        (job(submissionMode="InteractiveMode"), "not emulated"),
        (job(runtimeEnvYAML="a: [1"), "cannot be read"),
        (job(entrypointResources="{"), "cannot be read"),
        (job(entrypoint=""), "entrypoint"),
    ],
)
def test_a_spec_that_kuberay_refuses_is_refused_with_its_reason(
    wanted: WantedJob, why: str
) -> None:
    assert why in states.problem_of(wanted)
    assert states.refused({}, "x")["jobDeploymentStatus"] == "ValidationFailed"


def test_what_is_submitted_is_what_the_object_asks_for() -> None:
    wanted = job(
        runtimeEnvYAML="env_vars: {A: b}",
        entrypointNumCpus=0.5,
        entrypointResources='{"disk": 1}',
        metadata={"team": "x"},
    )
    assert states.problem_of(wanted) == states.problem_of(own()) == ""
    assert wanted.submission("id") == {
        "entrypoint": "true",
        "submission_id": "id",
        "runtime_env": {"env_vars": {"A": "b"}},
        "metadata": {"team": "x"},
        "entrypoint_num_cpus": 0.5,
        "entrypoint_resources": {"disk": 1},
    }


def test_names_are_settled_before_anything_is_made() -> None:
    begun = states.begun(own(), {}, NOW)
    assert begun["jobDeploymentStatus"] == "Initializing"
    assert begun["jobId"].startswith("job-")
    assert begun["rayClusterName"].startswith("job-")
    assert states.begun(job(jobId="mine"), {}, NOW)["jobId"] == "mine"
    assert states.begun(job(), {}, NOW)["rayClusterName"] == "ray"


def test_a_job_is_followed_to_its_end() -> None:
    wanted = job()
    status = running(wanted)
    status = states.told_by(wanted, status, {"status": "RUNNING", "start_time": 1000}, NOW)
    assert (status["jobStatus"], status["jobDeploymentStatus"]) == ("RUNNING", "Running")
    assert status["rayJobInfo"] == {"startTime": "1970-01-01T00:00:01Z"}
    done = states.told_by(wanted, status, {"status": "SUCCEEDED", "message": "good"}, NOW)
    assert (done["jobDeploymentStatus"], done["message"]) == ("Complete", "good")
    assert (done["succeeded"], done["failed"], done["endTime"]) == (1, 0, "2026-11-20T10:00:00Z")
    stopped = states.told_by(wanted, status, {"status": "STOPPED"}, NOW)
    assert (stopped["jobDeploymentStatus"], stopped["succeeded"]) == ("Complete", 0)


@given(limit=st.integers(0, 4))
def test_a_job_that_fails_is_tried_as_often_as_the_limit_says_with_new_names(limit: int) -> None:
    wanted = own(backoffLimit=limit)
    status: Status = {}
    names = set()
    for attempt in range(limit + 1):
        status = running(wanted, **status)
        names.add((status["jobId"], status["rayClusterName"]))
        status = states.told_by(wanted, status, {"status": "FAILED"}, NOW)
        assert status["failed"] == attempt + 1
        if attempt < limit:
            assert status["jobDeploymentStatus"] == "Retrying"
            status = states.cleared(wanted, status)
            assert status["jobDeploymentStatus"] == ""
            assert not {"jobId", "rayClusterName", "reason"} & set(status)
    assert (status["jobDeploymentStatus"], status["reason"]) == ("Failed", "AppFailed")
    assert len(names) == limit + 1


def test_past_its_deadline_a_job_has_failed_and_is_not_tried_again() -> None:
    wanted = own(activeDeadlineSeconds=30, backoffLimit=3)
    status = running(wanted)
    assert states.past_deadline(wanted, status, NOW + timedelta(seconds=29)) is None
    over = states.past_deadline(wanted, status, NOW + timedelta(seconds=30))
    assert over is not None
    assert (over["jobDeploymentStatus"], over["reason"]) == ("Failed", "DeadlineExceeded")
    assert "ActiveDeadlineSeconds: 30" in over["message"]
    assert states.past_deadline(own(), status, NOW + timedelta(days=30)) is None


def test_a_suspended_job_forgets_its_attempt_and_its_cluster() -> None:
    status = {**running(own()), "jobDeploymentStatus": states.SUSPENDING}
    cleared = states.cleared(own(), status)
    assert cleared["jobDeploymentStatus"] == "Suspended"
    assert "rayClusterName" not in cleared


def test_the_cluster_of_a_finished_job_goes_after_its_time() -> None:
    wanted = own(ttlSecondsAfterFinished=60)
    done = states.told_by(wanted, running(wanted), {"status": "SUCCEEDED"}, NOW)
    assert not states.shutdown_due(wanted, done, NOW + timedelta(seconds=59))
    assert states.shutdown_due(wanted, done, NOW + timedelta(seconds=60))
