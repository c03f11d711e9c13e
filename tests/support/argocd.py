"""Does for one Application what Argo CD does, as far as the platform looks: a stand-in for tests.

It watches the branch of a bare repository, builds the folder with Kustomize, compares with the cluster,
applies server-side as ``argocd-controller`` (by itself, or when ``operation`` asks for it, which is what
`argocd app sync` writes), and writes the Application's status. No pruning, hooks, waves or retries.
"""

import subprocess
import tarfile
import tempfile
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml
from ray_platform_sandbox.kubernetes.service import kubernetes_access

from ray_platform.config.settings import Settings
from ray_platform.kubernetes.api_client import RAY_CLUSTERS, KubernetesApi
from ray_platform.text.errors import KubernetesError, PlatformError

APPLICATIONS = ("argoproj.io/v1alpha1", "applications")
NAMESPACE = "argocd"
REFRESH = "argocd.argoproj.io/refresh"
_ANYTHING = {"type": "object", "x-kubernetes-preserve-unknown-fields": True}
#: As Argo CD's own, but for the fields: status is no subresource.
DEFINITION: Mapping[str, Any] = {
    "apiVersion": "apiextensions.k8s.io/v1",
    "kind": "CustomResourceDefinition",
    "metadata": {"name": "applications.argoproj.io"},
    "spec": {
        "group": "argoproj.io",
        "scope": "Namespaced",
        "names": {
            "kind": "Application",
            "listKind": "ApplicationList",
            "plural": "applications",
            "singular": "application",
        },
        "versions": [
            {
                "name": "v1alpha1",
                "served": True,
                "storage": True,
                "schema": {
                    "openAPIV3Schema": {
                        "type": "object",
                        "required": ["metadata", "spec"],
                        "properties": {
                            "spec": _ANYTHING,
                            "status": _ANYTHING,
                            "operation": _ANYTHING,
                        },
                    }
                },
            }
        ],
    },
}
_ABSENT = object()


