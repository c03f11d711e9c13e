"""What tests of several stages share."""

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from ray_platform.clients.artifacts import FileStore, S3Store, Store


@pytest.fixture(scope="session")
def s3_emulator() -> Iterator[Any]:
    """A boto3 client of an S3 that is served over HTTP on this machine."""
    import boto3
    from botocore.config import Config
    from moto.server import ThreadedMotoServer

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


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The longest story first: the other process does everything else meanwhile."""
    items.sort(key=lambda item: not _in_the_walk(item))  # stable: the order within stays


def _in_the_walk(item: pytest.Item) -> bool:
    return any("walk" in mark.args for mark in item.iter_markers("xdist_group"))
