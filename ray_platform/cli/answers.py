"""The commands that answer: drift, cost, lineage, runs, diff, status."""

import sys
from datetime import UTC, date, datetime
from typing import Any

import click

from ray_platform.cli.jobs import open_instance, run_job
from ray_platform.cli.output import DENIED, env_option, json_option, known, print_json, say, table
from ray_platform.clients.run_history import BurstRun, RunHistory
from ray_platform.core.canonical import short
from ray_platform.core.errors import SettingsError
from ray_platform.partitions import FIRST_DAY, day_key
from ray_platform.settings import load_settings
from ray_platform.stages.lineage import describe, explain
from ray_platform.stages.site import Site


@click.command()
@env_option
@json_option
def drift(env: str, as_json: bool) -> None:
    """Compare the live infrastructure with the state. Exit code 2 when something has drifted.

    Node counts that the autoscaler moved are listed with severity none and are no drift.

    \b
    Examples:
      ray-platform drift --env local
      ray-platform drift --env prod --json | jq '.items[] | select(.severity == "major")'
    """
    known(env)
    outcome = run_job("drift", partition=day_key(datetime.now(UTC).date().isoformat(), env))
    if "drift_report" not in outcome.facts:
        outcome.require()
    facts = outcome.facts["drift_report"]
    items: list[dict[str, Any]] = facts["items"]
    drifted = [item for item in items if item["severity"] != "none"]
    if as_json:
        print_json({"environment": env, "run_id": outcome.run_id, "items": items})
    elif items:
        table(
            f"Drift in {env}",
            ("severity", "resource", "attribute", "before", "after", "why"),
            [
                (i["severity"], i["address"], i["attribute"], i["before"], i["after"], i["reason"])
                for i in items
            ],
        )
    else:
        say(f"{env}: no drift")
    if drifted:
        sys.exit(DENIED)


@click.command()
@env_option
@click.option("--date", "day", metavar="YYYY-MM-DD", help="The day in UTC.  [default: today]")
@json_option
def cost(env: str, day: str | None, as_json: bool) -> None:
    """What a day cost, by node pool and burst run; the parts sum to the whole.

    \b
    Examples:
      ray-platform cost --env local
      ray-platform cost --env prod --date 2026-11-20 --json
    """
    known(env)
    day = _day(day)
    outcome = run_job("daily_cost", partition=day_key(day, env))
    if "daily_cost_report" not in outcome.facts:
        outcome.require()
    facts = outcome.facts["daily_cost_report"]
    if as_json:
        print_json(facts["report JSON"])
    else:
        say(facts["report"])
        say(f"\nthe page: {facts['page']}")


def _day(text: str | None) -> str:
    today = datetime.now(UTC).date()
    if text is None:
        return today.isoformat()
    try:
        day = date.fromisoformat(text)
    except ValueError as error:
        raise SettingsError(
            f"{text!r} is not a day", where="--date", fix="give a day as YYYY-MM-DD"
        ) from error
    if not date.fromisoformat(FIRST_DAY) <= day <= today:
        raise SettingsError(
            f"there is no report for {day}",
            where="--date",
            fix=f"give a day from {FIRST_DAY} to {today}",
        )
    return day.isoformat()


@click.command()
@click.argument("run_id")
@json_option
def lineage(run_id: str, as_json: bool) -> None:
    """What the training run RUN_ID ran on: commit, plan, state, each module's version, Ray.

    \b
    Examples:
      ray-platform lineage 1b2c3d4e-...
      ray-platform lineage 1b2c3d4e --json | jq .modules
    """
    run = RunHistory(open_instance()).burst(run_id)
    answer = describe(Site(load_settings(), run.environment).records, run)
    if as_json:
        print_json(answer)
        return
    dirty = " with uncommitted changes" if answer["dirty"] else ""
    ray = answer["ray"] or {}
    table(
        f"Run {run.run_id} ({run.status})",
        ("what", "value"),
        [
            ("environment", run.environment),
            ("infra version", run.infra_version),
            ("commit", f"{answer['commit']}{dirty}"),
            ("plan digest", answer["plan_digest"]),
            ("state", f"{answer['state_lineage']} serial {answer['state_serial']}"),
            *((f"module {name}", digest) for name, digest in answer["modules"].items()),
            ("Ray", f"{ray.get('version')} {ray.get('image')}"),
            ("Ray chart", ray.get("chart_digest")),
            ("Ray values", ray.get("values_digest")),
            ("policies", answer["policy_bundle_digest"]),
            ("price book", answer["price_book_version"]),
            *((name, value) for name, value in run.facts.items() if name != "infra version"),
        ],
    )


