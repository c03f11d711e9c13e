"""Unit costs: dollars for a training run, for 1,000 tasks, for a GPU hour used and one paid."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from decimal import Decimal

from ray_platform.config.node_pools import INSTANCE_TYPES
from ray_platform.cost.ledger.usage_interval import HOUR_MS, UsageTotal
from ray_platform.cost.report.day_costs import CostPart

_TENTH_MILL = Decimal("0.0001")


@dataclass(frozen=True)
class UnitCosts:
    """US dollars, None where there was nothing to divide by. Run costs are nodes and volumes alone.

    ``gpu_hours_paid`` are GPU hours of nodes that were up, ``gpu_hours_used`` those that runs held;
    ``usd_per_gpu_hour_used`` carries the idle ones too.
    """

    runs: int
    usd_per_run: Decimal | None
    tasks: int
    usd_per_1000_tasks: Decimal | None
    gpu_hours_paid: Decimal
    gpu_hours_used: Decimal
    usd_per_gpu_hour_paid: Decimal | None
    usd_per_gpu_hour_used: Decimal | None


def unit_costs(
    parts: Iterable[CostPart], totals: Iterable[UsageTotal], tasks: Mapping[str, int]
) -> UnitCosts:
    """Over the parts of some days and the node time that they were made from.

    Args:
        parts: Parts of any number of days.
        totals: The node time of the same days.
        tasks: Finished tasks of each run that tells. The cost of 1,000 is that of these runs.
    """
    by_run: dict[str, Decimal] = {}
    by_pool: dict[str, Decimal] = {}
    for part in parts:
        if part.kind == "run":
            by_run[part.run_id] = by_run.get(part.run_id, Decimal(0)) + part.usd
        if part.kind in ("run", "idle"):
            by_pool[part.name] = by_pool.get(part.name, Decimal(0)) + part.usd
    paid = used = 0
    pools = set()
    for total in totals:
        gpus = INSTANCE_TYPES.get(total.instance_type, (0, 0, 0))[2]
        if gpus and total.kind != "overhead":
            pools.add(total.pool)
            paid += total.node_ms * gpus
            used += total.node_ms * gpus if total.kind == "run" else 0
    gpu_usd = sum((by_pool.get(pool, Decimal(0)) for pool in pools), Decimal(0))
    counted = {run: tasks[run] for run in by_run if tasks.get(run)}
    done = sum(counted.values())
    counted_usd = sum((by_run[run] for run in counted), Decimal(0))
    hours_paid, hours_used = Decimal(paid) / HOUR_MS, Decimal(used) / HOUR_MS
    return UnitCosts(
        runs=len(by_run),
        usd_per_run=_each(sum(by_run.values(), Decimal(0)), Decimal(len(by_run))),
        tasks=done,
        usd_per_1000_tasks=_each(counted_usd * 1000, Decimal(done)),
        gpu_hours_paid=hours_paid.quantize(_TENTH_MILL),
        gpu_hours_used=hours_used.quantize(_TENTH_MILL),
        usd_per_gpu_hour_paid=_each(gpu_usd, hours_paid),
        usd_per_gpu_hour_used=_each(gpu_usd, hours_used),
    )


def _each(usd: Decimal, count: Decimal) -> Decimal | None:
    return (usd / count).quantize(_TENTH_MILL) if count else None
