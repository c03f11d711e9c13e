"""The artifact store keeps plans whole, content unchanged, and approvals once."""

import os
from dataclasses import replace
from pathlib import Path

import pytest

from ray_platform.records.approval import Approval
from ray_platform.records.infra_version import Applied, Ray
from ray_platform.records.records_store import PlanRecord, Records
from ray_platform.store.artifact_store import Artifacts, FileStore, Store
from ray_platform.text.canonical import digest_bytes
from ray_platform.text.errors import ArtifactError, NotFoundError

FILE = b"a saved plan"
RECORD = PlanRecord(
    environment="dev",
    plan_digest="ab" * 32,
    file_digest=digest_bytes(FILE),
    state_lineage="lineage",
    state_serial=4,
    revision={
        "commit": "c" * 40,
        "branch": "",
        "subject": "",
        "changes_digest": "",
        "dirty": False,
    },
    configuration_digest="1" * 64,
    variables_digest="2" * 64,
    provider_lock_digest="3" * 64,
    price_book_version="4" * 64,
    counts={"create": 1, "update": 0, "replace": 0, "delete": 0},
    empty=False,
    destroy=False,
    made_at="2026-11-21T10:00:00+00:00",
)
APPLIED = Applied(
    commit="c" * 40,
    changes_digest="",
    configuration_digest="1" * 64,
    variables_digest="2" * 64,
    provider_lock_digest="3" * 64,
    plan_digest="ab" * 32,
    state_lineage="lineage",
    state_serial=5,
    modules={"vpc": "5" * 64},
    policy_bundle_digest="6" * 64,
    price_book_version="4" * 64,
)


@pytest.fixture
def records(store: Store) -> Records:
    return Records(Artifacts(store), "dev")


def save(records: Records, record: PlanRecord = RECORD) -> None:
    records.save_plan(record, file=FILE, plan_json={"format_version": "1.2"}, text="the plan")


def test_a_plan_comes_back_as_it_was_saved(records: Records) -> None:
    assert records.latest_plan() is None
    save(records)
    found = records.plan("abab" + "ab" * 2)
    assert (found, records.latest_plan()) == (RECORD, RECORD)
    assert records.plan_file(found) == FILE
    assert records.plan_json(found) == {"format_version": "1.2"}
    assert records.plan_text(found) == "the plan"
    assert found.commit.commit == "c" * 40


@pytest.mark.parametrize("prefix", ["cd" * 32, "ab", ""])
def test_a_plan_that_is_not_named_well_is_not_guessed(records: Records, prefix: str) -> None:
    save(records)
    save(records, replace(RECORD, plan_digest="abab" + "cd" * 30))
    with pytest.raises(NotFoundError, match="plans of dev begin with"):
        records.plan(prefix)


def test_a_plan_file_that_was_changed_is_refused(records: Records) -> None:
    save(records)
    records.artifacts.store.put(f"plans/dev/{'ab' * 32}/plan.tfplan", b"another plan")
    with pytest.raises(ArtifactError, match="changed after it was made"):
        records.plan_file(RECORD)


def test_the_same_approval_twice_is_one(records: Records) -> None:
    approval = Approval("dev", "ab" * 32, "lineage", 4, "alice", "2026-11-21T10:00:00+00:00", "cli")
    records.approve(approval)
    records.approve(replace(approval, at="2026-11-21T11:00:00+00:00"))
    assert records.approvals("ab" * 32) == (approval,)
    assert records.approvals("cd" * 32) == ()


def test_an_infra_version_is_stored_under_its_hash_and_found_by_its_beginning(
    records: Records,
) -> None:
    assert records.record_infra_version() is None
    records.save_applied(APPLIED)
    before_ray = records.record_infra_version()
    records.save_ray(Ray("7" * 64, "8" * 64, "9" * 64, "image", "2.60.0"))
    version = records.record_infra_version()
    assert version is not None
    assert version not in (None, before_ray)
    assert version == records.record_infra_version()
    assert records.manifest(version)["ray"]["version"] == "2.60.0"
    assert records.manifest(version)["state_serial"] == 5
    assert records.find_version(version[:12]) == version


def test_a_manifest_that_was_changed_is_found_out(records: Records) -> None:
    records.save_applied(APPLIED)
    version = records.record_infra_version()
    assert version is not None
    records.artifacts.store.put(f"manifests/{version}.json", b'{"commit":"another"}')
    with pytest.raises(ArtifactError, match="does not match its digest"):
        records.manifest(version)


def test_after_a_destroy_nothing_stands(records: Records) -> None:
    records.save_applied(APPLIED)
    records.stands_since(7.0, "lineage")
    records.forget_applied()
    assert records.applied() is None
    assert records.record_infra_version() is None


def test_what_stands_is_as_old_as_its_state(records: Records) -> None:
    def since() -> float:
        return float(records.artifacts.read("environments/dev/since.json")["since"])

    records.stands_since(7.0, "one")
    records.stands_since(8.0, "one")
    assert since() == 7.0
    records.stands_since(9.0, "another")
    assert since() == 9.0


def test_a_folder_that_cannot_be_written_is_told_with_its_remedy(tmp_path: Path) -> None:
    (tmp_path / "artifacts").write_text("a file where the folder should be", encoding="utf-8")
    with pytest.raises(ArtifactError, match="mend the folder's rights"):
        FileStore(tmp_path / "artifacts").put("a/b.json", b"{}")


def test_a_write_that_is_cut_short_leaves_the_old_content(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = FileStore(tmp_path)
    store.put("a/b.json", b"old")

    def cut(_: int) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(os, "fsync", cut)
    with pytest.raises(KeyboardInterrupt):
        store.put("a/b.json", b"new")
    assert store.get("a/b.json") == b"old"
    assert store.keys("a") == ["a/b.json"]
