"""Drift of Ray's release: what is edited or deleted on a real API is found, and put back by a deployment."""

import copy
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from ray_platform_sandbox.kubernetes.service import (
    ensure_kubernetes,
    kubernetes_access,
    stop_kubernetes,
)

from ray_platform.config.settings import Settings
from ray_platform.drift.detect import drift_rules
from ray_platform.drift.detect_release import ray_drift
from ray_platform.drift.items import DriftItem
from ray_platform.kubernetes.api_client import NAMESPACES, RAY_CLUSTERS, KubernetesApi
from ray_platform.kubernetes.helm_chart_process import RenderedChart
from ray_platform.ray import ray_release, running_jobs
from ray_platform.ray.chart import render
from ray_platform.ray.cluster_access import RELEASE
from ray_platform.ray.clusters import ray_clusters
from ray_platform.ray.upgrade.switch import BLUE, GREEN
from ray_platform.session.environment_session import EnvironmentSession, open_session
from ray_platform.text.errors import KubernetesError, RayError
from tests.integration.conftest import make_settings
from tests.integration.kubernetes.test_api import KUBECTLS
from tests.support.ray_head import Head
from tests.support.ray_operator import Cluster, Operator
from tests.support.sessions import on_cluster

pytestmark = [pytest.mark.real, pytest.mark.xdist_group("kubernetes")]

POLICIES = ("networking.k8s.io/v1", "networkpolicies")
QUOTAS = ("v1", "resourcequotas")
HEAD = "/spec/headGroupSpec/template/spec"


@pytest.fixture(scope="module")
def head() -> Iterator[Head]:
    head = Head()
    yield head
    head.end()


@pytest.fixture(scope="module")
def settings(tmp_path_factory: pytest.TempPathFactory, head: Head) -> Iterator[Settings]:
    settings = make_settings(tmp_path_factory.mktemp("drift"))
    ensure_kubernetes(settings)
    operator = Operator(settings)
    operator.dashboard = lambda name: head.port
    operator.start()
    yield settings
    operator.over.set()
    stop_kubernetes(settings)
    operator.join()


@pytest.fixture(scope="module")
def chart(settings: Settings) -> tuple[Any, RenderedChart]:
    return render(open_session(settings, "local"))


@pytest.fixture
def session(settings: Settings, chart: tuple[Any, RenderedChart]) -> Iterator[EnvironmentSession]:
    session = open_session(settings, "local")
    cluster = Cluster.of(settings, session.environment)
    cluster.rendered = chart
    session = on_cluster(session, cluster)
    deploy(session)
    yield session
    cluster.wake()
    cluster.api.delete(NAMESPACES, "ray")


def deploy(session: EnvironmentSession, said: list[str] | None = None) -> str:
    cluster = ray_clusters(session)
    assert isinstance(cluster, Cluster)
    values, rendered = cluster.rendered
    done = ray_release.install(session, values, rendered, (said if said is not None else []).append)
    recorded = done.release.to_json()
    session.artifacts.write(f"environments/{session.name}/release.json", recorded)
    return done.done


def look(
    session: EnvironmentSession, said: list[str] | None = None
) -> dict[tuple[str, str], DriftItem]:
    told = (said if said is not None else []).append
    items = ray_drift(session, drift_rules(session), progress=told)
    found = {(item.address.removeprefix("helm/ray"), item.attribute): item for item in items}
    assert len(found) == len(items)
    return found


def edit(
    session: EnvironmentSession, of: tuple[str, str], name: str, *operations: tuple[str, str, Any]
) -> None:
    """As `kubectl edit` does."""
    patch = [{"op": op, "path": path, "value": value} for op, path, value in operations]
    ray_clusters(session).api.patch(of, name, "ray", patch, how="json", manager="kubectl-edit")


