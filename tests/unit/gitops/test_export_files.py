"""An export's files: named, sorted and equal for equal manifests; Argo CD's objects around them."""

import json
import random
from dataclasses import replace
from typing import Any

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from ray_platform.gitops.export_files import (
    MARKER,
    Delivery,
    application,
    application_set,
    chart_application,
    export_files,
    foreign_files,
    manifest_files,
    object_path,
    to_yaml,
)
from ray_platform.gitops.platform_charts import PinnedChart
from ray_platform.text.errors import SettingsError

DEV = Delivery(
    environment="dev",
    repository="https://example.com/team/infra.git",
    revision="main",
    path="gitops/dev",
    cluster="ray-platform-dev",
    namespace="ray",
    sync="automatic",
)
METRICS = PinnedChart(
    name="metrics",
    repository="https://example.com/charts",
    chart="metrics-server",
    version="3.13.0",
    digest="",
    namespace="kube-system",
    values={},
)
VALUES = {"replicas": 2}
PROD = replace(
    DEV, environment="prod", path="gitops/prod", cluster="ray-platform-prod", sync="manual"
)


def thing(kind: str, name: str, **more: Any) -> dict[str, Any]:
    return {
        "kind": kind,
        "apiVersion": "v1",
        "metadata": {"name": name, "namespace": "ray"},
        **more,
    }


THINGS = [
    thing("ConfigMap", "b", data={"text": "one\ntwo\n", "n": "1"}),
    thing("Secret", "a"),
    thing("ConfigMap", "a", data={"z": "1", "a": "2"}),
]


def files(things: list[dict[str, Any]]) -> dict[str, str]:
    return export_files(
        {"ray": things}, DEV, [DEV, PROD], charts=[(METRICS, VALUES)], sources={"chart": "c"}
    )


def test_each_object_is_a_file_named_by_what_it_is() -> None:
    made = manifest_files({"ray": THINGS, "platform": [{"kind": "X", "metadata": {"name": "y"}}]})
    assert list(made) == [
        "platform/cluster/x-y.yaml",
        "ray/ray/configmap-a.yaml",
        "ray/ray/configmap-b.yaml",
        "ray/ray/secret-a.yaml",
    ]


def test_a_name_with_colons_makes_a_name_of_a_file() -> None:
    role = {"kind": "ClusterRole", "metadata": {"name": "system:ray"}}
    assert object_path(role) == "cluster/clusterrole-system-ray.yaml"


def test_two_objects_of_one_name_are_refused() -> None:
    with pytest.raises(SettingsError, match="ray/configmap-a"):
        manifest_files({"ray": [*THINGS, thing("ConfigMap", "a")]})


@settings(max_examples=10)
@given(st.randoms(use_true_random=False))
def test_the_order_of_objects_and_keys_changes_no_byte(shuffle: random.Random) -> None:
    def turned(value: Any) -> Any:
        if isinstance(value, dict):
            keys = list(value)
            shuffle.shuffle(keys)
            return {key: turned(value[key]) for key in keys}
        return value

    things = [turned(one) for one in THINGS]
    shuffle.shuffle(things)
    assert files(things) == files(THINGS)


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)


@settings(max_examples=50)
@given(st.dictionaries(st.text(min_size=1), json_values, max_size=4))
def test_what_is_written_reads_back_as_it_was(document: dict[str, Any]) -> None:
    assert yaml.safe_load(to_yaml(document)) == document


def test_the_kustomization_names_every_object_and_nothing_else() -> None:
    made = files(THINGS)
    resources = yaml.safe_load(made["kustomization.yaml"])["resources"]
    others = {path for path in made if path.startswith(("argocd/", "charts/"))}
    assert resources == sorted(set(made) - others - {"kustomization.yaml", MARKER})


def test_production_syncs_by_hand_the_others_by_themselves() -> None:
    assert application(DEV)["spec"]["syncPolicy"]["automated"] == {"prune": True, "selfHeal": True}
    assert "automated" not in application(PROD)["spec"]["syncPolicy"]


def test_a_third_party_chart_is_pinned_and_goes_where_it_belongs() -> None:
    spec = chart_application(METRICS, VALUES, PROD)["spec"]
    assert spec["source"] == {
        "repoURL": "https://example.com/charts",
        "chart": "metrics-server",
        "targetRevision": "3.13.0",
        "helm": {"releaseName": "metrics", "valuesObject": {"replicas": 2}},
    }
    assert spec["destination"] == {"name": "ray-platform-prod", "namespace": "kube-system"}
    assert "automated" not in spec["syncPolicy"]
    made = files(THINGS)
    assert yaml.safe_load(made["charts/metrics.values.yaml"]) == VALUES
    assert "argocd/charts/metrics.yaml" in made


def test_the_application_set_says_the_same_as_each_application() -> None:
    """Filled in as Argo CD does: the template, and then the patch where its condition holds."""
    spec = application_set([DEV, PROD])["spec"]
    begin, *body, end, _ = spec["templatePatch"].split("\n")
    assert (begin, end) == ('{{- if eq .sync "automatic" }}', "{{- end }}")
    (generator,) = spec["generators"]
    for element, delivery in zip(generator["list"]["elements"], (DEV, PROD), strict=True):
        text = json.dumps(spec["template"])
        for key, value in element.items():
            text = text.replace("{{ ." + key + " }}", value)
        made = json.loads(text)
        assert "{{" not in text
        if element["sync"] == "automatic":
            patch = yaml.safe_load("\n".join(body))
            made["spec"]["syncPolicy"] |= patch["spec"]["syncPolicy"]
        expected = application(delivery)
        assert made["spec"] == expected["spec"]
        assert made["metadata"]["name"] == expected["metadata"]["name"]


def test_the_autoscaler_s_replicas_are_neither_reported_nor_reverted() -> None:
    (rule,) = application(DEV)["spec"]["ignoreDifferences"]
    assert rule["kind"] == "RayCluster"
    assert ".spec.workerGroupSpecs[]?.replicas" in rule["jqPathExpressions"]
    options = application(DEV)["spec"]["syncPolicy"]["syncOptions"]
    assert "RespectIgnoreDifferences=true" in options


def written(made: dict[str, str]) -> dict[str, bytes]:
    return {path: text.encode() for path, text in made.items()}


def test_only_an_untouched_export_of_the_same_environment_may_be_replaced() -> None:
    export = written(files(THINGS))
    assert foreign_files({}, "dev") == ()
    assert foreign_files(export, "dev") == ()
    assert foreign_files(export, "prod") == tuple(sorted(export))
    assert foreign_files({**export, "notes.md": b"x"}, "dev") == ("notes.md",)
    edited = {**export, "kustomization.yaml": b"resources: []\n"}
    assert foreign_files(edited, "dev") == ("kustomization.yaml",)
    for broken in (b"", b"[]", b"{}", b'{"environment": "dev", "files": 3}', b"\xff"):
        assert MARKER in foreign_files({**export, MARKER: broken}, "dev")
