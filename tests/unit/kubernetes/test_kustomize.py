"""kubernetes/: what each overlay builds to, and that it may run there; the sample service for real."""

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from typing import Any

import kubernetes_validate
import pytest
import yaml

from ray_platform.config.settings import Settings
from ray_platform.policy.policy_engine import PolicyEngine
from tests.support.charts import ROOT, kuberay_errors, pod_templates

KUBERNETES = ROOT / "kubernetes"
SERVICE = KUBERNETES / "base" / "service" / "service.py"
OVERLAYS = sorted(path.name for path in (KUBERNETES / "overlays").iterdir())
SETTINGS = Settings(ROOT, ROOT, {})
ENGINE = PolicyEngine(ROOT / "policies")

Documents = list[dict[str, Any]]

each_overlay = pytest.mark.parametrize("name", OVERLAYS)


@pytest.fixture(scope="module")
def built() -> dict[str, Documents]:
    if not shutil.which("kubectl"):
        pytest.skip("kubectl is not on this machine: kubernetes/ was not built")
    calls = {
        name: subprocess.Popen(
            ["kubectl", "kustomize", str(KUBERNETES / "overlays" / name)],
            stdout=subprocess.PIPE,
            text=True,
        )
        for name in OVERLAYS
    }
    texts = {name: call.communicate()[0] for name, call in calls.items()}
    assert not any(call.returncode for call in calls.values())
    return {
        name: list(yaml.load_all(text, Loader=yaml.CSafeLoader)) for name, text in texts.items()
    }


def one(documents: Documents, kind: str) -> dict[str, Any]:
    (found,) = (document for document in documents if document["kind"] == kind)
    return found


def test_every_environment_has_an_overlay() -> None:
    assert sorted(SETTINGS.environment_names) == OVERLAYS, "add kubernetes/overlays/NAME"


@each_overlay
def test_every_object_is_valid_for_the_environment_s_kubernetes(
    built: dict[str, Documents], name: str
) -> None:
    version = str(SETTINGS.environment(name).variables["kubernetes_version"])
    for document in built[name]:
        if document["apiVersion"].startswith("ray.io/"):
            assert kuberay_errors(document) == []
        else:
            kubernetes_validate.validate(document, version, strict=True)
        assert document["metadata"]["labels"]["ray-platform/environment"] == name


@each_overlay
def test_the_policies_allow_it_on_the_environment_s_pools(
    built: dict[str, Documents], name: str
) -> None:
    pools = SETTINGS.environment(name).node_pools
    assert ENGINE.check_manifests(built[name], name).violations == ()
    assert ENGINE.check_ray(built[name], pools, name).violations == ()


def test_a_job_with_more_workers_than_the_pool_is_denied(built: dict[str, Documents]) -> None:
    documents = json.loads(json.dumps(built["dev"]))
    job = one(documents, "RayJob")
    job["spec"]["rayClusterSpec"]["workerGroupSpecs"][0]["maxReplicas"] = 7
    (violation,) = ENGINE.check_ray(
        documents, SETTINGS.environment("dev").node_pools, "dev"
    ).violations
    assert violation.id == "ray-pool-size"


def amount(text: Any) -> float:
    """CPUs or bytes of a quantity."""
    units = {"m": 1e-3, "Mi": 2**20, "Gi": 2**30}
    for unit, factor in units.items():
        if str(text).endswith(unit):
            return float(str(text).removesuffix(unit)) * factor
    return float(text)


def wanted(documents: Documents) -> dict[str, float]:
    """What all pods ask for at their greatest number, by the quota's names."""
    job, service = one(documents, "RayJob")["spec"], one(documents, "Deployment")["spec"]
    scaled = [d["spec"]["maxReplicas"] for d in documents if d["kind"] == "HorizontalPodAutoscaler"]
    cluster = job["rayClusterSpec"]
    pods = [
        # One more while a new version is rolled out.
        ((scaled or [service["replicas"]])[0] + 1, service["template"]),
        (1, job["submitterPodTemplate"]),
        (1, cluster["headGroupSpec"]["template"]),
        (1, {"spec": {"containers": [cluster["autoscalerOptions"]]}}),
        *((g["maxReplicas"], g["template"]) for g in cluster["workerGroupSpecs"]),
    ]
    sums: dict[str, float] = {"pods": sum(count for count, _ in pods)}
    for count, template in pods:
        for container in template["spec"]["containers"]:
            for part, amounts in container["resources"].items():
                for resource, text in amounts.items():
                    key = f"{part}.{resource}"
                    sums[key] = sums.get(key, 0) + count * amount(text)
    return sums


