"""The bill is read by boto3 from a Cost Explorer over HTTP (the AWS emulator's), page by page."""

import datetime as dt
import json
import urllib.request
from collections.abc import Iterator
from decimal import Decimal
from typing import Any

import pytest

from ray_platform.cost.cost_explorer_client import CostExplorer, CostExplorerBill, cost_explorer
from ray_platform.text.errors import ToolError

pytestmark = pytest.mark.real

DAY = dt.date(2026, 11, 20)


@pytest.fixture(scope="module")
def emulator() -> Iterator[str]:
    from moto.server import ThreadedMotoServer

    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    yield f"http://{host}:{port}"
    server.stop()


@pytest.fixture
def client(emulator: str, monkeypatch: pytest.MonkeyPatch) -> CostExplorer:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "emulator")
    urllib.request.urlopen(  # noqa: S310
        urllib.request.Request(f"{emulator}/moto-api/reset", method="POST")  # noqa: S310
    )
    return cost_explorer(emulator)


def bill(emulator: str, *pages: dict[str, Any]) -> None:
    """Tells the emulator what to answer, one page a request."""
    request = urllib.request.Request(  # noqa: S310
        f"{emulator}/moto-api/static/ce/cost-and-usage-results",
        data=json.dumps({"results": list(pages)}).encode(),
        headers={"Content-Type": "application/json"},
    )
    assert urllib.request.urlopen(request).status == 201  # noqa: S310


def page(unit: str = "USD", token: str = "", **amounts: str) -> dict[str, Any]:
    groups = [
        {
            "Keys": [f"ray-platform-pool${name if name != 'none' else ''}"],
            "Metrics": {"UnblendedCost": {"Amount": amount, "Unit": unit}},
        }
        for name, amount in amounts.items()
    ]
    period = {"TimePeriod": {"Start": "2026-11-20", "End": "2026-11-21"}, "Groups": groups}
    return {"ResultsByTime": [period], **({"NextPageToken": token} if token else {})}


def test_every_page_is_read_and_cents_are_exact(emulator: str, client: CostExplorer) -> None:
    bill(emulator, page(token="p2", cpu="1.1000000001", none="0.3"), page(cpu="0.1", gpu="2"))
    assert CostExplorerBill(client).daily("dev", DAY, DAY) == {
        DAY: {"cpu": Decimal("1.2000000001"), "(untagged)": Decimal("0.3"), "gpu": Decimal("2")}
    }


def test_a_day_without_costs_is_left_out(client: CostExplorer) -> None:
    assert CostExplorerBill(client).daily("dev", DAY, DAY) == {}


def test_another_currency_is_refused(emulator: str, client: CostExplorer) -> None:
    bill(emulator, page(unit="EUR", cpu="1"))
    with pytest.raises(ToolError, match="EUR"):
        CostExplorerBill(client).daily("dev", DAY, DAY)


def test_one_request_asks_for_all_days_one_environment_and_the_tag() -> None:
    class Recorder:
        asked: dict[str, Any]

        def get_cost_and_usage(self, **parameters: Any) -> dict[str, Any]:
            self.asked = parameters
            return {}

    recorder = Recorder()
    first = DAY.replace(day=1)
    CostExplorerBill(recorder, group_by="pool").daily("dev", first, DAY)
    assert recorder.asked["TimePeriod"] == {"Start": "2026-11-01", "End": "2026-11-21"}
    assert recorder.asked["Filter"] == {"Tags": {"Key": "environment", "Values": ["dev"]}}
    assert recorder.asked["GroupBy"] == [{"Type": "TAG", "Key": "pool"}]


def test_an_endpoint_that_is_not_there_is_said_in_one_message(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    import boto3
    from botocore.config import Config

    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "emulator")
    client = boto3.client(
        "ce",
        region_name="us-east-1",
        endpoint_url="http://127.0.0.1:9",
        config=Config(retries={"total_max_attempts": 1}),
    )
    with pytest.raises(ToolError, match="does not answer"):
        CostExplorerBill(client).daily("dev", DAY, DAY)
