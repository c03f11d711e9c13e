"""Stages `plan`, `policy` and `estimate`: the saved plan, and the checks that may stop it."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import dagster as dg

from ray_platform.change import gates
from ray_platform.change.make_plan import make_plan
from ray_platform.change.plan_guard import require_no_foreign_code
from ray_platform.config.partitions import PLAN_TAG, WHY_TAG, environments
from ray_platform.cost.session_parts import plan_costs
from ray_platform.defs.facts import PlanFacts, PolicyFacts
from ray_platform.defs.resources import EnvironmentSessions
from ray_platform.defs.run_resources import LIGHT, REPEATABLE
from ray_platform.pull_requests.reporting import keep_report
from ray_platform.records.records_store import PlanRecord
from ray_platform.records.stored_plan import stored_plan
from ray_platform.session import audit_notes
from ray_platform.session.environment_session import EnvironmentSession
from ray_platform.session.lock import change_lock
from ray_platform.text.canonical import short
from ray_platform.text.errors import NotFoundError
from ray_platform.whatif.simulate import for_plan


@dg.asset(
    pool="terraform",
    partitions_def=environments,
    group_name="infrastructure",
    kinds={"terraform", "aws"},
    owners=["team:platform"],
    code_version="1",
    description="The saved Terraform plan: what an apply will do, to the byte. Nothing is changed here.",
)
def terraform_plan(
    context: dg.AssetExecutionContext, sessions: EnvironmentSessions
) -> dg.MaterializeResult[Any]:
    with sessions.open(context) as session, _looked_at_then_locked(session, context):
        context.log.info(f"Planning {session.name} at {session.revision}")
        made = make_plan(
            session,
            destroy=False,
            progress=context.log.info,
        )
        record, counts = made.record, made.plan.counts
        text = session.records.plan_text(record)
        context.log.info(f"Plan {short(record.plan_digest)}: {counts}")
        replayed = for_plan(session)
        keep_report(
            session,
            made,
            why=context.run.tags.get(WHY_TAG, ""),
            whatif=replayed[0] if replayed else "",
        )
        facts = PlanFacts(
            plan_digest=record.plan_digest,
            commit=session.revision.commit,
            dirty=session.revision.dirty,
            state_serial=record.state_serial,
            to_create=counts.create,
            to_update=counts.update,
            to_replace=counts.replace,
            to_delete=counts.delete,
            to_move=counts.move,
            to_import=counts.import_,
            to_forget=counts.forget,
            to_read=counts.read,
            applyable=made.plan.applyable,
            complete=made.plan.is_whole,
            unpriced=tuple(
                {"address": item.address, "why": item.why} for item in made.estimate.unpriced
            ),
            **PlanFacts.of_totals(made.estimate.totals),
            saved_in=session.artifacts.store.url(f"plans/{session.name}/{record.plan_digest}"),
            whatif=replayed[1] if replayed else None,
            whatif_table=replayed[0] if replayed else None,
        )
        return dg.MaterializeResult(
            data_version=dg.DataVersion(record.plan_digest),
            metadata={
                **facts.to_metadata(),
                "saved_in": dg.MetadataValue.path(facts.saved_in),
                **({"whatif_table": dg.MetadataValue.md(replayed[0])} if replayed else {}),
                # For people alone.
                "summary": str(counts),
                "a month costs": f"{made.estimate.total_text('after_min')} at minimum size, "
                f"{made.estimate.total_text('after_max')} at maximum",
                "revision": str(session.revision),
                "plan": dg.MetadataValue.md(f"```\n{text}\n```"),
                "estimate": dg.MetadataValue.md(made.estimate.to_markdown()),
            },
        )


@contextmanager
def _looked_at_then_locked(
    session: EnvironmentSession, context: dg.AssetExecutionContext
) -> Iterator[None]:
    """Hold the environment, but only once nothing speaks against the configuration: a look at a large one
    takes time in which nobody else could plan or apply."""
    require_no_foreign_code(session)
    with change_lock(session, f"plan, run {context.run_id}", tell=context.log.info):
        yield


def plan_of(session: EnvironmentSession, tags: Mapping[str, str]) -> PlanRecord:
    """The plan that a run is about: the one its tag names, else the one made last."""
    digest = tags.get(PLAN_TAG)
    record = session.records.plan(digest) if digest else session.records.latest_plan()
    if record is None:
        raise NotFoundError(
            f"{session.name} has no plan", fix=f"ray-platform plan --env {session.name}"
        )
    return record


@dg.asset_check(
    asset=terraform_plan,
    blocking=True,
    partitions_def=environments,
    description="No rule of policies/terraform.rego denies the plan.",
)
def policy(
    context: dg.AssetCheckExecutionContext, sessions: EnvironmentSessions
) -> dg.AssetCheckResult:
    with sessions.open(context) as session:
        record = plan_of(session, context.run.tags)
        verdict = gates.verdict(session, record)
        audit_notes.note(
            session,
            "policy",
            "denied" if verdict.denied else "allowed",
            record=record,
            rule=", ".join(sorted({item.id for item in verdict.violations})),
            reason="; ".join(
                [f"{item.resource}: {item.message}" for item in verdict.violations]
                + [str(item) for item in verdict.excepted]
            ),
        )
        for violation in verdict.violations:
            context.log.warning(f"[{violation.id}] {violation.resource}: {violation.message}")
        facts = PolicyFacts.of(record.plan_digest, verdict)
        for item in verdict.excepted:
            context.log.warning(str(item))
        return dg.AssetCheckResult(
            passed=not verdict.denied,
            description=facts.summary,
            metadata={
                **facts.to_metadata(),
                "denied": len(verdict.violations),
                "verdict": dg.MetadataValue.md(verdict.to_markdown()),
            },
        )


@dg.asset_check(
    asset=terraform_plan,
    blocking=True,
    partitions_def=environments,
    description="The Terraform state is still the one that the plan was made from.",
)
def plan_is_fresh(
    context: dg.AssetCheckExecutionContext, sessions: EnvironmentSessions
) -> dg.AssetCheckResult:
    with sessions.open(context) as session:
        record = plan_of(session, context.run.tags)
        terraform = session.terraform()
        terraform.init()
        why = gates.staleness(record, terraform.state())
        audit_notes.note(
            session, "fresh", "denied" if why else "allowed", record=record, reason=why
        )
        return dg.AssetCheckResult(
            passed=not why,
            description=why or "the state has not moved since the plan was made",
            metadata={"plan_digest": record.plan_digest, "state_serial": record.state_serial},
        )


@dg.asset_check(
    asset=terraform_plan,
    name="cost_within_budget",
    blocking=True,
    partitions_def=environments,
    description="A month at the pools' minimum sizes costs no more than the environment's budget.",
)
def plan_within_budget(
    context: dg.AssetCheckExecutionContext, sessions: EnvironmentSessions
) -> dg.AssetCheckResult:
    with sessions.open(context) as session:
        record = plan_of(session, context.run.tags)
        costs = plan_costs(session, stored_plan(session.records, record))
        why = gates.over_budget(session, costs)
        lacks = gates.unpriced_text(costs)
        if gates.more_approvals(session, costs):
            lacks = f"one approval more is needed for what has no price: {lacks}"
        audit_notes.note(
            session, "budget", "denied" if why else "allowed", record=record, reason=why
        )
        return dg.AssetCheckResult(
            passed=not why,
            description=why or "; ".join(filter(None, ["within the budget", lacks])),
            metadata={
                "monthly_usd_at_minimum": float(costs.totals.after_min),
                "monthly_usd_at_maximum": float(costs.totals.after_max),
                "monthly_budget_usd": session.environment.budget.monthly_usd,
                "unpriced": dg.MetadataValue.json([item.address for item in costs.unpriced]),
            },
        )


_WAIT = "; wait until it has ended or cancel it, or say --despite-live-runs, which is recorded"


@dg.asset_check(
    asset=terraform_plan,
    blocking=True,
    partitions_def=environments,
    description="No burst run is live on what the plan would remove or replace.",
)
def no_live_runs_harmed(
    context: dg.AssetCheckExecutionContext, sessions: EnvironmentSessions
) -> dg.AssetCheckResult:
    with sessions.open(context) as session:
        record = plan_of(session, context.run.tags)
        why, live, harm = gates.harmed_runs(session, record)
        overruled = " (somebody said --despite-live-runs)" if session.despite_live_runs else ""
        return dg.AssetCheckResult(
            passed=not why or session.despite_live_runs,
            description=f"{why}{overruled or _WAIT}" if why else "no live burst run loses anything",
            metadata={
                "plan_digest": record.plan_digest,
                "live_burst_runs": dg.MetadataValue.json([run.run_id for run in live]),
                "taken_away": dg.MetadataValue.json([item.to_json() for item in harm]),
            },
        )


plan = dg.define_asset_job(
    "plan",
    selection=dg.AssetSelection.assets(terraform_plan),
    partitions_def=environments,
    description="Plan an environment and check the plan; nothing is changed.",
    tags=REPEATABLE,
)

policy_checks = dg.define_asset_job(
    "policy_checks",
    selection=dg.AssetSelection.checks(policy),
    partitions_def=environments,
    description="Judge the latest plan by today's policies.",
    tags={**LIGHT, **REPEATABLE},
)