@click.command()
@click.option(
    "--infra-version", metavar="V", help="Only runs that ran on it (6 characters or more)."
)
@click.option("--limit", default=50, show_default=True, help="How many at the most, newest first.")
@json_option
def runs(infra_version: str | None, limit: int, as_json: bool) -> None:
    """Training runs and what they ran on, newest first.

    \b
    Examples:
      ray-platform runs
      ray-platform runs --infra-version 9c1f03aa22bd --json
    """
    found = RunHistory(open_instance()).bursts(infra_version, limit=limit)
    if as_json:
        print_json({"runs": [_run(run) for run in found]})
        return
    table(
        "Burst runs",
        ("run", "environment", "status", "infra version", "started (UTC)", "loss", "US dollars"),
        [
            (
                run.run_id,
                run.environment,
                run.status,
                short(run.infra_version),
                _time(run.started),
                run.facts.get("loss", ""),
                run.facts.get("US dollars", ""),
            )
            for run in found
        ],
    )


def _run(run: BurstRun) -> dict[str, Any]:
    return {
        "run_id": run.run_id,
        "environment": run.environment,
        "status": run.status,
        "infra_version": run.infra_version,
        "started": run.started,
        "ended": run.ended,
        "facts": dict(run.facts),
    }


def _time(seconds: float | None) -> str:
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%d %H:%M:%S") if seconds else ""


@click.command()
@click.argument("run_a")
@click.argument("run_b")
@json_option
def diff(run_a: str, run_b: str, as_json: bool) -> None:
    """What differed in the infrastructure under RUN_A and RUN_B.

    \b
    Examples:
      ray-platform diff 1b2c3d4e 5f6a7b8c
    """
    history = RunHistory(open_instance())
    a, b = history.burst(run_a), history.burst(run_b)
    records = Site(load_settings(), a.environment).records
    found = explain(records, a.infra_version, b.infra_version)
    old, new = records.manifest(a.infra_version), records.manifest(b.infra_version)
    changed = {
        name: {"before": old[name], "after": new[name]}
        for name in ("commit", "plan_digest", "state_serial")
        if old[name] != new[name]
    }
    if as_json:
        print_json(
            {
                "runs": [_run(a), _run(b)],
                "same": a.infra_version == b.infra_version,
                "identity": changed,
                "differences": [item.to_json() for item in found],
            }
        )
        return
    if a.infra_version == b.infra_version:
        say(f"the same infrastructure under both: {a.infra_version}")
        return
    for name, pair in changed.items():
        say(f"{name}: {_short(pair['before'])} → {_short(pair['after'])}")
    table(
        f"From {short(a.infra_version)} to {short(b.infra_version)}",
        ("what", "attribute", "before", "after"),
        [(item.subject, item.attribute, item.before, item.after) for item in found],
    )


def _short(value: Any) -> Any:
    return short(value) if isinstance(value, str) else value


@click.command()
@env_option
@json_option
def status(env: str, as_json: bool) -> None:
    """What stands in an environment, and the addresses of what runs on this machine.

    \b
    Examples:
      ray-platform status
      ray-platform status --json | jq -r .ray
    """
    site = Site(load_settings(), env)
    applied = site.records.applied()
    planned = site.records.latest_plan()
    version = site.records.record_infra_version()
    services = site.services()
    answer = {
        "environment": env,
        "infra_version": version,
        "commit": applied.commit if applied else None,
        "state_serial": applied.state_serial if applied else None,
        "latest_plan": planned.plan_digest if planned else None,
        "emulator": services.get("emulator"),
        "ray": services.get("ray"),
        "artifacts": site.artifacts.store.url(""),
        "home": str(site.home),
    }
    if as_json:
        print_json(answer)
    else:
        rows = [(name.replace("_", " "), value or "none") for name, value in answer.items()]
        table(f"Environment {env}", ("what", "value"), rows)
