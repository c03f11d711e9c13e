"""The cost report as Markdown: for the terminal, Dagster's metadata, issues and pull requests."""

from collections.abc import Iterator
from decimal import Decimal

from ray_platform.cost.money import Currency
from ray_platform.cost.report.cost_report import CostReport
from ray_platform.cost.report.unit_costs import UnitCosts


def report_markdown(report: CostReport) -> str:
    """The day and its parts first, then the month, unit costs, bill and advice."""
    money = report.currency.text
    out = [
        f"**{money(report.total_cents)}{not_priced(report)}** on {report.day} in `{report.environment}`"
        + ("" if report.complete else " (the day is not over)"),
        "",
        f"Month to date {money(report.month_to_date_cents)} of {money(report.budget_cents)} "
        f"({report.budget_used_percent} %). {forecast_text(report)}",
        "",
        "| part | pool or service | run | team | node-seconds | cost |",
        "|---|---|---|---|--:|--:|",
    ]
    for part in report.parts:
        run = f"`{part.run_id}`" if part.run_id else ""
        seconds = f"{part.node_seconds:,.0f}" if part.kind != "fixed" else ""
        out.append(
            f"| {part.kind} | {part.name} | {run} | {part.team} | {seconds} | {money(part.cents)} |"
        )
    out.append(f"| **total** | | | | | **{money(report.total_cents)}{not_priced(report)}** |")
    if report.unpriced:
        out += ["", "Not priced: " + ", ".join(f"`{name}`" for name in report.unpriced)]
    reached = [alert for alert in report.alerts if alert.reached]
    if reached:
        out += ["", f"**The month has reached {reached[-1].percent} % of its budget.**"]
    out += [
        "",
        "| unit cost | this day | month to date |",
        "|---|--:|--:|",
        *(
            f"| {name} | {a} | {b} |"
            for (name, a), (_, b) in zip(
                unit_rows(report.units_day, report.currency),
                unit_rows(report.units_month, report.currency),
                strict=True,
            )
        ),
    ]
    out += ["", *_bill(report)]
    out += [
        f"- {item.title}: {report.currency.text_of_usd(item.usd)}. {item.evidence}"
        for item in report.advice
    ]
    if report.currency.code != "USD":
        out += ["", f"{rate_text(report.currency)}."]
    return "\n".join(out).rstrip() + "\n"


def not_priced(report: CostReport) -> str:
    """`` + 2 not priced`` after a total; empty where everything has a price."""
    return f" + {len(report.unpriced)} not priced" if report.unpriced else ""


def forecast_text(report: CostReport) -> str:
    """One sentence on the end of the month."""
    found, money = report.forecast, report.currency.text
    if found is None:
        return "No forecast: no complete day yet."
    days = "1 complete day" if found.days == 1 else f"{found.days} complete days"
    if found.low is None or found.high is None:
        return f"Forecast {money(found.cents)}, from {days}: too few for an interval."
    return (
        f"Forecast {money(found.cents)}, 80 % between {money(found.low)} and {money(found.high)}, "
        f"from {days}."
    )


def rate_text(currency: Currency) -> str:
    """At which rate, of which day."""
    return f"1 US dollar = {currency.rate} {currency.code} on {currency.date}"


def unit_rows(units: UnitCosts, currency: Currency) -> Iterator[tuple[str, str]]:
    """(what, amount) of each unit cost; an empty amount where there was nothing to divide by."""

    def money(usd: Decimal | None) -> str:
        """Four decimals: a unit may cost less than a cent."""
        return "" if usd is None else f"{currency.symbol}{float(currency.of_usd(usd)):,.4f}"

    yield f"a training run ({units.runs})", money(units.usd_per_run)
    yield f"1,000 tasks ({units.tasks:,} done)", money(units.usd_per_1000_tasks)
    yield f"a GPU hour paid ({units.gpu_hours_paid:,.2f})", money(units.usd_per_gpu_hour_paid)
    yield f"a GPU hour used ({units.gpu_hours_used:,.2f})", money(units.usd_per_gpu_hour_used)


def _bill(report: CostReport) -> Iterator[str]:
    found = report.reconciliation
    if found is not None:
        if found.percent is None:
            yield f"{found.source}: no day of this month is billed yet."
        else:
            yield (
                f"The ledger is {found.percent:+} % of the bill ({found.source}) over "
                f"{len(found.days)} days, {found.mean_absolute_percent} % a day on average."
            )
        yield ""
    for item in report.estimate_errors:
        error = "nothing" if item.error_percent is None else f"{item.error_percent:+} %"
        yield (
            f"The estimate of plan `{item.plan_digest[:12]}` (${item.low_usd:,.2f} to "
            f"${item.high_usd:,.2f} a month) is off by {error}: ${item.actual_usd:,.2f} a month by "
            f"{item.days} days of {item.source}."
        )
        yield ""
