"""The daily cost report says which resources are in none of its amounts."""

from datetime import date

import pytest

from ray_platform.cost.ledger.usage_interval import Reading
from ray_platform.cost.price_book import load_price_book
from ray_platform.cost.report.cost_report import CostReport, daily_report
from ray_platform.cost.report.report_json import report_json
from ray_platform.cost.report.report_page import cost_page
from ray_platform.cost.report.report_text import report_markdown


def report(*unpriced: str) -> CostReport:
    reading = Reading(totals=(), hours=(), peaks={}, lost={})
    book = load_price_book()
    return daily_report(date(2026, 11, 3), "prod", reading, book, 100, unpriced=unpriced)


@pytest.mark.parametrize("shown", [report_markdown, cost_page])
def test_a_total_of_the_report_says_how_many_resources_it_lacks(shown: object) -> None:
    assert callable(shown)
    assert "$0.00 + 2 not priced" in shown(report("aws_sqs_queue.a", "aws_sqs_queue.b"))
    assert "not priced" not in shown(report())


def test_the_report_names_them() -> None:
    lacking = report("aws_sqs_queue.a")
    assert report_json(lacking)["unpriced"] == ["aws_sqs_queue.a"]
    assert "`aws_sqs_queue.a`" in report_markdown(lacking)
