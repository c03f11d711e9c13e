"""The cost report's page, as a real browser shows it."""

import datetime as dt
import os
import re
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from ray_platform.cost.estimate_lines import FixedCost
from ray_platform.cost.ledger.usage_interval import (
    HOUR_MS,
    HourTotal,
    Reading,
    UsageTotal,
    day_bounds,
)
from ray_platform.cost.money import Currency
from ray_platform.cost.price_book import load_price_book
from ray_platform.cost.report.cost_report import CostReport, daily_report
from ray_platform.cost.report.reconciliation import AppliedEstimate
from ray_platform.cost.report.report_page import cost_page, cost_plot_png
from tests.support.set_up import find_chromium

pytestmark = pytest.mark.real

DAY = dt.date(2026, 11, 20)
EVIL = "<script>document.title='owned'</script>"
#: Where pictures go; the documents' own are made by ``RAY_PLATFORM_PICTURES=docs/pictures make test``.
PICTURES = os.environ.get("RAY_PLATFORM_PICTURES", "")


def total(
    day: dt.date, hours: float, *runs: str, pool: str = "cpu", kind: Any = None
) -> UsageTotal:
    type_ = {"cpu": "m5.xlarge", "gpu": "g4dn.xlarge", "system": "m6i.large"}[pool]
    kind = kind or ("run" if runs else "idle")
    return UsageTotal(day, "local", kind, pool, type_, False, runs, round(hours * HOUR_MS))


