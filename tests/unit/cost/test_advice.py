"""Advice names what to change, its dollars and its evidence, and keeps quiet otherwise."""

import datetime as dt
from decimal import Decimal
from typing import Any

from ray_platform.config.node_pools import NodePool
from ray_platform.cost.estimate_lines import FixedCost
from ray_platform.cost.ledger.usage_interval import DAY_MS, HOUR_MS, HourTotal, Reading, UsageTotal
from ray_platform.cost.price_book import load_price_book
from ray_platform.cost.report.advice import COMMIT_HOURS, Advice, advise

DAY = dt.date(2026, 11, 2)
BOOK = load_price_book()


def total(hours: float, kind: Any, pool: str, type_: str, spot: bool = False) -> UsageTotal:
    runs = ("r",) if kind == "run" else ()
    return UsageTotal(DAY, "dev", kind, pool, type_, spot, runs, round(hours * HOUR_MS))


def hour(at: int, pool: str, type_: str, nodes: float, held: float = 0, **more: Any) -> HourTotal:
    fields = {"spot": False, "overhead": False, **more}
    return HourTotal(
        at * HOUR_MS,
        pool,
        type_,
        held_ms=round(held * HOUR_MS),
        node_ms=round(nodes * HOUR_MS),
        **fields,
    )


def found(reading: Reading, about: str, pools: tuple[NodePool, ...] = ()) -> list[Advice]:
    return [item for item in advise(reading, (), 0, BOOK, pools) if about in item.title]


def test_idle_gpu_hours() -> None:
    (item,) = found(Reading((total(2, "idle", "gpu", "g4dn.xlarge"),)), "idle GPU")
    assert item.usd == Decimal("1.05")
    assert "2.00 of 2.00 node-hours (100%)" in item.evidence


def test_idle_nodes_below_a_third_are_let_be() -> None:
    few = (total(1, "idle", "cpu", "m5.xlarge"), total(9, "run", "cpu", "m5.xlarge"))
    assert not found(Reading(few), "idle nodes")


def test_a_pool_whose_runs_never_reach_its_minimum() -> None:
    pool = NodePool("cpu", ("m5.xlarge",), 4, 10)
    hours = tuple(hour(at, "cpu", "m5.xlarge", 4) for at in range(30))
    (item,) = found(Reading(hours=hours, peaks={"cpu": 2}), "min_size", (pool,))
    assert item.title == "Lower min_size of cpu from 4 to 2"
    assert item.usd == Decimal("11.52")  # 2 nodes x 30 hours x 0.192
    assert not found(Reading(hours=hours, peaks={"cpu": 4}), "min_size", (pool,))
    assert not found(Reading(hours=hours[:20], peaks={"cpu": 2}), "min_size", (pool,))


def test_spot_with_the_rate_of_interruptions_that_was_seen() -> None:
    totals = (total(10, "run", "cpu", "m5.xlarge"), total(200, "run", "s", "m5.xlarge", True))
    (item,) = found(Reading(totals, lost={("s", True): 3, ("cpu", False): 9}), "spot")
    assert item.usd == Decimal("1.25")  # 1.92 x (1 - 0.35)
    assert "3 nodes were lost in 200.00 spot node-hours (1.50 in 100)" in item.evidence
    (unknown,) = found(Reading(totals[:1]), "spot")
    assert "no interruption rate is known" in unknown.evidence


def test_graviton_of_the_same_size() -> None:
    (item,) = found(Reading((total(100, "run", "cpu", "m5.xlarge"),)), "Graviton")
    assert "m6g.xlarge" in item.title
    assert item.usd == Decimal("3.80")  # 100 x (0.192 - 0.154)
    assert not found(Reading((total(100, "run", "gpu", "g4dn.xlarge"),)), "Graviton")


def test_a_head_that_is_larger_than_its_cluster_needs() -> None:
    head = hour(0, "system", "m6i.2xlarge", 1, overhead=True)
    (item,) = found(Reading(hours=(head, hour(0, "cpu", "m5.xlarge", 3))), "head")
    assert item.usd == Decimal("0.29")  # 0.384 - 0.096
    assert not found(Reading(hours=(head, hour(0, "cpu", "m5.xlarge", 50))), "head")
    assert not found(Reading(hours=(hour(0, "system", "m6i.large", 1, overhead=True),)), "head")


def test_a_commitment_to_what_was_never_undercut() -> None:
    hours = [hour(at, "cpu", "m5.xlarge", 2 + at % 5) for at in range(COMMIT_HOURS + 2)]
    (item,) = found(Reading(hours=tuple(hours)), "Commit")
    assert item.usd == (Decimal("0.384") * Decimal("0.27") * 72).quantize(Decimal("0.01"))
    assert "never cost less than $0.384 an hour in 72 hours" in item.evidence
    del hours[20]  # an hour without a node: nothing is always there
    assert not found(Reading(hours=tuple(hours)), "Commit")
    assert not found(Reading(hours=tuple(hours[:30])), "Commit")


def test_a_control_plane_past_its_standard_support() -> None:
    # By the service's name in the price book: the text is for people, and may be any other.
    fixed = (FixedCost("The cluster's brain", Decimal("0.60"), "eks_control_plane"),)
    (item,) = advise(Reading(), fixed, 2 * DAY_MS, BOOK, ())
    assert item.title.startswith("Upgrade Kubernetes")
    assert item.usd == Decimal("24.00")


def test_nothing_below_a_cent_is_worth_a_word() -> None:
    assert not advise(Reading((total(0.001, "idle", "gpu", "g4dn.xlarge"),)), (), 0, BOOK, ())
