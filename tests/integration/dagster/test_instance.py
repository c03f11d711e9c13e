"""Dagster itself takes what its chart makes of our values: storage, logs in S3, and a pod for each run."""

import os
from collections.abc import Iterator
from typing import Any

import dagster as dg
import pytest
import yaml
from dagster._core.storage.compute_log_manager import ComputeIOType

from tests.support.dagster_chart import instance_config, values
from tests.support.postgres import TEMPLATE, new_database
from tests.unit.house.test_deploy import outputs, values_from

pytestmark = pytest.mark.real

BUCKET = "the-artifacts"
IMAGE = "registry.example.com/ray-platform:platform-0a1b2c3"
KUBECONFIG = {
    "apiVersion": "v1",
    "kind": "Config",
    "current-context": "c",
    "clusters": [{"name": "c", "cluster": {"server": "http://127.0.0.1:1"}}],
    "contexts": [{"name": "c", "context": {"cluster": "c", "user": "u"}}],
    "users": [{"name": "u", "user": {}}],
}


class RecordingApi:
    """Stands for the Kubernetes API of jobs: keeps what it is asked to create."""

    def __init__(self) -> None:
        self.created: list[Any] = []

    def create_namespaced_job_with_retries(self, body: Any, namespace: str, **more: Any) -> None:
        self.created.append((namespace, body))


