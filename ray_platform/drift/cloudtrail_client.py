"""Who changed what and when, from AWS CloudTrail's event history: ``LookupEvents``.

It keeps the management events of 90 days, at no cost, without a trail having been set up; an event shows
up to 15 minutes after the call. Two requests a second are allowed for an account and region, so what
drifted is asked for by its names, a bounded number of them, instead of reading everything.
Source: https://docs.aws.amazon.com/awscloudtrail/latest/APIReference/API_LookupEvents.html
"""

import datetime as dt
import json
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Protocol

from ray_platform.drift.trail import TrailEvent, read_event
from ray_platform.text.errors import ToolError

#: Names that one look asks for at the most: at two requests a second, half a minute.
MAX_NAMES = 60
#: Pages of 50 events of one name.
_MAX_PAGES = 4
_KEPT_DAYS = 90
_ATTEMPTS = 8
_TIMEOUT_SECONDS = 20


class CloudTrail(Protocol):
    """What is used of boto3's ``cloudtrail`` client."""

    def lookup_events(self, **parameters: Any) -> Mapping[str, Any]: ...


def cloudtrail(region: str, endpoint_url: str | None = None) -> CloudTrail:
    """boto3's client, with retries that wait (it is throttled early) and time limits."""
    import boto3
    from botocore.config import Config

    config = Config(
        retries={"max_attempts": _ATTEMPTS, "mode": "adaptive"},
        connect_timeout=_TIMEOUT_SECONDS,
        read_timeout=_TIMEOUT_SECONDS,
    )
    client: CloudTrail = boto3.client(
        "cloudtrail", region_name=region, endpoint_url=endpoint_url, config=config
    )
    return client


def events_of(
    client: CloudTrail, names: Iterable[str], *, since: dt.datetime
) -> tuple[TrailEvent, ...]:
    """Calls since a time that were not read-only and name one of these resources, oldest first.

    Args:
        client: CloudTrail of one region; IAM's calls are in us-east-1's alone.
        names: Ids, ARNs or names; of more than `MAX_NAMES` the first count.
        since: Aware; the history holds 90 days.

    Raises:
        ToolError: no credentials, no permission, throttled for good, or not reachable.
    """
    oldest = dt.datetime.now(dt.UTC) - dt.timedelta(days=_KEPT_DAYS)
    found: dict[str, TrailEvent] = {}
    for name in list(dict.fromkeys(names))[:MAX_NAMES]:
        for item in _items(client, name, max(since, oldest)):
            if (event := _event(item)) is not None:
                found[event.id] = event
    return tuple(sorted(found.values(), key=lambda event: (event.time, event.id)))


def _items(client: CloudTrail, name: str, since: dt.datetime) -> Iterator[Mapping[str, Any]]:
    from botocore.exceptions import BotoCoreError, ClientError

    parameters: dict[str, Any] = {
        # LookupEvents takes one attribute a request; what was only read is left out below.
        "LookupAttributes": [{"AttributeKey": "ResourceName", "AttributeValue": name}],
        "StartTime": since,
        "MaxResults": 50,
    }
    for _ in range(_MAX_PAGES):
        try:
            page = client.lookup_events(**parameters)
        except ClientError as error:
            code = error.response.get("Error", {}).get("Code", "")
            raise ToolError(
                f"AWS CloudTrail refused: {code or error}",
                where=f"events of {name}",
                fix="allow cloudtrail:LookupEvents to the role that looks for drift",
            ) from error
        except BotoCoreError as error:
            raise ToolError(
                f"AWS CloudTrail does not answer: {error}",
                where=f"events of {name}",
                fix="check the AWS credentials and the network",
            ) from error
        yield from page.get("Events", ())
        if not page.get("NextToken"):
            return
        parameters["NextToken"] = page["NextToken"]


def _event(item: Mapping[str, Any]) -> TrailEvent | None:
    """The event, or None where it only read or was refused."""
    try:
        detail = json.loads(item.get("CloudTrailEvent") or "{}")
    except ValueError:
        detail = {}
    read_only = str(item.get("ReadOnly", detail.get("readOnly", "false"))).lower() == "true"
    if read_only or detail.get("errorCode"):
        return None
    time = item.get("EventTime")
    told = (
        time.astimezone(dt.UTC).isoformat(timespec="seconds")
        if isinstance(time, dt.datetime)
        else str(time or "")
    )
    return read_event({**item, "EventTime": told}, detail)
