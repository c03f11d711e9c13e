"""Who holds an environment is dead only on proof, and a state's lock is whose it says that it is."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ray_platform.store.lease import (
    SILENT_SECONDS,
    Child,
    Host,
    Judgement,
    Lease,
    Owner,
    ProcessState,
    RunState,
    Seen,
    describe,
    judge,
    signs_of_life,
)
from ray_platform.terraform.state_lock import StateLock, foreign

HOST = Host("runner-1", "boot-a", "pid:[1]")
APPLY = Child(pid=77, started="s77", call="apply", since="2026-11-21T10:00:05.000+00:00")
OWNER = Owner(
    token="t",
    what="apply, run 4f",
    run_id="4f",
    user="ann",
    host=HOST,
    pid=70,
    started="s70",
    acquired_at="2026-11-21T10:00:00.000+00:00",
    heartbeat_at="2026-11-21T10:03:00.000+00:00",
    beats=18,
    child=APPLY,
)
LOCK = StateLock("11-22", "OperationTypeApply", "ann@runner-1", "2026-11-21T10:00:07.123456789Z")


PLANNING = replace(OWNER, child=replace(APPLY, call="plan"))


def judged(
    owner: Owner = OWNER,
    *,
    process: ProcessState = "unseen",
    child: ProcessState = "unseen",
    run: RunState = "unknown",
    silent: float = 0,
) -> Judgement:
    return judge(owner, Seen(process, child, run, silent), "ray-platform unlock --owner t")


def test_on_its_machine_it_is_dead_when_process_and_terraform_are_gone() -> None:
    assert judged(process="gone", child="gone").dead
    orphan = judged(process="gone", child="running", run="ended", silent=10 * SILENT_SECONDS)
    assert not orphan.dead
    assert "terraform apply (process 77) still runs" in orphan.why


def test_elsewhere_it_is_dead_when_its_heart_stands_still_and_its_run_has_ended() -> None:
    assert not judged(PLANNING, run="ended", silent=SILENT_SECONDS - 1).dead
    assert judged(PLANNING, run="ended", silent=SILENT_SECONDS).dead


def test_elsewhere_an_apply_is_never_dead_by_itself() -> None:
    waits = judged(run="ended", silent=100 * SILENT_SECONDS)
    assert not waits.dead
    assert "its terraform apply may still run" in waits.why
    assert "ray-platform unlock --owner t" in waits.fix


@pytest.mark.parametrize(
    ("run", "says"),
    [("live", "lists its run 4f as live"), ("unknown", "does not know its run 4f")],
)
def test_what_proves_nothing_is_waited_for_and_says_what_to_do(run: RunState, says: str) -> None:
    waits = judged(run=run, silent=100 * SILENT_SECONDS)
    assert not waits.dead
    assert says in waits.why
    assert "see on runner-1 whether process 70" in waits.fix


@given(
    process=st.sampled_from(["running", "unseen"]),
    child=st.sampled_from(["running", "gone", "unseen"]),
    run=st.sampled_from(["live", "unknown", "ended"]),
    silent=st.floats(0, 1e6),
)
def test_without_a_dead_process_only_silence_and_an_ended_run_together_are_proof(
    process: ProcessState, child: ProcessState, run: RunState, silent: float
) -> None:
    proof = run == "ended" and silent >= SILENT_SECONDS
    dead = judged(PLANNING, process=process, child=child, run=run, silent=silent).dead
    assert dead == (proof and child != "running")
    dead = judged(process=process, child=child, run=run, silent=silent).dead
    assert dead == (proof and child == "gone")


@pytest.mark.parametrize(
    ("seen", "renewed", "sign"),
    [
        (Seen("running", "gone", "ended", 1e6), False, "its process 70 runs on this machine"),
        (Seen("gone", "running", "ended", 1e6), False, "its terraform apply runs on this machine"),
        (Seen("unseen", "unseen", "live", 0), True, "its run 4f is live and renews the lease"),
        (Seen("unseen", "unseen", "unknown", 0), True, "it renews the lease"),
        (Seen("unseen", "unseen", "live", 1e6), False, ""),
        (Seen("gone", "gone", "live", 0), False, ""),
    ],
)
def test_what_shows_that_an_owner_is_alive(seen: Seen, renewed: bool, sign: str) -> None:
    found = signs_of_life(OWNER, seen, renewed)
    assert found.startswith(sign) if sign else found == ""


def test_a_container_with_a_process_table_of_its_own_is_another_host() -> None:
    assert HOST.sees(replace(HOST, name="renamed"))
    assert not HOST.sees(replace(HOST, processes="pid:[2]"))
    assert not HOST.sees(replace(HOST, boot="boot-b"))
    nameless = Host("mac", "", "")
    assert not nameless.sees(nameless)


def test_a_lease_is_read_as_it_was_written_and_a_malformed_one_is_told() -> None:
    lease = Lease(OWNER, (replace(OWNER, child=None),))
    assert Lease.from_json(lease.to_json()) == lease
    for broken in ({}, {"owner": {"token": "t"}, "left": []}, {"owner": None, "left": 3}):
        with pytest.raises(ValueError, match="not a lease"):
            Lease.from_json(broken)


def test_the_owner_is_told_with_run_machine_since_when_and_last_heartbeat() -> None:
    assert describe(OWNER) == (
        "apply, run 4f by ann on runner-1 (process 70), since 2026-11-21T10:00:00.000+00:00, "
        "last heartbeat 2026-11-21T10:03:00.000+00:00"
    )


def test_a_state_lock_of_the_leases_own_terraform_is_known_as_such() -> None:
    assert foreign(LOCK, OWNER) == ""
    assert foreign(replace(LOCK, who="@runner-1"), replace(OWNER, user="")) == ""


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ({"who": "bob@runner-1"}, "made by bob@runner-1"),
        ({"who": "ann@laptop"}, "made by ann@laptop"),
        ({"operation": "OperationTypePlan"}, "OperationTypePlan"),
        ({"created": "2026-11-21T09:59:00Z"}, "made at 2026-11-21T09:59:00Z"),
        ({"created": "2026-11-21T10:04:00Z"}, "made at 2026-11-21T10:04:00Z"),
        ({"created": "yesterday"}, "cannot be compared"),
        ({"created": "2026-11-21T10:00:07"}, "cannot be compared"),
    ],
)
def test_a_state_lock_of_anybody_else_is_not(change: dict[str, str], why: str) -> None:
    assert why in foreign(replace(LOCK, **change), OWNER)


def test_a_lease_without_terraform_made_no_lock() -> None:
    assert "no terraform" in foreign(LOCK, replace(OWNER, child=None))
