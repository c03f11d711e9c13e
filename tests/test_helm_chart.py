"""The chart helm/ray: what it renders, what it refuses; KubeRay's own schema accepts it."""

import gzip
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml

from ray_platform.clients.helm import RenderedChart, chart_digest, render_chart
from ray_platform.core.errors import SettingsError
from ray_platform.core.node_pools import NodePool
from ray_platform.core.ray_spec import helm_values

ROOT = Path(__file__).resolve().parents[1]
CHART = ROOT / "helm" / "ray"
CRD = ROOT.parent / "shared" / "data" / "kuberay-crds" / "ray.io_rayclusters.yaml.gz"
POOLS = (
    NodePool("cpu", ("m5.xlarge",), 2, 10),
    NodePool(
        "gpu",
        ("g4dn.xlarge",),
        0,
        5,
        gpu=True,
        taints=({"key": "nvidia.com/gpu", "value": "true", "effect": "NO_SCHEDULE"},),
    ),
    NodePool("system", ("m6i.large",), 1, 3, ray_workers=False),
)
VALUES = helm_values("local", POOLS, ray_version="2.60.0", idle_timeout_seconds=6)


def render(values: Mapping[str, Any] = VALUES) -> RenderedChart:
    return render_chart(CHART, values, release="ray", namespace="ray")


@pytest.fixture(scope="module")
def rendered() -> RenderedChart:
    return render()


@pytest.fixture(scope="module")
def cluster(rendered: RenderedChart) -> dict[str, Any]:
    (found,) = (d for d in rendered.documents if d["kind"] == "RayCluster")
    return found


@pytest.fixture(scope="module")
def crd_schema() -> dict[str, Any]:
    if not CRD.is_file():
        pytest.skip(f"KubeRay's CRDs are not on this machine: {CRD} is missing")
    crd = yaml.load(gzip.decompress(CRD.read_bytes()), Loader=yaml.CSafeLoader)
    (version,) = (v for v in crd["spec"]["versions"] if v["name"] == "v1")
    return closed(version["schema"]["openAPIV3Schema"])


def closed(schema: Any) -> Any:
    """The schema with unknown keys refused, as the API server's strict field validation does."""
    if isinstance(schema, list):
        return [closed(item) for item in schema]
    if not isinstance(schema, dict):
        return schema
    done = {key: closed(value) for key, value in schema.items()}
    if "properties" in done and "additionalProperties" not in done:
        done["additionalProperties"] = bool(done.get("x-kubernetes-preserve-unknown-fields"))
    if done.get("x-kubernetes-int-or-string"):
        return {"type": ["integer", "string"]}
    return done


def test_the_ray_cluster_is_valid_for_kuberay(
    cluster: dict[str, Any], crd_schema: dict[str, Any]
) -> None:
    import jsonschema

    # metadata is the API server's, and the CRD says no more of it than that it is an object.
    crd_schema["properties"]["metadata"] = {"type": "object"}
    errors = [
        f"{'.'.join(str(step) for step in error.absolute_path)}: {error.message}"
        for error in jsonschema.Draft202012Validator(crd_schema).iter_errors(cluster)
    ]
    assert errors == []
    # The closed schema does find a mistyped key.
    cluster_with_typo = {**cluster, "spec": {**cluster["spec"], "enableInTreeAutoscalin": True}}
    assert list(jsonschema.Draft202012Validator(crd_schema).iter_errors(cluster_with_typo))


def test_one_worker_group_for_each_pool_with_its_bounds(cluster: dict[str, Any]) -> None:
    groups = {group["groupName"]: group for group in cluster["spec"]["workerGroupSpecs"]}
    assert {
        name: (group["minReplicas"], group["maxReplicas"]) for name, group in groups.items()
    } == {"cpu": (2, 10), "gpu": (0, 5)}
    assert all("replicas" not in group for group in groups.values())


def test_gpu_workers_ask_for_a_gpu_and_tolerate_its_taint(cluster: dict[str, Any]) -> None:
    (gpu,) = (g for g in cluster["spec"]["workerGroupSpecs"] if g["groupName"] == "gpu")
    pod = gpu["template"]["spec"]
    assert pod["containers"][0]["resources"]["limits"]["nvidia.com/gpu"] == "1"
    assert pod["tolerations"] == [
        {"key": "nvidia.com/gpu", "operator": "Equal", "value": "true", "effect": "NoSchedule"}
    ]
    (cpu,) = (g for g in cluster["spec"]["workerGroupSpecs"] if g["groupName"] == "cpu")
    assert "nvidia.com/gpu" not in cpu["template"]["spec"]["containers"][0]["resources"]["limits"]


def pods(cluster: dict[str, Any]) -> list[dict[str, Any]]:
    specs = [cluster["spec"]["headGroupSpec"], *cluster["spec"]["workerGroupSpecs"]]
    return [spec["template"]["spec"] for spec in specs]


