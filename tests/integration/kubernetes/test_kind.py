"""The environment `kind` on the cluster of a kubeconfig's context: here the local API, as if it were kind."""

import json
import os
import signal
import stat
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import dagster as dg
import pytest
from ray_platform_sandbox.kuberay.service import ensure_kuberay, stop_all
from ray_platform_sandbox.kubernetes.service import (
    ensure_kubernetes,
    find_kubernetes,
    kubernetes_access,
)
from ray_platform_sandbox.ray.nodes import place

from ray_platform.config.settings import Settings
from ray_platform.doctor.cluster_checks import (
    DEPLOYMENTS,
    NODES,
    examine_kubernetes,
    install_command,
)
from ray_platform.kubernetes import port_forward_client
from ray_platform.kubernetes.api_client import NAMESPACES, PODS, KubernetesApi
from ray_platform.ray import ray_release
from ray_platform.ray.chart import render
from ray_platform.ray.cluster_client import describe_cluster, wait_ready
from ray_platform.ray.clusters import ray_clusters
from ray_platform.ray.endpoint import ray_endpoint, running_services, stop_ray_cluster
from ray_platform.ray.jobs_client import RayJobs, entrypoint
from ray_platform.ray.pipes_client import pipes_client, pipes_module
from ray_platform.session.environment_session import EnvironmentSession, open_session
from ray_platform.text.errors import RayError
from tests.integration.conftest import ROOT
from tests.support.ports import free_port, free_port_base

pytestmark = [pytest.mark.real, pytest.mark.timeout(240), pytest.mark.xdist_group("ray")]

CONTEXT = "kind-ray-platform"
HEAD = "ray.io/cluster=ray,ray.io/node-type=head"


@pytest.fixture(scope="module")
def settings(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Settings]:
    """A home whose KUBECONFIG has the local API under the name of kind's context, and another before it."""
    home = tmp_path_factory.mktemp("kind")
    variables = {"RAY_PLATFORM_PORT_BASE": str(free_port_base())}
    content = json.loads(ensure_kubernetes(Settings(ROOT, home, variables)).kubeconfig.read_text())
    content["contexts"][0]["name"] = CONTEXT
    content["current-context"] = "somebody-else"
    kubeconfig = home / "kubeconfig"
    kubeconfig.write_text(json.dumps(content))
    settings = Settings(ROOT, home, {**variables, "KUBECONFIG": f"{home / 'none'}:{kubeconfig}"})
    yield settings
    port_forward_client.close_all()
    stop_all(settings)


@pytest.fixture
def operator(settings: Settings) -> KubernetesApi:
    """The cluster as its administrator sees it."""
    return KubernetesApi(kubernetes_access(settings), "test")


def program(path: Path, script: str) -> None:
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(path.stat().st_mode | stat.S_IXUSR)


def test_doctor_says_what_a_cluster_lacks_with_the_command_that_mends_it(
    settings: Settings,
    operator: KubernetesApi,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def found() -> dict[str, tuple[bool, str, str]]:
        findings = examine_kubernetes(settings, "kind")
        told = {f.subject: (f.good, f.found, f.fix) for f in findings if f.subject != "Nodes"}
        pools = [(f.good, f.found.partition(":")[0]) for f in findings if f.subject == "Nodes"]
        return {**told, "Nodes": (all(good for good, _ in pools), str(pools), "")}

    monkeypatch.setenv("PATH", str(tmp_path))
    bare = found()
    assert {name for name, (good, _, _) in bare.items() if not good} == {
        *("Docker", "kind", "kubectl", "helm", "Operator", "Nodes"),
    }
    assert bare["Docker"][1] == "not found"
    assert bare["Operator"][2] == install_command(settings)
    assert "--version 1.7.0 --namespace kuberay-system" in install_command(settings)
    assert bare["Nodes"][1] == "[(False, 'cpu'), (False, 'system')]"

    program(tmp_path / "docker", "echo 'Cannot connect to the Docker daemon' >&2; exit 1")
    good, said, fix = found()["Docker"]
    assert (good, "engine does not answer: Cannot connect" in said) == (False, True)
    assert "systemctl start docker" in fix
    program(tmp_path / "docker", "echo 29.1.3")
    for name in ("kind", "kubectl", "helm"):
        program(tmp_path / name, "exit 0")
    for name in ("system", "cpu"):
        operator.create(
            NODES, {"metadata": {"name": name, "labels": {"ray-platform/pool": name}}, "spec": {}}
        )
    operator.create(NAMESPACES, {"metadata": {"name": "kuberay-system"}})
    label = {"app.kubernetes.io/name": "kuberay-operator"}
    deployment = {"metadata": {"name": "kuberay-operator", "labels": label}, "spec": {}}
    operator.create(DEPLOYMENTS, deployment, "kuberay-system")
    assert "is not available" in found()["Operator"][1]
    available = {"conditions": [{"type": "Available", "status": "True"}]}
    operator.patch(
        DEPLOYMENTS,
        "kuberay-operator",
        "kuberay-system",
        {"status": available},
        subresource="status",
    )
    whole = found()
    assert [name for name, (good, _, _) in whole.items() if not good] == []
    assert whole["Docker"][1] == "engine 29.1.3"
    assert whole["Context"][1].startswith(f"{CONTEXT}, at https://127.0.0.1:")


def test_doctor_without_the_context_or_its_api_says_how_to_make_the_cluster(
    settings: Settings, tmp_path: Path
) -> None:
    def last(kubeconfig: Path) -> tuple[str, bool, str]:
        variables = {"KUBECONFIG": str(kubeconfig)}
        finding = examine_kubernetes(Settings(ROOT, tmp_path, variables), "kind")[-1]
        return finding.subject, finding.good, finding.fix

    make = "kind create cluster --config deploy/kind/cluster.yaml"
    assert last(tmp_path / "none") == ("Context", False, make)
    content = json.loads(settings.kubeconfig_files[1].read_text())
    content["clusters"][0]["cluster"]["server"] = f"https://127.0.0.1:{free_port()}"
    gone = tmp_path / "gone"
    gone.write_text(json.dumps(content))
    again = f"kind delete cluster --name ray-platform && {make}"
    assert last(gone) == ("Kubernetes", False, again)
    assert examine_kubernetes(settings, "local") == ()


def until(found: Any, seconds: float = 90) -> Any:
    deadline = time.monotonic() + seconds
    while not (value := found()):
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.2)
    return value


