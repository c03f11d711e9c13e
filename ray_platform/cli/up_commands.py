"""`ray-platform up` and `burst`: the whole walk, and its last step alone."""

import sys
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import click

from ray_platform.cli.output import (
    DENIED,
    despite_option,
    env_option,
    json_option,
    known,
    print_json,
    say,
    table,
)
from ray_platform.cli.run_jobs import JobOutcome, run_job
from ray_platform.config.partitions import CHANGE_TAG, day_key, despite
from ray_platform.defs.facts import CostFacts, DriftFacts, ModuleFacts, PlanFacts
from ray_platform.records.infra_version import MODULES
from ray_platform.run_history.asset_facts import BurstFacts
from ray_platform.text.canonical import short


@click.command()
@env_option
@despite_option
@json_option
def up(env: str, despite_live_runs: bool, as_json: bool) -> None:
    """Run every stage, from plan to reports.

    The stages are plan, policy, estimate, approval, apply, Ray cluster, burst run, cost and drift.
    The command is safe to repeat: existing resources stay as they are.

    \b
    Examples:
      ray-platform up
      ray-platform up --env local --json
    """
    known(env)
    tags = {**despite(despite_live_runs), CHANGE_TAG: env}
    walked = run_job("up", partition=env, tags=tags).require()
    today = datetime.now(UTC).date().isoformat()
    cost = run_job("daily_cost", partition=day_key(today, env)).require()
    drift = run_job("drift", partition=env)
    answer = _summary(env, walked, cost, drift)
    failed = [
        f"{check.asset}: {check.name}: {check.description or 'no'}"
        for outcome in (walked, cost, drift)
        for check in outcome.checks
        if not check.passed
    ]
    if as_json:
        print_json({**answer, "failed_checks": failed})
    else:
        _print_summary(answer)
        for said in failed:
            say(f"✗ {said}")
    if failed:
        sys.exit(DENIED)


def _summary(env: str, walked: JobOutcome, cost: JobOutcome, drift: JobOutcome) -> dict[str, Any]:
    burst = walked.facts("burst_run", BurstFacts)
    plan = walked.facts("terraform_plan", PlanFacts)
    report = cost.facts("daily_cost_report", CostFacts)
    return {
        "environment": env,
        "run_id": walked.run_id,
        "infra_version": burst.infra_version,
        "commit": plan.commit,
        "dirty": plan.dirty,
        "plan": str(plan.counts),
        "resources": {module: walked.facts(module, ModuleFacts).resources for module in MODULES},
        "phases": burst.plain_phases(),
        "loss": burst.loss,
        "node_seconds": burst.node_seconds,
        "burst_usd": burst.usd,
        "cost_usd": report.usd(),
        "cost_page": report.page,
        "drift": drift.facts("drift_report", DriftFacts).summary,
    }


def phase_table(title: str, phases: Sequence[Mapping[str, Any]]) -> None:
    """Workers wanted and reached of each phase, and the seconds that it took."""
    rows = [
        (
            phase["name"],
            phase["workers_wanted"],
            phase["workers_reached"],
            "never" if phase["seconds_to_reach"] is None else f"{phase['seconds_to_reach']:.1f}",
        )
        for phase in phases
    ]
    table(title, ("phase", "wanted", "reached", "seconds"), rows, numbers=(1, 2, 3))


def _print_summary(answer: dict[str, Any]) -> None:
    say("")
    phase_table("Burst run: workers of each phase", answer["phases"])
    dirty = " with uncommitted changes" if answer["dirty"] else ""
    resources = ", ".join(f"{name} {count}" for name, count in answer["resources"].items() if count)
    table(
        f"Environment {answer['environment']}",
        ("what", "value"),
        [
            ("infra version", answer["infra_version"]),
            ("commit", f"{short(answer['commit'])}{dirty}"),
            ("plan", answer["plan"]),
            ("resources", f"{sum(answer['resources'].values())}: {resources}"),
            ("burst run", answer["run_id"]),
            ("node-seconds", f"{answer['node_seconds']:.0f}"),
            ("burst cost", f"${answer['burst_usd']:.4f}"),
            *((name.replace("_", " "), f"${usd:,.2f}") for name, usd in answer["cost_usd"].items()),
            ("cost report", answer["cost_page"].removeprefix(f"{Path.cwd()}/")),
            ("drift", answer["drift"]),
        ],
    )
    say(
        "Next:  make dev                                  the Dagster UI on http://127.0.0.1:3000\n"
        f"       ray-platform lineage {answer['run_id']}   what this run ran on\n"
        "       ray-platform status                       addresses\n"
        "       make down                                 end all that was started"
    )


@click.command()
@env_option
@json_option
def burst(env: str, as_json: bool) -> None:
    """Run bursty training on the Ray cluster.

    \b
    Examples:
      ray-platform burst --env local
      ray-platform burst --json | jq -r .run_id
    """
    known(env)
    outcome = run_job("burst", partition=env)
    facts = outcome.facts("burst_run", BurstFacts)
    failed = [check for check in outcome.checks if not check.passed]
    answer = {
        "environment": env,
        "run_id": outcome.run_id,
        "infra_version": facts.infra_version,
        "phases": facts.plain_phases(),
        "loss": facts.loss,
        "node_seconds": facts.node_seconds,
        "usd": facts.usd,
        "reached_its_workers": not failed,
    }
    if as_json:
        print_json(answer)
    else:
        phase_table(f"Burst run {outcome.run_id}", facts.plain_phases())
        say(f"infra version {facts.infra_version}\nloss {facts.loss:.6f}")
        for check in failed:
            say(f"✗ {check.name}: {check.description}")
    if failed:
        sys.exit(DENIED)
