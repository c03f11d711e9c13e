"""An environment's manifests as files for Git, and the objects by which Argo CD applies them.

::

    kustomization.yaml              all of them, for `kubectl kustomize` and Argo CD
    PART/NAMESPACE/KIND-NAME.yaml   one object a file; PART is the chart that it comes from
    charts/NAME.values.yaml         the values of a third-party chart
    argocd/charts/NAME.yaml         its Application
    argocd/application.yaml         this environment's Application
    argocd/applicationset.yaml      the same for all environments: apply one or the other
    export.json                     which files these are, by digest

Equal manifests make equal bytes: keys are sorted, and nothing says when or where it was made.
"""

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import yaml

from ray_platform.gitops.platform_charts import PinnedChart
from ray_platform.text.canonical import digest_bytes, digest_files
from ray_platform.text.errors import SettingsError

MARKER = "export.json"
FORMAT = 1
ARGOCD_NAMESPACE = "argocd"

#: What the autoscaler owns in a RayCluster: Argo CD neither reports nor reverts it.
AUTOSCALED = (".spec.workerGroupSpecs[]?.replicas", ".spec.workerGroupSpecs[]?.scaleStrategy")


@dataclass(frozen=True)
class Delivery:
    """How Argo CD finds one environment's export and applies it.

    ``path`` is the export's folder in ``repository``; ``cluster`` the name under which Argo CD knows the
    cluster, ``namespace`` where objects without one go.
    """

    environment: str
    repository: str
    revision: str
    path: str
    cluster: str
    namespace: str
    sync: Literal["automatic", "manual"]

    @property
    def application(self) -> str:
        """The name of the Argo CD Application."""
        return f"ray-platform-{self.environment}"


def manifest_files(parts: Mapping[str, Sequence[Mapping[str, Any]]]) -> dict[str, str]:
    """One file for each object, by its path, sorted.

    Args:
        parts: Name of the part (a chart) -> its objects.

    Raises:
        SettingsError: two objects of a part have the same kind, namespace and name.
    """
    files: dict[str, str] = {}
    for part, documents in parts.items():
        for document in documents:
            path = f"{part}/{object_path(document)}"
            if path in files:
                raise SettingsError(
                    f"two objects are called {object_path(document).removesuffix('.yaml')}",
                    where=f"helm/{part}",
                    fix="give one of them another name",
                )
            files[path] = to_yaml(document)
    return dict(sorted(files.items()))


def object_path(document: Mapping[str, Any]) -> str:
    """Where an object's file lies: ``NAMESPACE/KIND-NAME.yaml``, ``cluster/`` for one without namespace."""
    metadata = document["metadata"]
    return _object_path(document["kind"], metadata["name"], metadata.get("namespace", ""))


def export_path(part: str, kind: str, name: str, namespace: str) -> str:
    """Where an object of a part lies in an export."""
    return f"{part}/{_object_path(kind, name, namespace)}"


def _object_path(kind: str, name: str, namespace: str) -> str:
    # The names of roles may hold colons, which not every file system takes.
    file = re.sub(r"[^A-Za-z0-9.-]", "-", f"{kind.lower()}-{name}")
    return f"{namespace or 'cluster'}/{file}.yaml"


def to_yaml(document: Mapping[str, Any]) -> str:
    """YAML with sorted keys, texts of several lines as blocks, other than ASCII escaped."""
    return yaml.dump(dict(document), Dumper=_Dumper, sort_keys=True, width=100)


class _Dumper(yaml.SafeDumper):
    """PyYAML's, but no anchors (kustomize copies them badly) and blocks for texts of several lines."""

    def ignore_aliases(self, data: Any) -> bool:
        return True


def _text(dumper: yaml.SafeDumper, text: str) -> yaml.Node:
    style = "|" if "\n" in text else None
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style=style)


_Dumper.add_representer(str, _text)


def export_files(
    parts: Mapping[str, Sequence[Mapping[str, Any]]],
    delivery: Delivery,
    everywhere: Sequence[Delivery],
    *,
    charts: Sequence[tuple[PinnedChart, Mapping[str, Any]]],
    sources: Mapping[str, str],
) -> dict[str, str]:
    """All files of an export, by path.

    Args:
        parts: Name of the part (a chart) -> its objects.
        charts: Third-party charts, each with its values.
        delivery: This environment's.
        everywhere: All environments' that Argo CD can reach, for the ApplicationSet.
        sources: What the manifests were made from, by digest: it stands in ``export.json``.

    Raises:
        SettingsError: as `manifest_files`.
    """
    manifests = manifest_files(parts)
    files = {
        **manifests,
        "kustomization.yaml": to_yaml(
            {
                "apiVersion": "kustomize.config.k8s.io/v1beta1",
                "kind": "Kustomization",
                "resources": list(manifests),
            }
        ),
        **{f"charts/{chart.name}.values.yaml": to_yaml(values) for chart, values in charts},
        **{
            f"argocd/charts/{chart.name}.yaml": to_yaml(chart_application(chart, values, delivery))
            for chart, values in charts
        },
        "argocd/application.yaml": to_yaml(application(delivery)),
        "argocd/applicationset.yaml": to_yaml(application_set(everywhere)),
    }
    marker = {
        "format": FORMAT,
        "made_by": "ray-platform gitops export",
        "environment": delivery.environment,
        "sources": dict(sources),
        "files": {path: digest_bytes(text.encode()) for path, text in sorted(files.items())},
    }
    return {**files, MARKER: json.dumps(marker, indent=2, sort_keys=True) + "\n"}


