"""What a pull request moves, forgets and cannot price is in its comment, check and approvals."""

from dataclasses import replace

from ray_platform.pull_requests.comment import Row, render_check, render_comment
from ray_platform.pull_requests.decide import Decision, Next, decide
from ray_platform.pull_requests.report import PlanReport
from ray_platform.pull_requests.reviews import Reviewed
from tests.unit.pull_requests.test_comment import PULL, REPORT
from tests.unit.pull_requests.test_decide import READY

LACKING = replace(
    REPORT,
    unpriced=(("aws_sqs_queue.events", "there is no price rule for aws_sqs_queue"),),
    more_approvals=1,
)


def row(report: PlanReport) -> Row:
    return Row("prod", Decision(Next.WAIT), report, Reviewed((), ()), ("bob",), 2, "http://run")


def test_a_total_says_how_many_resources_it_lacks_and_which() -> None:
    comment = render_comment(PULL, [row(LACKING)])
    assert "$1,204.10 + 1 not priced" in comment
    assert "| 5,010.00 | 5,420.00 + 1 not priced |" in comment
    assert "`aws_sqs_queue.events`: there is no price rule" in comment.replace("\\", "")
    _, summary, _ = render_check([row(LACKING)])
    assert "+ 1 not priced" in summary
    assert "not priced" not in render_comment(PULL, [row(REPORT)])


def test_moves_imports_and_forgotten_resources_are_counted_and_shown() -> None:
    report = replace(
        REPORT,
        counts={"create": 0, "move": 2, "import": 1, "forget": 3, "read": 4},
        changes=(("move", "aws_vpc.old -> aws_vpc.new"), ("forget", "aws_vpc.gone")),
    )
    comment = render_comment(PULL, [row(report)])
    assert "3 to forget, 2 to move, 1 to import" in comment
    assert "- move: `aws_vpc.old -> aws_vpc.new`" in comment
    assert "4 to read" not in comment and "no changes" not in comment


def test_a_change_of_outputs_alone_is_said() -> None:
    report = replace(REPORT, counts={"create": 0}, changes=())
    assert "changes of outputs alone" in render_comment(PULL, [row(report)])


def test_what_has_no_price_asks_one_approval_more() -> None:
    waiting = decide(replace(READY, report=LACKING))
    assert waiting.next is Next.WAIT
    assert waiting.why == "2 of 3 approvals, one of them for what has no price"
    enough = replace(READY, report=LACKING, approvals=("bob", "carol", "dave"))
    assert decide(enough).next is Next.APPLY


def test_a_report_survives_its_storage_and_one_of_an_earlier_version_is_read() -> None:
    assert PlanReport.from_json(LACKING.to_json()) == LACKING
    earlier = {k: v for k, v in REPORT.to_json().items() if k not in ("unpriced", "more_approvals")}
    assert PlanReport.from_json(earlier) == REPORT
