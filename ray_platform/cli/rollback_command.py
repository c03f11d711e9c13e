"""`ray-platform rollback`: a plan back to an earlier infra version, through the same gates as any other."""

import sys
from typing import Any

import click

from ray_platform.cli.output import DENIED, env_option, json_option, known, print_json, say
from ray_platform.cli.run_jobs import run_job
from ray_platform.config.partitions import CHANGE_TAG, COMMIT_TAG
from ray_platform.config.settings import load_settings
from ray_platform.defs.facts import PlanFacts
from ray_platform.records.stored_plan import stored_plan
from ray_platform.session.environment_session import EnvironmentSession, open_session
from ray_platform.terraform.losses import losses
from ray_platform.text.canonical import short
from ray_platform.text.errors import Refused


@click.command()
@env_option
@click.option("--to", "version", required=True, metavar="VERSION", help="An infra version.")
@json_option
def rollback(env: str, version: str, as_json: bool) -> None:
    """Plan the return to an infra version.

    The plan is made from that version's commit against the current state, and lists the data that
    would be lost. Nothing changes until the plan is applied, with the current policies, budget and
    approvals. Exit code 2 when a check fails.

    \b
    Examples:
      ray-platform runs                                  which versions runs ran on
      ray-platform rollback --env staging --to edae97a2fce2
    """
    known(env)
    session = open_session(load_settings(), env)
    whole, commit = _commit_of(session, version)
    outcome = run_job("plan", partition=env, tags={CHANGE_TAG: env, COMMIT_TAG: commit})
    facts = outcome.facts("terraform_plan", PlanFacts)
    record = session.records.plan(facts.plan_digest)
    lost = losses(stored_plan(session.records, record))
    failed = [check for check in outcome.checks if not check.passed]
    if not failed:
        outcome.require()
    answer: dict[str, Any] = {
        "environment": env,
        "run_id": outcome.run_id,
        "to": whole,
        "commit": commit,
        "plan_digest": record.plan_digest,
        "counts": dict(record.counts),
        "losses": [loss.to_json() for loss in lost],
        "estimate": facts.monthly_usd(),
        "whatif": facts.whatif,
        "checks": {check.name: check.passed for check in outcome.checks},
    }
    if as_json:
        print_json(answer)
    else:
        say(f"\nback to {short(whole)}, commit {short(commit)}: {facts.counts}")
        for loss in lost:
            with_it = f", and with it {loss.holds}" if loss.holds else ""
            say(f"  {loss.action}: {loss.address}{with_it}")
        say(f"a month costs {facts.month_at('minimum')}")
        for check in failed:
            say(f"✗ {check.name}: {check.description or 'no'}")
        if record.empty:
            say("what stands is what that version's commit asks for: there is nothing to roll back")
        elif not failed:
            say(f"apply it: ray-platform apply --env {env} --plan {short(record.plan_digest)}")
    if failed:
        sys.exit(DENIED)


def _commit_of(session: EnvironmentSession, version: str) -> tuple[str, str]:
    whole = session.records.find_version(version)
    manifest = session.records.manifest(whole)
    where = f"infra version {short(whole)}"
    if manifest["environment"] != session.name:
        raise Refused(
            f"that version is one of {manifest['environment']}",
            where=where,
            fix=f"name a version of {session.name}, or --env {manifest['environment']}",
        )
    if manifest["dirty"]:
        raise Refused(
            "that version was made from files that were never committed: they cannot be had again",
            where=where,
            fix=f"choose another version, or change the files and `ray-platform plan --env {session.name}`",
        )
    commit = str(manifest["commit"])
    if not session.git.has(commit):
        raise Refused(
            f"the repository does not hold commit {short(commit)} any more",
            where=where,
            fix="fetch it (`git fetch --unshallow`), then run it again",
        )
    return whole, commit