@pytest.fixture
def session(settings: Settings) -> EnvironmentSession:
    """`kind`, with its Ray cluster up. Nothing is applied there, so that EKS could not tell of a cluster."""
    session = open_session(settings, "kind")
    # As KubeRay's operator does in kind; the platform itself starts none of this.
    ensure_kuberay(settings)
    ray_release.install(session, *render(session, outputs={}), lambda _said: None)
    return session


def test_ray_comes_up_through_the_context_and_its_jobs_run_through_a_forwarded_port(
    settings: Settings, session: EnvironmentSession
) -> None:
    cluster = ray_clusters(session)
    endpoint = ray_endpoint(session)
    assert ray_endpoint(session).address == endpoint.address
    own = {f"http://127.0.0.1:{place(settings).dashboard_port}"}
    assert endpoint.address.startswith("http://127.0.0.1:") and endpoint.address not in own
    assert endpoint.info.up() == {"head": 1, "cpu": 1}
    lasting = "http://ray-head-svc.ray.svc.cluster.local:8265"
    assert running_services(session) == {
        "emulator": None,
        "kubernetes": cluster.api.access.endpoint,
        "ray": lasting,
    }
    jobs = RayJobs(endpoint.address, endpoint.token_path)
    jobs.submit(["echo", "through the forward"], submission_id="echo")
    assert "through the forward" in jobs.wait("echo", timeout_seconds=60)


SESSION = """
import time
from dagster_pipes import open_dagster_pipes
with open_dagster_pipes() as pipes:
    for number in range(12):
        pipes.report_custom_message(number)
        time.sleep(0.5)
"""


def test_a_job_s_session_goes_on_when_the_api_that_carries_it_was_killed(
    settings: Settings, session: EnvironmentSession
) -> None:
    """As a burst run from a laptop: no message is lost and none comes twice."""
    endpoint = ray_endpoint(session)
    heard: list[Any] = []

    @dg.asset
    def burst(context: dg.AssetExecutionContext) -> None:
        invocation = pipes_client(endpoint.address, endpoint.token_path).run(
            context=context,
            submit_job_params={
                "entrypoint": entrypoint(["python", "-c", SESSION]),
                "submission_id": "session",
                "runtime_env": {"py_modules": [pipes_module()]},
            },
        )
        heard.extend(invocation.get_custom_messages())

    run = threading.Thread(target=lambda: dg.materialize([burst], raise_on_error=False))
    run.start()
    jobs = RayJobs(endpoint.address, endpoint.token_path)
    until(lambda: "session" in jobs.running() and jobs.logs("session").count("__dagster") > 2)
    kubernetes = find_kubernetes(settings)
    assert kubernetes is not None
    os.kill(kubernetes.pid, signal.SIGKILL)
    with pytest.raises(RayError, match="502 the Kubernetes API does not answer"):
        describe_cluster(endpoint.address, endpoint.token_path)
    ensure_kubernetes(settings)
    run.join(timeout=90)
    assert heard == list(range(12))


def test_a_new_head_takes_over_behind_the_same_port(
    session: EnvironmentSession, operator: KubernetesApi
) -> None:
    endpoint = ray_endpoint(session)
    (head,) = operator.list(PODS, "ray", labelSelector=HEAD)["items"]
    operator.delete(PODS, head["metadata"]["name"], "ray")

    def is_new() -> bool:
        pods = operator.list(PODS, "ray", labelSelector=HEAD)["items"]
        running = [p for p in pods if (p.get("status") or {}).get("phase") == "Running"]
        return [p["metadata"]["uid"] for p in running] not in ([], [head["metadata"]["uid"]])

    until(is_new)
    again = wait_ready(endpoint.address, endpoint.token_path, timeout_seconds=60)
    assert again.session != endpoint.info.session
    assert ray_endpoint(session).address == endpoint.address


def test_the_end_takes_the_release_away_and_leaves_the_cluster(
    settings: Settings, session: EnvironmentSession
) -> None:
    stop_ray_cluster(session)
    assert ray_clusters(session).releases.history("ray") == ()
    assert find_kubernetes(settings) is not None
    assert ray_clusters(session).now() is None
    assert running_services(session)["ray"] is None


def test_an_older_commit_s_context_does_not_hold(settings: Settings) -> None:
    """As with the cloud: which cluster it is, is today's to say."""
    kind, local = settings.environment("kind"), settings.environment("local")
    assert kind.with_rules_of(local).kubernetes.context == ""
    assert local.with_rules_of(kind).kubernetes.context == CONTEXT


def test_the_token_of_the_context_reaches_no_file_of_the_platform(settings: Settings) -> None:
    kubernetes = find_kubernetes(settings)
    assert kubernetes is not None
    holders = {kubernetes.token_path, kubernetes.kubeconfig, settings.kubeconfig_files[1]}
    secret = kubernetes.token.encode()
    for path in settings.home.rglob("*"):
        if path.is_file() and path not in holders:
            assert secret not in path.read_bytes(), path
