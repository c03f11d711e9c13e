"""The commands of a change: plan, approve, apply, destroy."""

import sys
from collections.abc import Sequence

import click

from ray_platform.cli.output import (
    DENIED,
    despite_option,
    env_option,
    json_option,
    known,
    print_json,
    say,
)
from ray_platform.cli.run_jobs import asker, run_job
from ray_platform.config.partitions import CHANGE_TAG, COMMIT_TAG, PLAN_TAG, despite
from ray_platform.config.settings import load_settings
from ray_platform.defs.facts import (
    POLICY_CHECK,
    ModuleFacts,
    PlanFacts,
    PolicyFacts,
    RemovalFacts,
)
from ray_platform.policy.verdict import Violation
from ray_platform.pull_requests.connection import (
    require_may_approve,
    session_for,
    tags_of,
    tell_of_approval,
)
from ray_platform.run_history.asset_facts import RayClusterFacts
from ray_platform.session.environment_session import open_session
from ray_platform.text.canonical import short
from ray_platform.text.errors import Refused, SettingsError

#: What a plan counts.
COUNTED = ("create", "update", "replace", "delete", "move", "import", "forget", "read")


@click.command()
@env_option
@json_option
@click.option("--text/--no-text", default=True, help="Print Terraform's own text of the plan.")
def plan(env: str, as_json: bool, text: bool) -> None:
    """Plan and check a change; apply nothing.

    Exit code 2 when a check fails.

    \b
    Examples:
      ray-platform plan --env local
      ray-platform plan --env staging --json
    """
    known(env)
    outcome = run_job("plan", partition=env, tags={CHANGE_TAG: env})
    facts = outcome.facts("terraform_plan", PlanFacts)
    policy_check = outcome.check(POLICY_CHECK)
    judged = policy_check.facts(PolicyFacts, outcome.run_id) if policy_check else None
    violations = judged.violations if judged else ()
    failed = [check for check in outcome.checks if not check.passed]
    if not failed:
        outcome.require()
    if as_json:
        print_json(
            {
                "environment": env,
                "run_id": outcome.run_id,
                "plan_digest": facts.plan_digest,
                "state_serial": facts.state_serial,
                "commit": facts.commit,
                "dirty": facts.dirty,
                "counts": facts.counts.to_json(),
                "applyable": facts.applyable,
                "complete": facts.complete,
                "estimate": facts.monthly_usd(),
                "unpriced": list(facts.unpriced),
                "whatif": facts.whatif,
                "violations": [item.to_json() for item in violations],
                "checks": {check.name: check.passed for check in outcome.checks},
            }
        )
    else:
        if text:
            records = open_session(load_settings(), env).records
            say(records.plan_text(records.plan(facts.plan_digest)))
        say(f"\nplan {short(facts.plan_digest)}: {facts.counts}")
        say(f"a month costs {facts.month_at('minimum')}, {facts.month_at('maximum')}")
        for item in facts.unpriced:
            say(f"? not priced: {item['address']}: {item['why']}")
        if facts.whatif_table:
            say(f"\n{facts.whatif_table}")
        print_violations(violations)
        if judged:
            print_advice(judged.advice, judged.excepted)
        for check in failed:
            if check.name != POLICY_CHECK:
                say(f"✗ {check.name}: {check.description}")
        if not failed:
            say(f"apply it: ray-platform apply --env {env} --plan {short(facts.plan_digest)}")
    if failed:
        sys.exit(DENIED)


def print_violations(violations: Sequence[Violation]) -> None:
    """Each violation with its rule, resource, value and remedy."""
    for item in violations:
        say(f"✗ [{item.id}] {item.resource}: {item.message}\n    fix: {item.fix}")


def print_advice(advice: Sequence[Violation], excepted: Sequence[str]) -> None:
    """What policies advise, and which violations a reviewed exception lets through."""
    for sentence in excepted:
        say(f"○ {sentence}")
    for item in advice:
        say(f"! [{item.id}] {item.resource}: {item.message}\n    better: {item.fix}")