def month() -> Reading:
    """Twenty days: two CPU nodes and a head all day, a burst of work on each weekday, GPUs now and
    then."""
    totals: list[UsageTotal] = []
    hours: list[HourTotal] = []
    for number in range(1, DAY.day + 1):
        day = DAY.replace(day=number)
        busy = 0 if day.weekday() > 4 else 3 + number % 4
        runs = [f"run-{number}-{at}" for at in range(busy)]
        if number == DAY.day:
            runs[0] = EVIL
        totals += [total(day, 7, run) for run in runs]
        totals += [total(day, 1.5, run, pool="gpu") for run in runs[:2]]
        totals += [total(day, 48 - busy), total(day, 1 + busy / 2, pool="gpu")]
        totals.append(total(day, 24, pool="system", kind="overhead"))
        for at in range(24):
            start = round(day_bounds(day)[0] * 1000) + at * HOUR_MS
            held = busy * HOUR_MS if 8 <= at < 15 else 0
            gpu = 3 * HOUR_MS // 4 if busy and 9 <= at < 13 else 0
            hours.append(HourTotal(start, "system", "m6i.large", False, True, 0, HOUR_MS))
            hours.append(
                HourTotal(start, "cpu", "m5.xlarge", False, False, held, 2 * HOUR_MS + held)
            )
            if gpu:
                hours.append(HourTotal(start, "gpu", "g4dn.xlarge", False, False, gpu // 2, gpu))
    names = {run for item in totals for run in item.runs}
    teams = {run: ("vision", "language")[len(run) % 2] for run in names}
    return Reading(
        totals=tuple(totals),
        hours=tuple(hours),
        peaks={"cpu": 1},
        run_teams=teams,
        tasks=dict.fromkeys(names, 31),
    )


def report_in(currency: Currency) -> CostReport:
    bill = {
        DAY.replace(day=number): {EVIL: Decimal(30 + number % 3), "cpu": Decimal(12)}
        for number in range(1, DAY.day)
    }
    return daily_report(
        DAY,
        "local",
        month(),
        load_price_book(),
        1100,
        fixed=(FixedCost("NAT gateway", Decimal("0.045")), FixedCost("EKS", Decimal("0.10"))),
        fixed_since=day_bounds(DAY.replace(day=1))[0],
        currency=currency,
        bill=bill,
        bill_source="AWS Cost and Usage Report",
        estimates=[
            AppliedEstimate("5f" * 32, "0a1b2c3d4e5f", 0, Decimal(600), Decimal(900)),
        ],
    )


@pytest.fixture(scope="module")
def report() -> CostReport:
    return report_in(Currency())


@pytest.fixture(scope="module")
def page(report: CostReport, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """The page in a real Chromium that may not go anywhere else; what it asked for and complained of."""
    chromium = find_chromium()
    if chromium is None:
        pytest.skip("no Chromium: install the package chromium, or set RAY_PLATFORM_CHROMIUM")
    from playwright.sync_api import sync_playwright

    file = tmp_path_factory.mktemp("page") / "page.html"
    file.write_text(cost_page(report), encoding="utf-8")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=chromium,
            args=["--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-sync"],
        )
        found = browser.new_page(viewport={"width": 1120, "height": 1500})
        found.asked = []
        found.said = []
        found.on("request", lambda request: found.asked.append(request.url))
        found.on("console", lambda message: found.said.append(message.text))
        found.goto(file.as_uri())
        yield found
        browser.close()


def test_the_browser_shows_the_total_and_every_part(report: CostReport, page: Any) -> None:
    money = report.currency.text
    assert page.locator("#total").inner_text() == money(report.total_cents)
    texts = page.locator("#parts td:last-child").all_inner_texts()
    cents = [int(re.sub(r"[^\d]", "", text)) for text in texts]
    assert sum(cents[:-1]) == cents[-1] == report.total_cents
    if PICTURES:
        path = Path(__file__).resolve().parents[3] / PICTURES / "cost-report.png"
        page.screenshot(path=str(path))


def test_the_days_sum_to_the_month_to_date(report: CostReport, page: Any) -> None:
    texts = page.locator("#days td:last-child").all_text_contents()
    cents = [int(re.sub(r"[^\d]", "", text)) for text in texts]
    assert len(cents) == DAY.day + 1
    assert sum(cents[:-1]) == cents[-1] == report.month_to_date_cents


def test_every_plot_is_drawn_within_its_frame(report: CostReport, page: Any) -> None:
    plots = page.locator("svg[role=img]")
    assert plots.count() == 4
    for at in range(4):
        frame = plots.nth(at).bounding_box()
        assert frame["width"] > 200
        for bar in plots.nth(at).locator("rect").all():
            box = bar.bounding_box()
            # A part of nothing has no bar.
            if box and box["width"]:
                assert frame["y"] - 1 <= box["y"]
                assert box["y"] + box["height"] <= frame["y"] + frame["height"] + 1
                assert box["x"] + box["width"] <= frame["x"] + frame["width"] + 1
    days = plots.nth(2).locator("rect")
    assert days.count() >= 3 * DAY.day


def test_forecast_unit_costs_teams_bill_and_estimates_stand_there(
    report: CostReport, page: Any
) -> None:
    assert "80 % between" in page.locator("#forecast").inner_text()
    assert "1,000 tasks" in page.locator("#units").inner_text()
    assert {"vision", "language", "(no team)"} <= set(
        page.locator("#teams td:first-child").all_inner_texts()
    )
    # The first day began halfway, the last is not billed yet.
    assert page.locator("#bill tbody tr").count() == DAY.day - 2
    assert "5f5f5f5f5f5f" in page.locator("#estimates").inner_text()
    titles = page.locator("ul.advice strong").all_inner_texts()
    assert any("idle GPU" in title for title in titles)
    assert any("Commit" in title for title in titles)


def test_text_from_outside_is_shown_and_never_run(page: Any) -> None:
    assert EVIL in page.locator("#parts").inner_text()
    assert page.locator("script").count() == 0
    assert page.title() == "Cost of local on 2026-11-20"


def test_the_page_loads_nothing_and_has_nothing_to_complain_of(page: Any) -> None:
    assert len(page.asked) == 1
    assert page.said == []


@pytest.mark.parametrize("code", ["USD", "INR", "EUR"])
def test_the_picture_is_a_png_in_every_currency(code: str) -> None:
    rate = {"USD": "1", "INR": "88.61", "EUR": "0.86"}[code]
    picture = cost_plot_png(report_in(Currency(code, Decimal(rate), DAY)))
    assert picture.startswith(b"\x89PNG")
    assert len(picture) < 200_000
