"""A live object against its manifest: what others may write is no drift, and each change of ours is found."""

import copy
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ray_platform.drift.items import DriftItem
from ray_platform.drift.release_items import not_asked, release_gone, release_items
from ray_platform.drift.rules import read_rules
from ray_platform.kubernetes.field_managers import writer_of
from ray_platform.kubernetes.manifests import Compared, differences, put_back
from ray_platform.kubernetes.quantity import quantity

ROOT = Path(__file__).resolve().parents[3]
BOOK = read_rules(
    (ROOT / "policies" / "drift.toml").read_text(encoding="utf-8"), where="drift.toml"
)
DOCUMENTS: list[dict[str, Any]] = [
    yaml.load(path.read_text(encoding="utf-8"), Loader=yaml.CSafeLoader)
    for path in sorted(
        (ROOT / "tests" / "data" / "golden" / "helm" / "prod" / "ray" / "ray").glob("*.yaml")
    )
]
CLUSTER = next(d for d in DOCUMENTS if d["kind"] == "RayCluster")
PROPERTY = settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))

#: Where order means something, in these documents.
ORDERED = ("command", "args")
#: The kinds in whose specs an addition is drift.
OURS = ("RayCluster", "NetworkPolicy", "ResourceQuota", "LimitRange", "PodDisruptionBudget")
SPELLINGS = {"1": "1000m", "500m": "0.5", "512Mi": "524288Ki", "4Gi": "4096Mi", "200m": "0.2"}


def noisy(value: Any, random: Any, path: tuple[str, ...] = ()) -> Any:
    """The same as the API, the autoscaler and KubeRay may give it back."""
    if isinstance(value, dict):
        keys = list(value)
        random.shuffle(keys)
        made = {key: noisy(value[key], random, (*path, key)) for key in keys}
        if path[-1:] == ("ports",) and random.random() < 0.5:
            made.setdefault("protocol", "TCP")
        if path[-1:] == ("workerGroupSpecs",):
            made |= {"replicas": random.randrange(20), "scaleStrategy": {"workersToDelete": ["x"]}}
            made.setdefault("priority", 0)
        if path and random.random() < 0.1:
            made["nothing"] = random.choice([None, {}, [], ""])
        return {key: item for key, item in made.items() if item != {} or random.random() < 0.5}
    if isinstance(value, list):
        items = [noisy(item, random, path) for item in value]
        if path[-1] not in ORDERED:
            random.shuffle(items)
        return items
    if path[-2:-1] and path[-2] in ("limits", "requests", "hard", "default", "defaultRequest"):
        return SPELLINGS.get(value, value) if random.random() < 0.5 else value
    return value


def live_of(document: dict[str, Any], random: Any) -> dict[str, Any]:
    live: dict[str, Any] = noisy(copy.deepcopy(document), random)
    metadata = live["metadata"]
    metadata |= {"uid": "1", "resourceVersion": "7", "generation": 3, "finalizers": ["x"]}
    metadata.setdefault("annotations", {})["meta.helm.sh/release-name"] = "ray"
    metadata["labels"]["somebody/else"] = "1"
    return {**live, "status": {"state": "ready"}}


