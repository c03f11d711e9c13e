"""What a person sees in the Dagster UI, in a real browser."""

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

from ray_platform.records.infra_version import MODULES
from tests.support.checkout import Walked
from tests.support.set_up import find_chromium

# In one group with test_walk.py: both look at the same walk.
pytestmark = [pytest.mark.real, pytest.mark.timeout(900), pytest.mark.xdist_group("walk")]

#: Where pictures go; the documents' own are made by ``RAY_PLATFORM_PICTURES=docs/pictures make test``.
PICTURES = os.environ.get("RAY_PLATFORM_PICTURES", "")


@pytest.fixture(scope="module")
def ui(walked: Walked) -> Iterator[str]:
    """`dagster dev` in the checkout, as README says; its address."""
    log = walked.checkout.folder / "dagster-dev.log"
    port = walked.checkout.port_base + 9
    with log.open("wb") as out:
        server = subprocess.Popen(
            [sys.executable, "-m", "dagster", "dev", "--host", "127.0.0.1", "--port", str(port)],
            cwd=walked.checkout.folder,
            env=walked.checkout.variables,
            stdout=out,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        try:
            url = f"http://127.0.0.1:{port}"
            deadline = time.monotonic() + 120
            while not _answers(url):
                assert server.poll() is None, log.read_text(encoding="utf-8")
                assert time.monotonic() < deadline, log.read_text(encoding="utf-8")
                time.sleep(0.5)
            yield url
        finally:
            os.killpg(server.pid, signal.SIGINT)
            try:
                server.wait(timeout=30)
            except subprocess.TimeoutExpired:
                os.killpg(server.pid, signal.SIGKILL)
                server.wait()


def _answers(url: str) -> bool:
    try:
        with urllib.request.urlopen(f"{url}/server_info", timeout=2) as answer:  # noqa: S310
            return bool(answer.status == 200)
    except (urllib.error.URLError, OSError):
        return False


@pytest.fixture(scope="module")
def page(ui: str) -> Iterator[Any]:
    """A page of a real Chromium, past Dagster's greeting."""
    chromium = find_chromium()
    if chromium is None:
        pytest.skip("no Chromium: install the package chromium, or set RAY_PLATFORM_CHROMIUM")
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=chromium,
            args=[
                "--no-sandbox",
                "--disable-gpu",
                "--no-first-run",
                "--disable-background-networking",
                "--disable-component-update",
                "--disable-sync",
            ],
        )
        found = browser.new_page(viewport={"width": 1500, "height": 900})
        found.set_default_timeout(60_000)
        found.add_init_script("localStorage.setItem('communityNux', '\"1\"')")
        yield found
        browser.close()


def picture(page: Any, name: str) -> None:
    if PICTURES:
        page.wait_for_timeout(1500)  # the page glides to its place; the picture is of it at rest
        page.screenshot(path=str(Path(__file__).resolve().parents[3] / PICTURES / f"{name}.png"))


def test_the_asset_graph_shows_the_walk(ui: str, page: Any) -> None:
    page.goto(f"{ui}/asset-groups")
    for group in ("infrastructure", "ray", "watch"):
        page.get_by_text(group, exact=True).first.wait_for()
    page.goto(f"{ui}/assets/vpc?view=lineage&lineageScope=neighbors&lineageDepth=10")
    for asset in ("terraform_plan", "vpc", "ray_cluster", "drift_report"):
        page.get_by_text(asset, exact=True).first.wait_for()
    page.set_viewport_size({"width": 1500, "height": 1150})  # the whole of it fits
    page.goto(f"{ui}/assets/ray_cluster?view=lineage&lineageScope=neighbors&lineageDepth=10")
    for asset in (
        "terraform_plan",
        *MODULES,
        "ray_cluster",
        "burst_run",
        "daily_cost_report",
        "drift_report",
    ):
        page.get_by_text(asset, exact=True).first.wait_for()
    picture(page, "asset-graph")


def test_a_burst_runs_materialization_shows_its_infra_version_and_its_plot(
    walked: Walked, ui: str, page: Any
) -> None:
    page.goto(f"{ui}/assets/burst_run?view=events&partition=local")
    (newest,) = walked.checkout.run("runs", "--limit", "1", "--json").json["runs"]
    page.get_by_text(newest["infra_version"]).first.wait_for()
    row = page.locator("tr", has_text="autoscaling")
    row.get_by_text("[Show Markdown]").click()
    plot = page.get_by_alt_text("workers wanted, nodes up and tasks running")
    plot.wait_for()
    width, height = plot.evaluate("image => [image.naturalWidth, image.naturalHeight]")
    assert (width, height) == (1080, 480)
    picture(page, "burst-run")
    page.get_by_role("button", name="Close").click()
    plot.wait_for(state="detached")  # until it has faded out there are two dialogs
    version = page.locator("tr", has_text="infra version page")
    version.get_by_text("[Show Markdown]").click()
    page.get_by_text("as it is now").wait_for()
    picture(page, "infra-version")
    page.get_by_role("button", name="Close").click()
