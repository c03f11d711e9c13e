"""A what-if against the burst that it stands for: seconds to replay, and seconds that the burst really took.

Run: ``python bench/whatif.py``; prints Markdown. The bursts are two recorded runs of `ray-platform up` in
`local` (tests/data/burst_local_*.json). A what-if replays a burst nine times, twice over: unchanged and
proposed. The first one of a process also imports Ray, told by itself.
"""

import json
import sys
import time
from decimal import Decimal
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from ray_platform.run_history.burst_metrics import BurstMetrics, read_metrics
from ray_platform.whatif.answer import Answer
from ray_platform.whatif.demand import (
    Group,
    ReplayOutcome,
    Task,
    measured_outcome,
    measured_pace,
    recorded_burst,
)
from ray_platform.whatif.ray_scheduler_client import RayScheduler
from ray_platform.whatif.replay import REPLAYS, replay

PRICE = Decimal("0.192")


def groups(low: int, high: int) -> tuple[Group, ...]:
    return (Group("cpu", "m5.xlarge", 1, 0, low, high, PRICE),)


def replayed(metrics: BurstMetrics, on: tuple[Group, ...]) -> ReplayOutcome:
    pace = measured_pace(metrics, beat_seconds=1, idle_timeout_seconds=6, reach_timeout_seconds=180)
    burst = recorded_burst(metrics, hold_seconds=6)
    return replay(burst, on, pace, lambda: RayScheduler(on, burst.task, 6))


def main() -> None:
    start = time.perf_counter()
    RayScheduler(groups(1, 2), Task(1), 6)
    print(f"Import of Ray and its scheduler: {time.perf_counter() - start:.2f} s\n")
    print(
        "| burst | real, s | what-if, s | ratio | error: s to reach | error: s | error: node-hours |"
    )
    print("|---|--:|--:|--:|--:|--:|--:|")
    for name in ("a", "b"):
        file = ROOT / "tests" / "data" / f"burst_local_{name}.json"
        metrics = read_metrics(json.loads(file.read_text(encoding="utf-8")))
        before, after = groups(2, 10), groups(4, 20)
        start = time.perf_counter()
        unchanged, proposed = replayed(metrics, before), replayed(metrics, after)
        seconds = time.perf_counter() - start
        measured = measured_outcome(metrics, before)
        answer = Answer("local", metrics.run_id, before, after, measured, unchanged, proposed)
        print(
            f"| {name} | {metrics.seconds:.1f} | {seconds:.2f} | 1/{metrics.seconds / seconds:.0f} "
            f"| {answer.error_seconds_to_reach:.1%} | {answer.error_seconds:.1%} "
            f"| {answer.error_node_hours:.1%} |"
        )
    print(f"\n{REPLAYS} replays of each configuration; one takes {seconds / 2 / REPLAYS:.3f} s.")


if __name__ == "__main__":
    main()
