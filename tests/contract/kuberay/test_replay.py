"""The stand-in for KubeRay's operator is held to recordings of the real one."""

import ast
import copy
import gzip
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jsonpatch
import pytest
from ray_platform_sandbox.kuberay import recreate_hash, replay
from ray_platform_sandbox.kubernetes import replay as answers

from tests.support.kuberay_recordings import FOLDER, SHARED
from tests.unit.ray.test_what_replaces_pods import BY_SUSPENSION, RECORDED, REFUSED

HERE = sorted(p for p in FOLDER.glob("*.json.gz") if p.name != "admission.json.gz")
OTHERS = sorted(p for p in SHARED.glob("*.json.gz") if not (FOLDER / p.name).exists())
#: The operator's rules and their replay; what starts processes of this machine is apart.
#: Every module of the stand-in but the live operator's own loop, which asks the API by the product's client.
LIVE = {"controller", "job_keeper", "job_server", "keeper", "service", "wanted"}
RULES = sorted(
    path
    for path in Path(replay.__file__).parent.rglob("*.py")
    if path.stem not in LIVE and path.name != "__init__.py"
)


def unreviewed(path: Path) -> list[str]:
    return [f"{d.at}: {d.what}" for d in replay.replay_file(path) if not d.reviewed]


@pytest.mark.parametrize("path", HERE, ids=lambda path: path.name)
def test_a_recording_shows_no_difference_but_those_that_were_reviewed(path: Path) -> None:
    assert unreviewed(path) == []


@pytest.mark.real
@pytest.mark.skipif(not OTHERS, reason="the whole set of recordings is not beside this checkout")
@pytest.mark.parametrize("path", OTHERS, ids=lambda path: path.name)
def test_so_do_the_recordings_beside_the_checkout(path: Path) -> None:
    assert unreviewed(path) == []


def changed(tmp_path: Path, name: str, change: Callable[[dict[str, Any]], None]) -> Path:
    content = json.loads(gzip.decompress((FOLDER / f"{name}.json.gz").read_bytes()))
    change(content)
    path = tmp_path / "changed.json"
    path.write_text(json.dumps(content), encoding="utf-8")
    return path


def last_status(content: dict[str, Any]) -> dict[str, Any]:
    found: list[dict[str, Any]] = [
        event["object"]["status"]
        for event in content["events"]
        if event["object"]["kind"] == "RayCluster" and event["object"].get("status")
    ]
    return found[-1]


def another_state(content: dict[str, Any]) -> None:
    last_status(content)["state"] = "failed"


def another_label(content: dict[str, Any]) -> None:
    for event in content["events"]:
        if event["object"]["kind"] == "Pod":
            event["object"]["metadata"]["labels"]["ray.io/is-ray-node"] = "no"


def no_sidecar(content: dict[str, Any]) -> None:
    for event in content["events"]:
        if event["object"]["kind"] == "Pod":
            del event["object"]["spec"]["containers"][1:]


def another_event(content: dict[str, Any]) -> None:
    for event in content["events"]:
        if event["object"].get("reason") == "CreatedHeadPod":
            event["object"]["reason"] = "MadeHeadPod"


def no_pod_is_deleted(content: dict[str, Any]) -> None:
    content["events"] = [
        event
        for event in content["events"]
        if event["object"]["kind"] != "Pod"
        or (event["type"] != "DELETED" and "deletionTimestamp" not in event["object"]["metadata"])
    ]


@pytest.mark.parametrize(
    ("name", "change", "said"),
    [
        ("install-ready", another_state, "RayCluster ray"),
        ("install-ready", another_label, "Pod as made"),
        ("install-ready", no_sidecar, "containers[1].name"),
        ("install-ready", another_event, "event MadeHeadPod Normal is told"),
        ("upgrade-good-image", no_pod_is_deleted, "is being deleted"),
    ],
)
def test_an_operator_that_did_otherwise_would_be_found_out(
    tmp_path: Path, name: str, change: Callable[[dict[str, Any]], None], said: str
) -> None:
    path = changed(tmp_path, name, change)
    assert said in " ".join(unreviewed(path))
    assert replay.main([str(path)]) == 2


def test_the_command_prints_one_json_object(capsys: pytest.CaptureFixture[str]) -> None:
    assert replay.main([str(FOLDER / "install-ready.json.gz"), "--json"]) == 0
    answer = json.loads(capsys.readouterr().out)
    assert answer["unreviewed"] == 0
    (recording,) = answer["recordings"]
    assert all(one["reviewed"] for one in recording["differences"])


