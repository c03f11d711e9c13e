"""Stage `daily_cost_report`: usage, fixed infrastructure and bill of a day, against the budget."""

from collections.abc import Callable
from datetime import UTC, date, datetime, time
from decimal import Decimal
from typing import Any

from ray_platform.cost.estimate_lines import FixedCost
from ray_platform.cost.ledger import usage
from ray_platform.cost.ledger.usage_interval import milliseconds
from ray_platform.cost.money import Currency
from ray_platform.cost.report.cost_report import CostReport, daily_report, first_needed
from ray_platform.cost.report.reconciliation import AppliedEstimate, CostSource
from ray_platform.cost.session_parts import plan_costs, prices_of, usage_of
from ray_platform.records.records_store import PlanRecord
from ray_platform.records.stored_plan import stored_plan
from ray_platform.session.environment_session import EnvironmentSession
from ray_platform.text.canonical import canonical_json


def report_day(session: EnvironmentSession, day: date, tell: Callable[[str], None]) -> CostReport:
    """What a UTC day cost in an environment; for today, up to now. ``tell`` hears what is amiss.

    Raises:
        NotFoundError: an instance type without a price.
        ArtifactError: a damaged ledger.
        ToolError: the bill cannot be read.
    """
    now = datetime.now(UTC)
    if day == now.date():
        usage.look(session)
    until = now.timestamp() if day >= now.date() else None
    first = first_needed(day)
    usage.compact(session, datetime.combine(day, time(), UTC).timestamp(), tell)
    reading = usage_of(session).read(
        session.name, first, day, **({"until_ms": milliseconds(until)} if until else {})
    )
    applied = session.records.applied()
    costs = None
    if applied is not None:
        costs = plan_costs(
            session, stored_plan(session.records, session.records.plan(applied.plan_digest))
        )
    pools = session.environment.node_pools
    head = usage.head_pool(pools)
    observed = [pool.name for pool in pools if pool.ray_workers or pool == head]
    fixed = list(costs.fixed_costs(observed_pools=observed)) if costs else []
    if costs and head is not None and head.min_size > 1:
        # The ledger sees the node that carries the Ray head; the rest of its pool is paid too.
        beside = prices_of(session).hourly(head.instance_type, head.spot) * (head.min_size - 1)
        fixed.append(FixedCost(f"node pool {head.name}, beside the head's node", beside))
    source = bill_source(session)
    return daily_report(
        day,
        session.name,
        reading,
        prices_of(session),
        Decimal(str(session.environment.budget.monthly_usd)),
        fixed=fixed,
        volume_gb=costs.volume_gb if costs else None,
        fixed_since=standing_since(session),
        until=until,
        pools=pools,
        currency=currency(session),
        bill=source.daily(session.name, first, day) if source else None,
        bill_source=source.name if source else "",
        estimates=applied_estimates(session, datetime.combine(first, time(), UTC).timestamp()),
        unpriced=[item.address for item in costs.unpriced] if costs else (),
    )


def currency(session: EnvironmentSession) -> Currency:
    """What the environment's reports are written in."""
    chosen = session.environment.cost
    return Currency(chosen.currency, Decimal(str(chosen.rate)), chosen.rate_date)


def bill_source(session: EnvironmentSession) -> CostSource | None:
    """Where the environment's bill comes from; None where there is none, as with the emulator."""
    chosen = session.environment.cost
    if chosen.bill == "cur":
        from ray_platform.cost.usage_report_client import CostAndUsageReport

        return CostAndUsageReport(session.aws("s3"), chosen.cur_uri, session.home / "usage")
    if chosen.bill == "cost-explorer" and not session.cloud.is_disposable:
        from ray_platform.cost.cost_explorer_client import CostExplorerBill, cost_explorer

        return CostExplorerBill(cost_explorer())
    return None


def standing_since(session: EnvironmentSession) -> float | None:
    """When what stands was first applied, epoch seconds; None where nothing stands."""
    record = session.artifacts.read(f"environments/{session.name}/since.json")
    return float(record["since"]) if record else None


# Alerts ------------------------------------------------------------------------------------------


def fire_alerts(
    session: EnvironmentSession, report: CostReport, tell: Callable[[str], None]
) -> tuple[int, ...]:
    """Tell of each budget threshold that the month has reached, once a month each; return the new.

    The record is added before anything is told, which succeeds once whoever asks, and marked when it
    was told: a process killed in between leaves it to the next report. Only one killed between the
    telling and the mark lets a message come twice; the alert itself is still one record.

    Args:
        session: The environment.
        report: Its report, of any day of the month.
        tell: Is told a sentence.
    """
    month = report.day.strftime("%Y-%m")
    told = []
    for alert in report.alerts:
        key = f"alerts/{session.name}/{month}/{alert.percent}.json"
        if not alert.reached:
            continue
        fresh = {
            "percent": alert.percent,
            "month": month,
            "month_to_date_cents": report.month_to_date_cents,
            "currency": report.currency.code,
            "budget_usd": str(report.budget_usd),
            "at": datetime.now(UTC).isoformat(timespec="seconds"),
            "told": False,
        }
        session.artifacts.store.add(key, canonical_json(fresh))
        kept: dict[str, Any] = session.artifacts.read(key) or fresh
        if kept["told"]:
            continue
        tell(
            f"{session.name} has reached {alert.percent} % of its budget for {month}: "
            f"{report.currency.text(kept['month_to_date_cents'])} of "
            f"{report.currency.text(report.budget_cents)}"
        )
        session.artifacts.write(key, {**kept, "told": True})
        told.append(alert.percent)
    return tuple(told)


# Estimates ---------------------------------------------------------------------------------------


def remember_estimate(session: EnvironmentSession, record: PlanRecord) -> None:
    """Keep what a plan that has just been applied was estimated to cost, for a later look back."""
    totals = plan_costs(session, stored_plan(session.records, record)).totals
    now = datetime.now(UTC)
    session.artifacts.write(
        f"estimates/{session.name}/{now:%Y%m%dT%H%M%S}-{record.plan_digest}.json",
        {
            "plan_digest": record.plan_digest,
            "commit": record.commit.commit,
            "since": now.timestamp(),
            "low_usd": str(totals.after_min),
            "high_usd": str(totals.after_max),
            "price_book_version": record.price_book_version,
        },
    )


def applied_estimates(session: EnvironmentSession, since: float) -> tuple[AppliedEstimate, ...]:
    """The estimates of the plans that have stood since then, in the order of their applies.

    Args:
        session: The environment.
        since: Epoch seconds; what was replaced earlier is left out.
    """
    mark = f"{datetime.fromtimestamp(since, UTC):%Y%m%dT%H%M%S}"
    keys = sorted(session.artifacts.store.keys(f"estimates/{session.name}"))
    earlier = [key for key in keys if key.rsplit("/", 1)[1] < mark]
    found: dict[str, AppliedEstimate] = {}
    for key in [*earlier[-1:], *keys[len(earlier) :]]:
        kept = session.artifacts.read(key)
        if kept and kept["plan_digest"] not in found:  # a repeated apply is the same change
            found[kept["plan_digest"]] = AppliedEstimate(
                kept["plan_digest"],
                kept["commit"],
                kept["since"],
                Decimal(kept["low_usd"]),
                Decimal(kept["high_usd"]),
            )
    return tuple(found.values())
