"""What goes into Kubernetes for each environment: it passes the gate, and what should not is stopped."""

import copy
import shutil
from pathlib import Path
from typing import Any

import pytest

from ray_platform.clients.helm import RenderedChart
from ray_platform.core.errors import PolicyDenied
from ray_platform.core.policy import Verdict
from ray_platform.settings import Settings
from ray_platform.stages.ray_cluster import deploy, judge, render
from ray_platform.stages.site import Site
from tests.charts import ROOT, pod_templates

ENVIRONMENTS = Settings(ROOT, ROOT, {}).environment_names


@pytest.fixture(scope="module")
def rendered(tmp_path_factory: pytest.TempPathFactory) -> dict[str, tuple[Site, RenderedChart]]:
    """Each environment as its stage renders it, before anything was applied."""
    settings = Settings(ROOT, tmp_path_factory.mktemp("home"), {})
    sites = [Site(settings, name) for name in ENVIRONMENTS]
    return {site.name: (site, render(site, outputs={})[1]) for site in sites}


@pytest.mark.parametrize("name", ENVIRONMENTS)
def test_what_is_rendered_for_an_environment_passes_the_gate(
    rendered: dict[str, tuple[Site, RenderedChart]], name: str
) -> None:
    site, chart = rendered[name]
    assert judge(site, chart).violations == ()
    groups = [
        g
        for d in chart.documents
        if d["kind"] == "RayCluster"
        for g in d["spec"]["workerGroupSpecs"]
    ]
    assert groups


def verdict_on(site: Site, chart: RenderedChart, documents: list[dict[str, Any]]) -> Verdict:
    return judge(site, RenderedChart(tuple(documents), chart.text, chart.digest))


def test_the_gate_asks_the_rules_of_ray_and_those_of_any_pod(
    rendered: dict[str, tuple[Site, RenderedChart]],
) -> None:
    site, chart = rendered["local"]
    documents = copy.deepcopy([d for d in chart.documents if d["kind"] != "NetworkPolicy"])
    (cluster,) = (d for d in documents if d["kind"] == "RayCluster")
    cluster["spec"]["workerGroupSpecs"][0]["maxReplicas"] = 11
    pod = pod_templates(cluster)[0]["spec"]
    pod["hostNetwork"] = True
    del pod["securityContext"]["seccompProfile"]
    del pod["containers"][0]["securityContext"]["seccompProfile"]
    found = {v.id for v in verdict_on(site, chart, documents).violations}
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
        deploy(Site(Settings(root, tmp_path / "home", {}), "local"), progress=lambda _: None)
    assert (
        "maxReplicas ask for 11 nodes of node pool cpu, whose max_size is 10" in refused.value.what
    )
    assert "max_size" in refused.value.fix
