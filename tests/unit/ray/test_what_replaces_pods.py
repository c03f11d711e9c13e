"""Which change of a RayCluster replaces its pods: the platform's digest against what KubeRay 1.7.0 did.

The 94 recorded changes (tests/data/kuberay-recordings/README.md) say what the real operator did; the
CRD's schema says which fields there are.
"""

import copy
import gzip
import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import jsonpatch
import pytest
import yaml

from ray_platform.ray.spec import pods_digest

ROOT = Path(__file__).resolve().parents[3]
CHANGES = ROOT / "tests" / "data" / "kuberay-recordings" / "field-changes.json"
CRD = next((ROOT / "ray_platform").rglob("ray.io_rayclusters.yaml.gz"), None) or next(
    ROOT.rglob("ray.io_rayclusters.yaml.gz")
)
#: The operator refuses the whole spec (InvalidRayClusterSpec), so that no change in it takes effect. The
#: digest says what would replace pods if it were accepted.
REFUSED = frozenset(
    f"{field} (gate off)"
    for option in ("networkPolicy", "tlsOptions", "historyServerOptions")
    for field in (option, f"{option} removed")
) | {
    "workerGroupSpecs[].suspend (autoscaler on)",
    "workerGroupSpecs[].suspend removed (autoscaler on)",
    "historyServerOptions without STORAGE_BACKEND (gate on)",
}
#: Suspending and resuming end and make all pods by themselves, so that none is left to be replaced.
BY_SUSPENSION = frozenset({"suspend false -> true", "suspend true -> false"})
#: What KubeRay's hash leaves out, as paths of the schema.
LEFT_OUT = {
    ("upgradeStrategy",),
    ("workerGroupSpecs", "replicas"),
    ("workerGroupSpecs", "minReplicas"),
    ("workerGroupSpecs", "maxReplicas"),
    ("workerGroupSpecs", "scaleStrategy", "workersToDelete"),
    ("headGroupSpec", "template", "spec", "tolerations"),
    ("headGroupSpec", "template", "spec", "schedulingGates"),
    ("workerGroupSpecs", "template", "spec", "tolerations"),
    ("workerGroupSpecs", "template", "spec", "schedulingGates"),
}


def recorded_changes() -> Iterator[tuple[str, Any, Any, bool]]:
    """Field, spec before, spec after, and whether the operator replaced the pods."""
    for scenario in json.loads(CHANGES.read_text(encoding="utf-8")).values():
        before = scenario["applied_first"]
        for change in scenario["changes"]:
            after = jsonpatch.apply_patch(
                copy.deepcopy(before), change["json_patch_to_the_object_applied_before"]
            )
            yield change["field"], before["spec"], after["spec"], change["pods_replaced"]
            before = after


RECORDED = list(recorded_changes())


def test_all_recorded_changes_are_here() -> None:
    fields = {field for field, *_ in RECORDED}
    assert len(fields) == 94
    assert fields >= REFUSED | BY_SUSPENSION


@pytest.mark.parametrize(
    ("field", "before", "after", "replaced"), RECORDED, ids=[field for field, *_ in RECORDED]
)
def test_the_digest_changes_where_the_operator_replaced_pods(
    field: str, before: Any, after: Any, replaced: bool
) -> None:
    changed = pods_digest(before) != pods_digest(after)
    if field in REFUSED | BY_SUSPENSION:
        assert not replaced
        assert changed
    else:
        assert changed is replaced


def fields(schema: Mapping[str, Any], path: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    """Each field below a schema, once; the fields of a list's elements stand below the list."""
    for name, below in (schema.get("properties") or {}).items():
        at = (*path, name)
        yield at
        yield from fields(below.get("items") or below, at)


def with_value(
    content: dict[str, Any], schema: Mapping[str, Any], path: tuple[str, ...], value: Any
) -> None:
    """Set the field of a path, with lists of one element on the way."""
    for step in path[:-1]:
        schema = schema["properties"][step]
        if schema.get("type") == "array":
            schema = schema["items"]
            content = content.setdefault(step, [{}])[0]
        else:
            content = content.setdefault(step, {})
    content[path[-1]] = value


def test_every_field_of_the_crd_counts_but_those_that_the_hash_leaves_out() -> None:
    crd = yaml.load(gzip.decompress(CRD.read_bytes()), Loader=yaml.CSafeLoader)
    version = next(v for v in crd["spec"]["versions"] if v["name"] == "v1")
    schema = version["schema"]["openAPIV3Schema"]["properties"]["spec"]
    seen = set()
    for path in fields(schema):
        first: dict[str, Any] = {}
        second: dict[str, Any] = {}
        with_value(first, schema, path, "one")
        with_value(second, schema, path, "two")
        left_out = any(path[: len(out)] == out for out in LEFT_OUT)
        if path == ("workerGroupSpecs",) or path in {
            ("headGroupSpec", "template"),
            ("headGroupSpec",),
        }:
            continue
        if path[-1] in ("template", "scaleStrategy") or path[-2:] == ("template", "spec"):
            continue  # maps whose fields come one by one
        seen.add(path)
        assert (pods_digest(first) != pods_digest(second)) is not left_out, ".".join(path)
    assert len(seen) > 1000
    assert seen > LEFT_OUT
