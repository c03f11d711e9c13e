"""`ray-platform audit`: the decisions about an environment, and whether their record is whole."""

import csv
import json
import sys
from datetime import datetime

import click

from ray_platform.cli.output import DENIED, env_option, json_option, known, print_json, say, table
from ray_platform.config.settings import load_settings
from ray_platform.records.audit import COLUMNS, between, describe
from ray_platform.session.environment_session import EnvironmentSession, open_session


@click.group()
def audit() -> None:
    """Show, verify or export the audit log.

    The log records plans, verdicts, approvals, applies and removals, and who requested them.

    \b
    Examples:
      ray-platform audit show --env prod
      ray-platform audit verify --env prod
      ray-platform audit export --env prod --from 2026-10-01 --to 2026-10-31 > october.jsonl
    """


@audit.command()
@env_option
@click.option("--limit", default=20, show_default=True, help="Maximum number of records.")
@json_option
def show(env: str, limit: int, as_json: bool) -> None:
    """Show the latest decisions, newest first."""
    records = _session(env).audit.latest(limit)
    if as_json:
        print_json({"environment": env, "records": [record.to_row() for record in records]})
        return
    table(
        f"Decisions in {env}",
        ("no", "at (UTC)", "decision"),
        [(record.sequence, record.event.at[:19], describe(record)) for record in records],
        numbers=(0,),
    )


@audit.command()
@env_option
@json_option
def verify(env: str, as_json: bool) -> None:
    """Detect changed, removed or added records.

    Exit code 2 when there are any.
    """
    count, faults = _session(env).audit.verify()
    if as_json:
        print_json(
            {
                "environment": env,
                "records": count,
                "faults": [{"sequence": fault.sequence, "what": fault.what} for fault in faults],
            }
        )
    else:
        for fault in faults:
            say(f"✗ record {fault.sequence} {fault.what}")
        say(f"{count} records, {len(faults) or 'no'} faults")
    if faults:
        sys.exit(DENIED)


@audit.command()
@env_option
@click.option("--from", "first", type=click.DateTime(["%Y-%m-%d"]), help="The first day, UTC.")
@click.option("--to", "last", type=click.DateTime(["%Y-%m-%d"]), help="The last day, UTC.")
@click.option(
    "--format", "kind", type=click.Choice(["jsonl", "csv"]), default="jsonl", show_default=True
)
def export(env: str, first: datetime | None, last: datetime | None, kind: str) -> None:
    """Export decisions as JSON Lines or CSV.

    The records of the given days are written to stdout, each with its digest.
    """
    records = between(
        _session(env).audit.records(),
        first.date().isoformat() if first else None,
        last.date().isoformat() if last else None,
    )
    if kind == "jsonl":
        for record in records:
            click.echo(json.dumps(record.to_row(), ensure_ascii=False))
        return
    writer = csv.DictWriter(sys.stdout, COLUMNS, lineterminator="\n")
    writer.writeheader()
    for record in records:
        # A text that a spreadsheet would take for a formula is shown as text.
        writer.writerow(
            {
                name: f"'{value}" if str(value)[:1] in tuple("=+-@\t") else value
                for name, value in record.to_row().items()
            }
        )


def _session(env: str) -> EnvironmentSession:
    known(env)
    return open_session(load_settings(), env)
