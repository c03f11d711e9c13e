"""Burst runs told to others: OpenLineage events to a real HTTP server and to a file, tags and model card to
a real MLflow server, and what happens when nobody listens."""

import copy
import importlib.util
import json
import os
import signal
import subprocess
import sys
import threading
import time
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from decimal import Decimal
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import requests

from ray_platform.config.environment_file import Lineage
from ray_platform.config.settings import Settings
from ray_platform.lineage.export_run import exported
from ray_platform.lineage.run_report import identity, output_of
from ray_platform.records.infra_version import Applied, Ray
from ray_platform.run_history.burst_metrics import read_metrics
from ray_platform.session.environment_session import EnvironmentSession, open_session
from ray_platform.training.autoscaling_trace import Trace
from ray_platform.training.burst import BurstResult, RunBaseline
from tests.support.openlineage_schema import OURS, check_infra_facet, check_run_event
from tests.support.ports import free_port

pytestmark = pytest.mark.real
ROOT = Path(__file__).resolve().parents[3]
TOKEN = "the-server-s-own-token"
D = "0123456789abcdef" * 4


@dataclass(frozen=True)
class Starting:
    """A server that was started and may not answer yet."""

    uri: str
    process: subprocess.Popen[bytes]
    log: Path


@pytest.fixture(scope="module", autouse=True)
def mlflow_starting(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Starting | None]:
    """An MLflow server, which comes up while the other tests of this file run."""
    if importlib.util.find_spec("fastapi") is None or importlib.util.find_spec("mlflow") is None:
        yield None
        return
    folder, port = tmp_path_factory.mktemp("mlflow"), free_port()
    log = (folder / "server.log").open("wb")
    process = subprocess.Popen(
        [
            *(sys.executable, "-m", "mlflow", "server", "--host", "127.0.0.1", "--workers", "1"),
            *("--port", str(port), "--backend-store-uri", f"sqlite:///{folder}/mlflow.db"),
            *("--artifacts-destination", str(folder / "artifacts")),
        ],
        env={
            **os.environ,
            "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",
            "MLFLOW_DISABLE_TELEMETRY": "true",
        },
        stdout=log,
        stderr=log,
        cwd=folder,
        start_new_session=True,
    )
    yield Starting(f"http://127.0.0.1:{port}", process, folder / "server.log")
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    log.close()


@pytest.fixture(scope="module")
def mlflow_uri(mlflow_starting: Starting | None) -> str:
    """The address of the MLflow server, once it answers."""
    if mlflow_starting is None:
        pytest.skip("the MLflow server is not installed: uv sync --group mlflow-server")
    import mlflow.tracking  # noqa: F401  (seconds, in which the server comes up)

    deadline = time.monotonic() + 90
    while True:
        try:
            if requests.get(f"{mlflow_starting.uri}/health", timeout=5).ok:
                return mlflow_starting.uri
        except requests.ConnectionError:
            said = mlflow_starting.log.read_text(encoding="utf-8")
            assert mlflow_starting.process.poll() is None, said
            assert time.monotonic() < deadline, said
            time.sleep(0.1)


class Receiver:
    """A real server that takes events, or refuses them with a status."""

    def __init__(self) -> None:
        self.events: list[Any] = []
        self.authorizations: list[str | None] = []
        self.status = 201
        receiver = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                assert self.path == "/api/v1/lineage"
                if receiver.status < 300:
                    receiver.events.append(json.loads(body))
                    receiver.authorizations.append(self.headers["Authorization"])
                self.send_response(receiver.status)
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, *_args: Any) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}"
        threading.Thread(target=self.server.serve_forever, args=(0.05,), daemon=True).start()


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    made = Receiver()
    yield made
    made.server.shutdown()
    made.server.server_close()


def make_session(home: Path, target: str) -> EnvironmentSession:
    session = open_session(Settings(ROOT, home, {"RAY_PLATFORM_LINEAGE_TOKEN": TOKEN}), "local")
    session.environment.lineage = Lineage(openlineage=target)
    return session