class ArgoCd(threading.Thread):
    """One Application's controller.

    Args:
        settings: Of the home whose local API it works on.
        repository: The bare repository; the Application's ``repoURL`` is not looked at.
        name: The Application.
    """

    def __init__(self, settings: Settings, repository: Path, name: str) -> None:
        super().__init__(daemon=True)
        self._api = KubernetesApi(kubernetes_access(settings), "argocd-controller")
        self._repository = repository
        self._name = name
        self.over = threading.Event()
        #: What every sync fails with, if anything.
        self.refusal = ""
        #: Why manifests cannot be built, if they cannot.
        self.broken = ""
        #: The commits that were applied, in order.
        self.applied: list[str] = []
        self._built: dict[str, list[dict[str, Any]] | str] = {}
        self._failed_at = ""
        self._behind: dict[str, list[dict[str, Any]]] = {}
        self._operation: dict[str, Any] = {}

    def run(self) -> None:
        while not self.over.wait(0.1):
            try:
                self.look()
            except PlatformError:
                continue  # the API ended, or somebody deletes things: look again

    def sync(self) -> None:
        """As `argocd app sync NAME`, or the button."""
        asked = {"operation": {"sync": {}, "initiatedBy": {"username": "alice"}}}
        self._api.patch(APPLICATIONS, self._name, NAMESPACE, asked)

    def look(self) -> None:
        """One reconciliation."""
        application = self._api.get(APPLICATIONS, self._name, NAMESPACE)
        if application is None:
            return
        spec = application["spec"]
        branch = self._repository / "refs" / "heads" / spec["source"]["targetRevision"]
        revision = branch.read_text().strip()
        objects = self.broken or self._objects(revision, spec["source"]["path"])
        if isinstance(objects, str):
            error = {"type": "ComparisonError", "message": objects}
            self._say(application, {"status": "Unknown", "revision": revision}, [error], [])
            return
        is_asked = "operation" in application
        is_automatic = "automated" in (spec.get("syncPolicy") or {})
        behind = self._compared(revision, objects)
        if is_asked or (behind and is_automatic and self._failed_at != revision):
            self._apply(objects, revision)
            self._behind.clear()
            behind = self._compared(revision, objects)
        status = "OutOfSync" if behind else "Synced"
        resources = [
            {
                "kind": one["kind"],
                "name": one["metadata"]["name"],
                "namespace": one["metadata"].get("namespace", ""),
                "status": "OutOfSync" if one in behind else "Synced",
                **({"health": self._health(one)} if one["kind"] == "RayCluster" else {}),
            }
            for one in objects
        ]
        self._say(application, {"status": status, "revision": revision}, [], resources)

    def _say(
        self,
        application: Mapping[str, Any],
        sync: Mapping[str, Any],
        conditions: list[Any],
        resources: list[Any],
    ) -> None:
        states = [one["health"]["status"] for one in resources if "health" in one]
        worst = next((s for s in ("Degraded", "Missing", "Progressing") if s in states), "Healthy")
        status = {
            "sync": sync,
            "health": {"status": worst},
            "conditions": conditions,
            "resources": resources,
            "operationState": self._operation,
        }
        # Only what was seen is taken away: somebody may ask for a sync right now.
        is_refresh = REFRESH in (application["metadata"].get("annotations") or {})
        if application.get("status") == status and not is_refresh:
            return
        said = {
            "status": status,
            **({"operation": None} if "operation" in application else {}),
            **({"metadata": {"annotations": {REFRESH: None}}} if is_refresh else {}),
        }
        self._api.patch(APPLICATIONS, self._name, NAMESPACE, said)

    def _apply(self, objects: list[dict[str, Any]], revision: str) -> None:
        state: dict[str, Any] = {
            "phase": "Succeeded",
            "message": "successfully synced (all tasks run)",
        }
        try:
            if self.refusal:
                raise KubernetesError(self.refusal)
            # Namespaces before what lies in them.
            for one in sorted(objects, key=lambda one: one["kind"] != "Namespace"):
                self._api.apply(_collection(one), one)
            self.applied.append(revision)
        except KubernetesError as error:
            self._failed_at = revision
            state = {"phase": "Failed", "message": error.what}
        self._operation = {**state, "syncResult": {"revision": revision}}

    def _compared(self, revision: str, objects: list[dict[str, Any]]) -> list[dict[str, Any]]:
        """The objects that are not as in Git. Once a commit, but for the RayCluster: others change that."""
        if revision not in self._behind:
            others = [one for one in objects if one["kind"] != "RayCluster"]
            self._behind[revision] = [one for one in others if self._differs(one)]
        clusters = [one for one in objects if one["kind"] == "RayCluster"]
        return [*self._behind[revision], *(one for one in clusters if self._differs(one))]

    def _differs(self, wanted: Mapping[str, Any]) -> bool:
        metadata = wanted["metadata"]
        found = self._api.get(_collection(wanted), metadata["name"], metadata.get("namespace", ""))
        return found is None or _lacks(wanted, found)

    def _health(self, one: Mapping[str, Any]) -> dict[str, Any]:
        metadata = one["metadata"]
        found = self._api.get(RAY_CLUSTERS, metadata["name"], metadata["namespace"])
        if found is None:
            return {"status": "Missing"}
        status = found.get("status") or {}
        is_seen = status.get("observedGeneration") == found["metadata"]["generation"]
        if is_seen and status.get("state") == "ready":
            return {"status": "Healthy"}
        if is_seen and status.get("state") == "failed":
            return {"status": "Degraded", "message": str(status.get("reason", ""))}
        return {"status": "Progressing"}

    def _objects(self, revision: str, path: str) -> list[dict[str, Any]] | str:
        """What Kustomize builds of the folder, or why it cannot."""
        if revision not in self._built:
            with tempfile.TemporaryDirectory(prefix="argocd-") as temporary:
                archive = Path(temporary) / "tree.tar"
                self._git("archive", "--output", str(archive), revision)
                with tarfile.open(archive) as tar:
                    tar.extractall(temporary, filter="data")
                done = subprocess.run(
                    ["kubectl", "kustomize", str(Path(temporary) / path)],
                    capture_output=True,
                    text=True,
                    check=False,
                )
            objects = [one for one in yaml.load_all(done.stdout, yaml.CSafeLoader) if one]
            self._built[revision] = done.stderr.strip() if done.returncode else objects
        return self._built[revision]

    def _git(self, *arguments: str) -> str:
        done = subprocess.run(
            ["git", "-C", str(self._repository), *arguments],
            capture_output=True,
            text=True,
            check=True,
        )
        return done.stdout.strip()


def _collection(one: Mapping[str, Any]) -> tuple[str, str]:
    kind = str(one["kind"]).lower()
    plural = (
        f"{kind[:-1]}ies"
        if kind.endswith("y")
        else f"{kind}es"
        if kind.endswith("s")
        else f"{kind}s"
    )
    return str(one["apiVersion"]), plural


def _lacks(wanted: Any, found: Any) -> bool:
    """Whether an object lacks what is wanted; what it has besides is another manager's."""
    if isinstance(wanted, dict):
        if not isinstance(found, dict):
            return bool(wanted) or found is not None
        return any(
            _lacks(value, found.get(key, _ABSENT)) for key, value in wanted.items() if value != {}
        )
    if isinstance(wanted, list) and isinstance(found, list) and len(wanted) == len(found):
        return any(_lacks(one, other) for one, other in zip(wanted, found, strict=True))
    return bool(wanted != found)