def test_every_container_has_requests_equal_to_limits(cluster: dict[str, Any]) -> None:
    options = cluster["spec"]["autoscalerOptions"]
    for container in [*(c for pod in pods(cluster) for c in pod["containers"]), options]:
        assert container["resources"]["requests"] == container["resources"]["limits"]
        assert set(container["resources"]["limits"]) >= {"cpu", "memory"}


def test_every_pod_runs_without_rights(cluster: dict[str, Any]) -> None:
    for pod in pods(cluster):
        assert pod["securityContext"]["runAsNonRoot"] is True
        assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
        for container in pod["containers"]:
            assert container["securityContext"]["allowPrivilegeEscalation"] is False
            assert container["securityContext"]["capabilities"] == {"drop": ["ALL"]}


def test_every_node_asks_for_the_token_and_the_token_is_not_in_the_manifest(
    cluster: dict[str, Any],
) -> None:
    options = cluster["spec"]["autoscalerOptions"]
    for container in [*(c for pod in pods(cluster) for c in pod["containers"]), options]:
        by_name = {entry["name"]: entry for entry in container["env"]}
        assert by_name["RAY_AUTH_MODE"]["value"] == "token"
        assert set(by_name["RAY_AUTH_TOKEN"]) == {"name", "valueFrom"}


def test_the_head_runs_no_tasks_and_the_autoscaler_is_v2(cluster: dict[str, Any]) -> None:
    assert cluster["spec"]["headGroupSpec"]["rayStartParams"]["num-cpus"] == "0"
    assert cluster["spec"]["enableInTreeAutoscaling"] is True
    assert cluster["spec"]["autoscalerOptions"]["version"] == "v2"
    assert cluster["spec"]["autoscalerOptions"]["idleTimeoutSeconds"] == 6


def test_without_a_selector_workers_go_to_the_pool_of_their_name() -> None:
    group = {**VALUES["workerGroups"]["cpu"], "nodeSelector": {}}
    (cluster,) = (
        d
        for d in render({**VALUES, "workerGroups": {"cpu": group}}).documents
        if d["kind"] == "RayCluster"
    )
    (spec,) = cluster["spec"]["workerGroupSpecs"]
    assert spec["template"]["spec"]["nodeSelector"] == {"ray-platform/pool": "cpu"}


def test_a_role_is_told_to_the_service_account_only_when_there_is_one() -> None:
    role = "arn:aws:iam::000000000000:role/ray"
    for role_arn, expected in (("", None), (role, {"eks.amazonaws.com/role-arn": role})):
        documents = render({**VALUES, "serviceAccount": {"roleArn": role_arn}}).documents
        (account,) = (d for d in documents if d["kind"] == "ServiceAccount")
        assert account["metadata"].get("annotations") == expected


def test_a_digest_as_tag_makes_an_image_by_digest() -> None:
    digest = "sha256:" + "0" * 64
    values = {**VALUES, "image": {"repository": "rayproject/ray", "tag": digest}}
    assert f"image: rayproject/ray@{digest}\n" in render(values).text


@pytest.mark.parametrize(
    ("values", "key"),
    [
        ({"imag": {}}, "'imag'"),
        ({"head": {"resources": {"cpu": 1, "memory": "4Gi", "gpus": 1}}}, "head.resources"),
        ({"rayVersion": 2.6}, "rayVersion"),
        ({"image": {"repository": "rayproject/ray", "tag": "latest"}}, "image.tag"),
        ({"autoscaler": {"idleTimeoutSeconds": "60"}}, "autoscaler.idleTimeoutSeconds"),
        (
            {
                "workerGroups": {
                    "a": {
                        "minReplicas": 3,
                        "maxReplicas": 1,
                        "resources": {"cpu": 1, "memory": "1Gi"},
                    }
                }
            },
            "workerGroups.a: maxReplicas 1",
        ),
    ],
)
def test_a_wrong_value_is_named_by_its_key(values: dict[str, Any], key: str) -> None:
    with pytest.raises(SettingsError) as caught:
        render(values)
    assert key in caught.value.what


def test_a_chart_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(SettingsError) as caught:
        render_chart(tmp_path / "none", {}, release="ray", namespace="ray")
    assert str(tmp_path / "none") in str(caught.value)
    with pytest.raises(SettingsError):
        chart_digest(tmp_path / "none")


def test_the_digest_is_of_the_content_and_changes_with_a_value(rendered: RenderedChart) -> None:
    assert render().digest == rendered.digest
    other = helm_values("local", POOLS, ray_version="2.60.0", idle_timeout_seconds=7)
    assert render(other).digest != rendered.digest
    assert len(chart_digest(CHART)) == 64
