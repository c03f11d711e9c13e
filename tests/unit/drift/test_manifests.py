"""What goes into Kubernetes for each environment: it passes the gate, and what should not is stopped.

After a change that is meant: ``python -m tests.unit.drift.test_manifests`` writes the golden files again.
"""

import copy
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import kubernetes_validate
import pytest

from ray_platform.change.deploy_ray import deploy
from ray_platform.config.settings import Settings
from ray_platform.gitops.export import platform_charts
from ray_platform.gitops.export_files import manifest_files, to_yaml
from ray_platform.kubernetes.helm_chart_process import RenderedChart
from ray_platform.policy.verdict import Verdict
from ray_platform.ray.chart import judge, render
from ray_platform.ray.spec import POOL_LABEL
from ray_platform.session.environment_session import EnvironmentSession, open_session
from ray_platform.terraform.terraform_client import Terraform
from ray_platform.text.errors import PolicyDenied, SettingsError
from tests.support.charts import ROOT, in_helm, kuberay_errors, pod_templates

ENVIRONMENTS = Settings(ROOT, ROOT, {}).environment_names
GOLDEN = ROOT / "tests" / "data" / "golden" / "helm"
AGAIN = "if that is meant: python -m tests.unit.drift.test_manifests"


@pytest.fixture(scope="module")
def rendered(
    tmp_path_factory: pytest.TempPathFactory,
) -> dict[str, tuple[EnvironmentSession, RenderedChart]]:
    """Each environment as its stage renders it, before anything was applied."""
    settings = Settings(ROOT, tmp_path_factory.mktemp("home"), {})
    sites = [open_session(settings, name) for name in ENVIRONMENTS]
    return {session.name: (session, render(session, outputs={})[1]) for session in sites}


@pytest.mark.parametrize("name", ENVIRONMENTS)
def test_what_is_rendered_for_an_environment_passes_the_gate(
    rendered: dict[str, tuple[EnvironmentSession, RenderedChart]], name: str
) -> None:
    session, chart = rendered[name]
    assert judge(session, chart).violations == ()
    groups = [
        g
        for d in chart.documents
        if d["kind"] == "RayCluster"
        for g in d["spec"]["workerGroupSpecs"]
    ]
    assert groups


@pytest.mark.parametrize("name", ENVIRONMENTS)
def test_every_object_of_an_environment_is_valid_for_its_kubernetes(
    rendered: dict[str, tuple[EnvironmentSession, RenderedChart]], name: str
) -> None:
    session, chart = rendered[name]
    for document in chart.documents:
        if document["apiVersion"].startswith("ray.io/"):
            assert kuberay_errors(document) == []
        else:
            version = str(session.environment.variables["kubernetes_version"])
            kubernetes_validate.validate(document, version, strict=True)


def verdict_on(
    session: EnvironmentSession, chart: RenderedChart, documents: list[dict[str, Any]]
) -> Verdict:
    return judge(session, RenderedChart(tuple(documents), chart.text, chart.digest))


def test_the_gate_asks_the_rules_of_ray_and_those_of_any_pod(
    rendered: dict[str, tuple[EnvironmentSession, RenderedChart]],
) -> None:
    session, chart = rendered["local"]
    documents = copy.deepcopy([d for d in chart.documents if d["kind"] != "NetworkPolicy"])
    (cluster,) = (d for d in documents if d["kind"] == "RayCluster")
    cluster["spec"]["workerGroupSpecs"][0]["maxReplicas"] = 11
    pod = pod_templates(cluster)[0]["spec"]
    pod["hostNetwork"] = True
    del pod["securityContext"]["seccompProfile"]
    del pod["containers"][0]["securityContext"]["seccompProfile"]
    found = {v.id for v in verdict_on(session, chart, documents).violations}
    assert found == {
        "ray-pool-size",
        "ray-privileged",
        "kube-host",
        "kube-seccomp",
        "kube-network-policy",
    }


