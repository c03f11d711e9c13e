"""Ledger against bill, end to end: usage in Parquet, a Cost and Usage Report in S3, the number between.

The bill is made as EC2 makes it (by the second, a minute at least, a line for each hour), from the
moment an instance is asked for, which is before Ray sees its node: that is the error that a ledger
written from Ray's events has, and the report must say how large it is.
"""

import datetime as dt
import random
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from ray_platform.cost.ledger.usage_interval import Usage, day_bounds
from ray_platform.cost.ledger.usage_store import UsageLedger
from ray_platform.cost.price_book import load_price_book
from ray_platform.cost.report.cost_report import daily_report, first_needed
from ray_platform.cost.report.report_text import report_markdown
from ray_platform.cost.usage_report_client import CostAndUsageReport
from ray_platform.store.artifact_store import FileStore
from tests.integration.aws.test_usage_report import cur2, line

pytestmark = pytest.mark.real

DAY = dt.date(2026, 11, 12)
BOOT_SECONDS = 75
BOOK = load_price_book()


def lives() -> list[tuple[str, int, int]]:
    """(node, start, end) in epoch seconds as Ray saw them, for twelve days: bursts on each."""
    chance = random.Random(12)  # noqa: S311
    found = []
    for number in range(1, DAY.day + 1):
        first = round(day_bounds(DAY.replace(day=number))[0])
        for at in range(25):
            start = first + chance.randint(3600, 70_000)
            found.append((f"{number}-{at}", start, start + chance.randint(20, 9_000)))
    return found


def billed(start: int, end: int) -> list[Any]:
    """The line items of one instance: each hour that it touches, in seconds."""
    items = []
    end = max(end, start + 60)
    hour = start // 3600 * 3600
    while hour < end:
        seconds = min(end, hour + 3600) - max(start, hour)
        cost = BOOK.hourly("m5.xlarge") * seconds / 3600
        when = dt.datetime.fromtimestamp(hour, dt.UTC).replace(tzinfo=None)
        items.append(line(float(cost.quantize(Decimal("1e-10"))), "cpu", start=when))
        hour += 3600
    return items


def test_the_difference_between_ledger_and_bill_is_what_it_is(
    s3_emulator: Any, tmp_path: Path
) -> None:
    found = lives()
    ledger = UsageLedger(FileStore(tmp_path / "artifacts"), tmp_path / "cache")
    ledger.append(
        Usage("dev", n, s * 1000, e * 1000, "idle", "", "cpu", "", "m5.xlarge", False)
        for n, s, e in found
    )
    items = [item for _, s, e in found for item in billed(s - BOOT_SECONDS, e)]
    s3_emulator.create_bucket(Bucket="reconciled")
    s3_emulator.put_object(
        Bucket="reconciled",
        Key="export/data/BILLING_PERIOD=2026-11/export-00001.snappy.parquet",
        Body=cur2(items),
    )
    source = CostAndUsageReport(s3_emulator, "s3://reconciled/export", tmp_path / "cache")
    report = daily_report(
        DAY,
        "dev",
        ledger.read("dev", first_needed(DAY), DAY),
        BOOK,
        1000,
        bill=source.daily("dev", DAY.replace(day=1), DAY),
        bill_source=source.name,
    )
    seen = report.reconciliation
    assert seen is not None
    # The day on which everything began is left out.
    assert [day.day.day for day in seen.days] == list(range(2, DAY.day + 1))
    price = BOOK.hourly("m5.xlarge") / 3600
    for day in seen.days:
        of_day = [(s, e) for n, s, e in found if n.startswith(f"{day.day.day}-")]
        late = sum(max(e, s - BOOT_SECONDS + 60) - (s - BOOT_SECONDS) - (e - s) for s, e in of_day)
        assert abs(day.difference_usd + late * price) <= Decimal("0.01")
    assert seen.percent is not None
    assert -5 < seen.percent < 0
    print(
        f"\nreconciliation: ledger {seen.percent:+} % of the bill over {len(seen.days)} days, "
        f"{seen.mean_absolute_percent} % a day on average ({BOOT_SECONDS} s of boot unseen by Ray)"
    )
    assert f"The ledger is {seen.percent:+} % of the bill" in report_markdown(report)