def settled(session: EnvironmentSession) -> RunBaseline:
    modules = dict.fromkeys(("vpc", "eks_cluster", "node_pools", "storage", "platform"), D)
    session.records.save_applied(
        Applied(D[:40], "", D, D, D, D, "lineage-1", 7, modules, D, "book")
    )
    session.records.save_ray(Ray(D, D, D, "rayproject/ray:2.60.0-py311", "2.60.0"))
    version = session.records.record_infra_version()
    assert version is not None
    return RunBaseline(version, session.records.manifest(version))


def finished(session: EnvironmentSession, run_id: str, *, reached: bool = True) -> BurstResult:
    content = json.loads((ROOT / "tests/data/burst_local_a.json").read_text(encoding="utf-8"))
    if not reached:
        content["phases"][2].update(workers_reached=7, error="7 of 10 workers came")
        content["succeeded"] = False
    key = f"runs/{run_id}/metrics.json"
    session.artifacts.write(key, content)
    return BurstResult(
        read_metrics(content),
        Trace(run_id, (), ()),
        354.0,
        Decimal("0.0188"),
        {"metrics.json": session.artifacts.store.url(key)},
    )


def burst(session: EnvironmentSession, warn: Any = pytest.fail, *, reached: bool = True) -> str:
    """A whole run, without the training."""
    run_id = str(uuid.uuid4())
    with exported(session, run_id, settled(session), warn) as export:
        export.finish(finished(session, run_id, reached=reached))
    return run_id


def states(events: list[Any]) -> list[str]:
    return [event["eventType"] for event in events]


def test_a_server_is_told_of_a_runs_start_and_end_with_the_infrastructure_under_it(
    tmp_path: Path, receiver: Receiver
) -> None:
    session = make_session(tmp_path, receiver.url)
    run_id = burst(session)
    assert states(receiver.events) == ["START", "COMPLETE"]
    for event in receiver.events:
        check_run_event(event)
        assert event["run"]["runId"] == run_id
        facet = event["run"]["facets"][OURS]
        assert facet["infraVersion"] == settled(session).infra_version
        assert (facet["commit"], facet["planDigest"], facet["stateSerial"]) == (D[:40], D, 7)
        names = [item["name"] for item in event["inputs"]]
        assert names == [
            "terraform/eks_cluster",
            "terraform/node_pools",
            "terraform/platform",
            "terraform/storage",
            "terraform/vpc",
            "helm/ray",
        ]
    start, complete = receiver.events
    assert start["outputs"] == []
    (output,) = complete["outputs"]
    assert output["name"].endswith(f"runs/{run_id}/metrics.json")
    assert len(output["facets"]["version"]["datasetVersion"]) == 64
    assert set(receiver.authorizations) == {f"Bearer {TOKEN}"}


def test_a_run_that_raises_is_told_as_failed_and_still_raises(
    tmp_path: Path, receiver: Receiver
) -> None:
    session = make_session(tmp_path, receiver.url)
    password = "hunter2hunter2"
    with (
        pytest.raises(RuntimeError, match="no answer"),
        exported(session, str(uuid.uuid4()), settled(session), pytest.fail),
    ):
        raise RuntimeError(f"no answer from https://me:{password}@example.invalid")
    assert states(receiver.events) == ["START", "FAIL"]
    check_run_event(receiver.events[1])
    message = receiver.events[1]["run"]["facets"]["errorMessage"]["message"]
    assert "no answer" in message
    assert password not in message


def test_a_run_whose_workers_did_not_come_is_told_as_failed_with_the_reason(
    tmp_path: Path, receiver: Receiver
) -> None:
    burst(make_session(tmp_path, receiver.url), reached=False)
    assert states(receiver.events) == ["START", "FAIL"]
    check_run_event(receiver.events[1])
    assert "7 of 10" in receiver.events[1]["run"]["facets"]["errorMessage"]["message"]