def test_more_workers_than_the_pool_has_nodes_are_refused_before_anything_is_deployed(
    tmp_path: Path,
) -> None:
    """The chart's own values are asked for more than Terraform's pool has: the two no longer agree."""
    root = tmp_path / "checkout"
    for part in ("environments", "terraform/environments", "policies", "helm"):
        shutil.copytree(ROOT / part, root / part)
    (root / "workspace.yaml").touch()
    template = root / "helm" / "ray" / "templates" / "_worker.tpl"
    text = template.read_text(encoding="utf-8")
    assert "maxReplicas: {{ $group.maxReplicas }}" in text
    template.write_text(
        text.replace(
            "maxReplicas: {{ $group.maxReplicas }}",
            "maxReplicas: {{ add 1 (int $group.maxReplicas) }}",
        ),
        encoding="utf-8",
    )
    with pytest.raises(PolicyDenied) as refused:
        deploy(
            open_session(Settings(root, tmp_path / "home", {}), "local"), progress=lambda _: None
        )
    assert (
        "maxReplicas ask for 11 nodes of node pool cpu, whose max_size is 10" in refused.value.what
    )
    assert "max_size" in refused.value.fix


# One source --------------------------------------------------------------------------------------


def test_a_changed_pool_is_found_in_terraform_helm_and_policy_alike(tmp_path: Path) -> None:
    root = tmp_path / "checkout"
    for part in ("environments", "terraform", "policies", "helm"):
        shutil.copytree(ROOT / part, root / part, ignore=shutil.ignore_patterns(".terraform"))
    (root / "workspace.yaml").touch()
    file = root / "terraform" / "environments" / "dev.tfvars"
    pool = """  burst = {
    instance_types = ["c6i.2xlarge"]
    capacity_type  = "SPOT"
    min_size       = 2
    max_size       = 7
    taints         = [{ key = "burst", value = "yes", effect = "NO_EXECUTE" }]
  }
"""
    text = file.read_text(encoding="utf-8")
    file.write_text(text.replace("node_pools = {\n", f"node_pools = {{\n{pool}"), encoding="utf-8")
    session = open_session(Settings(root, tmp_path / "home", {}), "dev")

    # Terraform is handed this very file.
    terraform = Terraform(session.settings, session.environment, env={}, commit="c", repository="r")
    assert terraform.variables_file == file
    assert session.environment.variables["node_pools"]["burst"]["max_size"] == 7

    _, chart = render(session, outputs={})
    (cluster,) = (d for d in chart.documents if d["kind"] == "RayCluster")
    groups = {group["groupName"]: group for group in cluster["spec"]["workerGroupSpecs"]}
    burst, pod = groups["burst"], groups["burst"]["template"]["spec"]
    assert (burst["minReplicas"], burst["maxReplicas"]) == (2, 7)
    assert burst["labels"]["node.kubernetes.io/instance-type"] == "c6i.2xlarge"
    assert burst["labels"]["ray-platform/capacity"] == "spot"
    assert pod["nodeSelector"] == {"ray-platform/pool": "burst"}
    assert pod["tolerations"] == [
        {"key": "burst", "operator": "Equal", "value": "yes", "effect": "NoExecute"}
    ]
    assert pod["containers"][0]["resources"]["limits"] == {"cpu": "7", "memory": "13Gi"}
    (budget,) = (d for d in chart.documents if d["metadata"]["name"] == "ray-workers-burst")
    assert budget["spec"]["minAvailable"] == 1

    assert judge(session, chart).violations == ()
    documents = copy.deepcopy(list(chart.documents))
    (cluster,) = (d for d in documents if d["kind"] == "RayCluster")
    (burst,) = (g for g in cluster["spec"]["workerGroupSpecs"] if g["groupName"] == "burst")
    burst["maxReplicas"] = 8
    (violation,) = verdict_on(session, chart, documents).violations
    assert (violation.id, "whose max_size is 7" in violation.message) == ("ray-pool-size", True)


