"""The rules of the local Kubernetes API that need no server: ownership, patches, selectors, schemas."""

import base64
import datetime
import json
from pathlib import Path
from typing import Any

import pytest
from ray_platform_sandbox.kubernetes.authentication import is_allowed
from ray_platform_sandbox.kubernetes.failures import ApiFailure
from ray_platform_sandbox.kubernetes.fields.merging import (
    json_patch,
    merge_patch,
    strategic_merge_patch,
)
from ray_platform_sandbox.kubernetes.fields.ownership import (
    APPLY,
    UPDATE,
    Manager,
    Write,
    apply_configuration,
    read_owned,
    record_update,
)
from ray_platform_sandbox.kubernetes.fields.sets import fields_of, from_fields_v1, to_fields_v1
from ray_platform_sandbox.kubernetes.journal import Journal
from ray_platform_sandbox.kubernetes.paths import Target, parse_path
from ray_platform_sandbox.kubernetes.protobuf import MAGIC, decode
from ray_platform_sandbox.kubernetes.schema.schemas import complete, problems
from ray_platform_sandbox.kubernetes.schema.shapes import Shape
from ray_platform_sandbox.kubernetes.selectors import fields_match, labels_match
from ray_platform_sandbox.kubernetes.store import ADDED, DELETED, MODIFIED, Event, Store
from ray_platform_sandbox.kubernetes.tables import json_path

from ray_platform.kubernetes.eks_access_client import EksToken

SCHEMA: dict[str, Any] = {
    "type": "object",
    "properties": {
        "apiVersion": {"type": "string"},
        "kind": {"type": "string"},
        "metadata": {"type": "object"},
        "spec": {
            "type": "object",
            "required": ["size"],
            "properties": {
                "size": {"type": "integer", "minimum": 1},
                "mode": {"type": "string", "default": "plain"},
                "whole": {"type": "array", "items": {"type": "object"}},
                "tags": {"type": "array", "x-kubernetes-list-type": "set"},
                "parts": {
                    "type": "array",
                    "x-kubernetes-list-type": "map",
                    "x-kubernetes-list-map-keys": ["name"],
                    "items": {
                        "type": "object",
                        "properties": {"name": {"type": "string"}, "value": {"type": "integer"}},
                    },
                },
            },
        },
    },
}


def write(name: str, operation: str = APPLY) -> Write:
    return Write(Manager(name, operation, "x/v1"), "2026-01-01T00:00:00Z", Shape(SCHEMA))


def applied(live: dict[str, Any], spec: dict[str, Any], name: str, force: bool = False) -> Any:
    return apply_configuration(live, {"spec": spec}, write(name), force=force)


def owners(content: dict[str, Any]) -> dict[str, set[str]]:
    return {
        manager.name: {".".join(part.partition(":")[2] for part in path) for path in paths}
        for manager, paths in read_owned(content).items()
    }


def test_an_apply_takes_away_what_it_applied_before_and_nothing_of_others() -> None:
    first = applied({}, {"size": 1, "tags": ["a"], "parts": [{"name": "x", "value": 1}]}, "one")
    both = applied(first, {"mode": "fast", "tags": ["b"], "parts": [{"name": "y"}]}, "two")
    assert both["spec"]["tags"] == ["a", "b"]
    left = applied(both, {"size": 1}, "one")
    assert left["spec"] == {"size": 1, "mode": "fast", "tags": ["b"], "parts": [{"name": "y"}]}


def test_a_field_of_another_manager_conflicts_unless_it_is_forced_or_the_same() -> None:
    live = applied({}, {"size": 1, "parts": [{"name": "x", "value": 1}]}, "one")
    assert owners(applied(live, {"size": 1}, "two"))["two"] == {"spec.size"}
    with pytest.raises(
        ApiFailure, match=r'2 conflicts: conflicts with "one":\n- .*\n- \.spec\.size'
    ) as e:
        applied(live, {"size": 2, "parts": [{"name": "x", "value": 5}]}, "two")
    assert e.value.code == 409
    assert {cause["reason"] for cause in e.value.details["causes"]} == {"FieldManagerConflict"}
    forced = applied(live, {"size": 2}, "two", force=True)
    assert forced["spec"]["size"] == 2
    assert "spec.size" not in owners(forced)["one"]