def scale(session: EnvironmentSession, replicas: int) -> None:
    patch = [{"op": "add", "path": "/spec/workerGroupSpecs/0/replicas", "value": replicas}]
    ray_clusters(session).api.patch(
        RAY_CLUSTERS, RELEASE, "ray", patch, how="json", manager="python-requests"
    )


def test_what_was_deployed_and_scaled_since_has_not_drifted(session: EnvironmentSession) -> None:
    assert look(session) == {}
    scale(session, 7)
    assert look(session) == {}
    assert deploy(session) == "unchanged"


def test_edits_are_found_with_their_author_and_a_deployment_puts_them_back(
    session: EnvironmentSession,
) -> None:
    scale(session, 7)
    edit(
        session,
        RAY_CLUSTERS,
        RELEASE,
        ("replace", f"{HEAD}/containers/0/image", "rayproject/ray:2.60.0-mine"),
        ("add", f"{HEAD}/hostNetwork", True),
        ("replace", "/spec/workerGroupSpecs/0/maxReplicas", 99),
    )
    edit(session, POLICIES, "ray-default-deny", ("add", "/spec/ingress", [{}]))
    edit(session, QUOTAS, "ray", ("add", "/metadata/labels/ray-platform~1environment", "mine"))
    ray_clusters(session).api.delete(POLICIES, "ray-internal", "ray")

    found = look(session)
    image = "spec.headGroupSpec.template.spec.containers[ray-head].image"
    assert {place: item.severity for place, item in found.items()} == {
        ("/RayCluster/ray", image): "major",
        ("/RayCluster/ray", "spec.headGroupSpec.template.spec.hostNetwork"): "major",
        ("/RayCluster/ray", "spec.workerGroupSpecs[cpu].maxReplicas"): "major",
        ("/NetworkPolicy/ray-default-deny", "spec.ingress"): "major",
        ("/NetworkPolicy/ray-internal", ""): "major",
        ("/ResourceQuota/ray", "metadata.labels.ray-platform/environment"): "minor",
    }
    edited = found["/RayCluster/ray", image]
    assert (edited.who, edited.cause) == ("kubectl-edit", "by_hand")
    assert edited.when in edited.evidence

    said: list[str] = []
    assert deploy(session, said) == "upgraded"
    assert any("RayCluster ray was changed by another writer and is put back" in s for s in said)
    assert look(session) == {}
    content = ray_clusters(session).ray_cluster()
    assert content is not None
    assert content["spec"]["workerGroupSpecs"][0]["replicas"] == 7
    assert "hostNetwork" not in content["spec"]["headGroupSpec"]["template"]["spec"]
    managers = {entry["manager"] for entry in content["metadata"]["managedFields"]}
    assert "kubectl-edit" not in managers
    assert deploy(session) == "unchanged"