@pytest.fixture(scope="module")
def instance(
    postgres_server: str, s3_emulator: Any, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[dg.DagsterInstance]:
    """An instance made of staging's values. Only addresses differ: S3, PostgreSQL and Kubernetes are here."""
    from sqlalchemy.engine import make_url

    home = tmp_path_factory.mktemp("dagster-home")
    kubeconfig = home / "kubeconfig"
    kubeconfig.write_text(yaml.safe_dump(KUBECONFIG), encoding="utf-8")
    database = make_url(new_database(postgres_server, TEMPLATE))
    here = {
        "postgresql": {
            "postgresqlHost": "localhost",
            "postgresqlDatabase": database.database,
            "postgresqlParams": {"host": database.query["host"]},
        },
        "runLauncher": {
            "config": {
                "k8sRunLauncher": {"loadInclusterConfig": False, "kubeconfigFile": str(kubeconfig)}
            }
        },
        "computeLogManager": {
            "config": {
                "s3ComputeLogManager": {
                    "endpointUrl": s3_emulator.meta.endpoint_url,
                    "localDir": str(home / "logs"),
                    "uploadInterval": None,
                }
            }
        },
    }
    s3_emulator.create_bucket(Bucket=BUCKET)
    config = instance_config(values("staging", values_from(outputs()), here))
    (home / "dagster.yaml").write_text(yaml.safe_dump(config), encoding="utf-8")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("DAGSTER_HOME", str(home))
        patch.setenv("DAGSTER_PG_PASSWORD", str(database.password))
        patch.setenv("DAGSTER_K8S_INSTANCE_CONFIG_MAP", "dagster-instance")
        patch.setenv("DAGSTER_K8S_PG_PASSWORD_SECRET", "dagster-postgresql")
        for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
            patch.setenv(name, "emulator")
        for name in [name for name in os.environ if name.startswith(("HTTP", "http"))]:
            patch.delenv(name)
        with dg.DagsterInstance.from_config(str(home)) as made:
            yield made


def launched(instance: dg.DagsterInstance, tags: dict[str, str]) -> dict[str, Any]:
    """The Kubernetes job that the launcher asks for, as the API would get it."""
    from dagster._core.code_pointer import ModuleCodePointer
    from dagster._core.origin import JobPythonOrigin, RepositoryPythonOrigin
    from kubernetes.client import ApiClient

    launcher: Any = instance.run_launcher
    launcher._api_client = api = RecordingApi()
    repository = RepositoryPythonOrigin(
        executable_path="python",
        code_pointer=ModuleCodePointer("ray_platform.definitions", "defs"),
        container_image=IMAGE,
    )
    run = dg.DagsterRun("plan", tags=tags, job_code_origin=JobPythonOrigin("plan", repository))
    instance.add_run(run)
    launcher._launch_k8s_job_with_args(f"dagster-run-{run.run_id}", ["dagster", "api"], run)
    ((namespace, body),) = api.created
    assert namespace == "ray"
    made: dict[str, Any] = ApiClient().sanitize_for_serialization(body)
    return made


def test_runs_are_kept_in_postgresql_and_queued_one_change_at_a_time(
    instance: dg.DagsterInstance,
) -> None:
    run = dg.DagsterRun("plan")
    instance.add_run(run)
    assert instance.get_run_by_id(run.run_id) is not None
    assert type(instance.run_storage).__name__ == "PostgresRunStorage"
    assert type(instance.run_coordinator).__name__ == "QueuedRunCoordinator"
    (limit,) = instance.get_concurrency_config().run_queue_config.tag_concurrency_limits  # type: ignore[union-attr]
    assert limit["key"] == "ray_platform/change" and limit["limit"] == 1
    assert instance.run_retries_enabled and instance.run_retries_max_retries == 0
    assert instance.run_monitoring_enabled
    assert instance.run_monitoring_max_resume_run_attempts == 0


def test_logs_of_a_step_go_to_the_bucket(instance: dg.DagsterInstance, s3_emulator: Any) -> None:
    manager = instance.compute_log_manager
    with manager.open_log_stream(["a-run", "compute_logs", "plan"], ComputeIOType.STDERR) as stream:
        assert stream is not None
        stream.write("Planning\n")
    listed = s3_emulator.list_objects_v2(Bucket=BUCKET).get("Contents", [])
    (key,) = [item["Key"] for item in listed if item["Key"].endswith("plan.err")]
    assert key.startswith("ray-platform/dagster/storage/a-run/")
    assert s3_emulator.get_object(Bucket=BUCKET, Key=key)["Body"].read() == b"Planning\n"


def test_a_run_becomes_a_pod_without_rights_with_room_for_terraform(
    instance: dg.DagsterInstance,
) -> None:
    import kubernetes_validate

    job = launched(instance, {})
    kubernetes_validate.validate(job, "1.35", strict=True)
    pod = job["spec"]["template"]["spec"]
    (container,) = pod["containers"]
    assert container["image"] == IMAGE
    assert container["resources"] == {
        "requests": {"cpu": "1", "memory": "1536Mi"},
        "limits": {"cpu": "1250m", "memory": "3Gi"},
    }
    assert pod["securityContext"]["runAsNonRoot"] and pod["securityContext"]["runAsUser"] == 10001
    assert container["securityContext"]["allowPrivilegeEscalation"] is False
    assert container["securityContext"]["capabilities"] == {"drop": ["ALL"]}
    assert pod["serviceAccountName"] == "dagster"
    assert {"name": "home", "mountPath": "/var/lib/ray_platform"} in container["volumeMounts"]
    passwords = [e for e in container["env"] if e["name"] == "DAGSTER_PG_PASSWORD"]
    assert passwords[0]["valueFrom"]["secretKeyRef"]["name"] == "dagster-postgresql"
    assert job["spec"]["backoffLimit"] == 0
    annotations = job["spec"]["template"]["metadata"]["annotations"]
    assert annotations == {"cluster-autoscaler.kubernetes.io/safe-to-evict": "false"}


def test_a_run_without_terraform_asks_for_less(instance: dg.DagsterInstance) -> None:
    from ray_platform.definitions import defs

    tags = defs().resolve_job_def("daily_cost").tags
    job = launched(instance, dict(tags))
    (container,) = job["spec"]["template"]["spec"]["containers"]
    assert container["resources"] == {
        "requests": {"cpu": "250m", "memory": "512Mi"},
        "limits": {"cpu": "500m", "memory": "1Gi"},
    }


def test_a_lost_report_is_begun_anew_and_a_lost_apply_or_a_failed_stage_is_not(
    instance: dg.DagsterInstance,
) -> None:
    from dagster._core.events import RunFailureReason
    from dagster._core.execution.retries import auto_reexecution_should_retry_run

    from ray_platform.definitions import defs

    definitions = defs()

    def again(name: str, reason: RunFailureReason) -> bool:
        tags = definitions.resolve_job_def(name).tags
        run = dg.DagsterRun(name, status=dg.DagsterRunStatus.FAILURE, tags=dict(tags))
        instance.add_run(run)
        return bool(auto_reexecution_should_retry_run(instance, run, reason))

    lost, said_no = RunFailureReason.UNEXPECTED_TERMINATION, RunFailureReason.STEP_FAILURE
    assert {
        name: again(name, lost) for name in ("drift", "daily_cost", "apply", "up", "burst")
    } == {
        **{"drift": True, "daily_cost": True},
        **{"apply": False, "up": False, "burst": False},
    }
    assert not again("drift", said_no)
