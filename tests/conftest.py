"""What tests of several stages share."""

import os
import signal
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import dagster as dg
import pytest
from dagster._core.instance import InstanceRef
from hypothesis import HealthCheck, settings
from ray_platform_sandbox.aws.conditional_writes import make_conditional_writes_atomic

from ray_platform.store.artifact_store import FileStore, S3Store, Store

MakeInstance = Callable[[], dg.DagsterInstance]

# Whoever starts the tests in the background of a script has them ignore SIGINT, and so would each program
# that they interrupt.
signal.signal(signal.SIGINT, signal.default_int_handler)

# Examples are the same in each run, and none fails by a busy machine's clock. For other examples:
# `pytest --hypothesis-profile=search`.
settings.register_profile("search", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.register_profile("steady", settings.get_profile("search"), derandomize=True)
settings.load_profile("steady")


@pytest.fixture(scope="session")
def s3_emulator() -> Iterator[Any]:
    """A boto3 client of an S3 that is served over HTTP on this machine."""
    import boto3
    from botocore.config import Config
    from moto.server import ThreadedMotoServer

    make_conditional_writes_atomic()
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    yield boto3.client(
        "s3",
        region_name="us-east-1",
        endpoint_url=f"http://{host}:{port}",
        aws_access_key_id="emulator",
        aws_secret_access_key="emulator",
        config=Config(s3={"addressing_style": "path"}, proxies={}),
    )
    server.stop()


@pytest.fixture(params=["folder", "S3"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Store:
    """Both stores, so that each test holds for both."""
    if request.param == "folder":
        return FileStore(tmp_path / "artifacts")
    emulator = request.getfixturevalue("s3_emulator")
    bucket = f"artifacts-{os.urandom(4).hex()}"
    emulator.create_bucket(Bucket=bucket)
    return S3Store(bucket, "some/prefix", emulator)


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[str]:
    """The URL of a real PostgreSQL, with Dagster's empty tables as a template."""
    from tests.support.postgres import SETTING, find_postgres, make_template, running_postgres

    if find_postgres() is None:
        if os.environ.get(SETTING) == "skip":
            pytest.skip(f"no PostgreSQL on this machine, and {SETTING}=skip")
        pytest.fail(f"no PostgreSQL on this machine: install it, or set {SETTING}=skip")
    with running_postgres() as url:
        make_template(url)
        yield url


@pytest.fixture(params=["SQLite", pytest.param("PostgreSQL", marks=pytest.mark.real)])
def storage(request: pytest.FixtureRequest, tmp_path: Path) -> MakeInstance:
    """Makes instances of Dagster with an empty storage of one kind, so that each test holds for both."""

    def make() -> dg.DagsterInstance:
        base = tmp_path / f"dagster-{os.urandom(4).hex()}"
        base.mkdir()
        config: dict[str, Any] = {"sqlite": {"base_dir": str(base)}}
        if request.param == "PostgreSQL":
            from tests.support.postgres import TEMPLATE, new_database

            server = request.getfixturevalue("postgres_server")
            config = {"postgres": {"postgres_url": new_database(server, TEMPLATE)}}
        overrides = {"storage": config, "telemetry": {"enabled": False}}
        return dg.DagsterInstance.from_ref(InstanceRef.from_dir(str(base), overrides=overrides))

    return make


@pytest.fixture
def instance(storage: MakeInstance) -> Iterator[dg.DagsterInstance]:
    """An instance of Dagster on each kind of storage."""
    with storage() as made:
        yield made


#: Groups of tests, the longest first.
GROUPS = (
    "walk",
    "terraform",
    "ray",
    "kubernetes",
    "blue-green",
    "canaries",
    "orders",
    "dagster-ui",
)
_has_begun = False


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The longest stories first: the other processes do everything else meanwhile."""
    items.sort(key=_rank)  # stable: the order within stays


def pytest_runtest_setup(item: pytest.Item) -> None:
    """Who does not begin with the longest story lets it have the cores: it ends last anyway."""
    global _has_begun
    if not _has_begun and "PYTEST_XDIST_WORKER" in os.environ and _rank(item):
        os.nice(5)
    _has_begun = True


def _rank(item: pytest.Item) -> int:
    named = [name for mark in item.iter_markers("xdist_group") for name in mark.args]
    return GROUPS.index(named[0]) if named else len(GROUPS)
