"""Third-party charts: pinned, and their values in an environment derived from its cluster and pools."""

from dataclasses import replace
from pathlib import Path

import pytest

from ray_platform.config.node_pools import NodePool
from ray_platform.gitops.platform_charts import Cluster, needed, read_charts, values_for
from ray_platform.text.errors import SettingsError

FILE = Path(__file__).resolve().parents[3] / "helm" / "platform" / "charts.yaml"
TEXT = FILE.read_text(encoding="utf-8")
CHARTS = {chart.name: chart for chart in read_charts(TEXT, where=str(FILE))}
TAINT = {"key": "nvidia.com/gpu", "value": "true", "effect": "NO_SCHEDULE"}
SYSTEM = NodePool("system", ("m6i.large",), 1, 3, ray_workers=False)
CPU = NodePool("cpu", ("m5.xlarge",), 2, 10, spot=True)
GPU = NodePool("gpu", ("g4dn.xlarge",), 0, 5, gpu=True, taints=(TAINT,))
CLUSTER = Cluster("ray-platform-dev", "us-east-1", "1.35", "arn:aws:iam::000000000000:role/ca")


def test_the_list_has_what_a_cluster_needs() -> None:
    assert set(CHARTS) == {
        "metrics-server",
        "cluster-autoscaler",
        "nvidia-device-plugin",
        "aws-node-termination-handler",
        "kuberay-operator",
    }


def test_the_autoscaler_finds_the_pools_by_terraform_s_tags_and_takes_its_role() -> None:
    values = values_for(CHARTS["cluster-autoscaler"], CLUSTER, [SYSTEM, CPU])
    text = (FILE.parents[2] / "terraform" / "modules" / "node_pools" / "main.tf").read_text()
    for tag in values["autoDiscovery"]["tags"]:
        assert f'"{tag.replace("ray-platform-dev", "${var.cluster_name}")}"' in text
    account = values["rbac"]["serviceAccount"]
    trusted = (FILE.parents[2] / "terraform/modules/eks_cluster/roles.tf").read_text()
    assert f'"{CHARTS["cluster-autoscaler"].namespace}:{account["name"]}"' in trusted
    assert account["annotations"] == {"eks.amazonaws.com/role-arn": CLUSTER.autoscaler_role}
    assert values["image"] == {"tag": "v1.35.0"}
    # What is pinned for all environments stays.
    assert values["extraArgs"]["expander"] == "least-waste"


def test_before_the_first_apply_there_is_no_role_to_name() -> None:
    unknown = replace(CLUSTER, autoscaler_role="")
    values = values_for(CHARTS["cluster-autoscaler"], unknown, [CPU])
    assert values["rbac"]["serviceAccount"]["annotations"] == {}


def test_what_is_not_of_a_node_goes_where_no_workers_are() -> None:
    for name in ("cluster-autoscaler", "metrics-server", "kuberay-operator"):
        values = values_for(CHARTS[name], CLUSTER, [CPU, SYSTEM])
        assert values["nodeSelector"] == {"ray-platform/pool": "system"}


def test_the_gpu_plugin_bears_the_gpu_pools_taints() -> None:
    other = replace(GPU, name="other", taints=({**TAINT, "key": "team"},))
    values = values_for(CHARTS["nvidia-device-plugin"], CLUSTER, [SYSTEM, GPU, other])
    assert values["tolerations"] == [
        {"key": "nvidia.com/gpu", "operator": "Exists"},
        {"key": "team", "operator": "Exists"},
    ]


def test_no_gpu_plugin_without_gpus_and_no_drain_without_spot() -> None:
    charts = tuple(CHARTS.values())
    assert needed(charts, [SYSTEM, CPU, GPU]) == charts
    names = {chart.name for chart in needed(charts, [SYSTEM])}
    assert names == {"metrics-server", "cluster-autoscaler", "kuberay-operator"}


CHART = TEXT[TEXT.index("  kuberay-operator:") :]


@pytest.mark.parametrize(
    ("old", "new", "named"),
    [
        ("version: 1.7.0", "version: latest", "'latest' pins nothing"),
        ("version: 1.7.0", "version: 3.x", "'3.x' pins nothing"),
        ('digest: ""', "digest: abc", "'abc' is no SHA-256"),
        ("namespace: kuberay-system", "name: kuberay-system", "has no namespace"),
        ("    why:", "    wy: a\n    why:", "unknown key 'wy'"),
        ("  kuberay-operator:", "  kuberay-operator: [", "not YAML"),
        ("charts:", "chart:", "'charts'"),
    ],
)
def test_a_chart_that_is_not_pinned_or_not_whole_is_refused(old: str, new: str, named: str) -> None:
    text = f"charts:\n{CHART}"
    assert old in text
    with pytest.raises(SettingsError) as refused:
        read_charts(text.replace(old, new), where="charts.yaml")
    assert named in refused.value.what
    assert refused.value.where == "charts.yaml"


def test_a_digest_that_is_known_is_kept() -> None:
    text = f"charts:\n{CHART}".replace('digest: ""', f"digest: {'a' * 64}")
    assert read_charts(text, where="")[0].digest == "a" * 64