def test_a_run_that_is_ended_from_outside_is_told_as_aborted(
    tmp_path: Path, receiver: Receiver
) -> None:
    session = make_session(tmp_path, receiver.url)
    with (
        pytest.raises(KeyboardInterrupt),
        exported(session, str(uuid.uuid4()), settled(session), pytest.fail),
    ):
        raise KeyboardInterrupt
    assert states(receiver.events) == ["START", "ABORT"]
    check_run_event(receiver.events[1])


def test_events_that_a_server_refuses_wait_are_told_and_go_out_in_order_with_the_next_run(
    tmp_path: Path, receiver: Receiver
) -> None:
    session, told = make_session(tmp_path, receiver.url), []
    receiver.status = 500
    first = burst(session, told.append)
    assert receiver.events == []
    assert len(told) == 2  # the start, and the end: the run itself went well
    assert all(receiver.url in text and "what to do" in text for text in told)
    assert "2 wait in" in told[1]
    assert TOKEN not in "".join(told)
    receiver.status = 201
    second = burst(session)
    assert [(e["run"]["runId"], e["eventType"]) for e in receiver.events] == [
        (first, "START"),
        (first, "COMPLETE"),
        (second, "START"),
        (second, "COMPLETE"),
    ]
    for event in receiver.events:
        check_run_event(event)
    assert not list((tmp_path / "openlineage" / "outbox" / "local").iterdir())


def test_a_server_that_is_not_there_does_not_fail_the_run(
    tmp_path: Path, receiver: Receiver
) -> None:
    receiver.server.shutdown()
    receiver.server.server_close()
    told: list[str] = []
    burst(make_session(tmp_path, receiver.url), told.append)
    assert len(told) == 2
    assert "not delivered" in told[0]


def test_a_file_holds_one_event_a_line(tmp_path: Path) -> None:
    session = make_session(tmp_path, "file")
    burst(session)
    burst(session)
    lines = (tmp_path / "openlineage" / "local.jsonl").read_text(encoding="utf-8").splitlines()
    events = [json.loads(line) for line in lines]
    assert states(events) == ["START", "COMPLETE"] * 2
    for event in events:
        check_run_event(event)


def test_nothing_is_told_unless_it_is_asked_for(tmp_path: Path) -> None:
    burst(make_session(tmp_path, ""))
    assert not (tmp_path / "openlineage").exists()


def test_a_damaged_event_in_the_outbox_is_named(tmp_path: Path, receiver: Receiver) -> None:
    session, told = make_session(tmp_path, receiver.url), []
    outbox = tmp_path / "openlineage" / "outbox" / "local"
    outbox.mkdir(parents=True)
    (outbox / "2026-01-01.json").write_text("{", encoding="utf-8")
    burst(session, told.append)
    assert str(outbox / "2026-01-01.json") in told[0]
    assert "remove it" in told[0]


def test_the_check_itself_refuses_what_is_no_event(tmp_path: Path) -> None:
    session = make_session(tmp_path, "file")
    burst(session)
    line = (tmp_path / "openlineage" / "local.jsonl").read_text(encoding="utf-8").splitlines()[0]
    for path, value in (
        (("eventTime",), "yesterday"),
        (("run", "runId"), "7"),
        (("eventType",), "DONE"),
        (("colour",), "blue"),
        (("job", "facets", "jobType", "processingType"), None),
        (("run", "facets", OURS, "infraVersion"), "short"),
        (("run", "facets", OURS, "extra"), 1),
    ):
        event = copy.deepcopy(json.loads(line))
        at = event
        for key in path[:-1]:
            at = at[key]
        at[path[-1]] = value
        with pytest.raises((AssertionError, ValueError, jsonschema.ValidationError)):
            check_run_event(event)
    facet = json.loads(line)["run"]["facets"][OURS]
    check_infra_facet(facet)


def test_names_point_to_github_where_the_repository_lies_there() -> None:
    producer, schema = identity("git@github.com:acme/ray-infra.git", "abc123")
    assert producer == "https://github.com/acme/ray-infra/tree/abc123"
    assert schema.startswith("https://raw.githubusercontent.com/acme/ray-infra/abc123/docs/schemas")
    assert identity("checkout", "abc123")[0] == "urn:ray-platform"


