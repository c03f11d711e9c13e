"""What the cluster of a kubeconfig's context must have before Ray is released on it; nothing is changed."""

import shlex
import shutil
import subprocess
from collections.abc import Iterator, Mapping
from typing import Any

from ray_platform.config.settings import Environment, Settings, child_environment
from ray_platform.doctor.machine_checks import Finding
from ray_platform.gitops.platform_charts import read_charts
from ray_platform.kubernetes.api_client import RAY_CLUSTERS, KubernetesApi
from ray_platform.kubernetes.kubeconfig_client import context_access
from ray_platform.ray.spec import POOL_LABEL
from ray_platform.text.errors import KubernetesError, PlatformError

#: kind names the context of a cluster so.
KIND_PREFIX = "kind-"
KIND_CONFIGURATION = "deploy/kind/cluster.yaml"
ASK_SECONDS = 15.0
OPERATOR = "kuberay-operator"
NODES = ("v1", "nodes")
DEPLOYMENTS = ("apps/v1", "deployments")


def examine_kubernetes(settings: Settings, environment: str) -> tuple[Finding, ...]:
    """Every finding about the context's cluster; none where the environment names no context."""
    chosen = settings.environment(environment)
    if not chosen.kubernetes.context:
        return ()
    return tuple(_examine(settings, chosen))


def install_command(settings: Settings) -> str:
    """The command that installs KubeRay's operator, as pinned in helm/platform/charts.yaml.

    Raises:
        SettingsError: the file is wrong or lacks it.
    """
    path = settings.platform_chart / "charts.yaml"
    charts = read_charts(path.read_text(encoding="utf-8"), where=str(path))
    chart = next(chart for chart in charts if chart.name == OPERATOR)
    return shlex.join(
        [
            *("helm", "upgrade", "--install", chart.name, chart.chart),
            *("--repo", chart.repository, "--version", chart.version),
            *("--namespace", chart.namespace, "--create-namespace", "--wait"),
        ]
    )


def _examine(settings: Settings, environment: Environment) -> Iterator[Finding]:
    context = environment.kubernetes.context
    is_kind = context.startswith(KIND_PREFIX)
    make = f"kind create cluster --config {KIND_CONFIGURATION}"
    if is_kind:
        yield _docker()
        yield _program("kind", "go install sigs.k8s.io/kind@v0.31.0, or https://kind.sigs.k8s.io")
    yield _program("kubectl", "install kubectl: https://kubernetes.io/docs/tasks/tools")
    yield _program("helm", "install helm: https://helm.sh/docs/intro/install")
    try:
        access = context_access(settings.kubeconfig_files, context)
    except KubernetesError as error:
        yield Finding("Context", False, error.what, make if is_kind else error.fix)
        return
    yield Finding("Context", True, f"{context}, at {access.endpoint}")
    api = KubernetesApi(access, "ray-platform")
    try:
        yield Finding("Kubernetes", True, f"{api.version()} answers")
    except KubernetesError as error:
        again = f"kind delete cluster --name {context.removeprefix(KIND_PREFIX)} && {make}"
        yield Finding("Kubernetes", False, error.what, again if is_kind else error.fix)
        return
    try:
        yield _definitions(api, install_command(settings))
        yield _operator(api, install_command(settings))
        yield from _pools(api, environment, make if is_kind else "")
    except PlatformError as error:
        yield Finding("Kubernetes", False, error.what, error.fix)


def _docker() -> Finding:
    if not shutil.which("docker"):
        return Finding(
            "Docker", False, "not found", "install Docker: https://docs.docker.com/get-docker"
        )
    start = "start its engine: Docker Desktop, or `sudo systemctl start docker`"
    try:
        asked = subprocess.run(
            ["docker", "version", "--format", "{{.Server.Version}}"],
            capture_output=True,
            text=True,
            check=False,
            timeout=ASK_SECONDS,
            env=child_environment(),
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        return Finding("Docker", False, f"installed, but does not answer: {error}", start)
    version, said = asked.stdout.strip(), " ".join(asked.stderr.split())
    if asked.returncode or not version:
        return Finding(
            "Docker",
            False,
            f"installed, but its engine does not answer: {said or 'no reason given'}",
            start,
        )
    return Finding("Docker", True, f"engine {version}")


def _program(name: str, fix: str) -> Finding:
    found = shutil.which(name)
    return Finding(name, bool(found), "installed" if found else "not found", fix)


def _definitions(api: KubernetesApi, install: str) -> Finding:
    try:
        api.list(RAY_CLUSTERS)
    except KubernetesError as error:
        if error.code != 404:
            raise
        return Finding("KubeRay", False, "the API serves no rayclusters.ray.io/v1", install)
    return Finding("KubeRay", True, "rayclusters.ray.io/v1 is served")


def _operator(api: KubernetesApi, install: str) -> Finding:
    label = f"app.kubernetes.io/name={OPERATOR}"
    found = api.list(DEPLOYMENTS, labelSelector=label)["items"]
    if not found:
        return Finding("Operator", False, f"no Deployment is labelled {label}", install)
    name = "{namespace}/{name}".format_map(found[0]["metadata"])
    conditions = (found[0].get("status") or {}).get("conditions") or []
    told = next((c for c in conditions if c.get("type") == "Available"), None)
    if told is None or told.get("status") != "True":
        why = (told or {}).get("message") or "it says nothing of being available"
        namespace = found[0]["metadata"]["namespace"]
        return Finding(
            "Operator",
            False,
            f"{name} is not available: {why}",
            f"kubectl --namespace {namespace} describe pods --selector {label}",
        )
    return Finding("Operator", True, f"{name} is available")


def _pools(api: KubernetesApi, environment: Environment, make: str) -> Iterator[Finding]:
    nodes = api.list(NODES)["items"]
    for pool in environment.node_pools:
        there = [_name(node) for node in nodes if _labels(node).get(POOL_LABEL) == pool.name]
        # An autoscaler may make the nodes of a pool that may be empty; kind has none.
        is_enough = bool(there) or (pool.min_size == 0 and not make)
        label = f"kubectl label node NODE {POOL_LABEL}={pool.name}"
        yield Finding(
            "Nodes",
            is_enough,
            f"{pool.name}: " + (", ".join(sorted(there)) or f"none is labelled {POOL_LABEL}"),
            f"{label}, or make the cluster anew: {make}" if make else label,
        )


def _name(node: Mapping[str, Any]) -> str:
    return str(node["metadata"]["name"])


def _labels(node: Mapping[str, Any]) -> Mapping[str, str]:
    return node["metadata"].get("labels") or {}
