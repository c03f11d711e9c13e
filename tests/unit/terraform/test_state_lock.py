"""A state's lock is freed when a dead holder's terraform left it, and never when anybody else made it."""

import json
import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from dagster import DagsterInstance, DagsterRun, DagsterRunStatus

from tests.support.sessions import changed, environment_with
from ray_platform.store.artifact_store import S3Store, open_store
from ray_platform.store.lease_store import EnvironmentLease
from ray_platform.store.process_table import this_host, user_name
from ray_platform.terraform.state_lock_store import free_lock, read_lock
from ray_platform.store.artifact_store import FileStore
from ray_platform.records.audit import AuditEvent
from ray_platform.text.canonical import canonical_json
from ray_platform.text.errors import BusyError, NotFoundError, SettingsError, StateError
from ray_platform.config.environment_file import ArtifactsSection
from ray_platform.session.lock import change_lock, run_state, unlock
from ray_platform.config.settings import Settings
from ray_platform.session.lock import change_lock, run_state
from dataclasses import dataclass
from ray_platform.session.adapters import Adapters
from ray_platform.session.environment_session import EnvironmentSession, open_session
from ray_platform.session.environment_session import EnvironmentSession
from ray_platform.store.lease import Child, Host, Lease, Owner
from ray_platform.store.lease_store import EnvironmentLease
from ray_platform.store.process_table import process_started, this_host, user_name
from ray_platform.terraform.state_lock_store import free_lock, read_lock

ROOT = Path(__file__).resolve().parents[3]
DEAD = Owner(
    token="t",
    what="apply, run 4f",
    run_id="4f",
    user=user_name(),
    host=this_host(),
    pid=2**22 + 1,  # above what Linux gives away
    started="never",
    acquired_at="2026-11-21T10:00:00.000+00:00",
    heartbeat_at="2026-11-21T10:03:00.000+00:00",
    child=Child(2**22 + 2, "never", "apply", "2026-11-21T10:00:05.000+00:00"),
)
OURS = {
    "ID": "11-22",
    "Operation": "OperationTypeApply",
    "Who": f"{user_name()}@{this_host().name}",
    "Created": "2026-11-21T10:00:07Z",
}


@dataclass(frozen=True)
class S3Alone:
    """A cloud that has S3 and nothing else, served by the tests' own emulator."""

    s3: Any
    is_disposable: bool = True

    def variables(self) -> dict[str, str]:
        return {}

    def client(self, service: str) -> Any:
        assert service == "s3"
        return self.s3

    def address_now(self) -> str | None:
        return None


@pytest.fixture
def session(tmp_path: Path, s3_emulator: Any) -> EnvironmentSession:
    adapters = Adapters(S3Alone(s3_emulator), None)
    return open_session(Settings(ROOT, tmp_path / "home", {}), "local", adapters=adapters, run_id="5b", asked_by="ann by command")


@pytest.fixture
def lock(session: EnvironmentSession) -> Any:
    """Puts a lock on the state."""
    place = session.environment.state
    bucket = session.aws("s3").create_bucket(Bucket=place.bucket)
    assert bucket

    def put(content: dict[str, str]) -> None:
        session.aws("s3").put_object(
            Bucket=place.bucket, Key=f"{place.key}.tflock", Body=json.dumps(content).encode()
        )

    yield put
    for key in (f"{place.key}.tflock",):
        session.aws("s3").delete_object(Bucket=place.bucket, Key=key)
    session.aws("s3").delete_bucket(Bucket=place.bucket)


def left_by(session: EnvironmentSession, *owners: Owner) -> None:
    """A lease that the last of these held when it died; those before it are not looked after yet."""
    lease = Lease(owners[-1], owners[:-1])
    session.artifacts.store.put(f"locks/{session.name}.json", canonical_json(lease.to_json()))