def files_digest(files: Mapping[str, str]) -> str:
    """Hex SHA-256 over an export's files."""
    return digest_files((path, text.encode()) for path, text in files.items())


def application(delivery: Delivery) -> dict[str, Any]:
    """The Argo CD Application of one environment."""
    return {
        "apiVersion": "argoproj.io/v1alpha1",
        "kind": "Application",
        "metadata": {
            "name": delivery.application,
            "namespace": ARGOCD_NAMESPACE,
            "labels": {"ray-platform/environment": delivery.environment},
        },
        "spec": {
            **_spec(
                repository=delivery.repository,
                revision=delivery.revision,
                path=delivery.path,
                cluster=delivery.cluster,
                namespace=delivery.namespace,
            ),
            "syncPolicy": _policy(delivery),
        },
    }


def chart_application(
    chart: PinnedChart, values: Mapping[str, Any], delivery: Delivery
) -> dict[str, Any]:
    """The Argo CD Application of a third-party chart in one environment, pinned to its version."""
    return {
        "apiVersion": "argoproj.io/v1alpha1",
        "kind": "Application",
        "metadata": {
            "name": f"{delivery.environment}-{chart.name}",
            "namespace": ARGOCD_NAMESPACE,
            "labels": {"ray-platform/environment": delivery.environment},
        },
        "spec": {
            "project": "default",
            "source": {
                "repoURL": chart.repository,
                "chart": chart.chart,
                "targetRevision": chart.version,
                "helm": {"releaseName": chart.name, "valuesObject": dict(values)},
            },
            "destination": {"name": delivery.cluster, "namespace": chart.namespace},
            "syncPolicy": _policy(delivery),
        },
    }


def _policy(delivery: Delivery) -> dict[str, Any]:
    return {**({"automated": _AUTOMATED} if delivery.sync == "automatic" else {}), **_SYNC}


def application_set(everywhere: Sequence[Delivery]) -> dict[str, Any]:
    """The Argo CD ApplicationSet that makes one Application for each environment.

    Where the sync is automatic, ``templatePatch`` says so (Argo CD 2.9 or later): a template alone cannot
    leave a part out for some.
    """
    return {
        "apiVersion": "argoproj.io/v1alpha1",
        "kind": "ApplicationSet",
        "metadata": {"name": "ray-platform", "namespace": ARGOCD_NAMESPACE},
        "spec": {
            "goTemplate": True,
            "goTemplateOptions": ["missingkey=error"],
            "generators": [{"list": {"elements": [vars(each) for each in everywhere]}}],
            "template": {
                "metadata": {
                    "name": "ray-platform-{{ .environment }}",
                    "labels": {"ray-platform/environment": "{{ .environment }}"},
                },
                "spec": {
                    **_spec(
                        repository="{{ .repository }}",
                        revision="{{ .revision }}",
                        path="{{ .path }}",
                        cluster="{{ .cluster }}",
                        namespace="{{ .namespace }}",
                    ),
                    "syncPolicy": dict(_SYNC),
                },
            },
            "templatePatch": (
                '{{- if eq .sync "automatic" }}\n'
                + to_yaml({"spec": {"syncPolicy": {"automated": _AUTOMATED}}})
                + "{{- end }}\n"
            ),
        },
    }


_AUTOMATED = {"prune": True, "selfHeal": True}
_SYNC: Mapping[str, Any] = {
    "syncOptions": [
        # Fields that another manager owns stay its own, as with Helm's install.
        "ServerSideApply=true",
        "RespectIgnoreDifferences=true",
        # KubeRay's kinds are not known before its operator is there.
        "SkipDryRunOnMissingResource=true",
    ],
    "retry": {"limit": 3, "backoff": {"duration": "10s", "factor": 2, "maxDuration": "3m"}},
}


def _spec(
    *, repository: str, revision: str, path: str, cluster: str, namespace: str
) -> dict[str, Any]:
    return {
        "project": "default",
        "source": {"repoURL": repository, "targetRevision": revision, "path": path},
        "destination": {"name": cluster, "namespace": namespace},
        "ignoreDifferences": [
            {"group": "ray.io", "kind": "RayCluster", "jqPathExpressions": list(AUTOSCALED)}
        ],
    }


def foreign_files(found: Mapping[str, bytes], environment: str) -> tuple[str, ...]:
    """What stands in a folder beside an earlier export of the environment: its paths, sorted.

    A file of that export counts when it was changed since: an edit by hand would be lost.

    Args:
        found: Path -> content of everything in the folder.
        environment: Whose export may be replaced.
    """
    try:
        marker = json.loads(found.get(MARKER, b"null"))
        known = dict(marker["files"]) if marker["environment"] == environment else {}
    except (ValueError, TypeError, KeyError):
        known = {}
    if not known:
        return tuple(sorted(found))
    return tuple(
        sorted(
            path
            for path, content in found.items()
            if path != MARKER and known.get(path) != digest_bytes(content)
        )
    )