@each_overlay
def test_the_workloads_fit_the_quota_of_their_namespace(
    built: dict[str, Documents], name: str
) -> None:
    hard = one(built[name], "ResourceQuota")["spec"]["hard"]
    sums = wanted(built[name])
    assert {key for key in hard if key in sums} >= {"pods", "requests.cpu", "limits.memory"}
    for key, limit in hard.items():
        assert sums.get(key, 0) <= amount(limit), key


def test_the_large_example_scales_by_load_and_keeps_the_count_to_its_autoscaler(
    built: dict[str, Documents],
) -> None:
    assert "replicas" not in one(built["prod"], "Deployment")["spec"]
    scaler = one(built["prod"], "HorizontalPodAutoscaler")["spec"]
    assert scaler["scaleTargetRef"]["name"] == one(built["prod"], "Deployment")["metadata"]["name"]
    assert not [d for d in built["dev"] if d["kind"] == "HorizontalPodAutoscaler"]


@each_overlay
def test_the_job_is_a_template_that_runs_only_when_asked(
    built: dict[str, Documents], name: str
) -> None:
    spec = one(built[name], "RayJob")["spec"]
    assert spec["suspend"] is True
    assert spec["shutdownAfterJobFinishes"] is True


@each_overlay
def test_the_default_is_deny_and_the_namespace_enforces_the_restricted_profile(
    built: dict[str, Documents], name: str
) -> None:
    policies = {
        d["metadata"]["name"]: d["spec"] for d in built[name] if d["kind"] == "NetworkPolicy"
    }
    assert policies["default-deny"] == {"podSelector": {}, "policyTypes": ["Ingress", "Egress"]}
    labels = one(built[name], "Namespace")["metadata"]["labels"]
    assert labels["pod-security.kubernetes.io/enforce"] == "restricted"
    assert len([t for d in built[name] for t in pod_templates(d)]) >= 4


# The sample service ------------------------------------------------------------------------------


@pytest.fixture
def service() -> Iterator[tuple[subprocess.Popen[bytes], str]]:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    process = subprocess.Popen(
        [sys.executable, str(SERVICE)],
        env={**os.environ, "PORT": str(port), "DRAIN_SECONDS": "1.5", "GREETING": "team"},
    )
    address = f"http://127.0.0.1:{port}"
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline:
        try:
            ask(f"{address}/healthz")
            break
        except urllib.error.URLError:
            time.sleep(0.05)
    yield process, address
    process.kill()
    process.wait()


def ask(url: str) -> tuple[int, Any]:
    # On this machine, whatever proxy it has.
    direct = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with direct.open(url, timeout=10) as answer:
            return answer.status, json.load(answer)
    except urllib.error.HTTPError as error:
        return error.code, json.load(error)


def test_the_service_answers_the_probes_of_its_deployment(
    built: dict[str, Documents], service: tuple[subprocess.Popen[bytes], str]
) -> None:
    _, address = service
    (container,) = one(built["dev"], "Deployment")["spec"]["template"]["spec"]["containers"]
    for probe in ("readinessProbe", "livenessProbe"):
        assert ask(address + container[probe]["httpGet"]["path"])[0] == 200
    assert ask(f"{address}/") == (200, {"hello": "team"})
    assert ask(f"{address}/nothing")[0] == 404


def test_told_to_end_it_turns_unready_first_stays_alive_and_then_ends_well(
    service: tuple[subprocess.Popen[bytes], str],
) -> None:
    process, address = service
    assert ask(f"{address}/readyz") == (200, {"status": "ready"})
    process.send_signal(signal.SIGTERM)
    while (said := ask(f"{address}/readyz"))[0] == 200:
        pass
    assert said == (503, {"status": "ending"})
    assert ask(f"{address}/healthz")[0] == 200
    assert process.wait(timeout=30) == 0


def test_the_program_in_the_cluster_is_the_one_that_is_tested(built: dict[str, Documents]) -> None:
    config = one(built["prod"], "ConfigMap")
    assert config["data"] == {"service.py": SERVICE.read_text(encoding="utf-8")}
    volume = one(built["prod"], "Deployment")["spec"]["template"]["spec"]["volumes"][0]
    assert volume["configMap"]["name"] == config["metadata"]["name"]
