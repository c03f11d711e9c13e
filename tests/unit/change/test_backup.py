"""Before a removal all that an environment's records say is copied, whole, and read back."""

import io
import json
import tarfile
from dataclasses import replace
from pathlib import Path

import pytest

from ray_platform.change.backup import back_up
from ray_platform.config.settings import Settings
from ray_platform.session import audit_notes
from ray_platform.session.environment_session import (
    EnvironmentSession,
    make_artifacts,
    open_session,
)
from ray_platform.store.artifact_store import Artifacts, FileStore, Store
from ray_platform.text.canonical import digest_bytes
from ray_platform.text.errors import ArtifactError
from tests.unit.records.test_records_store import APPLIED, RECORD

ROOT = Path(__file__).resolve().parents[3]


def session_on(store: Store, home: Path) -> EnvironmentSession:
    return open_session(Settings(ROOT, home, {}), "local", parts={make_artifacts: Artifacts(store)})


def test_a_backup_holds_every_record_and_what_infra_versions_stand_for(
    store: Store, tmp_path: Path
) -> None:
    session = session_on(store, tmp_path / "home")
    record = replace(RECORD, environment="local")
    session.records.save_plan(record, file=b"with secrets", plan_json={}, text="a plan")
    module = session.artifacts.put_content("modules", {"a": 1})
    variables = session.artifacts.put_content("variables", {"b": 2})
    session.artifacts.put_content("modules", {"of": "another environment"})
    session.records.save_applied(
        replace(APPLIED, modules={"vpc": module}, variables_digest=variables)
    )
    version = session.records.record_infra_version()
    audit_notes.note(session, "apply", "applied", record=record)
    store.put("usage/local/2026-11/usage-1.parquet", b"parquet")
    store.put("audit/prod/0000000001.json", b"{}")
    store.put("locks/local.json", b"{}")
    session.artifacts.put_content("manifests", {"environment": "prod"})

    saved = back_up(session, b"the state", 7)
    assert store.get(f"{saved.folder}/state.tfstate") == b"the state"
    assert saved.folder.endswith("-serial-7")
    packed = store.get(f"{saved.folder}/records.tar.gz")
    assert packed is not None
    with tarfile.open(fileobj=io.BytesIO(packed)) as archive:
        found = {entry.name: archive.extractfile(entry) for entry in archive.getmembers()}
        contents = {name: file.read() for name, file in found.items() if file}
    plan = f"plans/local/{record.plan_digest}"
    assert set(contents) == {
        f"{plan}/record.json",
        f"{plan}/plan.json",
        f"{plan}/plan.txt",
        "environments/local/planned.json",
        "environments/local/applied.json",
        "audit/local/0000000001.json",
        "audit/local/head.json",
        "usage/local/2026-11/usage-1.parquet",
        f"manifests/{version}.json",
        f"modules/{module}.json",
        f"variables/{variables}.json",
    }
    assert all(content == store.get(key) for key, content in contents.items())
    index = json.loads(store.get(f"{saved.folder}/index.json") or b"")
    assert index["records"] == {key: digest_bytes(content) for key, content in contents.items()}
    assert saved.count == len(contents)


def test_an_environment_without_records_is_backed_up_too(store: Store, tmp_path: Path) -> None:
    assert back_up(session_on(store, tmp_path / "home"), b"", 0).count == 0


class Forgetful(FileStore):
    """Does not give back what was written."""

    def get(self, key: str) -> bytes | None:
        content = super().get(key)
        return content[:-1] if content and key.startswith("backups/") else content


def test_a_backup_that_cannot_be_read_back_stops_the_removal(tmp_path: Path) -> None:
    with pytest.raises(ArtifactError, match="does not give back"):
        back_up(session_on(Forgetful(tmp_path / "store"), tmp_path / "home"), b"state", 1)
