"""A training job names the files that it sends back; none of them can be another record of the platform."""

import base64
import json
import zlib
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from ray_platform.run_history.burst_metrics import MESSAGE_KEY
from ray_platform.session.environment_session import EnvironmentSession
from ray_platform.store.artifact_store import Artifacts, FileStore
from ray_platform.text.errors import ArtifactError
from ray_platform.training.burst import store_results


def sent(*names: str) -> Iterator[Any]:
    for name in names:
        data = base64.b64encode(zlib.compress(json.dumps({"by": "alice"}).encode())).decode()
        yield {MESSAGE_KEY: {"file": name, "part": 0, "of": 1, "data": data}}


@pytest.mark.parametrize(
    "name",
    ["../../approvals/prod/0123/yes.json", "../another/metrics.json", "/etc/x", "a\\b", ".guard"],
)
def test_a_file_that_leads_out_of_its_run_is_refused_before_anything_is_stored(
    tmp_path: Path, name: str
) -> None:
    store = FileStore(tmp_path / "artifacts")
    store.put("approvals/prod/0123/other.json", b"{}")
    session = cast(EnvironmentSession, SimpleNamespace(artifacts=Artifacts(store)))
    with pytest.raises(ArtifactError, match="has no key 'runs/r1/") as refused:
        store_results(session, "r1", sent("metrics.json", "trace.json", name), lambda _: None)
    assert "correct the name in its code" in refused.value.fix
    files = [str(one.relative_to(tmp_path)) for one in tmp_path.rglob("*") if one.is_file()]
    assert files == ["artifacts/approvals/prod/0123/other.json"]
