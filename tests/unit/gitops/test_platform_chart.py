"""The chart helm/platform: namespaces, storage class and scaling of services; what it refuses."""

from typing import Any

import kubernetes_validate
import pytest

from ray_platform.gitops.platform_charts import read_charts
from ray_platform.policy.policy_engine import PolicyEngine
from tests.support.charts import ROOT, in_helm

CHART = ROOT / "helm" / "platform"
SCALED = {
    "environment": "prod",
    "horizontalScaling": {
        "dagster-webserver": {"namespace": "ray", "minReplicas": 2, "maxReplicas": 5}
    },
    "verticalScaling": {"dagster-webserver": {"namespace": "ray"}},
    "storageClass": {
        "kmsKeyArn": "arn:aws:kms:us-east-1:000000000000:key/00000000",
        "default": False,
        "reclaimPolicy": "Retain",
    },
}
REFUSED: list[tuple[dict[str, Any], str]] = [
    ({"namespace": {}}, "'namespace'"),
    ({"namespaces": {"Team_A": "restricted"}}, "Team_A"),
    ({"namespaces": {"a" * 64: "restricted"}}, "a" * 64),
    ({"namespaces": {"team": "open"}}, "/namespaces/team"),
    ({"storageClass": {"encrypted": False}}, "/storageClass"),
    ({"storageClass": {"default": "yes"}}, "/storageClass/default"),
    (
        {"horizontalScaling": {"a": {"namespace": "b", "minReplicas": 3, "maxReplicas": 2}}},
        "maxReplicas 2 is below minReplicas 3",
    ),
    (
        {"verticalScaling": {"ray": {"namespace": "ray", "kind": "RayCluster"}}},
        "/verticalScaling/ray/kind",
    ),
]

Documents = list[dict[str, Any]]


@pytest.fixture(scope="module")
def rendered() -> tuple[Documents, Documents]:
    (plain, scaled), _ = in_helm([(CHART, {}), (CHART, SCALED)])
    assert isinstance(plain, list), plain
    assert isinstance(scaled, list), scaled
    return plain, scaled


def of_kind(documents: Documents, kind: str) -> Documents:
    return [document for document in documents if document["kind"] == kind]


def test_every_object_is_valid_and_allowed(rendered: tuple[Documents, Documents]) -> None:
    engine = PolicyEngine(ROOT / "policies")
    for documents in rendered:
        for document in documents:
            if document["kind"] != "VerticalPodAutoscaler":  # no kind of Kubernetes itself
                kubernetes_validate.validate(document, "1.35", strict=True)
        assert engine.check_manifests(documents, "prod").violations == ()


def test_helm_lint_finds_nothing() -> None:
    _, reports = in_helm(lints=[(CHART, {}), (CHART, SCALED)])
    for report in reports:
        assert report["errors"] == []
        assert [m["error"] for m in report["messages"]] == ["icon is recommended"]


def test_namespaces_enforce_their_level_and_stay_when_the_release_goes(
    rendered: tuple[Documents, Documents],
) -> None:
    found = {d["metadata"]["name"]: d["metadata"] for d in of_kind(rendered[0], "Namespace")}
    assert set(found) == {"ray", "kuberay-system"}
    for metadata in found.values():
        assert metadata["labels"]["pod-security.kubernetes.io/enforce"] == "restricted"
        assert metadata["annotations"]["helm.sh/resource-policy"] == "keep"


def test_volumes_are_gp3_and_encrypted_whatever_the_values(
    rendered: tuple[Documents, Documents],
) -> None:
    (plain,), (scaled,) = (of_kind(documents, "StorageClass") for documents in rendered)
    for storage in (plain, scaled):
        assert storage["parameters"]["type"] == "gp3"
        assert storage["parameters"]["encrypted"] == "true"
        assert storage["volumeBindingMode"] == "WaitForFirstConsumer"
    assert "kmsKeyId" not in plain["parameters"]
    assert scaled["parameters"]["kmsKeyId"].endswith("key/00000000")
    # The chart of Ray asks for this very class.
    values = (ROOT / "helm" / "ray" / "values.yaml").read_text(encoding="utf-8")
    assert f"storageClass: {plain['metadata']['name']}\n" in values


def test_services_scale_only_where_it_is_asked(rendered: tuple[Documents, Documents]) -> None:
    plain, scaled = rendered
    kinds = ("HorizontalPodAutoscaler", "VerticalPodAutoscaler")
    assert not [d for kind in kinds for d in of_kind(plain, kind)]
    (horizontal,), (vertical,) = (of_kind(scaled, kind) for kind in kinds)
    assert horizontal["spec"]["scaleTargetRef"]["kind"] == "Deployment"
    assert horizontal["spec"]["metrics"][0]["resource"]["target"]["averageUtilization"] == 70
    assert vertical["spec"]["updatePolicy"]["updateMode"] == "Off"


def test_every_wrong_value_is_refused_with_its_place() -> None:
    answers, _ = in_helm([(CHART, values) for values, _ in REFUSED])
    for (values, place), answer in zip(REFUSED, answers, strict=True):
        assert isinstance(answer, str), values
        assert place in answer, values


def test_the_docs_name_every_third_party_chart_with_its_version() -> None:
    path = CHART / "charts.yaml"
    charts = read_charts(path.read_text(encoding="utf-8"), where=str(path))
    text = (ROOT / "docs" / "how-to" / "install-cluster-add-ons.md").read_text(encoding="utf-8")
    rows = [line for line in text.splitlines() if line.startswith("| `")]
    for chart in charts:
        assert [row for row in rows if row.startswith(f"| `{chart.name}` | {chart.version} |")]


def test_the_chart_that_the_docs_install_is_checked_by_its_pinned_digest() -> None:
    path = CHART / "charts.yaml"
    charts = {c.name: c for c in read_charts(path.read_text(encoding="utf-8"), where=str(path))}
    assert [name for name, chart in charts.items() if not chart.digest] == ["kuberay-operator"]
    text = (ROOT / "docs" / "how-to" / "install-cluster-add-ons.md").read_text(encoding="utf-8")
    text = text.replace(" \\\n  ", " ")
    chart = charts["cluster-autoscaler"]
    archive = f"{chart.chart}-{chart.version}.tgz"
    assert f'echo "{chart.digest}  {archive}" | sha256sum --check' in text
    assert f"helm upgrade --install {chart.name} {archive} " in text
