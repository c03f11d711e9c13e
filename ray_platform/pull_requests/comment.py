"""The one comment and the one check run of a pull request, as Markdown.

Whatever comes from a plan, a rule or a person is put into code spans or escaped, so that no resource name
can pass for our words. What does not fit is counted and lies behind a link; nothing is cut silently.
"""

import html
from collections.abc import Sequence
from dataclasses import dataclass

from ray_platform.github.model import Conclusion, PullRequest
from ray_platform.pull_requests.decide import Decision, Next
from ray_platform.pull_requests.report import Outcome, PlanReport
from ray_platform.pull_requests.reviews import Reviewed
from ray_platform.text.canonical import short
from ray_platform.text.markdown import code as code
from ray_platform.text.markdown import plain as plain

#: Finds our comment among others; GitHub shows it to nobody.
MARKER = "<!-- ray-platform: pull request -->"
#: GitHub refuses a comment of more than 65,536 characters and a summary of more than 65,535.
MOST_CHARS = 65_000
#: How many lines of each list are shown, tried in this order until the whole fits.
_LINES = (40, 12, 4, 1)

_SIGNS = {
    Next.PLAN: "…",
    Next.RUNNING: "…",
    Next.APPLY: "…",
    Next.WAIT: "◦",
    Next.DENIED: "✗",
    Next.FAILED: "✗",
    Next.APPLIED: "✓",
    Next.NOTHING: "·",
    Next.IGNORED: "·",
}


@dataclass(frozen=True)
class Row:
    """One environment of the comment. ``plan_url`` leads to the run with the whole plan."""

    environment: str
    decision: Decision
    report: PlanReport | None
    reviewed: Reviewed
    approvals: tuple[str, ...]
    required: int
    plan_url: str


def render_comment(pull: PullRequest, rows: Sequence[Row], *, note: str = "") -> str:
    """The comment, at most `MOST_CHARS` long.

    Args:
        pull: The pull request.
        rows: Its environments, in the order of promotion.
        note: A line above the table; empty for none.
    """
    for lines in _LINES:
        body = _comment(pull, rows, note, lines)
        if len(body) <= MOST_CHARS:
            return body
    return _comment(pull, rows, note, 0)


def render_check(rows: Sequence[Row]) -> tuple[str, str, Conclusion | None]:
    """Title, summary (a line an environment) and conclusion of the check run; None: still in progress."""
    title = ", ".join(f"{row.environment}: {row.decision.next.value}" for row in rows)
    if len(title) > 120:
        title = f"{len(rows)} environments: {_worst(rows).value}"
    return title or "no environment is touched", _table(rows), _conclusion(rows)


def _conclusion(rows: Sequence[Row]) -> Conclusion | None:
    found = {row.decision.next for row in rows}
    if found & {Next.PLAN, Next.RUNNING, Next.APPLY}:
        return None
    if found & {Next.DENIED, Next.FAILED}:
        return "failure"
    if Next.WAIT in found:
        # Waiting for the merge alone is no reason to hold the merge up.
        waits = [row for row in rows if row.decision.next is Next.WAIT]
        ready = all(len(row.approvals) >= row.required for row in waits)
        return "success" if ready else "action_required"
    return "success" if Next.APPLIED in found else "neutral"


def _worst(rows: Sequence[Row]) -> Next:
    order = list(_SIGNS)
    worst = (Next.FAILED, Next.DENIED, Next.WAIT)
    found = {row.decision.next for row in rows}
    return next((item for item in (*worst, *order) if item in found), Next.NOTHING)


def _comment(pull: PullRequest, rows: Sequence[Row], note: str, lines: int) -> str:
    parts = [MARKER, f"### Infrastructure plan of {code(pull.head[:12])}", ""]
    if note:
        parts += [note, ""]
    parts += [_table(rows), ""]
    for row in rows:
        if row.report is not None and lines:
            parts += [_details(row, row.report, lines), ""]
    if not lines:
        parts.append("The details are too long for a comment: they are behind the links above.")
    return "\n".join(parts)


def _table(rows: Sequence[Row]) -> str:
    head = "| environment | plan | checks | a month at minimum | approvals | next |"
    return "\n".join([head, "|---|---|---|---|---|---|", *(_row(row) for row in rows)])


def _row(row: Row) -> str:
    report = row.report
    if report is None:
        cells = ["", "", "", ""]
    else:
        checks = [f"{len(report.violations)} rules broken"] if report.violations else []
        checks += ["over the budget"] if report.over_budget else []
        checks += ["live runs"] if report.harms else []
        needed = f"{len(row.approvals)} of {row.required}" if row.required else "none needed"
        plan = _counts(report)
        cells = [
            f"[{plan}]({row.plan_url})" if row.plan_url else plan,
            "✗ " + ", ".join(checks) if checks else "✓",
            _dollars(report),
            needed,
        ]
    why = f": {plain(row.decision.why)}" if row.decision.why else ""
    said = f"{_SIGNS[row.decision.next]} {row.decision.next.value}{why}"
    return f"| {code(row.environment)} | {' | '.join(cells)} | {said} |"


