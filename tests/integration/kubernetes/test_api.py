"""The local Kubernetes API, by real clients: kubectl, Python's and ours (Helm: test_helm_release.py)."""

import json
import os
import shutil
import signal
import ssl
import stat
import subprocess
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from ray_platform_sandbox.kubernetes.service import (
    Kubernetes,
    ensure_kubernetes,
    find_kubernetes,
    stop_kubernetes,
)
from ray_platform_sandbox.services import processes

from ray_platform.config.settings import Settings
from ray_platform.kubernetes.api_access import ClusterAccess
from ray_platform.kubernetes.api_client import NAMESPACES, RAY_CLUSTERS, SECRETS, KubernetesApi
from ray_platform.text.errors import KubernetesError
from tests.integration.conftest import make_settings
from tests.support.ray_objects import ray_cluster

pytestmark = [pytest.mark.real, pytest.mark.xdist_group("kubernetes")]

#: Versions of kubectl lie beside each other in Google's SDK; elsewhere there is one.
KUBECTLS = sorted(
    str(path)
    for path in Path("/usr/lib/google-cloud-sdk/bin").glob("kubectl.1.*")
    if int(path.suffix[1:]) >= 29  # EKS's oldest; before it kubectl asked for OpenAPI version 2
) or [kubectl for kubectl in [shutil.which("kubectl")] if kubectl]
needs_kubectl = pytest.mark.skipif(not KUBECTLS, reason="kubectl is not installed")


@pytest.fixture(scope="module")
def settings(tmp_path_factory: pytest.TempPathFactory) -> Settings:
    return make_settings(tmp_path_factory.mktemp("kubernetes"))


@pytest.fixture(scope="module")
def kubernetes(settings: Settings) -> Iterator[Kubernetes]:
    yield ensure_kubernetes(settings)
    stop_kubernetes(settings)


@pytest.fixture
def api(kubernetes: Kubernetes) -> KubernetesApi:
    return KubernetesApi(access(kubernetes), "test")


def access(kubernetes: Kubernetes) -> ClusterAccess:
    return ClusterAccess(
        kubernetes.url, kubernetes.authority.read_text(), lambda refused: kubernetes.token, "", ""
    )


@pytest.fixture
def namespace(api: KubernetesApi, request: pytest.FixtureRequest) -> Iterator[str]:
    name = f"n{abs(hash(request.node.name)) % 10**8}"
    api.create(NAMESPACES, {"metadata": {"name": name}})
    yield name
    api.delete(NAMESPACES, name)


