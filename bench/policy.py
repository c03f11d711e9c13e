"""Policy on plans of 100, 1,000 and 10,000 resources: the library in parts, OPA on the whole plan.

Run: ``python -m bench.policy`` or ``python bench/policy.py``; prints Markdown. Each figure is the best of its
runs, which alternate (library, OPA, library, OPA), so that both see the same machine. OPA is the program that
``RAY_PLATFORM_OPA`` names; without one, OPA's own library in this process (tests/support/opa.py), which
leaves out the start of a process. The plans are copies of the resources of tests/data/plan_local.json
under other addresses; the node groups are there once, so that the plan is allowed.
"""

import copy
import json
import os
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from ray_platform.policy.policy_engine import PolicyEngine
from ray_platform.policy.verdict import policy_input, with_index
from ray_platform.terraform.plan import Plan, read_plan
from tests.support import opa

SIZES = (100, 1_000, 10_000)
RUNS = 3
SINGLE = ("aws_eks_node_group", "aws_iam_role_policy")


def grown(source: dict[str, Any], size: int, *, broken: bool) -> Plan:
    """A plan of ``size`` managed resources; when ``broken``, none of the copies has its tags."""
    once = [item for item in source["resource_changes"] if item["type"] in SINGLE]
    many = [item for item in source["resource_changes"] if item["type"] not in SINGLE]
    changes = [
        item for item in source["resource_changes"] if item["type"] not in SINGLE or item in once
    ]
    calls: dict[str, Any] = {}
    number = 0
    while len(changes) < size:
        item = copy.deepcopy(many[number % len(many)])
        # The copies are instances of one module, so that the configuration says what they refer to.
        item["address"] = f"module.copy[{number // len(many)}].{item['address']}"
        if broken and "tags_all" in item["change"]["after"]:
            item["change"]["after"]["tags_all"] = {}
        changes.append(item)
        number += 1
    root = source["configuration"]["root_module"]
    calls = {**root["module_calls"], "copy": {"module": root}}
    configuration = {
        **source["configuration"],
        "root_module": {**root, "module_calls": calls},
    }
    return read_plan({**source, "resource_changes": changes, "configuration": configuration})


def by_opa(engine: PolicyEngine) -> tuple[str, Callable[[Plan], list[Any]]]:
    """How OPA is asked, and what asks it."""
    if binary := os.environ.get("RAY_PLATFORM_OPA"):
        process = PolicyEngine(ROOT / "policies", opa=binary)
        return binary, lambda plan: list(process.check_plan(plan, "local").violations)
    judge = opa.Opa(engine.bundle["rules"], json.dumps(engine.bundle["data"]))

    def ask(plan: Plan) -> list[Any]:
        asked = policy_input(plan, environment="local", fields=engine.fields)
        given = json.dumps(with_index(asked, engine.fields))
        found: list[Any] = judge.query("data.terraform.findings", given)
        return [item for item in found if item["severity"] == "deny"]

    return f"OPA {opa.OPA_VERSION} in process", ask


def main() -> None:
    source = json.loads((ROOT / "tests" / "data" / "plan_local.json").read_text(encoding="utf-8"))
    start = time.perf_counter()
    engine = PolicyEngine(ROOT / "policies")
    engine.check_plan(read_plan(source), "local")
    first = time.perf_counter() - start
    name, ask = by_opa(engine)
    ask(read_plan(source))
    print(f"First check of a process by the library (rules read and compiled): {first:.2f} s\n")
    print(f"| resources | violations | input | library, in parts | {name}, whole | ratio |")
    print("|---:|---:|---:|---:|---:|---:|")
    for size in SIZES:
        for broken in (False, True):
            plan = grown(source, size, broken=broken)
            row(engine, ask, plan, size)


def row(engine: PolicyEngine, ask: Callable[[Plan], list[Any]], plan: Plan, size: int) -> None:
    best = {"input": float("inf"), "library": float("inf"), "opa": float("inf")}
    found: list[Any] = []
    for _ in range(RUNS):
        start = time.perf_counter()
        policy_input(plan, environment="local", fields=engine.fields)
        best["input"] = min(best["input"], time.perf_counter() - start)
        start = time.perf_counter()
        verdict = engine.check_plan(plan, "local")
        best["library"] = min(best["library"], time.perf_counter() - start)
        start = time.perf_counter()
        found = ask(plan)
        best["opa"] = min(best["opa"], time.perf_counter() - start)
    assert len(found) == len(verdict.violations)
    print(
        f"| {size:,} | {len(found):,} | {best['input']:.3f} s | {best['library']:.3f} s "
        f"| {best['opa']:.3f} s | {best['library'] / best['opa']:.1f} |",
        flush=True,
    )


if __name__ == "__main__":
    main()