def locked(session: EnvironmentSession) -> bool:
    place = session.environment.state
    return read_lock(session.aws("s3"), place.bucket, place.key) is not None


def decisions(session: EnvironmentSession) -> list[str]:
    return [r.event.decision for r in session.audit.records() if r.event.action == "unlock"]


def take(session: EnvironmentSession) -> list[str]:
    said: list[str] = []
    with change_lock(session, "plan", tell=said.append, wait_seconds=0):
        session.require_held()
        with change_lock(session, "apply"):  # held already
            session.require_held()
        session.require_held()
    return said


def test_the_next_holder_frees_it_and_both_are_noted(session: EnvironmentSession, lock: Any) -> None:
    lock(OURS)
    left_by(session, DEAD)
    said = take(session)
    assert not locked(session)
    assert decisions(session) == ["taken over", "state freed"]
    assert "Freed the state's lock 11-22" in said[1]
    assert EnvironmentLease(session.artifacts.store, "local").read()[0] == Lease()


def test_so_does_the_one_after_it_when_it_died_before_it_looked(session: EnvironmentSession, lock: Any) -> None:
    lock(OURS)
    left_by(session, DEAD, replace(DEAD, token="u", child=None))
    take(session)
    assert not locked(session)


@pytest.mark.parametrize(
    "change",
    [{"Who": "ann@elsewhere"}, {"Created": "2026-11-21T09:00:00Z"}, {"Operation": "import"}],
)
def test_a_lock_of_anybody_else_stays(session: EnvironmentSession, lock: Any, change: dict[str, str]) -> None:
    lock({**OURS, **change})
    left_by(session, DEAD)
    said = take(session)
    assert locked(session)
    assert decisions(session) == ["taken over"]
    assert "and that stays" in said[1]


def test_one_that_came_in_its_place_meanwhile_stays(session: EnvironmentSession, lock: Any) -> None:
    lock(OURS)
    place = session.environment.state
    found = read_lock(session.aws("s3"), place.bucket, place.key)
    assert found is not None
    lock({**OURS, "ID": "33-44"})
    assert not free_lock(session.aws("s3"), place.bucket, place.key, found)
    assert locked(session)


def test_what_is_no_lock_is_told_with_its_place(session: EnvironmentSession, lock: Any) -> None:
    lock({"something": "else"})
    left_by(session, DEAD)
    with pytest.raises(StateError, match="is not one"):
        take(session)
    # The owner that died is not forgotten by that.
    lock(OURS)
    take(session)
    assert not locked(session)


def test_a_lease_that_is_to_lie_in_the_state_bucket_makes_the_bucket_first(session: EnvironmentSession) -> None:
    bucket = f"{session.environment.state.bucket}-new"
    session = changed(
        session,
        environment=environment_with(
            session.environment,
            state=session.environment.state.model_copy(update={"bucket": bucket}),
            artifacts=ArtifactsSection(uri=f"s3://{bucket}/platform"),
        )
    )
    with change_lock(session, "plan"):
        session.require_held()
        found = session.aws("s3").list_objects_v2(Bucket=bucket)["Contents"]
        assert [item["Key"] for item in found] == ["platform/locks/local.json"]
    assert session.aws("s3").get_bucket_versioning(Bucket=bucket)["Status"] == "Enabled"


