"""The daily cost report as one self-contained HTML page, and as a picture.

The page loads nothing, runs no script and says so in its content security policy. Each number that
a plot shows stands in a table too. All inserted text is escaped.
"""

import calendar
import io
import itertools
from collections.abc import Mapping
from importlib import resources
from typing import Any

from ray_platform.cost.report.cost_report import CostReport
from ray_platform.cost.report.day_costs import PartKind
from ray_platform.cost.report.report_text import forecast_text, not_priced, rate_text, unit_rows

_LABELS: Mapping[PartKind, str] = {
    "run": "burst runs",
    "idle": "idle nodes",
    "overhead": "head and system",
    "fixed": "fixed infrastructure",
}
_COLOURS: Mapping[PartKind, str] = {
    "run": "#2f6fdf",
    "idle": "#e39a1c",
    "overhead": "#8a63d2",
    "fixed": "#7b8794",
}
_BAR_WIDTH = 240
_BUDGET_WIDTH_100 = 400
_BUDGET_WIDTH = 480
_PLOT_TOP, _PLOT_BOTTOM = 10, 208
_POOL_COLOURS = ("#2f6fdf", "#12a594", "#d6409f", "#e39a1c", "#8a63d2", "#7b8794")


def cost_page(report: CostReport) -> str:
    """The page, UTF-8 text of some ten kilobytes."""
    from jinja2 import Environment, StrictUndefined

    environment = Environment(
        autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    environment.filters["money"] = report.currency.text
    environment.filters["usd"] = report.currency.text_of_usd
    text = (
        resources.files("ray_platform.cost.report").joinpath("report_page.html").read_text("utf-8")
    )
    kinds = report.cents_by_kind()
    most = max(*kinds.values(), 1)
    reached = [alert.percent for alert in report.alerts if alert.reached]
    budget_width = float(report.budget_used_percent) / 100 * _BUDGET_WIDTH_100
    return environment.from_string(text).render(
        report=report,
        kinds=kinds,
        forecast=forecast_text(report),
        not_priced=not_priced(report),
        rate="" if report.currency.code == "USD" else rate_text(report.currency),
        units=zip(
            unit_rows(report.units_day, report.currency),
            unit_rows(report.units_month, report.currency),
            strict=True,
        ),
        reached=reached[-1] if reached else 0,
        bars=[
            {
                "kind": kind,
                "label": _LABELS[kind],
                "cents": cents,
                "width": round(_BAR_WIDTH * cents / most, 1),
            }
            for kind, cents in kinds.items()
        ],
        budget_width=round(min(_BUDGET_WIDTH, budget_width), 1),
        **_hours(report),
        **_days(report),
    )


def cost_plot_png(report: CostReport) -> bytes:
    """The day by part and its hours by node pool, as a PNG for Dagster's metadata."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(9, 3.2), dpi=110, layout="constrained")
    FigureCanvasAgg(figure)
    left, right = figure.subplots(1, 2, width_ratios=(1, 1.6))
    kinds = report.cents_by_kind()
    names = [_LABELS[kind] for kind in kinds]
    dollars = [cents / 100 for cents in kinds.values()]
    money = report.currency.text
    bars = left.barh(names, dollars, color=[_COLOURS[kind] for kind in kinds])
    left.bar_label(bars, [money(cents) for cents in kinds.values()], padding=3)
    left.set_xlim(0, max(*dollars, 0.01) * 1.35)
    left.invert_yaxis()
    # Dollar signs would start a formula.
    left.set_title(f"{money(report.total_cents)} on {report.day}".replace("$", r"\$"))
    for label in left.texts:
        label.set_text(label.get_text().replace("$", r"\$"))
    base = [0.0] * 24
    for pool, colour in zip(_pools(report), itertools.cycle(_POOL_COLOURS), strict=False):
        heights = [hour.get(pool, 0.0) / 3600 for hour in report.hourly]
        right.bar(range(24), heights, bottom=base, label=pool, color=colour, width=0.85)
        base = [low + high for low, high in zip(base, heights, strict=True)]
    right.set_title(f"node-hours by hour (UTC), {report.environment}")
    right.set_xlim(-0.6, 23.6)
    right.set_xticks(range(0, 24, 3))
    if any(base):
        right.set_ylim(0, max(base) * 1.2)
        right.legend(frameon=False, loc="upper left", ncols=4)
    for axes in (left, right):
        axes.spines[["top", "right"]].set_visible(False)
    out = io.BytesIO()
    figure.savefig(out, format="png")
    return out.getvalue()


def _pools(report: CostReport) -> list[str]:
    return sorted({pool for hour in report.hourly for pool in hour})


def _hours(report: CostReport) -> dict[str, Any]:
    """Geometry of the stacked bars: node-hours in each hour, one colour a pool."""
    pools = _pools(report)
    most = max((sum(hour.values()) / 3600 for hour in report.hourly), default=0.0)
    top = _round_up(most)
    height = _PLOT_BOTTOM - _PLOT_TOP
    boxes = []
    for number, hour in enumerate(report.hourly):
        y = float(_PLOT_BOTTOM)
        for index, pool in enumerate(pools):
            node_hours = hour.get(pool, 0.0) / 3600
            if node_hours:
                tall = node_hours / top * height
                y -= tall
                boxes.append(
                    {
                        "pool": index % len(_POOL_COLOURS),
                        "x": round(48 + number * 39.6, 1),
                        "y": round(y, 2),
                        "height": round(tall, 2),
                        "title": f"{number:02d}:00 {pool}: {node_hours:.2f} node-hours",
                    }
                )
    ticks = [
        {"y": round(_PLOT_BOTTOM - height * part / 4, 1), "label": f"{top * part / 4:.3g}"}
        for part in range(5)
    ]
    return {"pools": pools, "boxes": boxes, "ticks": ticks}


def _days(report: CostReport) -> dict[str, Any]:
    """Geometry of the month's bars: each day by part, and the budget's even share a day as a line."""
    length = calendar.monthrange(report.day.year, report.day.month)[1]
    share = report.budget_cents / length / 100
    most = max((day.cents / 100 for day in report.days), default=0.0)
    top = _round_up(max(most, 0.01))
    height, step = _PLOT_BOTTOM - _PLOT_TOP, 952 / length
    boxes = []
    for day in report.days:
        y = float(_PLOT_BOTTOM)
        sums = dict.fromkeys(_LABELS, 0)
        for part in day.parts:
            sums[part.kind] += part.cents
        for kind, cents in sums.items():
            tall = cents / 100 / top * height
            y -= tall
            title = f"{day.day} {_LABELS[kind]}: {report.currency.text(cents)}"
            x = round(48 + (day.day.day - 1) * step, 1)
            boxes.append({"kind": kind, "x": x, "y": y, "height": tall, "title": title})
    return {
        "day_boxes": [box for box in boxes if box["height"]],
        "day_ticks": [
            {
                "y": round(_PLOT_BOTTOM - height * part / 4, 1),
                "label": report.currency.text(round(top * part / 4 * 100)),
            }
            for part in range(5)
        ],
        "day_width": round(step * 0.8, 1),
        "day_step": step,
        "month_days": length,
        "budget_y": round(_PLOT_BOTTOM - share / top * height, 1) if share <= top else None,
        "labels": _LABELS,
    }


def _round_up(value: float) -> float:
    """The next round number whose quarters read well."""
    scale = 0.01
    while True:
        for step in (1.0, 1.2, 1.6, 2.0, 3.0, 4.0, 6.0, 8.0):
            if value <= step * scale:
                return step * scale
        scale *= 10
