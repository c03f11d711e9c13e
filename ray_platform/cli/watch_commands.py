"""The commands that answer: drift, cost, status."""

import sys
from dataclasses import asdict
from datetime import UTC, date, datetime

import click

from ray_platform.cli.output import DENIED, env_option, json_option, known, print_json, say, table
from ray_platform.cli.run_jobs import run_job
from ray_platform.config.partitions import FIRST_DAY, day_key
from ray_platform.config.settings import load_settings
from ray_platform.defs.facts import CostFacts, DriftFacts
from ray_platform.drift.causes import WORDS
from ray_platform.ray.endpoint import running_services
from ray_platform.session.environment_session import open_session
from ray_platform.store.lease import describe
from ray_platform.store.lease_store import EnvironmentLease
from ray_platform.text.errors import SettingsError


@click.command()
@env_option
@json_option
def drift(env: str, as_json: bool) -> None:
    """Detect drift in infrastructure and Ray.

    Each drift item has a severity and a cause with its evidence. Severity `none` is expected: node
    counts that the autoscaler moved, and values that AWS filled in. Major drift opens an incident.
    Exit code 2 when an item is minor or major.

    \b
    Examples:
      ray-platform drift --env local
      ray-platform drift --env prod --json | jq '.items[] | select(.severity == "major")'
    """
    known(env)
    outcome = run_job("drift", partition=env)
    items = outcome.facts("drift_report", DriftFacts).items
    drifted = [item for item in items if item.severity != "none"]
    if as_json:
        plain = [asdict(item) for item in items]
        print_json({"environment": env, "run_id": outcome.run_id, "items": plain})
    elif items:
        table(
            f"Drift in {env}",
            ("severity", "resource", "attribute", "before", "after", "cause", "why"),
            [
                (
                    item.severity,
                    item.address,
                    item.attribute,
                    item.before,
                    item.after,
                    f"{WORDS[item.cause]}: {item.evidence}",
                    item.reason,
                )
                for item in items
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
    """Report the cost of a day.

    The parts by node pool and burst run sum to the total.

    \b
    Examples:
      ray-platform cost --env local
      ray-platform cost --env prod --date 2026-11-20 --json
    """
    known(env)
    day = _day(day)
    outcome = run_job("daily_cost", partition=day_key(day, env))
    facts = outcome.facts("daily_cost_report", CostFacts)
    if as_json:
        print_json(facts.report)
    else:
        say(facts.report_table)
        say(f"\nthe page: {facts.page}")


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
@env_option
@json_option
def status(env: str, as_json: bool) -> None:
    """Show an environment and its addresses.

    A lease that is held shows its owner: purpose, host, start, last heartbeat, and the token that
    `ray-platform unlock` asks for.

    \b
    Examples:
      ray-platform status
      ray-platform status --json | jq -r .ray
    """
    session = open_session(load_settings(), env)
    applied = session.records.applied()
    planned = session.records.latest_plan()
    version = session.records.record_infra_version()
    services = running_services(session)
    owner = EnvironmentLease(session.artifacts.store, env).read()[0].owner
    answer = {
        "environment": env,
        "infra_version": version,
        "commit": applied.commit if applied else None,
        "state_serial": applied.state_serial if applied else None,
        "latest_plan": planned.plan_digest if planned else None,
        "held_by": describe(owner) if owner else None,
        "held_for": owner.what if owner else None,
        "held_since": owner.acquired_at if owner else None,
        "owner": owner.token if owner else None,
        "emulator": services.get("emulator"),
        "kubernetes": services.get("kubernetes"),
        "ray": services.get("ray"),
        "artifacts": session.artifacts.store.url(""),
        "home": str(session.home),
    }
    if as_json:
        print_json(answer)
    else:
        rows = [(name.replace("_", " "), value or "none") for name, value in answer.items()]
        table(f"Environment {env}", ("what", "value"), rows)
