"""The PostgreSQL of the home: one history for every process, its data kept, never open to others."""

import os
import signal
import stat
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import psycopg2
import pytest
from ray_platform_sandbox.postgres.service import ensure_postgres, find_postgres, stop_postgres
from ray_platform_sandbox.services import processes

from ray_platform.config.settings import Settings
from ray_platform.doctor.machine_checks import examine
from ray_platform.text.errors import LocalServiceError, SettingsError
from tests.support.postgres import ROOT, SETTING, postgres_home
from tests.support.postgres import find_postgres as find_programs

pytestmark = pytest.mark.real


@pytest.fixture(scope="module")
def home() -> Iterator[Path]:
    """A home with PostgreSQL in it; what runs there ends with the tests."""
    if find_programs() is None and os.environ.get(SETTING) == "skip":
        pytest.skip(f"no PostgreSQL on this machine, and {SETTING}=skip")
    with postgres_home() as folder:
        try:
            yield folder
        finally:
            stop_postgres(settings(folder))


def settings(home: Path, **variables: str) -> Settings:
    return Settings(ROOT, home, {"PATH": os.environ["PATH"], **variables})


def ask(url: str, statement: str) -> list[tuple[object, ...]]:
    connection = psycopg2.connect(url)
    try:
        with connection, connection.cursor() as cursor:
            cursor.execute(statement)
            return cursor.fetchall() if cursor.description else []
    finally:
        connection.close()


def test_it_is_found_again_and_only_its_owner_gets_in(home: Path) -> None:
    server = ensure_postgres(settings(home))
    assert ensure_postgres(settings(home)).pid == server.pid
    assert ask(server.url, "SHOW listen_addresses") == [("",)]
    secret = home / "local" / "postgres.password"
    assert stat.S_IMODE(secret.stat().st_mode) == 0o600
    assert stat.S_IMODE((home / "postgres").stat().st_mode) == 0o700
    with pytest.raises(psycopg2.OperationalError, match="password authentication failed"):
        psycopg2.connect(server.url.replace(server.password, "guessed"))
    assert server.password not in repr(server)
    record = (home / "local" / "postgres.json").read_text(encoding="utf-8")
    log = processes.log_file(home, "postgres").read_text(encoding="utf-8")
    assert server.password not in record + log
    if os.geteuid() == 0:
        assert Path(f"/proc/{server.pid}").stat().st_uid != 0


def test_its_data_outlives_its_end_and_its_death(home: Path) -> None:
    server = ensure_postgres(settings(home))
    ask(server.url, "CREATE TABLE kept (word text)")
    ask(server.url, "INSERT INTO kept VALUES ('here')")
    held = psycopg2.connect(server.url)  # a user interface that is still open
    assert stop_postgres(settings(home))
    held.close()
    assert find_postgres(settings(home)) is None
    assert not stop_postgres(settings(home))
    again = ensure_postgres(settings(home))
    assert ask(again.url, "SELECT word FROM kept") == [("here",)]
    os.kill(again.pid, signal.SIGKILL)
    third = ensure_postgres(settings(home))
    assert third.pid != again.pid
    assert ask(third.url, "SELECT word FROM kept") == [("here",)]
    log = processes.log_file(home, "postgres").read_text(encoding="utf-8")
    assert "database system was not properly shut down" in log


def test_a_set_up_that_was_cut_short_is_begun_anew() -> None:
    with postgres_home() as home:
        half = home / "postgres" / "data.new"
        half.mkdir(parents=True)
        (half / "PG_VERSION").write_text("15", encoding="utf-8")
        (home / "postgres" / "password.new").write_text("half", encoding="utf-8")
        try:
            assert ask(ensure_postgres(settings(home)).url, "SELECT 1") == [(1,)]
        finally:
            stop_postgres(settings(home))
        assert not half.exists() and not (home / "postgres" / "password.new").exists()


def test_the_command_and_dagster_dev_keep_one_history_in_it(home: Path) -> None:
    variables = {k: v for k, v in os.environ.items() if not k.startswith(("RAY_", "DAGSTER"))}
    variables |= {"RAY_PLATFORM_HOME": str(home), "RAY_PLATFORM_STORAGE": "postgres"}
    variables |= {"DAGSTER_DISABLE_TELEMETRY": "yes", "PYTHONPATH": str(ROOT)}

    def python(code: str) -> str:
        return subprocess.run(
            [sys.executable, "-c", code],
            cwd=ROOT,
            env=variables,
            capture_output=True,
            text=True,
            check=True,
        ).stdout.strip()

    python(
        "import dagster as dg; from ray_platform.cli.run_jobs import open_instance;"
        "open_instance().add_run(dg.DagsterRun('burst', run_id='told-by-the-command'))"
    )
    del variables["RAY_PLATFORM_STORAGE"]  # a home that has a PostgreSQL keeps to it
    said = python(
        "from dagster._cli.utils import get_possibly_temporary_instance_for_cli as dev\n"
        "from dagster._core.instance import InstanceRef, DagsterInstance\n"
        "with dev('dagster dev') as one, DagsterInstance.from_ref(one.get_ref()) as other:\n"
        "    kinds = {type(i.run_storage).__name__ for i in (one, other)}\n"
        "    print(*kinds, *(run.run_id for run in other.get_runs()))"
    )
    assert said == "PostgresRunStorage told-by-the-command"


def test_without_postgresql_there_is_one_message(tmp_path: Path) -> None:
    here = settings(tmp_path, RAY_PLATFORM_POSTGRES_DIR=str(tmp_path / "nowhere"))
    with pytest.raises(LocalServiceError) as refused:
        ensure_postgres(here)
    assert "initdb is not found" in refused.value.what
    assert "apt-get install postgresql" in refused.value.fix
    assert "RAY_PLATFORM_STORAGE=sqlite" in refused.value.fix
    assert not list(tmp_path.iterdir())
    variables = {"RAY_PLATFORM_STORAGE": "postgres", "RAY_PLATFORM_POSTGRES_DIR": str(tmp_path)}
    found = {f.subject: f for f in examine(settings(tmp_path, **variables), "local")}
    assert not found["PostgreSQL"].good and "apt-get install" in found["PostgreSQL"].fix


def test_a_home_whose_socket_would_not_work_is_refused_before_anything_is_made(
    tmp_path: Path,
) -> None:
    home = tmp_path / ("x" * 90)
    with pytest.raises(LocalServiceError, match="shorter path"):
        ensure_postgres(settings(home))
    assert not home.exists()


def test_a_kind_of_storage_that_does_not_exist_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="sqlite or postgres"):
        _ = settings(tmp_path, RAY_PLATFORM_STORAGE="mysql").dagster_storage
    assert settings(tmp_path).dagster_storage == "sqlite"
