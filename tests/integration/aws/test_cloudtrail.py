"""Who changed it is read by boto3 from a server that speaks LookupEvents, page by page."""

import datetime as dt
import json
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from ray_platform.drift.cloudtrail_client import CloudTrail, cloudtrail, events_of
from ray_platform.drift.trail import explaining_event
from ray_platform.text.errors import ToolError

pytestmark = pytest.mark.real

SINCE = dt.datetime.now(dt.UTC) - dt.timedelta(days=2)
NOW = dt.datetime.now(dt.UTC).timestamp()


def call(name: str, resource: str, who: str = "ann", **detail: Any) -> dict[str, Any]:
    """An event as the service's JSON has it: the time in epoch seconds, the rest as a text in it."""
    identity = {
        "type": "AssumedRole",
        "sessionContext": {"sessionIssuer": {"userName": "Admin"}},
    }
    told = {
        "userIdentity": identity,
        "userAgent": "console.amazonaws.com",
        "requestParameters": {"groupId": resource},
        "readOnly": False,
        **detail,
    }
    return {
        "EventId": f"{name}-{resource}-{who}",
        "EventName": name,
        "ReadOnly": str(told["readOnly"]).lower(),
        "EventTime": NOW,
        "EventSource": "ec2.amazonaws.com",
        "Username": who,
        "Resources": [{"ResourceType": "AWS::EC2::SecurityGroup", "ResourceName": resource}],
        "CloudTrailEvent": json.dumps(told),
    }


@dataclass
class Trail:
    """What the server holds, how much of it goes on a page, and what it was asked."""

    url: str = ""
    events: list[dict[str, Any]] = field(default_factory=list)
    page: int = 50
    refuse: str = ""
    asked: list[dict[str, Any]] = field(default_factory=list)

    def answer(self, asked: dict[str, Any]) -> tuple[int, dict[str, Any]]:
        self.asked.append(asked)
        if self.refuse:
            return 400, {"__type": self.refuse, "message": "no"}
        (wanted,) = asked["LookupAttributes"]
        assert wanted["AttributeKey"] == "ResourceName"
        found = [
            event
            for event in self.events
            if event["EventTime"] >= asked["StartTime"]
            and wanted["AttributeValue"] in {r["ResourceName"] for r in event["Resources"]}
        ]
        start = int(asked.get("NextToken", 0))
        end = start + self.page
        more = {"NextToken": str(end)} if end < len(found) else {}
        return 200, {"Events": found[start:end], **more}


@pytest.fixture
def trail() -> Iterator[Trail]:
    held = Trail()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            assert self.headers["X-Amz-Target"].endswith("CloudTrail_20131101.LookupEvents")
            length = int(self.headers["Content-Length"])
            status, answer = held.answer(json.loads(self.rfile.read(length)))
            body = json.dumps(answer).encode()
            self.send_response(status)
            self.send_header("Content-Type", "application/x-amz-json-1.1")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    held.url = f"http://127.0.0.1:{server.server_address[1]}"
    yield held
    server.shutdown()
    server.server_close()
    thread.join()


@pytest.fixture
def client(trail: Trail, monkeypatch: pytest.MonkeyPatch) -> CloudTrail:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "emulator")
    return cloudtrail("us-east-1", trail.url)


def test_who_opened_a_security_group_is_told_with_role_and_time(
    trail: Trail, client: CloudTrail
) -> None:
    trail.events = [
        call("AuthorizeSecurityGroupIngress", "sg-1"),
        call("CreateTags", "sg-1", "bob"),
    ]
    found = explaining_event(
        events_of(client, ["sg-1"], since=SINCE), "aws_security_group", {"id": "sg-1"}
    )
    assert found is not None
    assert found.tell().startswith("ann (role Admin) called AuthorizeSecurityGroupIngress at 20")
    assert found.by_person


def test_every_page_is_read_and_each_event_counts_once(trail: Trail, client: CloudTrail) -> None:
    trail.events = [call("AuthorizeSecurityGroupIngress", "sg-1", f"p{n}") for n in range(5)]
    trail.page = 2
    found = events_of(client, ["sg-1", "sg-1", "sg-2"], since=SINCE)
    assert {event.who for event in found} == {f"p{n}" for n in range(5)}
    assert len(trail.asked) == 4  # three pages of sg-1, one of sg-2


def test_what_only_read_or_was_refused_is_left_out(trail: Trail, client: CloudTrail) -> None:
    trail.events = [
        call("DescribeSecurityGroups", "sg-1", readOnly=True),
        call("RevokeSecurityGroupIngress", "sg-1", errorCode="AccessDenied"),
    ]
    assert events_of(client, ["sg-1"], since=SINCE) == ()


def test_a_refusal_is_one_message_with_the_missing_right(trail: Trail, client: CloudTrail) -> None:
    trail.refuse = "AccessDeniedException"
    with pytest.raises(ToolError, match="AccessDeniedException") as raised:
        events_of(client, ["sg-1"], since=SINCE)
    assert "cloudtrail:LookupEvents" in raised.value.fix


def test_an_endpoint_that_is_not_there_is_one_message(monkeypatch: pytest.MonkeyPatch) -> None:
    import boto3
    from botocore.config import Config

    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "emulator")
    nowhere: Any = boto3.client(
        "cloudtrail",
        region_name="us-east-1",
        endpoint_url="http://127.0.0.1:9",
        config=Config(retries={"total_max_attempts": 1}),
    )
    with pytest.raises(ToolError, match="does not answer"):
        events_of(nowhere, ["sg-1"], since=SINCE)
