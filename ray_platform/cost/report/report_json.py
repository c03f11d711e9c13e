"""The cost report as JSON: what `ray-platform cost --json` prints and the artifact store keeps."""

from decimal import Decimal
from typing import Any

from ray_platform.cost.report.cost_report import CostReport
from ray_platform.cost.report.reconciliation import Reconciliation


def report_json(report: CostReport) -> dict[str, Any]:
    """Whole cents as numbers, US dollars as strings."""
    currency = report.currency
    return {
        "day": report.day.isoformat(),
        "environment": report.environment,
        "region": report.region,
        "complete": report.complete,
        "price_book": {"version": report.book_version, "date": report.book_date.isoformat()},
        "currency": currency.code,
        "rate": {
            "per_usd": str(currency.rate),
            "date": currency.date.isoformat() if currency.date else None,
        },
        "total_cents": report.total_cents,
        "cents_by_kind": report.cents_by_kind(),
        "cents_by_pool": report.cents_by_pool(),
        "cents_by_team": report.cents_by_team(),
        "parts": [_plain(part) for part in report.parts],
        "runs": [_plain(run) for run in report.runs],
        "month_to_date_cents": report.month_to_date_cents,
        "month": {
            "days": {day.day.isoformat(): day.cents for day in report.days},
            "cents_by_pool": report.cents_by_pool(month=True),
            "cents_by_team": report.cents_by_team(month=True),
        },
        "forecast": vars(report.forecast) if report.forecast else None,
        "budget": {
            "monthly_usd": str(report.budget_usd),
            "used_percent": str(report.budget_used_percent),
            "alerts": [_plain(alert) for alert in report.alerts],
        },
        "unit_costs": {"day": _plain(report.units_day), "month": _plain(report.units_month)},
        "advice": [_plain(item) for item in report.advice],
        "hourly_node_seconds": [dict(hour) for hour in report.hourly],
        "reconciliation": _reconciled(report.reconciliation),
        "estimate_errors": [_plain(item) for item in report.estimate_errors],
        "unpriced": list(report.unpriced),
    }


def _plain(item: Any) -> dict[str, Any]:
    return {k: str(v) if isinstance(v, Decimal) else v for k, v in vars(item).items()}


def _reconciled(found: Reconciliation | None) -> dict[str, Any] | None:
    if found is None:
        return None
    return {
        "source": found.source,
        "difference_percent": None if found.percent is None else str(found.percent),
        "mean_absolute_percent": None
        if found.mean_absolute_percent is None
        else str(found.mean_absolute_percent),
        "days": [
            {
                "day": day.day.isoformat(),
                "ledger_usd": str(day.ledger_usd),
                "bill_usd": str(day.bill_usd),
                "difference_usd": str(day.difference_usd),
                "percent": None if day.percent is None else str(day.percent),
            }
            for day in found.days
        ],
        "not_billed_yet": [day.isoformat() for day in found.missing],
    }
