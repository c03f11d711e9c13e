"""The Ray cluster's release against `kubectl apply` of the same manifests, on the same local API.

Both change the same objects on an API that is fresh for each; no Ray runs, so that only the tools are
compared: an operator finds every RayCluster ready as soon as it sees it. The platform renders and reads
what stands, and writes a release that can be gone back to; `kubectl apply` gets a file that is rendered
already. Run: ``.venv/bin/python bench/kubernetes.py`` (half a minute; needs kubectl).
"""

import contextlib
import json
import shutil
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import yaml

from ray_platform.session.environment_session import open_session

# This file is called as the package `kubernetes`, and the doubles are those of the tests.
sys.path[0] = str(Path(__file__).resolve().parent.parent)

from ray_platform_sandbox.kubernetes.service import (
    Kubernetes,
    ensure_kubernetes,
    kubernetes_access,
    stop_kubernetes,
)

from ray_platform.config.settings import Settings
from ray_platform.kubernetes.api_client import RAY_CLUSTERS, KubernetesApi
from ray_platform.ray import ray_release
from ray_platform.ray.chart import render
from ray_platform.text.errors import KubernetesError
from tests.support.ray_operator import Cluster, Eks

ROOT = Path(__file__).resolve().parent.parent
PORT_BASE = 5790
ROUNDS = 5


def find_all_ready(api: KubernetesApi, over: threading.Event) -> None:
    while not over.is_set():
        with contextlib.suppress(KubernetesError):
            version = api.list(RAY_CLUSTERS)["metadata"]["resourceVersion"]
            for kind, content in api.watch(RAY_CLUSTERS, version):
                metadata, status = content["metadata"], content.get("status") or {}
                if kind == "DELETED" or status.get("observedGeneration") == metadata["generation"]:
                    continue
                ready = {"state": "ready", "observedGeneration": metadata["generation"]}
                api.patch(
                    RAY_CLUSTERS,
                    metadata["name"],
                    metadata["namespace"],
                    {"status": ready},
                    subresource="status",
                )


@contextlib.contextmanager
def fresh_api(settings: Settings) -> Iterator[Kubernetes]:
    kubernetes = ensure_kubernetes(settings)
    over = threading.Event()
    api = KubernetesApi(kubernetes_access(settings), "operator")
    operator = threading.Thread(target=find_all_ready, args=(api, over), daemon=True)
    operator.start()
    try:
        yield kubernetes
    finally:
        over.set()
        stop_kubernetes(settings)


def seconds(act: Callable[[], object]) -> float:
    begun = time.perf_counter()
    act()
    return time.perf_counter() - begun


def platform(settings: Settings) -> list[float]:
    """Seconds of an install, the same again, and an upgrade of a bound; rendering included."""
    session = open_session(settings, "local")
    with fresh_api(settings):
        cluster = Cluster(
            settings, session.environment, eks=lambda: Eks(settings), cluster=lambda: "local"
        )
        session.__dict__["kubernetes"] = cluster
        assert cluster.api

        def deploy(most: int) -> None:
            values, rendered = render(session)
            changed = json.loads(json.dumps(values))
            changed["workerGroups"]["cpu"]["maxReplicas"] = most
            ray_release.install(session, changed, rendered, lambda line: None)

        return [
            seconds(lambda: deploy(10)),
            seconds(lambda: deploy(10)),
            seconds(lambda: deploy(9)),
        ]


def kubectl(settings: Settings, folder: Path) -> list[float]:
    """The same by `kubectl apply` of files that were rendered before."""
    _, rendered = render(open_session(settings, "local"))
    namespace = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "ray"}}
    files = []
    for most in (10, 9):
        documents = json.loads(json.dumps([namespace, *rendered.documents]))
        for document in documents:
            if document["kind"] == "RayCluster":
                document["spec"]["workerGroupSpecs"][0]["maxReplicas"] = most
        file = folder / f"{most}.yaml"
        file.write_text(yaml.safe_dump_all(documents))
        files.append(str(file))
    with fresh_api(settings) as kubernetes:
        command = ["kubectl", "--kubeconfig", str(kubernetes.kubeconfig), "apply", "--filename"]

        def apply(file: str) -> None:
            subprocess.run([*command, file], check=True, capture_output=True)

        return [seconds(lambda file=file: apply(file)) for file in (files[0], *files)]


def main() -> int:
    if shutil.which("kubectl") is None:
        print("kubectl is not installed", file=sys.stderr)
        return 1
    with tempfile.TemporaryDirectory(prefix="ray-platform-bench-") as temporary:
        folder = Path(temporary)
        settings = Settings(ROOT, folder / "home", {"RAY_PLATFORM_PORT_BASE": str(PORT_BASE)})
        rounds = [(platform(settings), kubectl(settings, folder)) for _ in range(ROUNDS)]
    print("| what | platform | kubectl apply | ratio |\n|---|--:|--:|--:|")
    for row, what in enumerate(("install", "nothing changed", "a bound changed")):
        ours = statistics.median(mine[row] for mine, _ in rounds)
        theirs = statistics.median(other[row] for _, other in rounds)
        print(f"| {what} | {ours:.2f} s | {theirs:.2f} s | {ours / theirs:.1f} |")
    return 0


if __name__ == "__main__":
    sys.exit(main())