def test_an_update_takes_what_it_changes_and_a_whole_list_at_once() -> None:
    live = applied({}, {"size": 1, "whole": [{"a": 1}, {"b": 2}]}, "helm")
    changed = json_patch(live, [{"op": "add", "path": "/spec/whole/0/replicas", "value": 3}])
    live = record_update(live, changed, write("autoscaler", UPDATE))
    assert owners(live) == {"helm": {"spec.size"}, "autoscaler": {"spec.whole"}}
    with pytest.raises(ApiFailure, match=r'"autoscaler" using x/v1: \.spec\.whole'):
        applied(live, {"size": 1, "whole": [{"a": 1}, {"b": 2}]}, "helm")


def test_fields_v1_says_the_same_as_the_set_that_it_was_made_of() -> None:
    content = {
        "metadata": {"labels": {"a.b/c": "d"}},
        "spec": {"parts": [{"name": "x"}], "tags": [1]},
    }
    paths = set(fields_of(content, Shape(SCHEMA)))
    tree = to_fields_v1(paths)
    assert tree["f:spec"]["f:parts"]['k:{"name":"x"}'] == {".": {}, "f:name": {}}
    assert from_fields_v1(json.loads(json.dumps(tree))) == paths


def test_patches_follow_their_standards() -> None:
    assert merge_patch({"a": {"b": 1, "c": 2}}, {"a": {"b": None}, "d": [1]}) == {
        "a": {"c": 2},
        "d": [1],
    }
    pod = {"spec": {"containers": [{"name": "a", "image": "1"}, {"name": "b"}], "x": 1}}
    patch = {
        "spec": {
            "$setElementOrder/containers": [{"name": "a"}],
            "containers": [{"name": "a", "image": "2"}, {"name": "b", "$patch": "delete"}],
            "x": None,
        }
    }
    assert strategic_merge_patch(pod, patch) == {
        "spec": {"containers": [{"name": "a", "image": "2"}]}
    }
    with pytest.raises(ApiFailure) as refused:
        json_patch({"a": 1}, [{"op": "test", "path": "/a", "value": 2}])
    assert refused.value.code == 422


@pytest.mark.parametrize(
    ("selector", "selected"),
    [
        ("", True),
        ("a=1", True),
        ("a==1,b!=3", True),
        ("a in (1,2),!c", True),
        ("b notin (2, 3)", False),
        ("c", False),
        ("a=1,c", False),
    ],
)
def test_label_selectors(selector: str, selected: bool) -> None:
    assert labels_match(selector, {"a": "1", "b": "2"}) is selected


def test_a_malformed_selector_is_refused() -> None:
    assert fields_match("metadata.name=x,status.phase!=Failed", {"metadata": {"name": "x"}})
    with pytest.raises(ApiFailure):
        labels_match("a=b=c", {})
    with pytest.raises(ApiFailure):
        fields_match("metadata.name", {})


def test_paths_name_collections_objects_and_subresources() -> None:
    assert parse_path("/api/v1/namespaces/x") == Target("", "v1", "namespaces", "", "x")
    assert parse_path("/api/v1/namespaces/x/status") == Target(
        "", "v1", "namespaces", "", "x", "status"
    )
    assert parse_path("/apis/ray.io/v1/namespaces/n/rayclusters/c/status") == Target(
        "ray.io", "v1", "rayclusters", "n", "c", "status"
    )
    assert parse_path("/apis/ray.io/v1") is None
    assert parse_path("/api/v1/namespaces/n/pods/p/log/more") is None


def test_a_schema_fills_in_defaults_names_unknown_fields_and_finds_wrong_types() -> None:
    completed, unknown = complete({"metadata": {"x": 1}, "spec": {"size": 0, "sise": 1}}, SCHEMA)
    assert completed["spec"] == {"size": 0, "mode": "plain"}
    assert unknown == [".spec.sise"]
    assert problems(completed, SCHEMA) == ["spec.size: 0 is less than the minimum of 1"]


def test_columns_of_a_crd_find_conditions_by_their_type() -> None:
    content = {
        "status": {
            "conditions": [{"type": "A", "status": "False"}, {"type": "B", "status": "True"}]
        }
    }
    assert json_path(content, '.status.conditions[?(@.type=="B")].status') == "True"
    assert json_path(content, ".status.conditions[0].status") == "False"
    assert json_path(content, ".status.nothing.at.all") is None


