"""Drift's table in the real Dagster UI: one line an item, nothing cut off, the JSON behind a link."""

import os
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import dagster as dg
import pytest

from ray_platform.defs.facts import DriftFacts
from ray_platform.drift.items import DriftItem, to_json, to_markdown
from tests.support.ports import free_port
from tests.support.set_up import find_chromium

pytestmark = [pytest.mark.real, pytest.mark.timeout(300)]

RULE = {
    "cidr_blocks": ["0.0.0.0/0"],
    "description": "opened by hand",
    "from_port": 22,
    "to_port": 22,
}
ITEM = DriftItem(
    "module.eks_cluster.aws_iam_role.service_account_of_the_autoscaler",
    "ingress[0]",
    {"cidr_blocks": ["10.0.0.0/8"], "description": "as it was"},
    RULE,
    "major",
    "unapplied_change",
    "the network is open to the whole internet",
    evidence="the live value is what the configuration in Git asks for; the state has another",
    who="arn:aws:iam::123456789012:user/somebody",
)
ITEMS = tuple(replace(ITEM, attribute=f"ingress[{at}] | `x`") for at in range(8))


def answers(url: str) -> bool:
    try:
        with urllib.request.urlopen(f"{url}/server_info", timeout=2) as answer:  # noqa: S310
            return bool(answer.status == 200)
    except (urllib.error.URLError, OSError):
        return False


@pytest.fixture
def ui(tmp_path: Path) -> Iterator[str]:
    """A webserver over a storage that holds one drift report; its address."""
    (tmp_path / "dagster.yaml").write_text("telemetry:\n  enabled: false\nnux:\n  enabled: false\n")
    facts = DriftFacts.of(
        ITEMS, to_json(ITEMS), open_incidents=("k",), seen_at="2026-11-30T10:07:00", proposed=None
    )
    with dg.DagsterInstance.from_config(str(tmp_path)) as instance:
        instance.report_runless_asset_event(
            dg.AssetMaterialization(
                "drift_report",
                partition="local",
                metadata={
                    **facts.to_metadata(),
                    "table": dg.MetadataValue.md(to_markdown(facts.items)),
                },
            )
        )
    url = f"http://127.0.0.1:{(port := free_port())}"
    server = subprocess.Popen(
        [
            *(sys.executable, "-m", "dagster_webserver", "--empty-workspace"),
            *("--host", "127.0.0.1", "--port", str(port)),
        ],
        env={**os.environ, "DAGSTER_HOME": str(tmp_path)},
        cwd=tmp_path,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    try:
        deadline = time.monotonic() + 120
        while not answers(url):
            assert server.poll() is None, "the webserver ended"
            assert time.monotonic() < deadline, "the webserver does not answer"
            time.sleep(0.5)
        yield url
    finally:
        os.killpg(server.pid, signal.SIGKILL)
        server.wait()


def test_each_item_of_the_table_is_one_line_and_nothing_is_cut_off(ui: str) -> None:
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
        page.set_default_timeout(60_000)
        page.goto(f"{ui}/assets/drift_report?view=events")
        items = page.locator("tr", has=page.get_by_text("items", exact=True))
        items.get_by_text("[Show JSON]").wait_for()
        row = page.locator("tr", has=page.get_by_text("table", exact=True))
        row.get_by_text("[Show Markdown]").click()
        table = page.locator("table", has=page.get_by_text("resource and attribute"))
        table.get_by_text("ingress[7]").wait_for()
        heights = table.locator("tr").evaluate_all("rows => rows.map(r => r.clientHeight)")
        # The right edge of the widest row, and of the dialog that shows it.
        right, edge = table.evaluate(
            "t => [t.getBoundingClientRect().right, Math.min(...(function up(e) {"
            " return e ? [e.getBoundingClientRect().right, ...up(e.parentElement)] : [] })(t.parentElement))]"
        )
        browser.close()
    assert len(heights) == 1 + len(ITEMS)
    assert max(heights) <= 30
    assert right <= edge + 1
