"""Drift: what the live API says against what the Terraform state says, out of one plan.

A plan puts each difference into ``resource_drift``: ``before`` is the state, ``after`` is what the API
answered. Here the two become one `DriftItem` an attribute, with a severity by rules that are data
(`drift_rules`) and a cause from evidence (`drift_causes`).
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

from ray_platform.config.node_pools import NodePool
from ray_platform.drift.by_aws import by_aws
from ray_platform.drift.causes import (
    NO_EVIDENCE,
    WORDS,
    Around,
    Because,
    Cause,
    Evidence,
    cause_of,
    followed,
)
from ray_platform.drift.conditions import UNMANAGED, Fact
from ray_platform.drift.rules import RuleBook, Severity
from ray_platform.drift.trail import explaining_event
from ray_platform.drift.unmanaged import LiveResource
from ray_platform.terraform.computed import is_computed
from ray_platform.terraform.plan import Plan, ResourceChange
from ray_platform.text.canonical import canonical_json
from ray_platform.text.redaction import redact, redact_marked
from ray_platform.text.tree_differences import leaves, path_text, plain, seal, shown

_ORDER: Mapping[Severity, int] = {"none": 0, "minor": 1, "major": 2}
#: What a cell of the table holds at most: a line of 120 characters fits the UI's dialog on a small screen.
_PLACE_CHARS, _SIDE_CHARS, _CAUSE_CHARS, _MOST_ROWS = 56, 20, 24, 200
_SHORT: Mapping[Cause, str] = {
    "autoscaler": "autoscaler",
    "provider_default": "filled in by AWS",
    "aws": "AWS by itself",
    "unapplied_change": "not applied yet",
    "by_hand": "by hand",
    "unmanaged": "beside Terraform",
    "unknown": "not known",
}
#: The attribute of what could not be looked at.
NOT_ASKED = "(not asked)"
_FOLLOWS = "computed by AWS: it repeats or follows other attributes"
_FILLED_IN = "expected: nobody changed anything"
_BY_AWS = "expected: AWS did it within the bounds that were set"
_UPGRADED = "the owner allowed it; write the version into the configuration"


@dataclass(frozen=True)
class DriftItem:
    """One attribute that differs, or one resource that was made beside Terraform.

    ``before`` is the state's value, ``after`` the live one, both with secrets masked. ``reason`` says why
    the severity is what it is; ``evidence`` why the cause is; ``who`` and ``when`` (ISO 8601) are empty
    where nobody knows.
    """

    address: str
    attribute: str
    before: Any
    after: Any
    severity: Severity
    cause: Cause
    reason: str
    evidence: str = ""
    who: str = ""
    when: str = ""

    def masked(self, known: frozenset[str]) -> "DriftItem":
        """Without the values that are known to be secret, wherever they stand."""
        return DriftItem(**redact(asdict(self), known))


def drift_items(
    plan: Plan,
    book: RuleBook,
    *,
    pools: Sequence[NodePool] = (),
    evidence: Evidence | None = None,
    unmanaged: Sequence[LiveResource] = (),
) -> tuple[DriftItem, ...]:
    """Every difference, the worst first.

    Args:
        plan: Its ``drift`` is read.
        book: How severe what is.
        pools: The node pools: a node count within their bounds is the autoscaler's work. Without
            them the bounds in the state count.
        evidence: What is known around it; without any, all but node counts is by hand.
        unmanaged: What was found beside Terraform.
    """
    known = evidence or NO_EVIDENCE
    around = _around(plan)
    items = [
        item for change in plan.drift for item in _items_of(change, book, pools, known, around)
    ]
    items += [_unmanaged_item(found, book, known) for found in unmanaged]
    return in_order(items)


def in_order(items: Iterable[DriftItem]) -> tuple[DriftItem, ...]:
    """The worst first, then by where they are."""
    return tuple(sorted(items, key=lambda i: (-_ORDER[i.severity], i.address, i.attribute)))


def worst(items: Sequence[DriftItem]) -> Severity:
    """The highest severity among the items; ``none`` when there are none."""
    return max((item.severity for item in items), key=_ORDER.__getitem__, default="none")


def to_json(items: Sequence[DriftItem]) -> dict[str, Any]:
    """``severity``, the counts by severity and by cause, and the ``items``."""
    counts: dict[str, int] = {"major": 0, "minor": 0, "none": 0}
    causes: dict[str, int] = dict.fromkeys(WORDS, 0)
    for item in items:
        counts[item.severity] += 1
        causes[item.cause] += 1
    return {
        "severity": worst(items),
        "counts": counts,
        "causes": causes,
        "items": [asdict(item) for item in items],
    }


def to_markdown(items: Sequence[DriftItem]) -> str:
    """A table for people, one line an item, the worst first; `to_json` has what it cuts short.

    The lines are so short that none wraps in the dialog in which the Dagster UI shows Markdown.
    """
    if not items:
        return "No drift: what runs is what the state and the release of Ray say.\n"
    lines = ["| severity | resource and attribute | state → live | cause |", "|---|---|---|---|"]
    for item in items[:_MOST_ROWS]:
        place = f"{item.address.removeprefix('module.')} {item.attribute}".strip()
        change = f"{_cut(item.before, _SIDE_CHARS)} → {_cut(item.after, _SIDE_CHARS)}"
        cause = f"{_SHORT[item.cause]} {item.who}".strip()
        lines.append(
            f"| {item.severity} | {_code(_middle(place, _PLACE_CHARS))} | {_code(change)} "
            f"| {_code(_cut(cause, _CAUSE_CHARS))} |"
        )
    if len(items) > _MOST_ROWS:
        lines += ["", f"and {len(items) - _MOST_ROWS} more items"]
    return "\n".join(lines) + "\n"


def _around(plan: Plan) -> Around:
    drifted = {change.address: change for change in plan.drift}
    live: dict[str, list[tuple[str, Mapping[str, Any]]]] = {}
    for change in plan.changes:
        # What is gone still tells what it used to set.
        gone = drifted.get(change.address)
        attributes = change.before or (gone.before if gone else {})
        live.setdefault(change.type, []).append((change.address, attributes))
    return Around(drifted, live)


def _items_of(
    change: ResourceChange,
    book: RuleBook,
    pools: Sequence[NodePool],
    evidence: Evidence,
    around: Around,
) -> Iterator[DriftItem]:
    judged: list[tuple[DriftItem, Because | None]] = []
    for fact, old, new in _facts(change, pools):
        severity, reason = book.judge(fact)
        because = cause_of(change, fact, severity, book, evidence, around)
        if because is None:
            severity, reason = "none", _FOLLOWS
        elif because.cause == "provider_default":
            severity, reason = "none", _FILLED_IN
        elif because.cause == "aws" and (done := by_aws(fact)) and done.is_expected:
            severity, reason = "none", _BY_AWS
        elif because.cause == "aws":
            severity, reason = "minor", _UPGRADED
        elif because.only_bookkeeping:
            severity, reason = "none", "nothing differs but whose tag it is"
        elif _repeats_tags(fact):
            severity, reason = "none", "it repeats tags"
        item = DriftItem(change.address, fact.attribute, old, new, severity, "by_hand", reason)
        judged.append((item, because))
    others = [because for _, because in judged if because is not None]
    for item, because in judged:
        told = because or followed(others)
        yield replace(item, cause=told.cause, evidence=told.evidence, who=told.who, when=told.when)


def _facts(change: ResourceChange, pools: Sequence[NodePool]) -> Iterator[tuple[Fact, Any, Any]]:
    """Each difference of one resource, with the values before and after as people may see them."""

    def fact(attribute: str, keys: tuple[str, ...], before: Any, after: Any) -> Fact:
        return Fact(
            type=change.type,
            attribute=attribute,
            keys=keys,
            before=before,
            after=after,
            removed=not keys,
            resource_before=change.before,
            resource_after=change.after,
            pools=tuple(pools),
        )

    if change.action == "delete":
        yield fact("", (), None, None), "exists", "removed"
        return
    old_tree, new_tree = (
        redact_marked(
            redact_marked(dict(tree), change.before_sensitive, seal), change.after_sensitive, seal
        )
        for tree in (change.before, change.after)
    )
    for path, old, new in leaves(old_tree, new_tree):
        keys = tuple(part for part in path if isinstance(part, str))
        if is_computed(change.type, keys):
            continue  # the provider alone sets it: AWS moves it by itself
        yield (
            fact(path_text(path), keys, plain(old), plain(new)),
            shown(path, old),
            shown(path, new),
        )


def _repeats_tags(fact: Fact) -> bool:
    """``tags_all`` repeats a change of ``tags``; a change of a default tag shows there alone."""
    if fact.keys[:1] != ("tags_all",):
        return False
    old, new = (side.get("tags") or {} for side in (fact.resource_before, fact.resource_after))
    if len(fact.keys) == 1:
        return bool(old != new)
    return bool(old.get(fact.keys[1]) != new.get(fact.keys[1]))


def _unmanaged_item(found: LiveResource, book: RuleBook, evidence: Evidence) -> DriftItem:
    fact = Fact(
        type=found.type,
        attribute=UNMANAGED,
        keys=(),
        before=None,
        after=dict(found.details),
        removed=False,
        resource_before={},
        resource_after=found.details,
        pools=(),
    )
    severity, reason = book.judge(fact)
    event = explaining_event(evidence.trail, found.type, found.names)
    return DriftItem(
        address=f"{found.type}.{found.id}",
        attribute=UNMANAGED,
        before=None,
        after=redact(dict(found.details)),
        severity=severity,
        cause="unmanaged",
        reason=reason,
        evidence=event.tell() if event else f"{found.place}; our tags are missing: {found.missing}",
        who=event.who if event else "",
        when=event.time if event else found.made_at,
    )


def _cut(value: Any, chars: int) -> str:
    """A value in so many characters at most; an absent one is a dash."""
    if value is None:
        return "-"
    text = value if isinstance(value, str) else canonical_json(value).decode()
    return text if len(text) <= chars else text[: chars - 1] + "…"


def _middle(text: str, chars: int) -> str:
    """A text in so many characters at most, without its middle: both ends tell what it names."""
    if len(text) <= chars:
        return text
    head = (chars - 1) // 2
    return f"{text[:head]}…{text[len(text) - (chars - 1 - head) :]}"


def _code(text: str) -> str:
    return f"`{_text(text).replace('`', chr(39))}`" if text else ""


def _text(text: str) -> str:
    return text.replace("|", "\\|").replace("\n", " ")
