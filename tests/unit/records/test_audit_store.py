"""The audit log in the artifact store: append-only, whatever runs at the same time or is killed."""

import csv
import io
import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from click.testing import CliRunner

from ray_platform.cli import cli
from ray_platform.config.settings import load_settings
from ray_platform.records.audit import AuditEvent
from ray_platform.records.audit_store import AuditLog
from ray_platform.store.artifact_store import Artifacts, FileStore, Store
from ray_platform.text.errors import ArtifactError


@pytest.fixture
def log(store: Store) -> AuditLog:
    return AuditLog(Artifacts(store), "dev")


def event(who: str, at: str = "2026-11-21T10:00:00.000+00:00", reason: str = "") -> AuditEvent:
    return AuditEvent("dev", "apply", "applied", asked_by=who, at=at, reason=reason)


def test_of_two_that_add_the_same_key_one_wins(store: Store) -> None:
    assert store.add("some/key", b"first")
    assert not store.add("some/key", b"second")
    assert store.get("some/key") == b"first"


def test_what_is_appended_is_there_in_order_and_whole(log: AuditLog) -> None:
    assert log.verify() == (0, ())
    for who in ("alice", "bob", "carol"):
        log.append(event(who))
    assert [record.event.asked_by for record in log.records()] == ["alice", "bob", "carol"]
    assert log.verify() == (3, ())


def test_the_latest_are_told_the_newest_first_and_no_other_is_read(log: AuditLog) -> None:
    for who in ("alice", "bob", "carol"):
        log.append(event(who))
    log.artifacts.store.put("audit/dev/0000000001.json", b"damaged")
    assert [record.event.asked_by for record in log.latest(2)] == ["carol", "bob"]
    with pytest.raises(ArtifactError, match="audit record 1"):
        log.latest(3)


def test_appends_at_once_all_get_a_place(log: AuditLog) -> None:
    logs = [AuditLog(log.artifacts, "dev") for _ in range(8)]
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda item: item[1].append(event(f"writer {item[0]}")), enumerate(logs)))
    log.append(event("the last"))
    assert log.verify() == (9, ())
    assert len({record.event.asked_by for record in log.records()}) == 9


def test_a_process_killed_before_the_head_leaves_a_chain_that_goes_on(log: AuditLog) -> None:
    log.append(event("alice"))
    head = log.artifacts.store.get("audit/dev/head.json")
    assert head is not None
    log.append(event("bob"))
    log.artifacts.store.put("audit/dev/head.json", head)  # as if killed before it was written
    assert log.verify() == (2, ())
    assert log.append(event("carol")).sequence == 3
    assert log.verify() == (3, ())


def test_a_record_changed_in_the_store_is_named(log: AuditLog) -> None:
    for who in ("alice", "bob", "carol"):
        log.append(event(who))
    key = "audit/dev/0000000002.json"
    value = log.artifacts.read(key)
    assert value is not None
    value["event"]["asked_by"] = "mallory"
    log.artifacts.write(key, value)
    count, found = log.verify()
    assert (count, {fault.sequence for fault in found}) == (3, {2})
    log.artifacts.store.put("audit/dev/0000000003.json", b"[]")
    with pytest.raises(ArtifactError, match="audit record 3"):
        log.records()


@pytest.fixture
def own_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[AuditLog]:
    monkeypatch.setenv("RAY_PLATFORM_HOME", str(tmp_path / "home"))
    load_settings.cache_clear()
    yield AuditLog(Artifacts(FileStore(tmp_path / "home" / "artifacts")), "local")
    load_settings.cache_clear()


def test_verify_says_no_with_exit_code_2_when_a_record_is_gone(own_home: AuditLog) -> None:
    for who in ("alice", "bob"):
        own_home.append(event(who))
    good = CliRunner().invoke(cli, ["audit", "verify", "--json"])
    assert (good.exit_code, json.loads(good.stdout)["records"]) == (0, 2)
    own_home.artifacts.store.remove("audit/local/0000000002.json")
    bad = CliRunner().invoke(cli, ["audit", "verify"])
    assert bad.exit_code == 2
    assert "record 2 is missing" in bad.stdout


def test_an_export_holds_the_days_asked_for_as_json_lines_and_csv(own_home: AuditLog) -> None:
    for day in (1, 2, 3):
        own_home.append(event("alice", f"2026-11-0{day}T10:00:00.000+00:00", "=cmd|'/c calc'!A0"))
    days = ["--from", "2026-11-02", "--to", "2026-11-03"]
    done = CliRunner().invoke(cli, ["audit", "export", *days], catch_exceptions=False)
    lines = done.stdout.splitlines()
    assert [json.loads(line)["sequence"] for line in lines] == [2, 3]
    told = CliRunner().invoke(cli, ["audit", "export", *days, "--format", "csv"]).stdout
    rows = list(csv.DictReader(io.StringIO(told)))
    assert [row["at"][:10] for row in rows] == ["2026-11-02", "2026-11-03"]
    assert {row["reason"] for row in rows} == {"'=cmd|'/c calc'!A0"}
