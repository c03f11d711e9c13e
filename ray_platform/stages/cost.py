"""Stage `daily_cost_report`: usage, fixed infrastructure and bill of one day, against the budget."""

from datetime import UTC, date, datetime, time
from decimal import Decimal

from ray_platform.core.cost_report import CostReport, daily_report
from ray_platform.core.estimate import FixedCost, estimate
from ray_platform.stages import usage
from ray_platform.stages.gates import stored_plan
from ray_platform.stages.site import Site


def report_day(site: Site, day: date) -> CostReport:
    """What a UTC day cost in an environment; for today, up to now.

    Raises:
        NotFoundError: an instance type without a price.
        ArtifactError: a damaged ledger.
    """
    now = datetime.now(UTC)
    begin = datetime.combine(day, time(), UTC)
    if day == now.date():
        usage.look(site)
    ledger = usage.month_ledger(site, begin.timestamp())
    applied = site.records.applied()
    costs = None
    if applied is not None:
        costs = estimate(stored_plan(site, site.records.plan(applied.plan_digest)), site.prices)
    pools = site.environment.node_pools
    head = usage.head_pool(pools)
    observed = [pool.name for pool in pools if pool.ray_workers or pool == head]
    fixed = list(costs.fixed_costs(observed_pools=observed)) if costs else []
    if costs and head is not None and head.min_size > 1:
        # The ledger sees the node that carries the Ray head; the rest of its pool is paid too.
        beside = site.prices.hourly(head.instance_type, head.spot) * (head.min_size - 1)
        fixed.append(FixedCost(f"node pool {head.name}, beside the head's node", beside))
    return daily_report(
        day,
        site.name,
        ledger,
        site.prices,
        Decimal(str(site.environment.budget.monthly_usd)),
        _bill(site, day),
        fixed=fixed,
        volume_gb=costs.volume_gb if costs else None,
        fixed_since=standing_since(site),
        until=now.timestamp() if day >= now.date() else None,
    )


def standing_since(site: Site) -> float | None:
    """When what stands was first applied, epoch seconds; None where nothing stands."""
    record = site.artifacts.read(f"environments/{site.name}/since.json")
    return float(record["since"]) if record else None


def _bill(site: Site, day: date) -> dict[str, Decimal] | None:
    if site.environment.cloud.emulator:
        return None  # the emulator bills nobody
    from ray_platform.clients.aws_costs import daily_costs

    return daily_costs(site.aws("ce"), environment=site.name, day=day)
