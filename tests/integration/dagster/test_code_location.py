"""Runs that the command starts are runs of the code location: under their job and on the UI's timeline."""

import json
import os
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from ray_platform.config.partitions import CODE_LOCATION
from tests.support.checkout import Checkout
from tests.support.ports import free_port, free_port_base
from tests.support.set_up import find_chromium

pytestmark = [pytest.mark.real, pytest.mark.timeout(600), pytest.mark.xdist_group("dagster-ui")]

PICTURE = os.environ.get("RAY_PLATFORM_TIMELINE_PICTURE", "")


@pytest.fixture(scope="module")
def checkout(tmp_path_factory: pytest.TempPathFactory) -> Checkout:
    return Checkout(tmp_path_factory.mktemp("code-location"), free_port_base())


@pytest.fixture(scope="module")
def run_id(checkout: Checkout) -> str:
    """A run that the command started: a cost report needs no cloud."""
    done = checkout.run("cost", "--json")
    assert done.code == 0, done.err
    listed = checkout.python(
        "-c",
        "from ray_platform.cli.run_jobs import open_instance\n"
        "for run in open_instance().get_runs(): print(run.job_name, run.run_id)",
    )
    ((job, found),) = [line.split() for line in listed.out.splitlines()]
    assert job == "daily_cost"
    return found


@pytest.fixture(
    scope="module",
    params=["dagster", "dg"],
    ids=["dagster dev, by workspace.yaml", "dg dev, by pyproject.toml"],
)
def ui(request: pytest.FixtureRequest, checkout: Checkout, run_id: str) -> Iterator[str]:
    """The UI of the checkout; its address."""
    name = request.param
    program = str(Path(sys.executable).with_name(name))
    port = free_port()
    log = checkout.folder / f"{name}.log"
    with log.open("wb") as out:
        server = subprocess.Popen(
            [program, "dev", "--host", "127.0.0.1", "--port", str(port)],
            cwd=checkout.folder,
            env=checkout.variables,
            stdout=out,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        try:
            url = f"http://127.0.0.1:{port}"
            deadline = time.monotonic() + 180
            while not _answers(url):
                assert server.poll() is None, log.read_text(encoding="utf-8")
                assert time.monotonic() < deadline, log.read_text(encoding="utf-8")
                time.sleep(0.5)
            yield url
        finally:
            if server.poll() is None:
                os.killpg(server.pid, signal.SIGINT)
            try:
                server.wait(timeout=60)
            except subprocess.TimeoutExpired:
                os.killpg(server.pid, signal.SIGKILL)
                server.wait()


def _answers(url: str) -> bool:
    try:
        with urllib.request.urlopen(f"{url}/server_info", timeout=2) as answer:  # noqa: S310
            return bool(answer.status == 200)
    except (urllib.error.URLError, OSError):
        return False


def ask(url: str, query: str, **variables: Any) -> Any:
    """What the UI's own API answers."""
    request = urllib.request.Request(  # noqa: S310
        f"{url}/graphql",
        json.dumps({"query": query, "variables": variables}).encode(),
        {"Content-Type": "application/json"},
    )
    with urllib.request.urlopen(request, timeout=60) as answer:  # noqa: S310
        content = json.load(answer)
    assert "errors" not in content, content
    return content["data"]


def test_a_run_of_the_command_is_listed_under_its_job_and_named_for_the_timeline(
    ui: str, run_id: str
) -> None:
    loaded = ask(
        ui,
        "{ repositoriesOrError { ... on RepositoryConnection { nodes { name location { name } } } } }",
    )["repositoriesOrError"]["nodes"]
    assert [item["location"]["name"] for item in loaded] == [CODE_LOCATION]
    job = ask(
        ui,
        "query($name: String!, $repository: String!, $location: String!) {"
        " pipelineOrError(params: {pipelineName: $name, repositoryName: $repository,"
        " repositoryLocationName: $location}) { ... on Pipeline { runs(limit: 5) { id } } } }",
        name="daily_cost",
        repository=loaded[0]["name"],
        location=CODE_LOCATION,
    )["pipelineOrError"]
    assert job["runs"] == [{"id": run_id}]
    # The timeline takes the runs that have an origin, and groups them by its names.
    run = ask(
        ui,
        "query($id: ID!) { runOrError(runId: $id) { ... on Run { status"
        " repositoryOrigin { repositoryName repositoryLocationName } } } }",
        id=run_id,
    )["runOrError"]
    assert run == {
        "status": "SUCCESS",
        "repositoryOrigin": {
            "repositoryName": loaded[0]["name"],
            "repositoryLocationName": CODE_LOCATION,
        },
    }


def test_the_first_visit_asks_for_nothing_and_reports_nothing(ui: str) -> None:
    assert ask(ui, "{ shouldShowNux }") == {"shouldShowNux": False}
    told = ask(ui, "{ instance { info } }")["instance"]["info"]
    assert "telemetry:\n  enabled: false" in told


def test_the_timeline_shows_the_run_in_a_browser(ui: str, run_id: str) -> None:
    chromium = find_chromium()
    if chromium is None:
        pytest.skip("no Chromium: install the package chromium, or set RAY_PLATFORM_CHROMIUM")
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=chromium,
            args=["--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-sync"],
        )
        page = browser.new_page(viewport={"width": 1500, "height": 900})
        page.set_default_timeout(90_000)
        page.goto(f"{ui}/overview/activity/timeline?groupBy=job")
        page.get_by_role("link", name="daily_cost").first.wait_for()
        # A schedule's next tick puts a job there too; the number counts runs.
        page.get_by_text("1", exact=True).first.wait_for()
        if PICTURE:
            page.wait_for_timeout(1500)
            page.screenshot(path=str(Path(PICTURE).with_suffix(".timeline.png")))
        page.goto(f"{ui}/locations/{CODE_LOCATION}/jobs/daily_cost/runs")
        page.get_by_text(run_id[:8]).first.wait_for()
        if PICTURE:
            page.wait_for_timeout(1500)
            page.screenshot(path=str(Path(PICTURE).with_suffix(".job.png")))
        browser.close()