def test_a_stored_file_is_named_as_openlineage_names_files() -> None:
    assert output_of("s3://bucket/a/b.json", D).namespace == "s3://bucket"
    assert output_of("s3://bucket/a/b.json", D).name == "a/b.json"
    assert (output_of("/home/a/b.json", D).namespace, output_of("/home/a/b.json", D).name) == (
        "file",
        "/home/a/b.json",
    )


# MLflow ----------------------------------------------------------------------------------------


def tracked_session(home: Path, uri: str) -> EnvironmentSession:
    session = make_session(home, "")
    session.environment.lineage = Lineage(mlflow=uri)
    return session


def test_mlflow_finds_a_run_by_its_infrastructure_and_shows_its_model_card(
    tmp_path: Path, mlflow_uri: str, capfd: pytest.CaptureFixture[str]
) -> None:
    from mlflow.tracking import MlflowClient

    session = tracked_session(tmp_path, mlflow_uri)
    run_id, ground = burst(session), settled(session)
    client = MlflowClient(tracking_uri=mlflow_uri)
    experiment = client.get_experiment_by_name("ray-platform/local")
    (run,) = client.search_runs(
        [experiment.experiment_id], f"tags.`ray_platform.infra_version` = '{ground.infra_version}'"
    )
    assert run.data.tags["ray_platform.run_id"] == run_id
    assert run.data.tags["ray_platform.commit"] == D[:40]
    assert run.data.tags["ray_platform.plan_digest"] == D
    assert run.info.status == "FINISHED"
    recorded = json.loads((ROOT / "tests/data/burst_local_a.json").read_text(encoding="utf-8"))
    assert run.data.metrics["loss"] == recorded["loss"]
    assert run.data.metrics["usd"] == 0.0188
    card = Path(client.download_artifacts(run.info.run_id, "model_card.md", str(tmp_path)))
    assert "## Infrastructure" in card.read_text(encoding="utf-8")
    assert ground.infra_version in run.data.tags["mlflow.note.content"]

    with exported(session, run_id, ground, pytest.fail) as again:  # a retry of the same run
        again.finish(finished(session, run_id, reached=False))
    (same,) = client.search_runs(
        [experiment.experiment_id], f"tags.`ray_platform.run_id` = '{run_id}'"
    )
    assert same.info.run_id == run.info.run_id
    assert same.info.status == "FAILED"
    assert again.mlflow_url == (
        f"{mlflow_uri}/#/experiments/{experiment.experiment_id}/runs/{run.info.run_id}"
    )
    assert capfd.readouterr().out == ""  # the command's stdout is for its answer


def test_an_mlflow_server_that_is_not_there_does_not_fail_the_run_and_no_token_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("mlflow")
    monkeypatch.setenv("MLFLOW_TRACKING_TOKEN", TOKEN)
    uri, told = f"http://127.0.0.1:{free_port()}", []
    burst(tracked_session(tmp_path, uri), told.append)
    assert len(told) == 1
    assert "MLflow does not take the run" in told[0]
    assert uri in told[0]
    assert "MLFLOW_TRACKING_TOKEN" in told[0]
    assert TOKEN not in told[0]


def test_without_mlflow_installed_it_is_said_what_to_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "mlflow", None)
    told: list[str] = []
    burst(tracked_session(tmp_path, "http://127.0.0.1:9"), told.append)
    assert len(told) == 1
    assert "pip install 'ray-platform[mlflow]'" in told[0]


@pytest.mark.parametrize("key", ["openlineage", "mlflow"])
def test_a_password_in_an_address_is_refused_without_showing_it(key: str) -> None:
    with pytest.raises(ValueError, match="should match pattern") as refused:
        Lineage(**{key: f"https://me:{TOKEN}@example.invalid"})
    assert TOKEN not in refused.value.errors()[0]["msg"]  # what SettingsError shows
