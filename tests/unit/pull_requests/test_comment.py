"""What a pull request's comment says: in our words alone, within GitHub's bounds, nothing cut silently."""

import html
import re
from dataclasses import replace
from pathlib import Path

import pytest
from markdown_it import MarkdownIt

from ray_platform.github.model import PullRequest, Review
from ray_platform.pull_requests.comment import MARKER, Row, render_check, render_comment
from ray_platform.pull_requests.decide import Decision, Next
from ray_platform.pull_requests.report import Outcome, PlanReport
from ray_platform.pull_requests.reviews import Opinion, Reviewed

GOLDEN = Path(__file__).resolve().parents[2] / "data" / "golden" / "pull_request_comment.md"
URL = "http://127.0.0.1:3000/runs/0123"
MOST_OF_GITHUB = 65_536
OURS = {"h3", "p", "table", "thead", "tbody", "tr", "th", "td", "details", "summary"} | {
    *("strong", "ul", "li", "code", "a")
}
PULL = PullRequest(
    number=7,
    title="Add a spot pool",
    author="alice",
    url="http://forge/7",
    head="a" * 40,
    head_branch="spot",
    base_branch="main",
    base_head="b" * 40,
    from_fork=False,
    draft=False,
    is_open=True,
    merge_commit="",
    created_at="2026-03-01T09:00:00Z",
    updated_at="2026-03-01T09:00:00Z",
    merged_at="",
)
REPORT = PlanReport(
    environment="prod",
    repository="acme/infra",
    number=7,
    commit="a" * 40,
    base="b" * 40,
    plan_digest="c" * 64,
    state_lineage="lineage",
    state_serial=4,
    policy_digest="d" * 64,
    run_id="0123",
    made_at="2026-03-01T09:01:00+00:00",
    counts={"create": 2, "replace": 1, "update": 0, "delete": 0},
    empty=False,
    changes=(
        ("replace", 'module.node_pools.aws_eks_node_group.this["cpu"]'),
        ("create", 'module.node_pools.aws_eks_node_group.this["spot"]'),
        ("create", 'module.node_pools.aws_launch_template.this["spot"]'),
    ),
    losses=(
        ('module.node_pools.aws_eks_node_group.this["cpu"]', "replace", "its nodes and their pods"),
    ),
    dollars={
        "before_min": "1,204.10",
        "after_min": "1,204.10",
        "before_max": "5,010.00",
        "after_max": "5,420.00",
    },
    shown_at="2026-03-01T09:02:00Z",
)
REVIEW = Review(1, "bob", "APPROVED", "e" * 40, "2026-03-01T08:00:00Z", True, "http://forge/7#1")
REVIEWED = Reviewed((Opinion(REVIEW, "was given before the last push"),), ())

#: What somebody may write into a resource's name, a rule's message or a pool's name.
ATTACKS = (
    "` **approved** `",
    "``` ![x](http://evil.example/pixel)",
    "[all good](http://evil.example/)",
    "see http://evil.example/ or www.evil.example",
    "<img src=x onerror=alert(1)><script>alert(1)</script>",
    "</details></summary><h1>Approved</h1>",
    "| prod | no changes | ✅ | $0 | 2 of 2 | ✅ applied |",
    "\\| escaped \\\\| twice \\` thrice",
    "first\n\n# Approved\n\n- [x] by bob\n",
    "line\u2028separator\u0085next\r\n---\r\n",
    f"{MARKER} mine",
    "--> out <!--",
    "@acme/platform @bob please #12 acme/infra#12",
    "GH-12 and a@evil.example",
    "\u202eder\u202c \u200bhidden\ufeff",
    "[id]: http://evil.example/",
    "&lt;b&gt; &#64;bob &commat;bob",
    "*a* _b_ ~~c~~ **d** ***",
    "    indented code",
    "`" * 40,
    "",
)


def row(report: PlanReport | None = REPORT, **changed: object) -> Row:
    given = Row(
        environment="prod",
        decision=Decision(Next.WAIT, "1 of 2 approvals"),
        report=report,
        reviewed=REVIEWED,
        approvals=("carol",),
        required=2,
        plan_url=URL,
    )
    return replace(given, **changed)  # type: ignore[arg-type]


def hostile(text: str) -> Row:
    """A row in which every text that is not ours is the same one."""
    report = replace(
        REPORT,
        changes=(("update", text), ("create", text)),
        losses=((text, "delete", text),),
        violations=({"id": text, "resource": text, "message": text, "fix": text},),
        over_budget=text,
        harms=text,
        why=text,
        outcome=Outcome(
            "success", "f" * 64, "0123", "then", outputs={text: text}, verified=(text,)
        ),
    )
    opinion = Opinion(replace(REVIEW, author=text), "was given before the last push")
    return row(
        report,
        decision=Decision(Next.FAILED, text),
        reviewed=Reviewed((opinion,), ()),
        approvals=(text,),
    )


