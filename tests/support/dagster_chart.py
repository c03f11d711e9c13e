"""What Dagster's Helm chart makes of our values: its `dagster.yaml`, and the keys that it knows.

The chart itself cannot be fetched where the tests run. This follows its templates for the parts that we use
(helm/dagster/templates/configmap-instance.yaml and its helpers in dagster-io/dagster), written anew.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).resolve().parents[2]
FOLDER = ROOT / "deploy" / "dagster"

_ANY: dict[str, Any] = {"*": None}
_POD = {
    **dict.fromkeys(
        ("replicaCount", "env", "envConfigMaps", "envSecrets", "labels", "annotations")
    ),
    **dict.fromkeys(("nodeSelector", "affinity", "tolerations", "schedulerName")),
    "image": dict.fromkeys(("repository", "tag", "pullPolicy")),
    "resources": {"requests": _ANY, "limits": _ANY},
    "podSecurityContext": _ANY,
    "securityContext": _ANY,
    "volumes": None,
    "volumeMounts": None,
}
_SWITCH = {"enabled": None}
_THREADS = dict.fromkeys(("useThreads", "numWorkers", "numSubmitWorkers"))

#: Every key of the chart's values that we may set: None is a leaf, `*` any key.
SHAPE: dict[str, Any] = {
    "global": dict.fromkeys(("dagsterHome", "serviceAccountName", "postgresqlSecretName")),
    "serviceAccount": {"create": None, "name": None, "annotations": _ANY},
    "rbacEnabled": None,
    "generatePostgresqlPasswordSecret": None,
    "generateCeleryConfigSecret": None,
    "imagePullSecrets": None,
    "postgresql": {
        **dict.fromkeys(("enabled", "postgresqlHost", "postgresqlUsername", "postgresqlDatabase")),
        "postgresqlParams": _ANY,
        "service": {"port": None},
    },
    "rabbitmq": _SWITCH,
    "redis": _SWITCH,
    "flower": _SWITCH,
    "ingress": _SWITCH,
    "telemetry": _SWITCH,
    "dagsterWebserver": {
        **_POD,
        "service": dict.fromkeys(("type", "port", "annotations")),
        "workspace": {"enabled": None, "servers": dict.fromkeys(("host", "port", "name"))},
    },
    "dagster-user-deployments": {
        "enabled": None,
        "enableSubchart": None,
        "deployments": {
            **_POD,
            **dict.fromkeys(("name", "codeServerArgs", "dagsterApiGrpcArgs", "port")),
            "includeConfigInLaunchedRuns": _SWITCH,
        },
    },
    "dagsterDaemon": {
        **_POD,
        "enabled": None,
        "heartbeatTolerance": None,
        "runCoordinator": {
            "enabled": None,
            "type": None,
            "config": {"queuedRunCoordinator": {}},
        },
        "runMonitoring": dict.fromkeys(
            (
                *("enabled", "startTimeoutSeconds", "cancelTimeoutSeconds", "maxResumeRunAttempts"),
                *("pollIntervalSeconds", "freeSlotsAfterRunEndSeconds"),
            )
        ),
        "runRetries": dict.fromkeys(("enabled", "maxRetries", "retryOnAssetOrOpFailure")),
        "sensors": _THREADS,
        "schedules": _THREADS,
    },
    "runLauncher": {
        "type": None,
        "config": {
            "k8sRunLauncher": {
                **{key: _POD[key] for key in ("image", "resources", "securityContext")},
                **dict.fromkeys(("imagePullPolicy", "jobNamespace", "loadInclusterConfig")),
                **dict.fromkeys(("kubeconfigFile", "envConfigMaps", "envSecrets", "envVars")),
                **dict.fromkeys(("volumes", "volumeMounts", "failPodOnRunFailure")),
                "labels": _ANY,
                "runK8sConfig": dict.fromkeys(
                    (
                        *("containerConfig", "podSpecConfig", "podTemplateSpecMetadata"),
                        *("jobSpecConfig", "jobMetadata"),
                    ),
                    _ANY,
                ),
            }
        },
    },
    "computeLogManager": {
        "type": None,
        "config": {
            "s3ComputeLogManager": dict.fromkeys(
                (
                    *("bucket", "prefix", "localDir", "region", "endpointUrl", "skipEmptyFiles"),
                    *("uploadInterval", "showUrlOnly"),
                )
            )
        },
    },
    "retention": {
        "enabled": None,
        "schedule": {"purgeAfterDays": _ANY},
        "sensor": {"purgeAfterDays": _ANY},
    },
    "additionalInstanceConfig": {"nux": _SWITCH, "concurrency": _ANY, "run_retries": _ANY},
}


def values(environment: str, *more: Mapping[str, Any]) -> dict[str, Any]:
    """The values of one environment, and ``more`` over them, as Helm merges them."""
    merged: dict[str, Any] = {}
    for name in ("values", f"values-{environment}"):
        read = yaml.safe_load((FOLDER / f"{name}.yaml").read_text(encoding="utf-8"))
        merged = _merged(merged, read)
    for above in more:
        merged = _merged(merged, above)
    return merged


def unknown_keys(content: Any, shape: Any = SHAPE, path: str = "") -> list[str]:
    """The paths of keys that the chart does not know."""
    if shape is None or "*" in shape:
        return []
    if isinstance(content, list):
        return [key for item in content for key in unknown_keys(item, shape, path)]
    if not isinstance(content, Mapping):
        return [f"{path} is no mapping"] if shape else []
    found = []
    for key, value in content.items():
        below = f"{path}.{key}" if path else str(key)
        found += unknown_keys(value, shape[key], below) if key in shape else [below]
    return found


def instance_config(made: Mapping[str, Any]) -> dict[str, Any]:
    """The `dagster.yaml` that the chart writes for these values."""
    database = made["postgresql"]
    storage = {
        "postgres_db": {
            "username": database["postgresqlUsername"],
            "password": {"env": "DAGSTER_PG_PASSWORD"},
            "hostname": database["postgresqlHost"],
            "db_name": database["postgresqlDatabase"],
            "port": database["service"]["port"],
            "params": database["postgresqlParams"],
        }
    }
    launcher = made["runLauncher"]["config"]["k8sRunLauncher"]
    logs = made["computeLogManager"]["config"]["s3ComputeLogManager"]
    daemon = made["dagsterDaemon"]
    monitoring = daemon["runMonitoring"]
    config: dict[str, Any] = {
        "scheduler": {
            "module": "dagster._core.scheduler",
            "class": "DagsterDaemonScheduler",
        },
        "run_storage": _class("dagster_postgres.run_storage", "PostgresRunStorage", storage),
        "event_log_storage": _class(
            "dagster_postgres.event_log", "PostgresEventLogStorage", storage
        ),
        "schedule_storage": _class(
            "dagster_postgres.schedule_storage", "PostgresScheduleStorage", storage
        ),
        "run_launcher": _class(
            "dagster_k8s",
            made["runLauncher"]["type"],
            {
                "load_incluster_config": launcher["loadInclusterConfig"],
                "job_namespace": launcher.get("jobNamespace", "ray"),
                "image_pull_policy": launcher["imagePullPolicy"],
                "service_account_name": made["serviceAccount"]["name"],
                "dagster_home": {"env": "DAGSTER_HOME"},
                "instance_config_map": {"env": "DAGSTER_K8S_INSTANCE_CONFIG_MAP"},
                "postgres_password_secret": {"env": "DAGSTER_K8S_PG_PASSWORD_SECRET"},
                **_present(launcher, kubeconfigFile="kubeconfig_file", envVars="env_vars"),
                **_present(launcher, volumes="volumes", volumeMounts="volume_mounts"),
                **_present(launcher, labels="labels", resources="resources"),
                **_present(launcher, securityContext="security_context"),
                "run_k8s_config": _present(
                    launcher["runK8sConfig"],
                    podSpecConfig="pod_spec_config",
                    podTemplateSpecMetadata="pod_template_spec_metadata",
                    jobSpecConfig="job_spec_config",
                ),
            },
        ),
        "compute_logs": _class(
            "dagster_aws.s3.compute_log_manager",
            made["computeLogManager"]["type"],
            _present(
                logs,
                bucket="bucket",
                prefix="prefix",
                localDir="local_dir",
                endpointUrl="endpoint_url",
                skipEmptyFiles="skip_empty_files",
                uploadInterval="upload_interval",
                region="region",
            ),
        ),
        "run_coordinator": {
            "module": "dagster._core.run_coordinator",
            "class": daemon["runCoordinator"]["type"],
        },
        "run_monitoring": {
            "enabled": True,
            "start_timeout_seconds": monitoring["startTimeoutSeconds"],
            "cancel_timeout_seconds": monitoring["cancelTimeoutSeconds"],
            "max_resume_run_attempts": monitoring["maxResumeRunAttempts"],
            "poll_interval_seconds": monitoring["pollIntervalSeconds"],
            "free_slots_after_run_end_seconds": monitoring["freeSlotsAfterRunEndSeconds"],
        },
        "telemetry": {"enabled": made["telemetry"]["enabled"]},
        "retention": {
            kind: {"purge_after_days": made["retention"][kind]["purgeAfterDays"]}
            for kind in ("schedule", "sensor")
        },
    }
    for kind in ("sensors", "schedules"):
        config[kind] = {"use_threads": True, "num_workers": daemon[kind]["numWorkers"]}
    assert not daemon["runRetries"]["enabled"]  # the chart would write run_retries twice
    return {**config, **made["additionalInstanceConfig"]}


def _class(module: str, name: str, config: Mapping[str, Any]) -> dict[str, Any]:
    return {"module": module, "class": name, "config": dict(config)}


def _present(content: Mapping[str, Any], **names: str) -> dict[str, Any]:
    """Those of the keys that are set, by their names in dagster.yaml; the chart leaves out what is empty."""
    return {ours: content[theirs] for theirs, ours in names.items() if content.get(theirs)}


def _merged(below: Mapping[str, Any], above: Mapping[str, Any]) -> dict[str, Any]:
    """Helm's way: mappings are merged, lists are replaced."""
    merged = dict(below)
    for key, value in above.items():
        both = isinstance(value, Mapping) and isinstance(merged.get(key), Mapping)
        merged[key] = _merged(merged[key], value) if both else value
    return merged
