"""The cost report's page, as a real browser shows it."""

import datetime as dt
import re
import shutil
import subprocess
from decimal import Decimal
from pathlib import Path

import pytest

from ray_platform.core.attribution import day_bounds
from ray_platform.core.cost_report import CostReport, daily_report
from ray_platform.core.estimate import FixedCost
from ray_platform.core.ledger import Ledger, NodeInterval, RunWindow
from ray_platform.core.money import usd_text
from ray_platform.core.price_book import load_price_book
from ray_platform.core.report_page import cost_page, cost_plot_png

pytestmark = pytest.mark.real

DAY = dt.date(2026, 11, 20)
EVIL = "<script>document.title='owned'</script>"


@pytest.fixture(scope="module")
def report() -> CostReport:
    start, end = day_bounds(DAY)
    ledger = Ledger(
        (
            NodeInterval("local", "n1", start, end, "cpu", "m5.xlarge"),
            NodeInterval("local", "n2", start + 3600, start + 9000, EVIL, "g4dn.xlarge"),
        ),
        (RunWindow("local", EVIL, start + 1800, start + 5400),),
    )
    return daily_report(
        DAY,
        "local",
        ledger,
        load_price_book(),
        100,
        {EVIL: Decimal("1.5")},
        fixed=(FixedCost("NAT gateway", Decimal("0.045")),),
    )


@pytest.fixture(scope="module")
def shown(report: CostReport, tmp_path_factory: pytest.TempPathFactory) -> str:
    """The page's elements after a browser has loaded it."""
    browser = shutil.which("chromium") or shutil.which("google-chrome")
    if browser is None:
        pytest.skip("no Chromium on this machine: apt-get install chromium")
    folder = tmp_path_factory.mktemp("page")
    (folder / "page.html").write_text(cost_page(report), encoding="utf-8")
    flags = "--headless --no-sandbox --disable-gpu --disable-background-networking --dump-dom"
    done = subprocess.run(
        [
            browser,
            *flags.split(),
            f"--user-data-dir={folder / 'profile'}",
            (folder / "page.html").as_uri(),
        ],
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    return done.stdout


def test_the_browser_shows_the_total_and_every_part(report: CostReport, shown: str) -> None:
    assert f'id="total">{usd_text(report.total_cents)}<' in shown
    table = shown.split('id="parts"')[1].split("</table>")[0]
    cents = [
        int(text.replace(",", "").replace(".", "")) for text in re.findall(r"\$([\d.,]+)", table)
    ]
    assert sum(cents[:-1]) == cents[-1] == report.total_cents


def test_text_from_outside_is_shown_and_never_run(shown: str) -> None:
    assert "&lt;script&gt;" in shown
    assert "<script" not in shown
    assert "<title>Cost of local on 2026-11-20</title>" in shown


def test_the_page_loads_nothing_and_plots_have_titles(shown: str) -> None:
    assert not re.search(r"""(?:src|href)=|url\(|@import""", shown)
    assert shown.count("<svg") == 3
    assert shown.count('role="img" aria-labelledby="t-') == 3


def test_the_picture_is_a_png(report: CostReport, tmp_path: Path) -> None:
    picture = cost_plot_png(report)
    assert picture.startswith(b"\x89PNG")
    assert len(picture) < 200_000