def leaves(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    if isinstance(value, dict) and value:
        for key in value:
            yield from leaves(value[key], (*path, key))
    elif isinstance(value, list) and value:
        for index, item in enumerate(value):
            yield from leaves(item, (*path, index))
    elif value not in ("", None, {}, []):
        yield path


def owned(document: dict[str, Any]) -> list[tuple[Any, ...]]:
    return [
        path
        for path in leaves(document)
        if path[0] not in ("apiVersion", "kind")
        and path[:2] not in (("metadata", "name"), ("metadata", "namespace"))
        and path[-1] != "replicas"
    ]


def at(value: Any, path: tuple[Any, ...]) -> Any:
    for step in path:
        value = value[step]
    return value


def other(value: Any) -> Any:
    if isinstance(value, bool):
        return not value
    return value + 1 if isinstance(value, int) else f"{value}x"


def names(path: tuple[Any, ...]) -> tuple[str, ...]:
    return tuple(step for step in path if isinstance(step, str))


def test_the_manifest_itself_is_no_drift() -> None:
    for document in DOCUMENTS:
        assert not list(differences(document, document))


@PROPERTY
@given(document=st.sampled_from(DOCUMENTS), random=st.randoms(use_true_random=False))
def test_what_the_autoscaler_the_api_and_another_order_make_of_it_is_no_drift(
    document: dict[str, Any], random: Any
) -> None:
    live = live_of(document, random)
    assert [d.text for d in differences(document, live)] == []
    assert [d.text for d in differences(document, put_back(document, live))] == []


@PROPERTY
@given(
    document=st.sampled_from(DOCUMENTS),
    random=st.randoms(use_true_random=False),
    how=st.sampled_from(["changed", "removed", "added"]),
)
def test_each_change_of_what_is_ours_is_found_where_it_is_and_can_be_put_back(
    document: dict[str, Any], random: Any, how: str
) -> None:
    path = random.choice(owned(document))
    changed = copy.deepcopy(document)
    holder = at(changed, path[:-1])
    if how == "changed":
        holder[path[-1]] = other(holder[path[-1]])
    elif how == "removed":
        if path[-1] in ("protocol", "numOfHosts"):
            return  # the API fills in the same
        del holder[path[-1]]
    else:
        if document["kind"] not in OURS or path[0] != "spec":
            return
        while not isinstance(at(changed, path[:-1]), dict):
            path = path[:-1]
        path = (*path[:-1], "addedByHand")
        at(changed, path[:-1])["addedByHand"] = "x"
    live = live_of(changed, random)
    found = list(differences(document, live))
    assert found, f"{how} {path}"
    where = names(path)
    for difference in found:
        told = names(difference.path)
        # An element that lost its key is told as a whole.
        assert told == where[: len(told)], (difference.text, path)
    mended = put_back(document, live)
    assert [d.text for d in differences(document, mended)] == []
    if document["kind"] == "RayCluster":
        groups = {g.get("groupName"): g["replicas"] for g in live["spec"]["workerGroupSpecs"]}
        for group in mended["spec"]["workerGroupSpecs"]:
            if group["groupName"] in groups:
                assert group.get("replicas") == groups[group["groupName"]]


def told(document: dict[str, Any], live: dict[str, Any] | None) -> list[DriftItem]:
    return list(release_items("ray", [Compared(document, live, asked=None)], BOOK))


def changed(kind: str, name: str, *path: Any, to: Any) -> tuple[dict[str, Any], dict[str, Any]]:
    document = next(d for d in DOCUMENTS if (d["kind"], d["metadata"]["name"]) == (kind, name))
    live = copy.deepcopy(document)
    holder = at(live, path[:-1])
    if to is None:
        del holder[path[-1]]
    else:
        holder[path[-1]] = to
    return document, live


HEAD = ("spec", "headGroupSpec", "template", "spec")
CPU = ("spec", "workerGroupSpecs", 0)


@pytest.mark.parametrize(
    ("kind", "name", "path", "to", "severity"),
    [
        ("RayCluster", "ray", (*HEAD, "containers", 0, "image"), "evil:1", "major"),
        ("RayCluster", "ray", (*HEAD, "hostNetwork"), True, "major"),
        ("RayCluster", "ray", (*HEAD, "securityContext", "runAsNonRoot"), None, "major"),
        ("RayCluster", "ray", (*HEAD, "containers", 0, "env", 0, "value"), "disabled", "major"),
        ("RayCluster", "ray", (*HEAD, "containers", 0, "env", 2, "value"), "/home", "minor"),
        ("RayCluster", "ray", (*HEAD, "containers", 0, "resources"), {}, "major"),
        ("RayCluster", "ray", (*CPU, "maxReplicas"), 99, "major"),
        ("RayCluster", "ray", (*CPU, "template", "metadata", "labels", "x"), "1", "minor"),
        ("RayCluster", "ray", ("spec", "suspend"), True, "major"),
        ("RayCluster", "ray", ("spec", "autoscalerOptions", "idleTimeoutSeconds"), 1, "minor"),
        ("RayCluster", "ray", ("metadata", "labels", "ray-platform/environment"), "x", "minor"),
        ("NetworkPolicy", "ray-default-deny", ("spec", "ingress"), [{}], "major"),
        ("NetworkPolicy", "ray-egress", ("spec", "egress", 1, "ports", 0, "port"), 22, "major"),
        ("ResourceQuota", "ray", ("spec", "hard", "pods"), "999", "major"),
        ("PodDisruptionBudget", "ray-head", ("spec", "minAvailable"), 0, "minor"),
    ],
)
def test_how_bad_a_change_is_follows_from_the_rules(
    kind: str, name: str, path: tuple[Any, ...], to: Any, severity: str
) -> None:
    items = told(*changed(kind, name, *path, to=to))
    assert {item.severity for item in items} == {severity}, items
    assert items[0].address == f"helm/ray/{kind}/{name}"


def test_an_object_that_is_gone_and_a_release_that_is_gone_are_major() -> None:
    (item,) = told(CLUSTER, None)
    assert (item.severity, item.cause, item.after) == ("major", "by_hand", "removed")
    assert release_gone("ray", BOOK).severity == "major"
    unknown = not_asked("the API is silent")
    assert (unknown.severity, unknown.cause, unknown.evidence) == (
        "minor",
        "unknown",
        "the API is silent",
    )


def test_a_worker_group_added_by_hand_is_told_by_its_name() -> None:
    live = copy.deepcopy(CLUSTER)
    live["spec"]["workerGroupSpecs"].append({"groupName": "mine", "maxReplicas": 1})
    (item,) = told(CLUSTER, live)
    assert (item.attribute, item.severity) == ("spec.workerGroupSpecs[mine]", "major")


def test_a_secret_in_a_variable_is_not_shown() -> None:
    document, live = changed("RayCluster", "ray", *HEAD, "containers", 0, "env", to=None)
    environment = [{"name": "REDIS_PASSWORD", "value": "hunter2hunter2"}]
    at(live, (*HEAD, "containers", 0))["env"] = environment
    assert "hunter2" not in str(told(document, live))


def managed(live: dict[str, Any], *entries: tuple[str, str, dict[str, Any]]) -> dict[str, Any]:
    fields = [
        {"manager": name, "operation": "Update", "time": time, "fieldsV1": owned}
        for name, time, owned in entries
    ]
    return {**live, "metadata": {**live["metadata"], "managedFields": fields}}


def test_who_changed_a_field_is_told_by_its_manager_and_its_time() -> None:
    document, live = changed("ResourceQuota", "ray", "spec", "hard", "pods", to="999")
    live = managed(
        live,
        ("ray-platform-helm", "2026-11-20T09:00:00Z", {"f:spec": {}}),
        ("kubectl-edit", "2026-11-20T10:00:00Z", {"f:spec": {"f:hard": {"f:pods": {}}}}),
        ("kubectl-label", "2026-11-20T11:00:00Z", {"f:metadata": {"f:labels": {"f:a": {}}}}),
    )
    (item,) = told(document, live)
    assert (item.who, item.when) == ("kubectl-edit", "2026-11-20T10:00:00Z")
    assert item.evidence == "field manager kubectl-edit wrote it (Update, 2026-11-20T10:00:00Z)"


def test_after_the_autoscaler_wrote_the_list_nobody_is_blamed() -> None:
    document, live = changed("RayCluster", "ray", *CPU, "maxReplicas", to=99)
    live = managed(live, ("python-requests", "t", {"f:spec": {"f:workerGroupSpecs": {}}}))
    (item,) = told(document, live)
    assert item.who == ""
    assert "not known any more" in item.evidence


def test_what_was_removed_points_at_the_latest_other_writer() -> None:
    document, live = changed("ResourceQuota", "ray", "spec", "hard", "pods", to=None)
    live = managed(live, ("kubectl-patch", "t", {"f:metadata": {"f:labels": {"f:a": {}}}}))
    (difference,) = differences(document, live)
    writer = writer_of(live, difference, ours=())
    assert writer is not None
    assert "latest other writer" in writer.tell()


def test_what_git_asks_for_already_is_an_unapplied_change() -> None:
    document, live = changed("RayCluster", "ray", *CPU, "maxReplicas", to=11)
    (item,) = release_items("ray", [Compared(document, live, asked=live)], BOOK)
    assert item.cause == "unapplied_change"


@pytest.mark.parametrize(
    ("text", "same"), [("1", "1000m"), ("1Gi", "1024Mi"), ("1e3", "1k"), (2, "2")]
)
def test_an_amount_is_the_same_however_it_is_spelled(text: object, same: object) -> None:
    assert quantity(text) == quantity(same) is not None


def test_what_is_no_amount_has_none() -> None:
    assert [quantity(value) for value in ("x", "1Q", True, None)] == [None] * 4