def _counts(report: PlanReport) -> str:
    if report.empty:
        return "no changes"
    names = ("delete", "replace", "forget", "update", "create", "move", "import")
    return (
        ", ".join(f"{report.counts[name]} to {name}" for name in names if report.counts.get(name))
        or "changes of outputs alone"
    )


def _dollars(report: PlanReport) -> str:
    before, after = report.dollars.get("before_min"), report.dollars.get("after_min")
    if before is None or after is None:
        return ""
    lacks = f" + {len(report.unpriced)} not priced" if report.unpriced else ""
    if before == after:
        return f"${after}{lacks}"
    return f"${before} → ${after}{lacks}"


def _details(row: Row, report: PlanReport, most: int) -> str:
    parts = [
        f"<details><summary>{html.escape(row.environment)}: {_counts(report)}</summary>",
        "",
        f"Plan {code(short(report.plan_digest))} on state serial {report.state_serial}, "
        f"of commit {code(report.commit[:12])}.",
    ]
    if report.why:
        parts += ["", f"Planned again: {plain(report.why)}. Approvals given before are void."]
    if report.violations:
        parts += ["", "**Rules that deny it**", ""]
        parts += _listed(
            [
                f"- {code(item['id'])} {code(item['resource'], in_table=False)}: {plain(item['message'])}. "
                f"To mend it: {plain(item['fix'])}"
                for item in report.violations
            ],
            most,
            row.plan_url,
        )
    if report.excepted:
        parts += ["", "**Exceptions to the rules**", ""]
        parts += _listed([f"- {plain(item)}" for item in report.excepted], most, row.plan_url)
    if report.advice:
        parts += ["", "**Advice, which stops nothing**", ""]
        parts += _listed(
            [
                f"- {code(item['id'])} {code(item['resource'], in_table=False)}: {plain(item['message'])}. "
                f"Better: {plain(item['fix'])}"
                for item in report.advice
            ],
            most,
            row.plan_url,
        )
    for said in (report.over_budget, report.harms):
        if said:
            parts += ["", f"**{plain(said)}**"]
    if report.losses:
        parts += ["", "**What goes**", ""]
        parts += _listed(
            [
                f"- {action}: {code(address, in_table=False)}"
                + (f", and with it {plain(holds)}" if holds else "")
                for address, action, holds in report.losses
            ],
            most,
            row.plan_url,
        )
    if report.changes:
        parts += ["", "**Changes**", ""]
        parts += _listed(
            [f"- {action}: {code(address, in_table=False)}" for action, address in report.changes],
            most,
            row.plan_url,
        )
    if report.dollars:
        parts += ["", _cost_table(report)]
    if report.unpriced:
        parts += ["", "**Not priced**", ""]
        parts += _listed(
            [
                f"- {code(address, in_table=False)}: {plain(why)}"
                for address, why in report.unpriced
            ],
            most,
            row.plan_url,
        )
    if report.whatif and most > 4:
        parts += ["", report.whatif]
    parts += _approvals(row)
    if report.outcome is not None:
        parts += ["", *_outcome(report.outcome)]
    if row.plan_url:
        parts += ["", f"[The whole plan, and the run that made it]({row.plan_url})"]
    return "\n".join([*parts, "", "</details>"])


def _cost_table(report: PlanReport) -> str:
    dollars = report.dollars
    lacks = f" + {len(report.unpriced)} not priced" if report.unpriced else ""
    return (
        "| US dollars a month | before | after |\n|---|---:|---:|\n"
        f"| pools at their minimum | {dollars['before_min']} | {dollars['after_min']}{lacks} |\n"
        f"| pools at their maximum | {dollars['before_max']} | {dollars['after_max']}{lacks} |"
    )


def _approvals(row: Row) -> list[str]:
    parts: list[str] = []
    if row.approvals:
        parts += ["", f"Approved by {', '.join(code(name) for name in row.approvals)}."]
    for opinion in row.reviewed.void:
        parts += [
            "",
            f"The approval of {code(opinion.review.author)} does not count: it {opinion.void}.",
        ]
    return parts


def _outcome(outcome: Outcome) -> list[str]:
    if outcome.state != "success":
        return [f"**The apply failed:** {plain(outcome.said)}"]
    parts = [f"**Applied** at {outcome.at}: infra version {code(short(outcome.infra_version))}."]
    if outcome.verified:
        parts += ["", *(f"- {line}" for line in map(plain, outcome.verified))]
    if outcome.outputs:
        parts += ["", "| output | value |", "|---|---|"]
        parts += [
            f"| {code(name)} | {code(value)} |" for name, value in sorted(outcome.outputs.items())
        ]
    return parts


def _listed(lines: list[str], most: int, url: str) -> list[str]:
    if len(lines) <= most:
        return lines
    where = f"[the run]({url})" if url else "the run"
    return [*lines[:most], f"- and {len(lines) - most} more: see {where}"]
