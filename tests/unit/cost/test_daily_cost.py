"""Usage is written while it happens, alerts are told once, estimates are remembered: also by a process
that is killed."""

import datetime as dt
import json
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from decimal import Decimal
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from ray_platform.config.environment_file import EnvironmentFile
from ray_platform.config.settings import Settings
from ray_platform.cost.daily_cost import applied_estimates, bill_source, fire_alerts
from ray_platform.cost.estimate_lines import FixedCost
from ray_platform.cost.ledger.usage import price_run, usages, watching
from ray_platform.cost.ledger.usage_interval import Reading, day_of
from ray_platform.cost.price_book import load_price_book
from ray_platform.cost.report.cost_report import CostReport, daily_report
from ray_platform.cost.session_parts import usage_of
from ray_platform.ray.cluster_client import RayNode, describe_cluster
from ray_platform.ray.endpoint import RayEndpoint
from ray_platform.session.environment_session import EnvironmentSession, open_session

ROOT = Path(__file__).resolve().parents[3]
NOW = float(int(time.time()))
START = NOW - 60


@pytest.fixture
def session(tmp_path: Path) -> EnvironmentSession:
    return open_session(Settings(ROOT, tmp_path / "home", {}), "local")


class Cluster:
    """A Ray dashboard that says what it is told to; `address` is where it answers."""

    def __init__(self) -> None:
        self.nodes: list[dict[str, Any]] = [
            self.node("h", is_head_node=True),
            self.node("w1", group="cpu"),
        ]
        cluster = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                answer: Any = {"ray_version": "2.60.0", "session_name": "s"}
                if "/nodes" in self.path:
                    answer = {"data": {"result": {"result": cluster.nodes}}}
                content = json.dumps(answer).encode()
                self.send_response(200)
                self.send_header("Content-Length", str(len(content)))
                self.end_headers()
                self.wfile.write(content)

            def log_message(self, *_: Any) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.address = f"http://127.0.0.1:{self.server.server_port}"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    @staticmethod
    def node(name: str, group: str = "", **more: Any) -> dict[str, Any]:
        return {
            "node_id": name,
            "state": "ALIVE",
            "start_time_ms": round(START * 1000),
            "labels": {"ray.io/node-group": group},
            **more,
        }


@pytest.fixture
def cluster() -> Iterator[Cluster]:
    made = Cluster()
    yield made
    made.server.shutdown()
    made.server.server_close()


def shares(session: EnvironmentSession) -> dict[str, float]:
    found: dict[str, float] = {}
    today = dt.datetime.now(dt.UTC).date()
    for total in usage_of(session).read(session.name, today - dt.timedelta(1), today).totals:
        name = "+".join(total.runs) or total.kind
        found[name] = found.get(name, 0) + total.node_ms / 1000
    return found


def until(condition: Any, what: str) -> None:
    deadline = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < deadline, what
        time.sleep(0.02)


def test_a_run_holds_the_workers_and_never_the_head(session: EnvironmentSession) -> None:
    nodes = [
        RayNode("h", "head", "", START, None, {}, lost=False),
        RayNode("w", "cpu", "", START, None, {}, lost=False),
        RayNode("gone", "cpu", "", START, START + 10, {}, lost=False),
    ]
    usage_of(session).append(
        usages(session, nodes, seen=NOW, run_id="r", window=(START + 20, START + 50))
    )
    assert shares(session) == {"overhead": 60, "idle": 40, "r": 30}
    seconds, usd = price_run(session, "r", START, NOW)
    assert (seconds, usd) == (30, Decimal("0.001600"))  # 30 s of 0.192 an hour


def test_nodes_that_come_and_go_are_written_while_the_run_is_on(
    session: EnvironmentSession, cluster: Cluster
) -> None:
    endpoint = RayEndpoint(cluster.address, None, describe_cluster(cluster.address))
    with watching(session, endpoint, "r", pytest.fail, every=0.02):
        until(lambda: "r" in shares(session), "the first node was not written")
        started = len(session.artifacts.store.keys("usage"))
        dead = {"state": "DEAD", "end_time_ms": round(time.time() * 1000)}
        lost = {"state_message": "Unexpected termination: health check failed"}
        cluster.nodes[1] |= {**dead, **lost}
        cluster.nodes.append(cluster.node("w2", "cpu"))
        until(
            lambda: len(session.artifacts.store.keys("usage")) > started + 1, "a change was missed"
        )
    today = day_of(round(NOW * 1000))
    reading = usage_of(session).read("local", today, dt.datetime.now(dt.UTC).date())
    assert reading.lost == {("cpu", False): 1}
    assert shares(session)["idle"] >= 119  # both workers, before the run began


