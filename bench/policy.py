"""Policy on plans of 100, 1,000 and 10,000 resources: few fields against the whole plan.

Run: ``python -m bench.policy`` or ``python bench/policy.py``; prints Markdown. Seconds are the best of
three; the engine is warm (compiling the rules is told by itself). The plans are copies of the resources of
tests/data/plan_local.json under other addresses; the node groups stand once, so that the plan is allowed.
"""

import copy
import json
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from ray_platform.policy.policy_engine import PolicyEngine
from ray_platform.policy.verdict import Verdict, policy_input
from ray_platform.terraform.plan import Plan, read_plan
from ray_platform.text.errors import SettingsError

SIZES = (100, 1_000, 10_000)
RUNS = 3
SINGLE = ("aws_eks_node_group",)


def grown(source: dict[str, Any], size: int, *, broken: bool) -> Plan:
    """A plan of ``size`` managed resources; when ``broken``, none of the copies has its tags."""
    managed = [item for item in source["resource_changes"] if item["mode"] == "managed"]
    once = [item for item in managed if item["type"] in SINGLE]
    many = [item for item in managed if item["type"] not in SINGLE]
    changes = list(once)
    number = 0
    while len(changes) < size:
        item = copy.deepcopy(many[number % len(many)])
        item["address"] = f"module.copy[{number // len(many)}].{item['address']}"
        if broken and "tags_all" in item["change"]["after"]:
            item["change"]["after"]["tags_all"] = {}
        changes.append(item)
        number += 1
    return read_plan({**source, "resource_changes": changes})


def seconds(work: Callable[[], Verdict], runs: int = RUNS) -> tuple[float, Verdict]:
    best = float("inf")
    for _ in range(runs):
        start = time.perf_counter()
        verdict = work()
        best = min(best, time.perf_counter() - start)
    return best, verdict


def main() -> None:
    source = json.loads((ROOT / "tests" / "data" / "plan_local.json").read_text(encoding="utf-8"))
    start = time.perf_counter()
    engine = PolicyEngine(ROOT / "policies")
    engine.check_plan(grown(source, 10, broken=False), "local")
    print(
        f"First check of a process (rules read and compiled): {time.perf_counter() - start:.2f} s\n"
    )
    print("| resources | few fields | whole plan | ratio | many violations | violations |")
    print("|---:|---:|---:|---:|---:|---:|")
    for size in SIZES:
        plan = grown(source, size, broken=False)
        runs = RUNS if size < SIZES[-1] else 1
        few, verdict = seconds(lambda plan=plan: engine.check_plan(plan, "local"), runs)  # type: ignore[misc]
        broken = grown(source, size, broken=True)
        bad, denied = seconds(lambda plan=broken: engine.check_plan(plan, "local"), runs)  # type: ignore[misc]
        try:
            whole, same = seconds(
                lambda plan=plan: engine.evaluate(  # type: ignore[misc]
                    "terraform", policy_input(plan, environment="local")
                ),
                runs,
            )
            assert verdict == same
            told = f"{whole:.3f} s | {whole / few:.1f}"
        except SettingsError:
            # rego-cpp counts a query's steps and stops it.
            told = "too many steps, refused | -"
        print(f"| {size:,} | {few:.3f} s | {told} | {bad:.3f} s | {len(denied.violations):,} |")


if __name__ == "__main__":
    main()
