"""The PostgreSQL of tests and benchmarks: the platform's own local service, in a folder of its own."""

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import sqlalchemy as db
from ray_platform_sandbox.postgres import service

from ray_platform.config.settings import Settings

ROOT = Path(__file__).resolve().parents[2]
#: Set to ``skip`` where a machine has no PostgreSQL on purpose: the tests that need it are skipped then.
SETTING = "RAY_PLATFORM_TEST_POSTGRES"
TEMPLATE = "dagster_template"


def find_postgres() -> Path | None:
    """The folder of PostgreSQL's programs, or None."""
    return service.find_programs(Settings(ROOT, Path(), dict(os.environ)))


@contextmanager
def postgres_home() -> Iterator[Path]:
    """A home in the system's temporary folder: as root, the server is another user, who must get there."""
    folder = Path(tempfile.mkdtemp(prefix="ray-platform-postgres-"))
    folder.chmod(0o755)
    try:
        yield folder
    finally:
        shutil.rmtree(folder)


@contextmanager
def running_postgres() -> Iterator[str]:
    """A PostgreSQL server's URL; it ends with the block.

    Raises:
        LocalServiceError: it is not installed, or does not start.
    """
    with postgres_home() as home:
        settings = Settings(ROOT, home, dict(os.environ))
        try:
            yield service.ensure_postgres(settings).url
        finally:
            service.stop_postgres(settings)


def new_database(server: str, template: str = "template1") -> str:
    """The URL of a new database on the server, with what the template holds."""
    name = f"dagster_{os.urandom(4).hex()}"
    _tell(server, f"CREATE DATABASE {name} TEMPLATE {template} STRATEGY file_copy")
    return server.replace("/postgres?", f"/{name}?")


def make_template(server: str) -> None:
    """Dagster's empty tables as a template, on a server that need not survive a power cut."""
    from dagster_postgres import DagsterPostgresStorage

    for setting in ("fsync", "synchronous_commit", "full_page_writes"):
        _tell(server, f"ALTER SYSTEM SET {setting} = off")
    _tell(server, "SELECT pg_reload_conf()")
    _tell(server, f"CREATE DATABASE {TEMPLATE}")
    DagsterPostgresStorage(server.replace("/postgres?", f"/{TEMPLATE}?"))


def _tell(server: str, statement: str) -> None:
    engine = db.create_engine(server, isolation_level="AUTOCOMMIT")
    with engine.connect() as connection:
        connection.execute(db.text(statement))
    engine.dispose()
