"""Small plans for tests: resources by address, as `terraform show -json` writes them."""

import json
from pathlib import Path
from typing import Any

from ray_platform.cost.estimate import Estimate, estimate
from ray_platform.cost.price_book import load_price_book
from ray_platform.terraform.plan import Plan, read_plan

ROOT = Path(__file__).resolve().parents[2]
CASES = ROOT / "tests" / "data" / "cases" / "plans"


def case(name: str) -> dict[str, Any]:
    """The JSON of one of the plans that were judged wrong."""
    data: dict[str, Any] = json.loads((CASES / f"{name}.json").read_text(encoding="utf-8"))
    return data


def changed(
    address: str,
    after: dict[str, Any] | None,
    *,
    before: dict[str, Any] | None = None,
    unknown: dict[str, Any] | None = None,
    actions: list[str] | None = None,
) -> dict[str, Any]:
    """An entry of ``resource_changes``; the actions follow from the sides where they are not given."""
    sides = (before is not None, after is not None)
    found = {(False, True): "create", (True, False): "delete"}.get(
        sides, "no-op" if before == after else "update"
    )
    kind, name = address.split(".")[-2:]
    return {
        "address": address,
        "mode": "managed",
        "type": kind,
        "name": name.split("[")[0],
        "change": {
            "actions": actions or [found],
            "before": before,
            "after": after,
            "after_unknown": unknown or {},
        },
    }


def plan_of(*changes: dict[str, Any], **more: Any) -> Plan:
    return read_plan({"format_version": "1.2", "resource_changes": list(changes), **more})


def priced(*changes: dict[str, Any], **more: Any) -> Estimate:
    """The estimate of a plan with these changes, by the book of us-east-1."""
    return estimate(plan_of(*changes, **more), load_price_book())


def of_case(name: str) -> Estimate:
    return estimate(read_plan(case(name)), load_price_book())
