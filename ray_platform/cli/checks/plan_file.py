"""The commands on a plan FILE, the output of `terraform show -json`: policy, estimate."""

import json
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import click

from ray_platform.cli.change_commands import print_advice, print_violations
from ray_platform.cli.output import DENIED, env_option, json_option, known, print_json, say
from ray_platform.session.environment_session import open_session
from ray_platform.terraform.plan import Plan
from ray_platform.text.errors import PlanFormatError, SettingsError


def read_plan_file(file: Path) -> Plan:
    """The plan of a file, secrets masked: what an answer quotes must hold none.

    UTF-8, UTF-16 and UTF-32 are read, with or without a byte order mark: PowerShell writes UTF-16.

    Raises:
        SettingsError: the file cannot be read.
        PlanFormatError: it is no plan, or one of which a part is not known.
    """
    from ray_platform.terraform.plan import read_plan
    from ray_platform.text.redaction import redact_plan_json

    try:
        content = json.loads(file.read_bytes())
    except OSError as error:
        raise SettingsError(
            f"the file cannot be read: {error.strerror}",
            where=str(file),
            fix="name a readable file",
        ) from error
    except ValueError as error:
        raise PlanFormatError(
            f"the file is not JSON: {error}",
            where=str(file),
            fix="give the output of `terraform show -json PLANFILE`",
        ) from error
    read_plan(content, where=str(file))
    return read_plan(redact_plan_json(content), where=str(file))


@click.command()
@click.argument("file", type=click.Path(path_type=Path))
@env_option
@json_option
@click.option("--destroy", is_flag=True, help="Judge it as a removal.")
def policy(file: Path, env: str, as_json: bool, destroy: bool) -> None:
    """Check a plan file against the policies.

    FILE is the output of `terraform show -json`. Exit code 2 when a rule denies it or it is not whole.

    Exit code 2 when a rule denies it, or when the plan is not whole.

    \b
    Examples:
      terraform show -json my.tfplan > my.json && ray-platform policy my.json
      ray-platform policy my.json --env prod --json
    """
    from ray_platform.config.settings import load_settings

    known(env)
    plan = read_plan_file(file)
    found = open_session(load_settings(), env).policies.check_plan(
        plan, environment=env, destroy=destroy
    )
    violations = [item.to_json() for item in found.violations]
    no = bool(violations) or not plan.is_whole
    if as_json:
        print_json(
            {
                "environment": env,
                **_state_of(plan),
                "denied": no,
                "violations": violations,
                "advice": [item.to_json() for item in found.advice],
                "excepted": [item.to_json() for item in found.excepted],
                "bundle_digest": found.bundle_digest,
            }
        )
    else:
        say(f"{plan.counts}" if not plan.is_empty else "the plan is empty: nothing to apply")
        for change in plan.touched():
            say(f"  {change.shown_action}: {change.shown_address}")
        for item in plan.deferred:
            say(f"  deferred ({item.reason}): {item.change.address}")
        print_violations(found.violations)
        print_advice(found.advice, [str(item) for item in found.excepted])
        say("denied" if no else "no rule denies this plan")
    if no:
        sys.exit(DENIED)


@click.command()
@click.argument("file", type=click.Path(path_type=Path))
@env_option
@json_option
def estimate(file: Path, env: str, as_json: bool) -> None:
    """Estimate the monthly cost of a plan file.

    FILE is the output of `terraform show -json`.

    \b
    Examples:
      terraform show -json my.tfplan > my.json && ray-platform estimate my.json
      ray-platform estimate my.json --env prod --json
    """
    from ray_platform.cost.estimate import estimate as estimate_plan
    from ray_platform.cost.price_book import price_book_or_empty

    environment = known(env)
    plan = read_plan_file(file)
    book = price_book_or_empty(environment.region)
    found = estimate_plan(plan, book, use=environment.cost.use)
    if not as_json:
        say(found.to_markdown().rstrip())
        return
    monthly = found.monthly_by_address()
    lacking = {item.address: item for item in found.unpriced}
    gone = {c.address for c in plan.changes if c.action == "delete" and not c.deposed}
    lacking |= {item.address: item for item in found.unpriced_before if item.address in gone}

    def entry(address: str, **more: Any) -> dict[str, Any]:
        return {"address": address, "type": found.types[address], **more}

    print_json(
        {
            "environment": env,
            "region": found.region,
            "price_book": {"version": found.book_version, "date": found.book_date},
            "complete": plan.is_whole,
            "total": {bound: found.total_text(bound) for bound in found.monthly()},
            "monthly_usd": found.monthly(),
            "priced": [
                entry(address, monthly_usd=usd)
                for address, usd in monthly.items()
                if address not in lacking
            ],
            "by_use": [
                entry(use.address, what=use.what, unit_usd=float(use.unit_usd), unit=use.unit)
                for use in found.by_use
            ],
            "free": [entry(address) for address in found.free],
            "unpriced": [
                entry(address, why=item.why, **_known_part(monthly.get(address)))
                for address, item in lacking.items()
            ],
            "notes": list(found.notes),
        }
    )


def _state_of(plan: Plan) -> dict[str, Any]:
    return {
        "applyable": plan.applyable,
        "complete": plan.complete,
        "errored": plan.errored,
        "empty": plan.is_empty,
        "unfinished": list(plan.unfinished),
        "counts": plan.counts.to_json(),
    }


def _known_part(monthly: Mapping[str, float | None] | None) -> dict[str, Any]:
    """What is known of a resource that is priced in part."""
    return {"monthly_usd": dict(monthly)} if monthly else {}