@click.command()
@click.argument("digest")
@env_option
@click.option("--by", required=True, metavar="WHO", help="Who approves.")
@json_option
def approve(digest: str, env: str, by: str, as_json: bool) -> None:
    """Approve a plan for the current state.

    DIGEST is the plan's digest or a unique prefix of it. The approval is void when the state
    changes.

    \b
    Examples:
      ray-platform approve 3f9a0c1d2e4b --env staging --by alice
    """
    from ray_platform.change import gates
    from ray_platform.records.approval import binding

    known(env)
    if not by.strip():
        raise SettingsError("--by is empty", where="--by", fix="name who approves")
    settings = load_settings()
    record = open_session(settings, env).records.plan(digest)
    session = session_for(settings, record, asked_by=asker())
    require_may_approve(session, record, by.strip())
    gates.give_approval(session, record, by=by.strip(), source=f"cli, {session.asked_by}")
    holding = binding(
        session.records.approvals(record.plan_digest),
        environment=env,
        plan_digest=record.plan_digest,
        state_lineage=record.state_lineage,
        state_serial=record.state_serial,
        policy_digest=session.policies.bundle_digest,
    )
    if record.pull_request:
        tell_of_approval(session, record)
    required = gates.approvals_required(session, record)
    answer = {
        "environment": env,
        "plan_digest": record.plan_digest,
        "state_serial": record.state_serial,
        "counts": dict(record.counts),
        "approved_by": [approval.by for approval in holding],
        "required": required,
    }
    if as_json:
        print_json(answer)
        return
    say(
        f"plan {short(record.plan_digest)} of {env} has {len(holding)} of {required} approvals: "
        + ", ".join(answer["approved_by"])  # type: ignore[arg-type]
    )


@click.command()
@env_option
@click.option("--plan", "digest", metavar="DIGEST", help="Apply this plan; do not make one.")
@despite_option
@json_option
def apply(env: str, digest: str | None, despite_live_runs: bool, as_json: bool) -> None:
    """Apply an approved plan, then deploy Ray.

    Without --plan, the command makes a plan. It applies that plan if no approval is needed or if
    the same plan is already approved. Exit code 2 when a gate refuses.

    \b
    Examples:
      ray-platform apply --env local
      ray-platform apply --env prod --plan 3f9a0c1d2e4b
    """
    known(env)
    if digest:
        record = open_session(load_settings(), env).records.plan(digest)
        tags = {**despite(despite_live_runs), CHANGE_TAG: env, PLAN_TAG: record.plan_digest}
        if not record.commit.dirty:
            # The Ray cluster comes from the commit that was planned, whatever is checked out now.
            tags[COMMIT_TAG] = record.commit.commit
        if record.pull_request:
            tags |= tags_of(load_settings(), record)
        outcome = run_job("apply", partition=env, tags=tags).require()
    else:
        tags = {**despite(despite_live_runs), CHANGE_TAG: env}
        outcome = run_job("change", partition=env, tags=tags).require()
    facts = outcome.facts("vpc", ModuleFacts)
    answer = {
        "environment": env,
        "run_id": outcome.run_id,
        "plan_digest": facts.plan_digest,
        "infra_version": outcome.facts("ray_cluster", RayClusterFacts).infra_version,
        "state_serial": facts.state_serial,
        "approved_by": ", ".join(facts.approved_by),
    }
    if as_json:
        print_json(answer)
    else:
        say(f"applied {short(facts.plan_digest)}: infra version {answer['infra_version']}")


@click.command()
@env_option
@click.option("--confirm", required=True, metavar="E", help="Repeat the environment's name.")
@despite_option
@json_option
def destroy(env: str, confirm: str, despite_live_runs: bool, as_json: bool) -> None:
    """Remove all resources of an environment.

    State and records are backed up first. Outside the emulator at least one person must approve the
    removal's plan. Afterwards the command searches the cloud for the environment's tags. Exit code
    2 when resources are left; the message names them.

    \b
    Examples:
      ray-platform destroy --env local --confirm local
    """
    known(env)
    if confirm != env:
        raise Refused(
            f"--confirm says {confirm!r}, --env says {env!r}: nothing was removed",
            where="--confirm",
            fix=f"to remove everything in {env}: --confirm {env}",
        )
    tags = {**despite(despite_live_runs), CHANGE_TAG: env}
    outcome = run_job("destroy", partition=env, tags=tags).require()
    facts = outcome.facts("vpc", RemovalFacts)
    answer = {
        "environment": env,
        "run_id": outcome.run_id,
        "removed": facts.resources_removed,
        "backup": facts.state_backup,
        "records": facts.records_backup,
        "ends_by_itself": list(facts.ends_by_itself),
        "approved_by": ", ".join(facts.approved_by),
    }
    if as_json:
        print_json(answer)
    else:
        say(
            f"{env}: {answer['removed']} resources removed, nothing with its tags is left; the state before "
            f"lies in {answer['backup']}, the records in {answer['records']}"
        )
        for item in facts.ends_by_itself:
            say(f"  still there: {item}")
