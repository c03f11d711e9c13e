"""The bill is read from Cost and Usage Reports of both layouts, out of an S3 over HTTP."""

import datetime as dt
import io
from collections.abc import Mapping
from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from ray_platform.cost.usage_report_client import CostAndUsageReport
from ray_platform.text.errors import ToolError

pytestmark = pytest.mark.real

FIRST, LAST = dt.date(2026, 11, 1), dt.date(2026, 11, 30)
DAY = dt.date(2026, 11, 20)
#: Columns of the data dictionaries that stand beside those that are read, with their types there.
COMMON: Mapping[str, pa.DataType] = {
    "bill_bill_type": pa.string(),
    "bill_billing_entity": pa.string(),
    "bill_billing_period_start_date": pa.timestamp("ms"),
    "bill_payer_account_id": pa.string(),
    "identity_line_item_id": pa.string(),
    "identity_time_interval": pa.string(),
    "line_item_availability_zone": pa.string(),
    "line_item_blended_cost": pa.float64(),
    "line_item_currency_code": pa.string(),
    "line_item_legal_entity": pa.string(),
    "line_item_line_item_description": pa.string(),
    "line_item_line_item_type": pa.string(),
    "line_item_operation": pa.string(),
    "line_item_product_code": pa.string(),
    "line_item_resource_id": pa.string(),
    "line_item_unblended_cost": pa.float64(),
    "line_item_unblended_rate": pa.string(),
    "line_item_usage_account_id": pa.string(),
    "line_item_usage_amount": pa.float64(),
    "line_item_usage_end_date": pa.timestamp("ms"),
    "line_item_usage_start_date": pa.timestamp("ms"),
    "line_item_usage_type": pa.string(),
    "pricing_public_on_demand_cost": pa.float64(),
    "pricing_term": pa.string(),
    "product_instance_type": pa.string(),
    "product_region_code": pa.string(),
}
TAG_MAP = pa.map_(pa.string(), pa.string())


def line(cost: float, pool: str | None, environment: str | None = "dev", **more: Any) -> Any:
    """One line item, an hour of an instance; the tags stand under ``tags``."""
    start = more.pop("start", dt.datetime(2026, 11, 20, 7))
    tags = {"user_environment": environment, "user_ray_platform_pool": pool}
    return {
        "bill_bill_type": "Anniversary",
        "bill_billing_period_start_date": start.replace(day=1, hour=0),
        "identity_line_item_id": f"{cost}-{pool}-{start}",
        "line_item_currency_code": "USD",
        "line_item_line_item_type": "Usage",
        "line_item_product_code": "AmazonEC2",
        "line_item_unblended_cost": cost,
        "line_item_usage_start_date": start,
        "line_item_usage_end_date": start + dt.timedelta(hours=1),
        "line_item_usage_type": "BoxUsage:m5.xlarge",
        **more,
        "tags": {key: value for key, value in tags.items() if value is not None},
    }


def legacy(lines: list[Any]) -> bytes:
    """A file of the legacy report: a column for each tag that occurs."""
    keys = sorted({key for item in lines for key in item["tags"]})
    types = {**COMMON, **{f"resource_tags_{key}": pa.string() for key in keys}}
    return _file(
        types,
        [{**i, **{f"resource_tags_{k}": v for k, v in i["tags"].items()}} for i in lines],
    )


def cur2(lines: list[Any]) -> bytes:
    """A file of CUR 2.0: tags are a map."""
    rows = [{**item, "resource_tags": list(item["tags"].items())} for item in lines]
    return _file({**COMMON, "resource_tags": TAG_MAP}, rows)


def cur2_as_given(lines: list[Any]) -> bytes:
    """The same with the tags' keys as they were given."""
    spelled = {
        "user_environment": "user:environment",
        "user_ray_platform_pool": "user:ray-platform-pool",
    }
    return cur2([{**i, "tags": {spelled[k]: v for k, v in i["tags"].items()}} for i in lines])


def _file(types: Mapping[str, pa.DataType], rows: list[Any]) -> bytes:
    out = io.BytesIO()
    table = pa.table({n: pa.array([r.get(n) for r in rows], t) for n, t in types.items()})
    pq.write_table(table, out, compression="snappy")
    return out.getvalue()


@pytest.fixture(scope="module")
def bucket(s3_emulator: Any) -> str:
    s3_emulator.create_bucket(Bucket="bill")
    return "bill"


def put(s3: Any, key: str, content: bytes) -> None:
    s3.put_object(Bucket="bill", Key=key, Body=content)


