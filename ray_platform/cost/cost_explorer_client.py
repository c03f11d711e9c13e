"""The bill, from AWS Cost Explorer: unblended US dollars of days by the value of a tag.

A tag groups costs only after it was activated for cost allocation in the billing console, and AWS
brings a day's costs up to a day late. Each request costs 0.01 US dollars.
Source: https://aws.amazon.com/aws-cost-management/aws-cost-explorer/pricing/
"""

import datetime as dt
from collections.abc import Iterator, Mapping
from decimal import Decimal
from typing import Any, Protocol

from ray_platform.text.errors import ToolError

UNTAGGED = "(untagged)"
#: Cost Explorer has one endpoint for all regions.
_REGION = "us-east-1"
_METRIC = "UnblendedCost"
#: Tries of one request, with back-off: Cost Explorer throttles early.
_ATTEMPTS = 6
_TIMEOUT_SECONDS = 20


class CostExplorer(Protocol):
    """What is used of boto3's ``ce`` client."""

    def get_cost_and_usage(self, **parameters: Any) -> Mapping[str, Any]:
        """https://docs.aws.amazon.com/aws-cost-management/latest/APIReference/API_GetCostAndUsage.html"""
        ...


def cost_explorer(endpoint_url: str | None = None) -> CostExplorer:
    """boto3's client, with retries and time limits; credentials as boto3 finds them."""
    import boto3
    from botocore.config import Config

    config = Config(
        retries={"max_attempts": _ATTEMPTS, "mode": "standard"},
        connect_timeout=_TIMEOUT_SECONDS,
        read_timeout=_TIMEOUT_SECONDS,
    )
    client: CostExplorer = boto3.client(
        "ce", region_name=_REGION, endpoint_url=endpoint_url, config=config
    )
    return client


class CostExplorerBill:
    """The bill by the value of a tag; one request for all days that are asked for.

    Args:
        client: Cost Explorer.
        environment_tag: The tag that names the environment.
        group_by: The tag to group by.
    """

    name = "AWS Cost Explorer"

    def __init__(
        self,
        client: CostExplorer,
        *,
        environment_tag: str = "environment",
        group_by: str = "ray-platform-pool",
    ) -> None:
        self.client = client
        self.tags = (environment_tag, group_by)

    def daily(
        self, environment: str, first: dt.date, last: dt.date
    ) -> Mapping[dt.date, Mapping[str, Decimal]]:
        """US dollars by UTC day and tag value, of the billed days from ``first`` to ``last``.

        What has no such tag is under ``(untagged)``. A day of which AWS has no costs (yet) is left out.

        Raises:
            ToolError: no credentials, no permission, throttled for good, not reachable, or a bill in
                another currency.
        """
        out: dict[dt.date, dict[str, Decimal]] = {}
        for page in _pages(self.client, first, last, environment, *self.tags):
            for period in page.get("ResultsByTime", ()):
                day = dt.date.fromisoformat(period["TimePeriod"]["Start"])
                for group in period.get("Groups", ()):
                    # Cost Explorer spells a group of a tag "tag$value".
                    name = group["Keys"][0].partition("$")[2] or UNTAGGED
                    metric = group["Metrics"][_METRIC]
                    if metric.get("Unit", "USD") != "USD":
                        raise ToolError(
                            f"the bill is in {metric['Unit']}; it is read in US dollars",
                            where="AWS Cost Explorer",
                            fix='set cost.bill = "none" for this environment',
                        )
                    groups = out.setdefault(day, {})
                    groups[name] = groups.get(name, Decimal(0)) + Decimal(metric["Amount"])
        return out


def _pages(
    client: CostExplorer,
    first: dt.date,
    last: dt.date,
    environment: str,
    environment_tag: str,
    group_by: str,
) -> Iterator[Mapping[str, Any]]:
    from botocore.exceptions import BotoCoreError, ClientError

    parameters: dict[str, Any] = {
        # The end is not included.
        "TimePeriod": {"Start": str(first), "End": str(last + dt.timedelta(days=1))},
        "Granularity": "DAILY",
        "Metrics": [_METRIC],
        "Filter": {"Tags": {"Key": environment_tag, "Values": [environment]}},
        "GroupBy": [{"Type": "TAG", "Key": group_by}],
    }
    while True:
        try:
            page = client.get_cost_and_usage(**parameters)
        except ClientError as error:
            code = error.response.get("Error", {}).get("Code", "")
            raise ToolError(
                f"AWS Cost Explorer refused: {code or error}",
                where=f"costs of {environment} from {first} to {last}",
                fix="allow ce:GetCostAndUsage, and switch Cost Explorer on for the account",
            ) from error
        except BotoCoreError as error:
            raise ToolError(
                f"AWS Cost Explorer does not answer: {error}",
                where=f"costs of {environment} from {first} to {last}",
                fix="check the AWS credentials and the network",
            ) from error
        yield page
        if not page.get("NextPageToken"):
            return
        parameters["NextPageToken"] = page["NextPageToken"]