def test_a_cut_protobuf_body_and_an_unread_kind_are_refused() -> None:
    envelope = MAGIC + b"\x0a\x0f\x0a\x02v1\x12\x09Something"
    with pytest.raises(ApiFailure) as unread:
        decode(envelope)
    assert unread.value.code == 415
    with pytest.raises(ApiFailure) as cut:
        decode(envelope[:-3])
    assert cut.value.code == 400


def pod(**labels: str) -> dict[str, Any]:
    return {"metadata": {"name": "p", "namespace": "n", "labels": labels}}


def test_what_was_answered_is_there_after_a_crash_also_behind_a_half_written_line(
    tmp_path: Path,
) -> None:
    heard: list[Event] = []
    store = Store(Journal(tmp_path), heard.append)
    key, gone = ("", "pods", "n", "p"), ("", "pods", "n", "q")
    store.put(key, pod(a="1"))
    store.put(gone, pod())
    store.delete(gone)
    store.put(key, pod(a="2"))
    with (tmp_path / "objects.log").open("a") as log:
        log.write('{"version": 99, "key": ["", "po')
    again = Store(Journal(tmp_path), heard.append)
    assert again.version == store.version == 4
    assert again.get(key) == store.get(key)
    assert again.get(gone) is None
    again.put(gone, pod())
    assert Store(Journal(tmp_path), heard.append).version == 5
    assert [event.type for event in heard] == [ADDED, ADDED, DELETED, MODIFIED, ADDED]


def test_an_older_log_beside_a_newer_snapshot_changes_nothing(tmp_path: Path) -> None:
    store = Store(Journal(tmp_path), lambda event: None)
    key = ("", "pods", "n", "p")
    store.put(key, pod(a="1"))
    log = (tmp_path / "objects.log").read_bytes()
    store.put(key, pod(a="2"))
    Journal(tmp_path).load()  # folds
    (tmp_path / "objects.log").write_bytes(log)  # as if it had been killed between the two steps
    assert (Store(Journal(tmp_path), lambda event: None).get(key) or {})["metadata"]["labels"] == {
        "a": "2"
    }


def test_finalizers_hold_an_object_and_owners_take_theirs_with_them(tmp_path: Path) -> None:
    store = Store(Journal(tmp_path), lambda event: None)
    key, child = ("", "pods", "n", "p"), ("", "pods", "n", "child")
    held = pod()
    held["metadata"]["finalizers"] = ["x/y"]
    uid = store.put(key, held)["metadata"]["uid"]
    store.put(
        child, {"metadata": {"name": "child", "namespace": "n", "ownerReferences": [{"uid": uid}]}}
    )
    marked = store.delete(key)
    assert marked["metadata"]["deletionTimestamp"]
    assert store.get(child)
    store.put(key, {**marked, "metadata": {**marked["metadata"], "finalizers": []}})
    assert store.get(key) is None
    assert store.get(child) is None


class Credentials:
    access_key, secret_key, token = "cluster", "secret", None


def test_a_token_as_eks_takes_it_holds_15_minutes_for_its_cluster_and_its_secret() -> None:
    clock = [0.0]
    token = EksToken("cluster", "eu-west-1", Credentials, clock=lambda: clock[0])
    now = datetime.datetime.now(datetime.UTC)
    header = f"Bearer {token(False)}"
    assert is_allowed(header, "secret", now)
    assert not is_allowed(header, "another", now)
    assert is_allowed(header, "secret", now + datetime.timedelta(minutes=14))
    assert not is_allowed(header, "secret", now + datetime.timedelta(minutes=16))
    assert not is_allowed(header[:-4] + "AAAA", "secret", now)
    of_another = EksToken("other", "eu-west-1", Credentials)(False)
    assert not is_allowed(f"Bearer {of_another}", "secret", now)
    url = base64.urlsafe_b64decode(token(False).removeprefix("k8s-aws-v1.") + "==").decode()
    assert url.startswith("https://sts.eu-west-1.amazonaws.com/?Action=GetCallerIdentity")
    assert "secret" not in url


def test_a_token_is_made_anew_before_it_ends_and_when_it_was_refused() -> None:
    clock, asked = [0.0], [0]

    def credentials() -> type[Credentials]:
        asked[0] += 1
        return Credentials

    token = EksToken("cluster", "us-east-1", credentials, clock=lambda: clock[0])
    token(False)
    clock[0] = 13 * 60
    token(False)
    assert asked[0] == 1
    clock[0] = 14.5 * 60
    token(False)
    assert asked[0] == 2
    token(True)
    assert asked[0] == 3
