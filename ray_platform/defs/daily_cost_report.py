"""Stage `daily_cost_report`: what a day cost, by node pool and burst run, against the budget."""

import base64
from collections.abc import Iterator
from datetime import UTC, date, timedelta
from typing import Any

import dagster as dg

from ray_platform.config.partitions import day_key, days_by_environment
from ray_platform.config.settings import load_settings
from ray_platform.cost.daily_cost import fire_alerts, report_day
from ray_platform.cost.report.report_json import report_json
from ray_platform.cost.report.report_page import cost_page, cost_plot_png
from ray_platform.cost.report.report_text import report_markdown
from ray_platform.defs.facts import CostFacts
from ray_platform.defs.own_report import report_to_judge
from ray_platform.defs.resources import EnvironmentSessions
from ray_platform.defs.run_resources import LIGHT, REPEATABLE
from ray_platform.notify.issue_board import tell_cost
from ray_platform.text.canonical import digest

#: A report a day, at 00:30 UTC: one missed night is a warning after two hours, two mean that the
#: schedule has stopped.
FRESHNESS = dg.FreshnessPolicy.time_window(
    warn_window=timedelta(hours=26), fail_window=timedelta(hours=50)
)


@dg.asset(
    deps=[
        dg.AssetDep(
            "burst_run",
            partition_mapping=dg.MultiToSingleDimensionPartitionMapping("environment"),
        )
    ],
    partitions_def=days_by_environment,
    freshness_policy=FRESHNESS,
    group_name="watch",
    kinds={"aws"},
    owners=["team:platform"],
    code_version="1",
    description="What a day cost: burst runs, idle, overhead and fixed parts that sum to the whole.",
)
def daily_cost_report(
    context: dg.AssetExecutionContext, sessions: EnvironmentSessions
) -> dg.MaterializeResult[Any]:
    with sessions.open(context) as session:
        day = date.fromisoformat(context.partition_key.keys_by_dimension["day"])
        report = report_day(session, day, context.log.warning)
        base = f"reports/{session.name}/{day}"
        content = report_json(report)
        store = session.artifacts.store
        session.artifacts.write(f"{base}/cost.json", content)
        text = report_markdown(report)
        store.put(f"{base}/cost.md", text.encode())
        store.put(f"{base}/cost.html", cost_page(report).encode())
        fired = fire_alerts(session, report, context.log.warning)
        issue = tell_cost(session, report, context.log.warning)
        facts = CostFacts.of(
            report,
            alerts_fired=fired,
            content=content,
            table=text,
            page=store.url(f"{base}/cost.html"),
        )
        plot = base64.b64encode(cost_plot_png(report)).decode()
        context.log.info(f"{day} in {session.name}: {report.currency.text(report.total_cents)}")
        return dg.MaterializeResult(
            data_version=dg.DataVersion(digest(content)),
            metadata={
                **facts.to_metadata(),
                "report_table": dg.MetadataValue.md(facts.report_table),
                "page": dg.MetadataValue.path(facts.page),
                "unpriced": dg.MetadataValue.json(list(report.unpriced)),
                # For people alone.
                "plot": dg.MetadataValue.md(f"![cost by part](data:image/png;base64,{plot})"),
                **({"issue": dg.MetadataValue.url(issue)} if issue else {}),
            },
        )


@dg.asset_check(
    asset=daily_cost_report,
    partitions_def=days_by_environment,
    description="The month to date is within the environment's budget.",
)
def cost_within_budget(context: dg.AssetCheckExecutionContext) -> dg.AssetCheckResult:
    report = report_to_judge(context, daily_cost_report.key, CostFacts)
    if isinstance(report, dg.AssetCheckResult):
        return report
    used = report.facts.budget_used_percent
    reached = next((percent for percent in (100, 90, 80) if used >= percent), 0)
    return dg.AssetCheckResult(
        passed=reached == 0,
        severity=dg.AssetCheckSeverity.ERROR if reached == 100 else dg.AssetCheckSeverity.WARN,
        description=f"the month to date is {used:.1f} % of the budget"
        + (f": past {reached} %" if reached else ""),
        metadata={"judged_run": report.run_id, "budget_used_percent": used},
    )


daily_cost = dg.define_asset_job(
    "daily_cost",
    selection=dg.AssetSelection.assets(daily_cost_report),
    partitions_def=days_by_environment,
    description="Report what a day cost in one environment.",
    tags={**LIGHT, **REPEATABLE},
)


@dg.schedule(
    job=daily_cost,
    cron_schedule="30 0 * * *",
    execution_timezone="UTC",
    default_status=dg.DefaultScheduleStatus.RUNNING,
    description="Every night for the day before, in each environment that has watch.daily_cost = true.",
)
def daily_costs(context: dg.ScheduleEvaluationContext) -> Iterator[dg.RunRequest | dg.SkipReason]:
    day = (context.scheduled_execution_time.astimezone(UTC) - timedelta(days=1)).date().isoformat()
    settings = load_settings()
    watched = [n for n in settings.environment_names if settings.environment(n).watch.daily_cost]
    if not watched:
        yield dg.SkipReason("no environment has watch.daily_cost = true")
    for name in watched:
        yield dg.RunRequest(run_key=f"cost-{day}-{name}", partition_key=day_key(day, name))