def test_a_cluster_that_does_not_answer_does_not_end_the_run(
    session: EnvironmentSession, cluster: Cluster
) -> None:
    endpoint = RayEndpoint("http://127.0.0.1:9", None, describe_cluster(cluster.address))
    told: list[str] = []
    with watching(session, endpoint, "r", told.append, every=0.02):
        until(lambda: told, "nobody was told")
    assert len(told) == 2
    assert "cannot be written at the moment" in told[0]


def test_a_run_that_is_killed_keeps_its_usage(
    session: EnvironmentSession, cluster: Cluster
) -> None:
    code = (
        "import sys, time; from pathlib import Path\n"
        "from ray_platform.ray.cluster_client import describe_cluster\n"
        "from ray_platform.config.settings import Settings\n"
        "from ray_platform.ray.endpoint import RayEndpoint\n"
        "from ray_platform.session.environment_session import open_session\n"
        "from ray_platform.cost.ledger.usage import watching\n"
        "root, home, address = sys.argv[1:]\n"
        "session = open_session(Settings(Path(root), Path(home), {}), 'local')\n"
        "endpoint = RayEndpoint(address, None, describe_cluster(address))\n"
        "with watching(session, endpoint, 'killed', print, every=0.02): time.sleep(600)\n"
    )
    child = subprocess.Popen(
        [sys.executable, "-c", code, str(ROOT), str(session.home), cluster.address], cwd=ROOT
    )
    try:
        until(lambda: shares(session).get("killed"), "nothing was written")
    finally:
        child.kill()
        child.wait()
    found = shares(session)
    assert found["killed"] > 0
    assert found["idle"] >= 59


# Alerts ------------------------------------------------------------------------------------------

DAY = dt.date(2026, 11, 2)
FIXED = (FixedCost("NAT", Decimal("1")),)  # 48 dollars by the end of the second


def report(budget: float, day: dt.date = DAY) -> CostReport:
    return daily_report(day, "local", Reading(), load_price_book(), budget, fixed=FIXED)


def test_each_alert_is_told_once_a_month(session: EnvironmentSession) -> None:
    said: list[str] = []
    assert fire_alerts(session, report(1000), said.append) == ()
    assert fire_alerts(session, report(55), said.append) == (80,)
    assert fire_alerts(session, report(50), said.append) == (90,)
    assert fire_alerts(session, report(10), said.append) == (100,)
    assert fire_alerts(session, report(10), said.append) == ()
    assert said[0] == "local has reached 80 % of its budget for 2026-11: $48.00 of $55.00"
    assert len(said) == 3
    assert fire_alerts(session, report(20, dt.date(2026, 12, 1)), said.append) == (80, 90, 100)


class Killed(BaseException):
    """Stands for `kill -9`."""


def test_an_alert_whose_teller_was_killed_is_told_by_the_next_report(
    session: EnvironmentSession,
) -> None:
    def killed(_: str) -> None:
        raise Killed

    with pytest.raises(Killed):
        fire_alerts(session, report(55), killed)
    said: list[str] = []
    assert fire_alerts(session, report(55), said.append) == (80,)
    assert fire_alerts(session, report(55), said.append) == ()
    assert len(said) == len(session.artifacts.store.keys("alerts")) == 1


# Estimates and bills -----------------------------------------------------------------------------


def test_estimates_are_those_that_stood_in_the_days_that_are_looked_at(
    session: EnvironmentSession,
) -> None:
    for number, (day, plan) in enumerate((("01", "a"), ("05", "b"), ("09", "c"), ("09", "c"))):
        session.artifacts.write(
            f"estimates/local/202611{day}T00000{number}-{plan}.json",
            {
                "plan_digest": plan,
                "commit": "0a1b2c3",
                "since": dt.datetime(2026, 11, int(day), tzinfo=dt.UTC).timestamp(),
                "low_usd": "10.00",
                "high_usd": "20.00",
            },
        )
    since = dt.datetime(2026, 11, 7, tzinfo=dt.UTC).timestamp()
    found = applied_estimates(session, since)
    assert [item.plan_digest for item in found] == ["b", "c"]
    assert (found[0].low_usd, found[0].high_usd) == (Decimal("10.00"), Decimal("20.00"))


def test_where_an_emulator_stands_in_for_aws_there_is_no_bill(session: EnvironmentSession) -> None:
    assert bill_source(session) is None


@pytest.mark.parametrize(
    "cost",
    [
        {"currency": "INR", "rate": 88.6},
        {"rate": 2.0},
        {"bill": "cur"},
        {"cur_uri": "s3://b/p"},
        {"currency": "XAU"},
        {"bill": "cur", "cur_uri": "/a/folder"},
    ],
)
def test_cost_settings_that_do_not_fit_together_are_refused(cost: dict[str, Any]) -> None:
    field = EnvironmentFile.model_fields["cost"].annotation
    assert field is not None
    with pytest.raises(ValueError, match=r"Cost"):
        field.model_validate(cost)
    field.model_validate({"currency": "INR", "rate": 88.6, "rate_date": dt.date(2026, 11, 1)})