LINES = [
    line(0.192, "cpu"),
    line(0.0000000001, "cpu"),
    line(0.526, "gpu"),
    line(0.045, None, line_item_product_code="AmazonVPC"),
    line(99.0, "cpu", "prod"),
    line(50.0, None, None, line_item_line_item_type="Tax"),
    line(0.192, "cpu", start=dt.datetime(2026, 11, 21, 0)),
    line(1.0, "cpu", "prod", start=dt.datetime(2026, 11, 22, 3)),
]
EXPECTED = {
    DAY: {
        "cpu": Decimal("0.1920000001"),
        "gpu": Decimal("0.5260000000"),
        "(untagged)": Decimal("0.0450000000"),
    },
    dt.date(2026, 11, 21): {"cpu": Decimal("0.1920000000")},
    dt.date(2026, 11, 22): {},
}


@pytest.mark.parametrize(
    ("write", "folder"),
    [
        (legacy, "legacy/report/report/year=2026/month=11"),
        (cur2, "exports/daily/data/BILLING_PERIOD=2026-11"),
        (cur2_as_given, "given/daily/data/BILLING_PERIOD=2026-11"),
    ],
)
def test_both_layouts_give_the_same_bill(
    bucket: str, s3_emulator: Any, tmp_path: Path, write: Any, folder: str
) -> None:
    put(s3_emulator, f"{folder}/report-00001.snappy.parquet", write(LINES[:4]))
    put(s3_emulator, f"{folder}/report-00002.snappy.parquet", write(LINES[4:]))
    other = folder.replace("month=11", "month=1").replace("2026-11", "2026-01")
    put(s3_emulator, f"{other}/report-00001.snappy.parquet", b"another month is not looked at")
    root = folder.split("/")[0]
    report = CostAndUsageReport(s3_emulator, f"s3://{bucket}/{root}", tmp_path)
    assert report.daily("dev", FIRST, LAST) == EXPECTED
    assert set(report.daily("dev", DAY, DAY)) == {DAY}


def test_a_month_that_is_written_anew_replaces_itself(
    bucket: str, s3_emulator: Any, tmp_path: Path
) -> None:
    key = "anew/data/BILLING_PERIOD=2026-11/report-00001.snappy.parquet"
    report = CostAndUsageReport(s3_emulator, "s3://bill/anew", tmp_path)
    for cost in (1.0, 2.0):
        put(s3_emulator, key, cur2([line(cost, "cpu")]))
        assert report.daily("dev", FIRST, LAST) == {DAY: {"cpu": Decimal(cost)}}


def test_of_several_executions_of_an_export_the_newest_counts(
    bucket: str, s3_emulator: Any, tmp_path: Path
) -> None:
    import time

    base = "several/data/BILLING_PERIOD=2026-11"
    put(s3_emulator, f"{base}/2026-11-21T01/r-00001.snappy.parquet", cur2([line(1.0, "cpu")]))
    listed = s3_emulator.list_objects_v2(Bucket="bill", Prefix="several/")["Contents"]
    while time.time() < listed[0]["LastModified"].timestamp() + 1:
        time.sleep(0.05)  # S3 tells times in whole seconds
    put(s3_emulator, f"{base}/2026-11-22T01/r-00001.snappy.parquet", cur2([line(2.0, "cpu")]))
    report = CostAndUsageReport(s3_emulator, "s3://bill/several", tmp_path)
    assert report.daily("dev", FIRST, LAST) == {DAY: {"cpu": Decimal(2)}}


def test_a_report_that_is_not_there_yet_bills_no_day(
    bucket: str, s3_emulator: Any, tmp_path: Path
) -> None:
    assert CostAndUsageReport(s3_emulator, "s3://bill/none", tmp_path).daily("dev", DAY, DAY) == {}


@pytest.mark.parametrize(
    ("folder", "content", "why"),
    [
        ("euros", legacy([line(1.0, "cpu", line_item_currency_code="EUR")]), "is in EUR"),
        ("untagged", legacy([line(1.0, "cpu", None)]), "resource_tags_user_environment"),
        ("broken", b"no parquet", "cannot be read"),
    ],
)
def test_what_is_wrong_with_a_report_is_said_in_one_message(
    bucket: str, s3_emulator: Any, tmp_path: Path, folder: str, content: bytes, why: str
) -> None:
    put(s3_emulator, f"{folder}/year=2026/month=11/r.snappy.parquet", content)
    with pytest.raises(ToolError, match=why):
        CostAndUsageReport(s3_emulator, f"s3://bill/{folder}", tmp_path).daily("dev", FIRST, LAST)


def test_a_bucket_that_may_not_be_read_is_said_in_one_message(
    s3_emulator: Any, tmp_path: Path
) -> None:
    with pytest.raises(ToolError, match="cannot be listed"):
        CostAndUsageReport(s3_emulator, "s3://no-such-bucket/x", tmp_path).daily("dev", DAY, DAY)
