"""The removal of an environment that a labelled issue asks for: what it says, and who has approved it.

The issue's body types the environment twice::

    environment: staging
    confirm: staging

An approval is a comment that begins with ``approve`` and the beginning of the plan's digest, given after the
plan was shown, by somebody who may approve and did not open the issue.
"""

import re
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any

from ray_platform.github.model import Comment, Issue
from ray_platform.pull_requests.comment import code, plain
from ray_platform.pull_requests.reviews import Approvers, may_approve
from ray_platform.text.canonical import short

#: The label of an issue that asks for a removal.
LABEL = "ray-platform-destroy"
MARKER = "<!-- ray-platform: removal -->"
_FIELD = re.compile(r"^[ \t]*(environment|confirm)[ \t]*:[ \t]*(\S+)[ \t]*\r?$", re.MULTILINE)
_APPROVE = re.compile(r"\s*approve\s+([0-9a-f]{12,64})\b")
_SHOWN_LOSSES = 40


@dataclass(frozen=True)
class Removal:
    """What is known of a removal that an issue asks for.

    ``losses`` are (address, what goes with it). ``shown_at`` is when the plan stood in our comment, by the
    forge's clock; ``failed`` why its last run failed; ``done`` what came of it, empty until then.
    """

    environment: str
    issue: str
    plan_digest: str
    state_lineage: str
    state_serial: int
    policy_digest: str
    run_id: str
    resources: int
    losses: tuple[tuple[str, str], ...] = ()
    shown_at: str = ""
    failed: str = ""
    done: str = ""

    def to_json(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> "Removal":
        return cls(**{**data, "losses": tuple((a, b) for a, b in data["losses"])})

    def is_of(self, lineage: str, serial: int, policy_digest: str) -> bool:
        """Whether it is a plan of this state under these policies."""
        return (self.state_lineage, self.state_serial, self.policy_digest) == (
            lineage,
            serial,
            policy_digest,
        )

    def shown(self, at: str) -> "Removal":
        return replace(self, shown_at=at)


def asked_for(issue: Issue, environments: Iterable[str]) -> tuple[str, str]:
    """The environment that an issue asks to remove, or why it asks for none that can be."""
    fields = dict(_FIELD.findall(issue.body))
    name, confirm = fields.get("environment", ""), fields.get("confirm", "")
    known = tuple(environments)
    if name not in known:
        listed = ", ".join(known)
        return "", f"write a line `environment: NAME` with one of: {listed}; and `confirm: NAME`"
    if confirm != name:
        return "", f"to remove everything in {name}, write a line `confirm: {name}`"
    return name, ""


def approved_by(
    comments: Iterable[Comment], issue: Issue, removal: Removal, approvers: Approvers
) -> tuple[str, ...]:
    """Who approves a removal's plan, each person once."""
    people: dict[str, str] = {}
    for comment in comments:
        said = _APPROVE.match(comment.body)
        counts = (
            said is not None
            and removal.plan_digest.startswith(said[1])
            and bool(removal.shown_at)
            and comment.created_at > removal.shown_at
            # An edited comment may have said something else before: what counts is said anew.
            and comment.updated_at == comment.created_at
            and not comment.by_us
            and not may_approve(comment.author, issue.author, approvers)
        )
        if counts:
            people.setdefault(comment.author.casefold(), comment.author)
    return tuple(people.values())


def render_removal(
    removal: Removal | None, refused: str, approvals: tuple[str, ...], required: int, run_url: str
) -> str:
    """The comment of such an issue, as Markdown.

    Args:
        removal: The plan, once there is one.
        refused: Why the issue cannot be followed; empty when it can.
        approvals: Who has approved.
        required: How many must.
        run_url: The address of the run that made the plan.
    """
    lines = [MARKER]
    if refused:
        return "\n".join([*lines, f"Nothing is removed: {refused}"])
    if removal is None:
        return "\n".join([*lines, "The removal is being planned."])
    digest = short(removal.plan_digest)
    lines += [
        f"### Removal of everything in {code(removal.environment)}",
        "",
        f"Plan {code(digest)} on state serial {removal.state_serial} removes **{removal.resources}** "
        f"resources: [the plan]({run_url}).",
    ]
    if removal.losses:
        lines += ["", "With them goes what cannot be had again:", ""]
        lines += [
            f"- {code(address, in_table=False)}: {plain(holds)}"
            for address, holds in removal.losses[:_SHOWN_LOSSES]
        ]
        if len(removal.losses) > _SHOWN_LOSSES:
            lines.append(f"- and {len(removal.losses) - _SHOWN_LOSSES} more: see the plan")
    if removal.done:
        return "\n".join([*lines, "", f"**Done:** {plain(removal.done)}"])
    if removal.failed:
        lines += ["", f"**It failed:** {plain(removal.failed)}"]
    lines += [
        "",
        f"It has {len(approvals)} of {required} approvals"
        + (f": {', '.join(code(name) for name in approvals)}" if approvals else "")
        + f". To approve, write a comment `approve {digest}`; the author's does not count.",
        "",
        "The state and the environment's records are saved first. Closing this issue stops it.",
    ]
    return "\n".join(lines)