def test_the_keeper_of_a_terraform_finds_the_lease_on_s3_too(
    session: EnvironmentSession, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in {
        "AWS_ENDPOINT_URL": session.aws("s3").meta.endpoint_url,
        "AWS_ACCESS_KEY_ID": "emulator",
        "AWS_SECRET_ACCESS_KEY": "emulator",
    }.items():
        monkeypatch.setenv(name, value)
    session.aws("s3").create_bucket(Bucket="kept")
    ours = S3Store("kept", "some/prefix", session.aws("s3"))
    held = EnvironmentLease(ours, "dev", run_id="5b").acquire("apply", wait_seconds=0)
    again = open_store(ours.url(""), "us-east-1")
    assert EnvironmentLease(again, "dev").read()[0].owner == held.owner


def test_only_a_run_that_dagster_knows_and_has_ended_counts_as_ended() -> None:
    with DagsterInstance.ephemeral() as instance:
        states = {
            status: run_state(instance, instance.add_run(DagsterRun("x", status=status)).run_id)
            for status in (DagsterRunStatus.STARTED, DagsterRunStatus.CANCELING)
        }
        assert set(states.values()) == {"live"}
        for status in (
            DagsterRunStatus.SUCCESS,
            DagsterRunStatus.FAILURE,
            DagsterRunStatus.CANCELED,
        ):
            ended = instance.add_run(DagsterRun("x", status=status))
            assert run_state(instance, ended.run_id) == "ended"
        assert run_state(instance, "nobody") == "unknown"
    assert run_state(None, "nobody") == "unknown"


def test_outside_the_lock_nothing_counts_as_held(session: EnvironmentSession) -> None:
    with pytest.raises(BusyError, match="not held"):
        session.require_held()
    take(session)
    with pytest.raises(BusyError, match="not held"):
        session.require_held()


def test_a_change_that_was_overtaken_stops_before_it_changes_anything(session: EnvironmentSession) -> None:
    with change_lock(session, "apply"):
        other = replace(DEAD, token=os.urandom(4).hex(), what="apply, run 5a", child=None)
        left_by(session, other)
        with pytest.raises(BusyError, match="apply, run 5a"):
            session.require_held()
    assert EnvironmentLease(session.artifacts.store, "local").read()[0].owner == other


def test_a_change_that_is_no_dagster_run_cannot_be_locked_for(session: EnvironmentSession) -> None:
    session = changed(session, run_id="")
    with pytest.raises(ValueError, match="no run id"), change_lock(session, "ray rollback"):
        raise AssertionError("it was locked")
    assert EnvironmentLease(session.artifacts.store, "local").read()[0] == Lease()


# Unlocked by a person ------------------------------------------------------------------------------

#: Of a machine that cannot be seen from here, in the middle of an apply.
ELSEWHERE = replace(DEAD, host=Host("pod-7", "boot-x", "pid:[9]"))


def freed(session: EnvironmentSession, owner: str = "t", pause: Callable[[float], None] = lambda s: None) -> Any:
    said: list[str] = []
    done = unlock(session, owner, "its pod was evicted", tell=said.append, pause=pause)
    return done, said


def unlocks(session: EnvironmentSession) -> list[AuditEvent]:
    return [r.event for r in session.audit.records() if r.event.action == "unlock"]


def test_a_person_frees_lease_and_state_lock_of_an_owner_that_is_gone(
    session: EnvironmentSession, lock: Any
) -> None:
    lock({**OURS, "Who": f"{user_name()}@pod-7"})
    left_by(session, ELSEWHERE)
    with pytest.raises(BusyError):
        take(session)
    command = changed(session, run_id="")
    done, said = freed(command)
    assert (done.owner, done.state_lock) == (ELSEWHERE, "11-22")
    assert said[0].startswith("Watching for 30 s whether apply, run 4f")
    assert not locked(session)
    lease, by_person = EnvironmentLease(session.artifacts.store, "local"), unlocks(session)
    assert lease.read()[0] == Lease()
    assert [event.decision for event in by_person] == ["lease freed", "state freed"]
    assert {event.asked_by for event in by_person} == {"ann by command"}
    assert by_person[0].reason.startswith("its pod was evicted (apply, run 4f")
    with pytest.raises(NotFoundError, match="has no owner"):
        freed(command)
    take(session)


def test_a_state_lock_of_anybody_else_stays_when_a_person_unlocks(
    session: EnvironmentSession, lock: Any
) -> None:
    lock({**OURS, "Who": "bob@laptop"})
    left_by(session, ELSEWHERE)
    done, said = freed(session)
    assert done.state_lock == ""
    assert "made by bob@laptop" in said[-1]
    assert locked(session)


def test_an_owner_whose_process_runs_here_is_not_unlocked(session: EnvironmentSession) -> None:
    with change_lock(session, "apply, run 5b"):
        owner = EnvironmentLease(session.artifacts.store, "local").read()[0].owner
        assert owner is not None
        with pytest.raises(BusyError, match=f"is alive: apply.*process {os.getpid()} runs"):
            freed(session, owner.token)
        session.require_held()
    assert unlocks(session) == []


def test_an_owner_whose_terraform_runs_here_is_not_unlocked(session: EnvironmentSession) -> None:
    child = Child(os.getpid(), process_started(os.getpid()) or "", "apply", DEAD.acquired_at)
    left_by(session, replace(DEAD, child=child))
    with pytest.raises(BusyError, match="its terraform apply runs on this machine"):
        freed(session)


@pytest.mark.parametrize("status", [DagsterRunStatus.STARTED, DagsterRunStatus.FAILURE])
def test_an_owner_that_renews_its_lease_is_not_unlocked(
    session: EnvironmentSession, status: DagsterRunStatus
) -> None:
    with DagsterInstance.ephemeral() as instance:
        run_id = instance.add_run(DagsterRun("x", status=status)).run_id
        owner = replace(ELSEWHERE, run_id=run_id)
        session = changed(session, instance=instance)
        left_by(session, owner)

        def renews(seconds: float) -> None:
            left_by(session, replace(owner, beats=owner.beats + 1))

        with pytest.raises(BusyError, match=r"renews the lease"):
            freed(session, pause=renews)
        assert unlocks(session) == []
        # A run that Dagster has as live, and whose process is heard of no more, is what this is for.
        assert freed(session)[0].owner.run_id == run_id


def test_another_owner_than_the_one_named_is_not_unlocked(session: EnvironmentSession) -> None:
    left_by(session, ELSEWHERE)
    with pytest.raises(BusyError, match="held by another owner, t: apply, run 4f"):
        freed(session, "an older token")

    def another_takes_it(seconds: float) -> None:
        left_by(session, replace(ELSEWHERE, token="u"))

    with pytest.raises(BusyError, match="held by another owner, u"):
        freed(session, pause=another_takes_it)
    with pytest.raises(SettingsError, match="--reason is empty"):
        unlock(session, "u", " ", tell=lambda line: None)
    assert unlocks(session) == []


def test_an_owner_that_was_unlocked_while_it_lives_changes_nothing_more(session: EnvironmentSession) -> None:
    with change_lock(session, "apply"):
        left_by(session, ELSEWHERE)
        freed(session)
        with pytest.raises(BusyError, match="no longer held by this run: it was freed"):
            session.require_held()


def test_the_command_unlocks_and_says_what_was_held(tmp_path: Path) -> None:
    store = FileStore(tmp_path / "artifacts")
    owner = replace(DEAD, child=None)
    store.put("locks/local.json", canonical_json(Lease(owner).to_json()))

    def run(*more: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "ray_platform.cli", "unlock", "--reason", "lost", *more]
        variables = {**os.environ, "RAY_PLATFORM_HOME": str(tmp_path)}
        return subprocess.run(
            command, cwd=ROOT, env=variables, capture_output=True, text=True, check=False
        )

    refused = run("--owner", "other")
    assert refused.returncode == 2
    assert "held by another owner, t: apply, run 4f" in refused.stderr
    done = json.loads(run("--owner", "t", "--json").stdout)
    assert (done["owner"], done["run_id"], done["state_lock"]) == ("t", "4f", None)
    assert done["was"].startswith("apply, run 4f")
    assert (
        json.loads((tmp_path / "artifacts" / "locks" / "local.json").read_text())["owner"] is None
    )