def run(kubectl: str, kubernetes: Kubernetes, *arguments: str, stdin: str = "") -> str:
    done = subprocess.run(
        [kubectl, "--kubeconfig", str(kubernetes.kubeconfig), *arguments],
        input=stdin,
        capture_output=True,
        text=True,
        check=False,
        # Without it each version fills a cache of its own in the home.
        env={**os.environ, "HOME": str(kubernetes.kubeconfig.parent)},
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@needs_kubectl
@pytest.mark.parametrize(
    "kubectl", sorted({*KUBECTLS[:1], *KUBECTLS[-1:]}), ids=lambda path: Path(path).name
)
def test_kubectl_creates_shows_applies_patches_and_deletes(
    kubectl: str, kubernetes: Kubernetes, api: KubernetesApi
) -> None:
    name = "with-" + Path(kubectl).name.replace(".", "-")
    run(kubectl, kubernetes, "create", "namespace", name)
    run(kubectl, kubernetes, "-n", name, "create", "secret", "generic", "s", "--from-literal=a=b")
    assert (api.get(SECRETS, "s", name) or {})["data"] == {"a": "Yg=="}
    manifest = json.dumps(ray_cluster("small", name))
    run(kubectl, kubernetes, "apply", "--filename", "-", stdin=manifest)
    changed = json.dumps(ray_cluster("small", name, rayVersion="2.60.0"))
    assert "configured" in run(kubectl, kubernetes, "apply", "--filename", "-", stdin=changed)
    run(kubectl, kubernetes, "apply", "--filename", "-", stdin=changed)
    assert (api.get(RAY_CLUSTERS, "small", name) or {})["metadata"]["generation"] == 2
    header, row = run(kubectl, kubernetes, "get", "rayclusters", "--all-namespaces").splitlines()
    assert header.split()[:4] == ["NAMESPACE", "NAME", "DESIRED", "WORKERS"]
    assert row.split()[:2] == [name, "small"]
    patch = '{"spec": {"suspend": true}}'
    run(
        kubectl, kubernetes, "-n", name, "patch", "raycluster", "small", "--type=merge", "-p", patch
    )
    path = "{.spec.suspend} {.spec.rayVersion}"
    shown = run(
        kubectl, kubernetes, "-n", name, "get", "raycluster", "small", "-o", f"jsonpath={path}"
    )
    assert shown == "true 2.60.0"
    run(kubectl, kubernetes, "delete", "namespace", name)
    assert api.get(RAY_CLUSTERS, "small", name) is None


@needs_kubectl
def test_kubectl_applies_server_side_and_is_told_who_owns_a_field(
    kubernetes: Kubernetes, api: KubernetesApi, namespace: str
) -> None:
    def applied(text: str, *more: str) -> subprocess.CompletedProcess[str]:
        content = {
            "apiVersion": "v1",
            "kind": "ConfigMap",
            "metadata": {"name": "c", "namespace": namespace},
            "data": {"a": text},
        }
        return subprocess.run(
            [
                *(KUBECTLS[-1], "--kubeconfig", str(kubernetes.kubeconfig)),
                *("apply", "--server-side", "--filename", "-", *more),
            ],
            input=json.dumps(content),
            capture_output=True,
            text=True,
            check=False,
        )

    assert applied("1").returncode == 0
    refused = applied("2", "--field-manager=other")
    assert refused.returncode == 1
    assert 'conflict with "kubectl": .data.a' in refused.stderr
    assert applied("2", "--field-manager=other", "--force-conflicts").returncode == 0
    assert (api.get(("v1", "configmaps"), "c", namespace) or {})["data"] == {"a": "2"}


def test_pythons_client_writes_typed_and_dynamic_and_watches(
    kubernetes: Kubernetes, namespace: str
) -> None:
    from kubernetes import client, config, watch

    with config.new_client_from_config(str(kubernetes.kubeconfig)) as api:
        core = client.CoreV1Api(api)
        made = core.create_namespaced_config_map(
            namespace, client.V1ConfigMap(metadata=client.V1ObjectMeta(name="c"), data={"a": "1"})
        )
        custom = client.CustomObjectsApi(api)
        custom.create_namespaced_custom_object(
            "ray.io", "v1", namespace, "rayclusters", ray_cluster("small", namespace)
        )
        listed = custom.list_cluster_custom_object("ray.io", "v1", "rayclusters")["items"]
        mine = [item for item in listed if item["metadata"]["namespace"] == namespace]
        assert mine[0]["spec"]["workerGroupSpecs"][0]["numOfHosts"] == 1  # the CRD's default
        seen = []
        core.patch_namespaced_config_map("c", namespace, {"data": {"a": "2"}})
        core.delete_namespaced_config_map("c", namespace)
        version = made.metadata.resource_version
        for event in watch.Watch().stream(
            core.list_namespaced_config_map,
            namespace,
            resource_version=version,
            timeout_seconds=10,
        ):
            seen.append((event["type"], event["object"].data["a"]))
            if event["type"] == "DELETED":
                break
        assert seen == [("MODIFIED", "2"), ("DELETED", "2")]


def test_without_the_token_nothing_is_answered_and_its_files_are_the_owners_alone(
    kubernetes: Kubernetes,
) -> None:
    guess = KubernetesApi(
        ClusterAccess(
            kubernetes.url, kubernetes.authority.read_text(), lambda refused: "guess", "", ""
        ),
        "x",
    )
    with pytest.raises(KubernetesError) as refused:
        guess.version()
    assert refused.value.code == 401
    for path in (kubernetes.token_path, kubernetes.kubeconfig):
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
        assert kubernetes.token in path.read_text()


def test_killed_in_the_middle_of_writes_it_comes_back_with_every_answered_one(
    tmp_path: Path,
) -> None:
    settings = make_settings(tmp_path)
    with ThreadPoolExecutor(3) as pool:  # started by several at once, it is started once
        first, *others = pool.map(lambda _: ensure_kubernetes(settings), range(3))
    try:
        assert {other.pid for other in others} == {first.pid}
        api = KubernetesApi(access(first), "test")
        answered: list[str] = []

        def write() -> None:
            for number in range(100_000):
                try:
                    name = f"s{number}"
                    api.create(SECRETS, {"metadata": {"name": name}}, "default")
                except KubernetesError:
                    return
                answered.append(name)

        writer = threading.Thread(target=write)
        writer.start()
        while len(answered) < 20:
            assert writer.is_alive()
        os.kill(first.pid, signal.SIGKILL)
        writer.join()
        deadline = time.monotonic() + 10
        while find_kubernetes(settings) is not None:
            assert time.monotonic() < deadline, "it outlived a kill"
        second = ensure_kubernetes(settings)
        assert (second.url, second.token) == (first.url, first.token)
        found = api.list(SECRETS)
        names = {item["metadata"]["name"] for item in found["items"]}
        # One more may have been kept without its answer having arrived.
        assert set(answered) <= names
        assert len(names) <= len(answered) + 1
        newest = max(int(item["metadata"]["resourceVersion"]) for item in found["items"])
        made = api.create(SECRETS, {"metadata": {"name": "next"}}, "default")
        assert int(made["metadata"]["resourceVersion"]) > newest
        # A watch from before the crash is told to list again, not left without what it missed.
        with pytest.raises(KubernetesError) as expired:
            next(api.watch(SECRETS, "1"))
        assert expired.value.code == 410
    finally:
        assert stop_kubernetes(settings)
    assert not (tmp_path / "kubernetes" / "objects").exists()
    assert processes.find(settings.home, "kubernetes") is None


class Counting(ClusterAccess):
    """Counts the connections that are made: each takes its TLS context once."""

    def tls(self) -> ssl.SSLContext:
        MADE.append(self.endpoint)
        return super().tls()


MADE: list[str] = []


@pytest.fixture
def counted(kubernetes: Kubernetes) -> KubernetesApi:
    MADE.clear()
    # Connections are shared among the same alone: this one's name is its own.
    authority = kubernetes.authority.read_text() + f"\n# {os.urandom(4).hex()}\n"
    return KubernetesApi(
        Counting(kubernetes.url, authority, lambda refused: kubernetes.token, "", ""), "test"
    )


def test_one_connection_carries_many_requests_answers_of_any_kind_and_a_watch_has_its_own(
    counted: KubernetesApi, namespace: str
) -> None:
    version = counted.list(SECRETS, namespace)["metadata"]["resourceVersion"]
    assert counted.get(SECRETS, "none", namespace) is None
    counted.create(SECRETS, {"metadata": {"name": "one"}}, namespace)
    with pytest.raises(KubernetesError, match="already exists"):
        counted.create(SECRETS, {"metadata": {"name": "one"}}, namespace)
    assert len(MADE) == 1
    for kind, content in counted.watch(SECRETS, version, seconds=5):
        assert (kind, content["metadata"]["name"]) == ("ADDED", "one")
        counted.delete(SECRETS, "one", namespace)  # the one that watches is busy
        break
    assert len(MADE) == 2
    # A watch that was left is not gone on with.
    counted.list(SECRETS, namespace)
    assert len(MADE) == 2


def test_a_connection_that_ended_while_idle_is_made_anew_also_for_a_write(tmp_path: Path) -> None:
    settings = make_settings(tmp_path)

    def killed(running: Kubernetes) -> None:
        os.kill(running.pid, signal.SIGKILL)
        deadline = time.monotonic() + 10
        while find_kubernetes(settings) is not None:
            assert time.monotonic() < deadline, "it outlived a kill"

    try:
        first = ensure_kubernetes(settings)
        api = KubernetesApi(access(first), "test")
        api.list(NAMESPACES)
        killed(first)
        with pytest.raises(KubernetesError, match="does not answer"):
            api.list(NAMESPACES)
        second = ensure_kubernetes(settings)
        api.list(NAMESPACES)
        killed(second)
        ensure_kubernetes(settings)
        api.create(NAMESPACES, {"metadata": {"name": "written"}})
    finally:
        stop_kubernetes(settings)


def test_threads_and_a_forked_child_share_no_connection(counted: KubernetesApi) -> None:
    with ThreadPoolExecutor(4) as pool:
        listed = pool.map(lambda _: len(counted.list(NAMESPACES)["items"]), range(40))
        assert len(set(listed)) == 1
    assert len(MADE) <= 4
    made = len(MADE)
    read, write = os.pipe()
    if (child := os.fork()) == 0:
        counted.list(NAMESPACES)
        os.write(write, str(len(MADE) - made).encode())
        os._exit(0)
    os.waitpid(child, 0)
    assert os.read(read, 10) == b"1"
    os.close(read)
    os.close(write)
    counted.list(NAMESPACES)
    assert len(MADE) == made