def test_a_file_that_is_no_recording_is_refused_by_name(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "x.json"
    path.write_text('{"steps": []}', encoding="utf-8")
    assert replay.main([str(path)]) == 1
    assert "it lacks events, namespace, scenario" in capsys.readouterr().err


def test_each_reviewed_difference_gives_a_reason() -> None:
    for listed in (replay.REVIEWED, answers.REVIEWED):
        known = json.loads(listed.read_text(encoding="utf-8"))
        assert known
        assert all(len(one["reason"]) > 20 for one in known)


@pytest.mark.parametrize(
    ("field", "before", "after", "replaced"), RECORDED, ids=[field for field, *_ in RECORDED]
)
def test_the_stand_in_s_own_hash_changes_where_the_operator_replaced_pods(
    field: str, before: Any, after: Any, replaced: bool
) -> None:
    same = recreate_hash.recreate_hash(before) == recreate_hash.recreate_hash(after)
    assert same is not (replaced or field in REFUSED | BY_SUSPENSION)


@pytest.mark.parametrize("path", RULES, ids=lambda path: path.stem)
def test_the_operator_s_rules_import_no_product_code(path: Path) -> None:
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        names = [node.module or ""] if isinstance(node, ast.ImportFrom) else []
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        assert not [name for name in names if name.split(".")[0] == "ray_platform"], names


def test_recorded_answers_of_the_api_server_differ_only_where_that_was_reviewed() -> None:
    content = json.loads(gzip.decompress((FOLDER / "admission.json.gz").read_bytes()))
    found = list(answers.differences(content["pairs"]))
    assert [one["what"] for one in found if not one["reviewed"]] == []
    # Nothing that the charts use is decided otherwise: quotas of what pods ask for, limits, Pod Security.
    decided = [one["what"] for one in found if ": decision: " in one["what"]]
    assert not [what for what in decided if what.startswith("pod security") and "level" not in what]


def test_an_answer_that_differs_is_found(tmp_path: Path) -> None:
    content = json.loads(gzip.decompress((FOLDER / "admission.json.gz").read_bytes()))
    pairs = copy.deepcopy(content["pairs"][:2])
    pairs[1]["response"] = {"code": 201, "object": {}}
    path = tmp_path / "pairs.json"
    path.write_text(json.dumps({"pairs": pairs}), encoding="utf-8")
    assert answers.main([str(path)]) == 2


def test_a_replace_of_what_is_missing_is_an_add_as_in_the_real_api() -> None:
    from ray_platform_sandbox.kubernetes.fields.merging import json_patch

    operation = {
        "op": "replace",
        "path": "/spec/scaleStrategy",
        "value": {"workersToDelete": ["a"]},
    }
    assert json_patch({"spec": {}}, [operation])["spec"]["scaleStrategy"]["workersToDelete"] == [
        "a"
    ]
    with pytest.raises(jsonpatch.JsonPatchConflict):
        jsonpatch.apply_patch({"spec": {}}, [operation])


def test_an_event_of_the_stand_in_has_the_fields_of_a_recorded_one() -> None:
    from ray_platform_sandbox.kuberay.manifests import event_on
    from ray_platform_sandbox.kubernetes.event_shapes import as_new_event

    from tests.support.kuberay_recordings import recording

    about = {"kind": "RayCluster", "namespace": "ray", "name": "ray", "uid": "x"}
    mine = as_new_event(event_on(about, "CreatedHeadPod", "Created head Pod ray/ray-head-x"))
    recorded = next(
        event["object"]
        for event in recording("install-ready").content["events"]
        if event["object"]["apiVersion"] == "events.k8s.io/v1"
        and event["object"]["reason"] == "CreatedHeadPod"
    )
    assert {k for k, v in recorded.items() if v} - {"apiVersion", "kind"} <= set(mine)
    for field in ("type", "action", "reason", "reportingController"):
        assert mine[field] == recorded[field]
    assert "deprecatedCount" not in mine


def test_a_cluster_stays_suspended_until_the_object_says_false() -> None:
    from ray_platform_sandbox.kuberay.wanted import is_suspended

    from tests.support.kuberay_recordings import recording

    seen = {}
    for _, moment in recording("suspend-resume").moments():
        for cluster in moment.of("RayCluster"):
            asked = cluster["spec"].get("suspend")
            conditions = (cluster.get("status") or {}).get("conditions") or []
            was = any(
                c["type"] == "RayClusterSuspended" and c["status"] == "True" for c in conditions
            )
            seen[asked, was] = is_suspended(cluster)
    assert seen[True, True]
    assert seen[None, True]
    assert not seen[False, True]
    assert not seen[None, False]
