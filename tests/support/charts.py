"""Charts in tests: many renders and lints in one child process, which costs more than all of them."""

import gzip
import json
import subprocess
import sys
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[2]
#: KubeRay's definitions, as they lie beside a checkout, or with the local Kubernetes API.
CRD_FOLDERS = (
    ROOT / "sandbox" / "ray_platform_sandbox" / "kubernetes" / "crds",
    ROOT.parent / "shared" / "data" / "kuberay-crds",
)

_CHILD = """
import helm_python, json, sys
def answer(chart, values):
    try:
        with helm_python.Chart.load(chart) as loaded:
            return {"manifests": loaded.render(values, name="ray", namespace="ray")}
    except helm_python.HelmError as error:
        return {"error": str(error)}
asked = json.load(sys.stdin)
answers = [answer(*one) for one in asked["renders"]]
lints = [helm_python.lint(chart, values, strict=True) for chart, values in asked["lints"]]
json.dump({"renders": answers, "lints": lints}, sys.stdout)
"""


def in_helm(
    renders: Sequence[tuple[Path, Mapping[str, Any]]] = (),
    lints: Sequence[tuple[Path, Mapping[str, Any]]] = (),
) -> tuple[list[list[dict[str, Any]] | str], list[dict[str, Any]]]:
    """The documents of each render, or Helm's message why it refuses; and the report of each lint."""
    asked = {
        "renders": [(str(chart), values) for chart, values in renders],
        "lints": [(str(chart), values) for chart, values in lints],
    }
    done = subprocess.run(
        [sys.executable, "-c", _CHILD],
        input=json.dumps(asked),
        capture_output=True,
        text=True,
        check=True,
    )
    told = json.loads(done.stdout)
    return [one.get("error") or documents(one["manifests"]) for one in told["renders"]], told[
        "lints"
    ]


def documents(manifests: Mapping[str, str]) -> list[dict[str, Any]]:
    """The objects of rendered templates, in the order of the templates' names."""
    return [
        document
        for _, text in sorted(manifests.items())
        for document in yaml.load_all(text, Loader=yaml.CSafeLoader)
        if document
    ]


def pod_templates(document: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Every pod template of an object, wherever it stands: what has a spec with containers."""
    found: list[dict[str, Any]] = []

    def walk(value: Any) -> None:
        if isinstance(value, dict):
            if isinstance(spec := value.get("spec"), dict) and "containers" in spec:
                found.append(value)
            for item in value.values():
                walk(item)
        elif isinstance(value, list):
            for item in value:
                walk(item)

    walk(document)
    return found


@cache
def kuberay_schema(kind: str) -> Any:
    """A validator of KubeRay's own schema of a kind (``RayCluster``), with unknown keys refused.

    The test that asks is skipped, with the reason, where the definitions are not on this machine.
    """
    import jsonschema

    plural = f"{kind.lower()}s"
    paths = [
        path for folder in CRD_FOLDERS for path in sorted(folder.glob(f"ray.io_{plural}.yaml*"))
    ]
    if not paths:
        pytest.skip(f"KubeRay's CRDs are not on this machine: none in {CRD_FOLDERS}")
    content = paths[0].read_bytes()
    text = gzip.decompress(content) if paths[0].suffix == ".gz" else content
    crd = yaml.load(text, Loader=yaml.CSafeLoader)
    (version,) = (v for v in crd["spec"]["versions"] if v["name"] == "v1")
    schema = _closed(version["schema"]["openAPIV3Schema"])
    # metadata is the API server's, and the CRD says no more of it than that it is an object.
    schema["properties"]["metadata"] = {"type": "object"}
    return jsonschema.Draft202012Validator(schema)


def kuberay_errors(document: Mapping[str, Any]) -> list[str]:
    """What KubeRay's schema finds wrong with an object, each with its place."""
    return [
        f"{'.'.join(str(step) for step in error.absolute_path)}: {error.message}"
        for error in kuberay_schema(document["kind"]).iter_errors(document)
    ]


def _closed(schema: Any) -> Any:
    """The schema with unknown keys refused, as the API server's strict field validation does."""
    if isinstance(schema, list):
        return [_closed(item) for item in schema]
    if not isinstance(schema, dict):
        return schema
    done = {key: _closed(value) for key, value in schema.items()}
    if "properties" in done and "additionalProperties" not in done:
        done["additionalProperties"] = bool(done.get("x-kubernetes-preserve-unknown-fields"))
    if done.get("x-kubernetes-int-or-string"):
        return {"type": ["integer", "string"]}
    return done