def test_the_pool_s_label_is_the_one_that_terraform_gives_its_nodes() -> None:
    text = (ROOT / "terraform" / "modules" / "node_pools" / "main.tf").read_text(encoding="utf-8")
    assert f'{{ "{POOL_LABEL}" = name }}' in text


def test_an_invalid_namespace_in_the_variables_is_told_with_its_file(tmp_path: Path) -> None:
    root = tmp_path / "checkout"
    for part in ("environments", "terraform/environments", "helm"):
        shutil.copytree(ROOT / part, root / part)
    (root / "workspace.yaml").touch()
    file = root / "terraform" / "environments" / "local.tfvars"
    with file.open("a") as variables:
        variables.write('ray_namespace = "Team_A"\n')
    with pytest.raises(SettingsError, match="'Team_A'") as refused:
        render(open_session(Settings(root, tmp_path / "home", {}), "local"), outputs={})
    assert refused.value.where == str(file)


def test_redis_is_used_once_its_user_stands_in_a_secret(tmp_path: Path) -> None:
    root = tmp_path / "checkout"
    for part in ("environments", "terraform/environments", "helm"):
        shutil.copytree(ROOT / part, root / part)
    (root / "workspace.yaml").touch()
    outputs = {"redis": {"host": "redis.example.com", "port": 6379, "user_group_id": "g"}}

    def values(outputs: dict[str, Any]) -> Mapping[str, Any]:
        return render(open_session(Settings(root, tmp_path / "home", {}), "local"), outputs)[0]

    assert "gcsFaultTolerance" not in values(outputs)
    file = root / "environments" / "local.toml"
    text = file.read_text(encoding="utf-8")
    file.write_text(text.replace("[ray]\n", '[ray]\nredis_secret = "ray-redis"\n'))
    assert values(outputs)["gcsFaultTolerance"]["secretName"] == "ray-redis"
    assert values(outputs)["networkPolicy"]["redis"]["cidrs"] == ["10.0.0.0/16"]
    with pytest.raises(SettingsError, match="no Redis in local"):
        values({"redis": None})


# Golden files ------------------------------------------------------------------------------------


def reviewed(
    session: EnvironmentSession, chart: RenderedChart, platform: list[dict[str, Any]]
) -> dict[str, str]:
    """What the golden files of an environment hold: both charts' objects, and third-party charts' values."""
    charts = {
        f"charts/{pinned.name}-{pinned.version}.values.yaml": to_yaml(values)
        for pinned, values in platform_charts(session, outputs={})
    }
    return {**manifest_files({"ray": chart.documents, "platform": platform}), **charts}


def platforms() -> dict[str, Any]:
    """The objects of helm/platform in each environment."""
    answers, _ = in_helm([(ROOT / "helm" / "platform", {"environment": n}) for n in ENVIRONMENTS])
    return dict(zip(ENVIRONMENTS, answers, strict=True))


@pytest.fixture(scope="module")
def platform() -> dict[str, Any]:
    return platforms()


@pytest.mark.parametrize("name", ENVIRONMENTS)
def test_the_golden_files_are_what_is_rendered(
    rendered: dict[str, tuple[EnvironmentSession, RenderedChart]],
    platform: dict[str, Any],
    name: str,
) -> None:
    """For review: what a change does to the manifests of each environment is seen in its diff."""
    made = reviewed(*rendered[name], platform[name])
    folder = GOLDEN / name
    found = {
        path.relative_to(folder).as_posix(): path.read_text(encoding="utf-8")
        for path in folder.rglob("*.yaml")
    }
    assert sorted(found) == sorted(made), AGAIN
    assert found == made, AGAIN


def write_golden_files() -> None:
    settings = Settings(ROOT, ROOT / "none", {})
    shutil.rmtree(GOLDEN, ignore_errors=True)
    for name, platform in platforms().items():
        session = open_session(settings, name)
        for path, text in reviewed(session, render(session, outputs={})[1], platform).items():
            file = GOLDEN / name / path
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    write_golden_files()