def test_pods_are_not_put_back_under_a_running_job(
    session: EnvironmentSession, head: Head, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(running_jobs, "PATIENCE_SECONDS", 0.2)
    monkeypatch.setitem(head.jobs, "busy", "RUNNING")
    edit(
        session,
        RAY_CLUSTERS,
        RELEASE,
        ("replace", f"{HEAD}/containers/0/image", "rayproject/ray:x"),
    )
    with pytest.raises(RayError, match="jobs still run on them: busy"):
        deploy(session)
    head.jobs["busy"] = "SUCCEEDED"
    assert deploy(session) == "upgraded"


def test_a_ray_cluster_deleted_by_kubectl_is_major_drift_and_made_again_when_asked(
    session: EnvironmentSession, tmp_path: Path
) -> None:
    if KUBECTLS:
        kubeconfig = tmp_path / "config"
        kubeconfig.write_text(ray_clusters(session).api.access.kubeconfig(), encoding="utf-8")
        command = [KUBECTLS[-1], "--kubeconfig", str(kubeconfig), "--namespace", "ray", "delete"]
        subprocess.run([*command, "raycluster", RELEASE], check=True, capture_output=True)
    else:
        ray_clusters(session).api.delete(RAY_CLUSTERS, RELEASE, "ray")
    ((place, item),) = look(session).items()
    assert place == ("/RayCluster/ray", "")
    assert (item.severity, item.cause) == ("major", "by_hand")
    assert deploy(session) == "upgraded"
    assert look(session) == {}


def test_a_revision_that_somebody_made_with_helm_is_drift_and_put_back(
    session: EnvironmentSession,
) -> None:
    cluster = ray_clusters(session)
    assert isinstance(cluster, Cluster)
    ours = cluster.releases.history(RELEASE)[-1]
    values = copy.deepcopy(cluster.rendered[0])
    values["workerGroups"]["cpu"]["maxReplicas"] = 99
    # Helm keeps the labels of a release, so this one says of itself that it is made of our values.
    cluster.releases.install(session.settings.ray_chart, RELEASE, values, made_from=ours.input)
    found = look(session)
    bounds = ("/RayCluster/ray", "spec.workerGroupSpecs[cpu].maxReplicas")
    assert (found[bounds].before, found[bounds].after) == (10, 99)
    assert deploy(session) == "upgraded"
    assert look(session) == {}


def test_while_the_second_cluster_takes_the_work_it_is_looked_at_as_well(
    session: EnvironmentSession,
) -> None:
    cluster = ray_clusters(session)
    assert isinstance(cluster, Cluster)
    values, _ = cluster.rendered
    green = ray_release.put(session, GREEN, values, lambda line: None).release
    ray_release.put(session, BLUE, values, lambda line: None, stands=False)
    session.artifacts.write(f"environments/{session.name}/release.json", green.to_json())
    assert look(session) == {}
    cluster.api.delete(RAY_CLUSTERS, GREEN, "ray")
    cluster.api.delete(QUOTAS, "ray", "ray")
    items = ray_drift(session, drift_rules(session), progress=lambda line: None)
    assert {item.address for item in items} == {
        "helm/ray-green/RayCluster/ray-green",
        "helm/ray/ResourceQuota/ray",
    }


def test_a_release_that_is_gone_is_major_and_one_that_was_never_deployed_is_nothing(
    session: EnvironmentSession,
) -> None:
    ray_clusters(session).releases.uninstall(RELEASE)
    ((place, item),) = look(session).items()
    assert (place, item.severity) == (("", ""), "major")
    (session.home / "artifacts" / "environments" / session.name / "release.json").unlink()
    assert look(session) == {}
    # Nor is what Argo CD deployed before a release that is missed.
    by_git = {"mode": "gitops", "commit": "0a1b", "revision": "0a1b"}
    session.artifacts.write(f"environments/{session.name}/release.json", by_git)
    assert look(session) == {}


@pytest.mark.parametrize(
    "chosen", [{"ray": {"runtime": "existing"}}, {"gitops": {"mode": "gitops"}}]
)
def test_where_somebody_else_deploys_ray_nothing_is_asked(
    settings: Settings, chosen: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    session = open_session(settings, "local")
    # Whoever asks finds this release gone.
    session.artifacts.write("environments/local/release.json", {"name": RELEASE, "revision": 1})
    assert list(look(session)) == [("", "")]
    for name, update in chosen.items():
        part = getattr(session.environment, name).model_copy(update=update)
        monkeypatch.setattr(session.environment, name, part)
    assert look(session) == {}


def test_an_api_that_does_not_answer_is_told_and_is_not_clean(session: EnvironmentSession) -> None:
    stop_kubernetes(session.settings)
    said: list[str] = []
    ((place, item),) = look(session, said).items()
    assert (place, item.severity, item.cause) == (("helm", "(not asked)"), "minor", "unknown")
    assert "does not run" in item.evidence
    assert any("not known" in line for line in said)
    with pytest.raises(KubernetesError):
        KubernetesApi(kubernetes_access(session.settings), "x").version()
    # Where nothing was deployed there is nothing to know.
    (session.home / "artifacts" / "environments" / session.name / "release.json").unlink()
    assert look(session) == {}