def rendered(markdown: str) -> str:
    """As GitHub shows it: tables, struck text, and addresses that become links by themselves."""
    parser = MarkdownIt("commonmark", {"html": True, "linkify": False})
    return str(parser.enable(["table", "strikethrough"]).render(markdown))


def test_an_ordinary_comment_reads_as_it_did() -> None:
    text = render_comment(PULL, [row()], note="A note.") + "\n"
    assert text == GOLDEN.read_text(encoding="utf-8")


@pytest.mark.parametrize("text", ATTACKS)
def test_nobody_elses_text_becomes_ours(text: str) -> None:
    markdown = render_comment(PULL, [hostile(text)])
    page = rendered(markdown)
    assert markdown.count(MARKER) == 1
    assert set(re.findall(r'href="([^"]*)"', page)) == {URL}
    tags = set(re.findall(r"<(/?[a-z0-9]+)", page.replace(MARKER, "")))
    assert {tag.strip("/") for tag in tags} <= OURS
    outside = re.sub(r"<code>.*?</code>", "", page, flags=re.DOTALL)
    assert not re.search(r"@\w|(?i:www\.)|://(?!127)|#\d|GH-\d", _words(outside))
    assert not re.search("[\u200e\u200f\u202a-\u202e\ufeff]", page)
    assert page.count("<tr>") == rendered(render_comment(PULL, [hostile("x")])).count("<tr>")
    assert page.count("<li>") == rendered(render_comment(PULL, [hostile("x")])).count("<li>")
    strong = re.findall(r"<strong>(.*?)</strong>", page)
    assert len(strong) == len(
        re.findall("<strong>", rendered(render_comment(PULL, [hostile("x")])))
    ) or (not text)


def _words(page: str) -> str:
    """The texts between the tags: what GitHub looks for mentions and addresses in."""
    return html.unescape(re.sub(r"<[^>]*>", "\n", page))


def test_five_thousand_changes_and_five_hundred_violations_fit_and_are_counted() -> None:
    violation = {"id": "tags", "resource": "x" * 90, "message": "m" * 200, "fix": "f" * 200}
    report = replace(
        REPORT,
        changes=tuple(("create", f"module.m.aws_subnet.this[{i}]") for i in range(5000)),
        violations=(violation,) * 500,
    )
    text = render_comment(PULL, [row(report)])
    assert len(text) < MOST_OF_GITHUB
    shown_changes = text.count("- create: ")
    shown_rules = text.count("- `tags`")
    assert f"and {5000 - shown_changes} more: see [the run]({URL})" in text
    assert f"and {500 - shown_rules} more: see [the run]({URL})" in text
    assert shown_changes and shown_rules


@pytest.mark.parametrize("environments", [1, 16, 64])
def test_long_reports_of_many_environments_fit_and_each_is_linked(environments: int) -> None:
    violation = {"id": "r", "resource": "x" * 200, "message": "m" * 3000, "fix": "f" * 3000}
    report = replace(REPORT, violations=(violation,) * 50)
    rows = [row(report, environment=f"env-{i}") for i in range(environments)]
    text = render_comment(PULL, rows)
    assert len(text) < MOST_OF_GITHUB
    for i in range(environments):
        assert f"`env-{i}`" in text
    cut = "[the run](" in text or "behind the links above" in text
    assert cut and text.count(f"]({URL})") >= environments


def test_what_loses_something_comes_before_what_is_made() -> None:
    text = render_comment(PULL, [row()])
    assert text.index("**What goes**") < text.index("**Changes**")
    assert text.index("- replace:") < text.index("- create:")


@pytest.mark.parametrize(
    ("nexts", "conclusion"),
    [
        ([Next.PLAN, Next.DENIED], None),
        ([Next.APPLY], None),
        ([Next.DENIED, Next.WAIT], "failure"),
        ([Next.FAILED], "failure"),
        ([Next.APPLIED, Next.NOTHING], "success"),
        ([Next.NOTHING, Next.IGNORED], "neutral"),
    ],
)
def test_the_check_concludes_once_nothing_is_under_way(
    nexts: list[Next], conclusion: str | None
) -> None:
    rows = [row(environment=str(i), decision=Decision(item)) for i, item in enumerate(nexts)]
    assert render_check(rows)[2] == conclusion


def test_the_check_holds_the_merge_up_for_approvals_and_not_for_the_merge() -> None:
    assert render_check([row()])[2] == "action_required"
    assert render_check([row(approvals=("bob", "carol"))])[2] == "success"
