"""The bill, from an AWS Cost and Usage Report: Parquet files that AWS delivers into S3.

Both layouts are read, told apart by their columns:

- CUR 2.0 (Data Exports), below ``EXPORT/data/BILLING_PERIOD=2026-11/``; tags are a map
  ``resource_tags`` of ``user_KEY`` (or ``user:KEY``) to value
  (https://docs.aws.amazon.com/cur/latest/userguide/table-dictionary-cur2.html);
- the legacy report with Athena integration, below ``REPORT/REPORT/year=2026/month=11/``; each tag is a
  column ``resource_tags_user_KEY``
  (https://docs.aws.amazon.com/cur/latest/userguide/data-dictionary.html).

In both, a tag's key is in lower case with ``_`` for what is neither letter nor digit, the day is that of
``line_item_usage_start_date`` (UTC), and the cost is ``line_item_unblended_cost`` of every line item type,
as in Cost Explorer. Where an export keeps its earlier executions, the newest of a month counts.
"""

import datetime as dt
import re
from collections.abc import Mapping
from decimal import Decimal
from pathlib import Path
from typing import Any

from ray_platform.cost.cost_explorer_client import UNTAGGED
from ray_platform.cost.ledger.usage_query import connect
from ray_platform.text.canonical import digest
from ray_platform.text.errors import ToolError

_PERIOD = re.compile(r"(?:BILLING_PERIOD=(\d{4})-(\d{2})|year=(\d{4})/month=(\d{1,2}))/", re.I)
_COSTS = """
SELECT CAST(line_item_usage_start_date AS DATE) AS day, {group} AS pool,
       sum(CAST(line_item_unblended_cost AS DECIMAL(28, 10))) AS cost,
       max(line_item_currency_code) AS currency, count(DISTINCT line_item_currency_code) AS currencies
FROM read_parquet($files, union_by_name = true)
WHERE {environment} = $environment AND day BETWEEN $first AND $last
GROUP BY ALL
"""
#: Days that the report covers at all: a day without our costs is a billed day of zero.
_DAYS = """
SELECT DISTINCT CAST(line_item_usage_start_date AS DATE) FROM read_parquet($files, union_by_name = true)
"""


class CostAndUsageReport:
    """A report's files in S3.

    Args:
        client: boto3's ``s3`` client.
        uri: ``s3://BUCKET/PREFIX``, above ``data/`` or the ``year=`` folders.
        cache: A folder for copies of the files.
        environment_tag: The tag that names the environment.
        group_by: The tag to group by.
    """

    name = "AWS Cost and Usage Report"

    def __init__(
        self,
        client: Any,
        uri: str,
        cache: Path,
        *,
        environment_tag: str = "environment",
        group_by: str = "ray-platform-pool",
    ) -> None:
        self.client = client
        self.bucket, _, self.prefix = uri.removeprefix("s3://").partition("/")
        self.cache = cache
        self.tags = (environment_tag, group_by)

    def daily(
        self, environment: str, first: dt.date, last: dt.date
    ) -> Mapping[dt.date, Mapping[str, Decimal]]:
        """US dollars by UTC day and tag value, of the billed days from ``first`` to ``last``.

        Raises:
            ToolError: the files cannot be read, are no such report, lack the tags, or are in another
                currency.
        """
        files = [str(self._fetch(item)) for item in self._listed(first, last)]
        if not files:
            return {}
        import duckdb

        try:
            with connect(self.cache) as connection:
                columns = self._columns(connection, files)
                wanted = {"environment": environment, "first": first, "last": last, "files": files}
                rows = connection.execute(_COSTS.format(**columns), wanted).fetchall()
                days = connection.execute(_DAYS, {"files": files}).fetchall()
        except duckdb.Error as error:
            raise self._failed(
                f"cannot be read: {error}", "see that it is a Parquet report"
            ) from error
        found: dict[dt.date, dict[str, Decimal]] = {
            day: {} for (day,) in days if first <= day <= last
        }
        for day, pool, cost, currency, currencies in rows:
            if currency != "USD" or currencies > 1:
                raise self._failed(f"is in {currency}, not in US dollars", 'set cost.bill = "none"')
            found[day][pool or UNTAGGED] = cost
        return found

    def _columns(self, connection: Any, files: list[str]) -> dict[str, str]:
        described = connection.execute(
            "DESCRIBE SELECT * FROM read_parquet($files, union_by_name = true)", {"files": files}
        ).fetchall()
        types = {name: kind for name, kind, *_ in described}
        keys = [re.sub(r"[^a-z0-9]", "_", tag.lower()) for tag in self.tags]
        if types.get("resource_tags", "").startswith("MAP"):
            # The keys' spelling differs between exports: as in the legacy columns, or as it was given.
            expressions = [
                f"coalesce(resource_tags['user_{key}'], resource_tags['user:{tag}'])"
                for key, tag in zip(keys, self.tags, strict=True)
            ]
        else:
            expressions = [f"resource_tags_user_{key}" for key in keys]
            # A column appears with the first resource that bears the tag.
            if expressions[0] not in types:
                raise self._failed(
                    f"has neither resource_tags nor {expressions[0]}",
                    f"activate the tag {self.tags[0]} for cost allocation in the billing console",
                )
            if expressions[1] not in types:
                expressions[1] = "CAST(NULL AS VARCHAR)"
        return {"environment": expressions[0], "group": expressions[1]}

    def _listed(self, first: dt.date, last: dt.date) -> list[Mapping[str, Any]]:
        """The objects of the months in question: of each month, the folder written last."""
        from botocore.exceptions import BotoCoreError, ClientError

        months: dict[tuple[int, int], dict[str, list[Mapping[str, Any]]]] = {}
        try:
            pages = self.client.get_paginator("list_objects_v2").paginate(
                Bucket=self.bucket, Prefix=self.prefix
            )
            for item in (item for page in pages for item in page.get("Contents", ())):
                period = _PERIOD.search(item["Key"])
                if period is None or not item["Key"].endswith(".parquet"):
                    continue
                year, month = (int(part) for part in period.groups() if part)
                if (first.year, first.month) <= (year, month) <= (last.year, last.month):
                    folder = item["Key"].rsplit("/", 1)[0]
                    months.setdefault((year, month), {}).setdefault(folder, []).append(item)
        except (ClientError, BotoCoreError) as error:
            raise self._failed(
                f"cannot be listed: {error}", "allow s3:ListBucket and s3:GetObject on its bucket"
            ) from error
        return [
            item
            for folders in months.values()
            for item in max(
                folders.values(), key=lambda items: max(i["LastModified"] for i in items)
            )
        ]

    def _fetch(self, item: Mapping[str, Any]) -> Path:
        """A copy of one object; AWS writes a month's files anew under the same names."""
        from botocore.exceptions import BotoCoreError, ClientError

        path = self.cache / f"cur-{digest([self.bucket, item['Key'], item['ETag']])[:32]}.parquet"
        if not path.exists():
            self.cache.mkdir(parents=True, exist_ok=True, mode=0o700)
            beside = path.with_suffix(".part")
            try:
                self.client.download_file(self.bucket, item["Key"], str(beside))
            except (ClientError, BotoCoreError, OSError) as error:
                raise self._failed(
                    f"cannot be fetched: {error}", "allow s3:GetObject on its bucket"
                ) from error
            beside.replace(path)
        return path

    def _failed(self, what: str, fix: str) -> ToolError:
        return ToolError(
            f"the Cost and Usage Report {what}", where=f"s3://{self.bucket}/{self.prefix}", fix=fix
        )
