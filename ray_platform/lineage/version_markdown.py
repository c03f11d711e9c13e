"""One infra version on a page of Markdown: what it is, who approved it, what it costs, what ran on it."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from ray_platform.cost.estimate import money_text
from ray_platform.records.approval import Approval
from ray_platform.text.canonical import short


@dataclass(frozen=True)
class RunOnVersion:
    """A burst run that ran on the version; ``started`` is an ISO 8601 time in UTC, empty while unknown."""

    run_id: str
    status: str
    started: str


@dataclass(frozen=True)
class MonthlyCost:
    """US dollars for a month at the pools' minimum and maximum sizes, at list prices.

    ``unpriced`` is how many resources have no price.
    """

    at_minimum: Decimal
    at_maximum: Decimal
    unpriced: int


def version_page(
    version: str,
    manifest: Mapping[str, Any],
    *,
    every_run: str,
    subject: str = "",
    approvals: Sequence[Approval] = (),
    cost: MonthlyCost | None = None,
    runs: Sequence[RunOnVersion] = (),
    more_runs: bool = False,
) -> str:
    """The page. Links are paths of the Dagster UI that shows it.

    Args:
        version: The infra version, in full.
        manifest: Its manifest.
        every_run: Where the UI lists every run on it.
        subject: The first line of its commit's message.
        approvals: Who approved its plan.
        cost: What the plan's estimate says; None where the plan is not stored any more.
        runs: Burst runs on it, newest first.
        more_runs: There are more than ``runs``.
    """
    ray = manifest.get("ray") or {}
    dirty = " with uncommitted changes" if manifest.get("dirty") else ""
    approved = "; ".join(
        f"{_cell(item.by)} at {_cell(item.at)} ({_cell(item.source)})" for item in approvals
    )
    paid = (
        f"{money_text(cost.at_minimum, cost.unpriced)} at the pools' minimum sizes, "
        f"{money_text(cost.at_maximum, cost.unpriced)} at maximum"
        if cost
        else "not known: its plan is not stored any more"
    )
    rows = [
        ("environment", _cell(manifest["environment"])),
        ("commit", f"`{short(manifest['commit'])}` {_cell(subject)}{dirty}"),
        ("plan", f"`{short(manifest['plan_digest'])}`"),
        ("approved by", approved or "nobody that is recorded"),
        ("a month costs", paid),
        ("state", f"serial {manifest['state_serial']} of `{_cell(manifest['state_lineage'])}`"),
        ("Ray", f"{_cell(ray.get('version', 'none'))}, image `{_cell(ray.get('image', 'none'))}`"),
        ("every run on it", f"[as it is now]({every_run})"),
    ]
    lines = [f"### Infra version `{short(version)}`", "", "| what | value |", "|---|---|"]
    lines += [f"| {name} | {value} |" for name, value in rows]
    lines += ["", "**Burst runs on it** when this was written:", ""]
    lines += [
        f"- [`{run.run_id}`](/runs/{run.run_id}) {run.status.lower()} {run.started}".rstrip()
        for run in runs
    ] or ["none"]
    if more_runs:
        lines.append("- and more")
    lines += ["", "**The manifest**, whose SHA-256 is the infra version:", "", "```json"]
    lines += [json.dumps(dict(manifest), indent=2, sort_keys=True), "```"]
    return "\n".join(lines)


def _cell(text: Any) -> str:
    """A text in a table's cell: what people wrote may hold bars, line ends and markup."""
    plain = " ".join(str(text).split())
    for mark in ("\\", "|", "<", "[", "`", "*"):
        plain = plain.replace(mark, f"\\{mark}")
    return plain
