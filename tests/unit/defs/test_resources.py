"""`EnvironmentSessions` opens what a run's tags say, and turns a failure into facts."""

from collections.abc import Iterator
from pathlib import Path

import dagster as dg
import pytest

from ray_platform.config.partitions import ASKED_BY_TAG, DESPITE_LIVE_RUNS_TAG
from ray_platform.config.settings import load_settings
from ray_platform.definitions import defs
from ray_platform.defs.resources import EnvironmentSessions
from ray_platform.session.environment_session import EnvironmentSession
from ray_platform.store.failure_facts import FailureFacts
from ray_platform.text.errors import NotApproved


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv("RAY_PLATFORM_HOME", str(tmp_path / "home"))
    load_settings.cache_clear()
    yield
    load_settings.cache_clear()


def opened(
    tags: dict[str, str], sessions: EnvironmentSessions, error: Exception | None = None
) -> tuple[dg.ExecuteInProcessResult, list[EnvironmentSession]]:
    """What a run with these tags gets as its session; its body raises ``error``."""
    found: list[EnvironmentSession] = []

    @dg.op
    def look(context: dg.OpExecutionContext, sessions: EnvironmentSessions) -> None:
        with sessions.open(context) as session:
            found.append(session)
            if error is not None:
                raise error

    @dg.job(
        partitions_def=dg.StaticPartitionsDefinition(["local"]),
        resource_defs={"sessions": sessions},
    )
    def job() -> None:
        look()

    with dg.DagsterInstance.ephemeral() as instance:
        done = job.execute_in_process(
            instance=instance, partition_key="local", tags=tags, raise_on_error=False
        )
    return done, found


def test_a_session_has_the_runs_caller_and_wishes() -> None:
    tags = {ASKED_BY_TAG: "alice", DESPITE_LIVE_RUNS_TAG: "true"}
    done, (session,) = opened(tags, EnvironmentSessions())
    assert done.success
    assert (session.name, session.asked_by, session.despite_live_runs) == ("local", "alice", True)
    assert (session.run_id, session.commit) == (done.run_id, None)


def test_a_run_without_a_caller_has_the_configured_one() -> None:
    _, (session,) = opened({}, EnvironmentSessions())
    assert (session.asked_by, session.despite_live_runs) == ("the Dagster UI or API", False)
    _, (session,) = opened({}, EnvironmentSessions(unnamed_caller="the console of acme"))
    assert session.asked_by == "the console of acme"


def test_a_failure_inside_is_stored_with_machine_keys() -> None:
    error = NotApproved("0 of 2 approvals", where="local", fix="ask two people")
    done, _ = opened({}, EnvironmentSessions(), error)
    (event,) = done.filter_events(lambda event: event.is_step_failure)
    failure = event.step_failure_data.user_failure_data
    assert failure is not None
    assert FailureFacts.from_metadata(failure.metadata, where="r") == FailureFacts.of(error)
    assert all(key.isidentifier() for key in failure.metadata)


def test_every_asset_check_and_op_that_needs_a_session_takes_it_as_a_resource() -> None:
    resources = defs().resources
    assert resources is not None and isinstance(resources["sessions"], EnvironmentSessions)
    needs = {
        name: "sessions" in defs().resolve_job_def(name).get_required_resource_defs()
        for name in ("up", "burst", "daily_cost", "drift", "destroy", "finish_ray_upgrade")
    }
    assert all(needs.values()), needs
