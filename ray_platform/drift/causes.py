"""Why something drifted: a cause from evidence, never from the look of the difference alone.

===================  ==============================================================================
``autoscaler``       a node count within its pool's bounds, and no person in the audit trail set it
``provider_default`` AWS or the provider filled it in: applying would leave it, the configuration does
                     not name it, and the state had nothing there, or it shows what another resource
                     of the configuration sets, or it is computed
``aws``              AWS did it by itself, within what the resource's own settings allow
``unapplied_change`` the live value is what the configuration in Git asks for; the state does not know it
``by_hand``          neither the state nor Git has it; who and when as far as an audit trail tells
``unmanaged``        nothing in the state: it was made beside Terraform
``unknown``          it could not be looked at
===================  ==============================================================================
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from ray_platform.drift.by_aws import by_aws
from ray_platform.drift.conditions import NODE_COUNT, Fact, pool_of, within_bounds
from ray_platform.drift.configuration import Asked, Configuration
from ray_platform.drift.rules import RuleBook, Severity
from ray_platform.drift.trail import TrailEvent, explaining_event
from ray_platform.terraform.plan import ResourceChange
from ray_platform.text.tree_differences import is_nothing

Cause = Literal[
    "autoscaler",
    "provider_default",
    "aws",
    "unapplied_change",
    "by_hand",
    "unmanaged",
    "unknown",
]

WORDS: Mapping[Cause, str] = {
    "autoscaler": "the autoscaler",
    "provider_default": "filled in by AWS or the provider",
    "aws": "AWS by itself",
    "unapplied_change": "a change in Git that was not applied",
    "by_hand": "a change by hand",
    "unmanaged": "made beside Terraform",
    "unknown": "not known",
}


@dataclass(frozen=True)
class Scaling:
    """What the autoscaler did with one pool: nodes ``started`` and ``ended``, the last at ``last``."""

    pool: str
    started: int
    ended: int
    last: str

    def tell(self) -> str:
        return (
            f"Ray's autoscaler started {self.started} and ended {self.ended} nodes of {self.pool}, "
            f"the last at {self.last}"
        )


@dataclass(frozen=True)
class Evidence:
    """What is known around a drift.

    ``configuration`` is None where the plan was refresh-only; ``trail`` is what the audit trail holds
    since the state was written; ``trail_note`` says why it is empty where there is none.
    """

    configuration: Configuration | None
    trail: Sequence[TrailEvent]
    trail_note: str
    scaling: Mapping[str, Scaling]


#: For a plan that nothing else is known about.
NO_EVIDENCE = Evidence(None, (), "there is no audit trail here", {})


@dataclass(frozen=True)
class Because:
    """A cause with its evidence; ``who`` and ``when`` (ISO 8601) are empty where nobody knows.

    ``only_bookkeeping``: the live resource is as it was, Terraform's view of it changed.
    """

    cause: Cause
    evidence: str
    who: str = ""
    when: str = ""
    only_bookkeeping: bool = False


@dataclass(frozen=True)
class Around:
    """The other resources: which drifted, and the live attributes of those that the state has, by type."""

    drifted: Mapping[str, ResourceChange]
    live: Mapping[str, Sequence[tuple[str, Mapping[str, Any]]]]


def cause_of(
    change: ResourceChange,
    fact: Fact,
    severity: Severity,
    book: RuleBook,
    evidence: Evidence,
    around: Around,
) -> Because | None:
    """The cause of one difference; None when it only follows another one on the same resource."""
    event = explaining_event(
        evidence.trail,
        fact.type,
        fact.resource_before,
        tag=fact.keys[:1] in (("tags",), ("tags_all",)),
        removed=fact.removed,
    )
    person = event if event and event.by_person else None
    if _only_defaults_moved(fact):
        return Because(
            "unapplied_change",
            "the tag itself is as it was: the default tags in Git changed",
            only_bookkeeping=True,
        )
    if fact.dotted == NODE_COUNT and within_bounds(fact):
        return _by_hand(person, evidence) if person else _by_autoscaler(fact, event, evidence)
    if (done := by_aws(fact, _members(fact, around))) is not None:
        return _by_hand(person, evidence) if person else Because("aws", done.evidence)
    if not fact.removed and book.is_computed(fact):
        if is_nothing(fact.before):
            return Because("provider_default", "AWS computes it, and the state had nothing there")
        return None
    if (source := _source(fact, book, around)) is not None:
        return _filled_in(source, person, evidence, around)
    config = evidence.configuration
    if config is None:
        return _by_hand(person, evidence)
    if fact.removed:
        if config.keeps(change.address):
            return _by_hand(person, evidence)
        return Because("unapplied_change", "the configuration in Git no longer has this resource")
    if config.sets_back(change.address, fact.keys, fact.before, fact.after):
        return _by_hand(person, evidence)
    may_be_default = severity != "major" and not book.is_set_by_people(fact)
    return _accepted(config.asked_of(change.address), fact, may_be_default, person, evidence)


def _members(fact: Fact, around: Around) -> list[Mapping[str, Any]]:
    """The instances of a database cluster."""
    name = fact.resource_before.get("cluster_identifier")
    found = around.live.get("aws_rds_cluster_instance", ())
    return [values for _, values in found if name and values.get("cluster_identifier") == name]


def _only_defaults_moved(fact: Fact) -> bool:
    """A tag that the provider no longer counts among its default tags, or now does."""
    if fact.keys[:1] != ("tags",) or len(fact.keys) < 2:
        return False
    old, new = (s.get("tags_all") or {} for s in (fact.resource_before, fact.resource_after))
    return fact.keys[1] in old and bool(old.get(fact.keys[1]) == new.get(fact.keys[1]))


def followed(items: Sequence[Because]) -> Because:
    """The cause of a computed attribute: that of what else drifted on its resource, by hand first."""
    order: Sequence[Cause] = ("by_hand", "unapplied_change", "autoscaler")
    for cause in order:
        for item in items:
            if item.cause == cause:
                return Because(
                    cause, f"AWS computes it; it follows {WORDS[cause]}", item.who, item.when
                )
    return Because("provider_default", "AWS computes it; nothing else drifted on this resource")


def _accepted(
    asked: Asked, fact: Fact, may_be_default: bool, person: TrailEvent | None, evidence: Evidence
) -> Because:
    """What applying would leave as it is."""
    if asked.names(fact.keys) and not asked.ignores(fact.keys):
        return Because(
            "unapplied_change",
            "the live value is what the configuration in Git asks for; the state has another"
            + (f"; {person.tell()}" if person else ""),
            person.who if person else "",
            person.time if person else "",
        )
    if person is None and is_nothing(fact.before) and may_be_default:
        return Because(
            "provider_default",
            "the configuration does not name it, the state had nothing there, and applying leaves it",
        )
    return _by_hand(person, evidence)


def _source(fact: Fact, book: RuleBook, around: Around) -> str | None:
    """The address of the resource that sets this attribute in its place; None when there is none."""
    entry = book.filled_in_by(fact)
    if entry is None:
        return None
    own = {fact.resource_before.get(key) for key in ("id", "name", "bucket")}
    value = fact.after if fact.after is not None else fact.before
    for address, attributes in around.live.get(entry.by, ()):
        if attributes.get(entry.key) not in own:
            continue
        if not entry.element or len(fact.keys) > 1:
            return address
        wanted = value.get(entry.element) if isinstance(value, Mapping) else value
        if attributes.get(entry.element) == wanted:
            return address
    return None


def _filled_in(
    source: str, person: TrailEvent | None, evidence: Evidence, around: Around
) -> Because:
    if source in around.drifted:
        return _by_hand(person, evidence, f"it shows what {source} sets, which drifted")
    return Because("provider_default", f"it shows what {source} sets, which has not drifted")


def _by_autoscaler(fact: Fact, event: TrailEvent | None, evidence: Evidence) -> Because:
    pool = pool_of(str(fact.resource_before.get("node_group_name", "")), fact.pools)
    seen = evidence.scaling.get(pool.name) if pool else None
    if event is not None:
        return Because("autoscaler", event.tell(), event.who, event.time)
    if seen is not None:
        return Because("autoscaler", seen.tell(), "", seen.last)
    return Because(
        "autoscaler", "the count lies within the pool's bounds; no scaling was seen by the platform"
    )


def _by_hand(person: TrailEvent | None, evidence: Evidence, note: str = "") -> Because:
    if person is None:
        told = evidence.trail_note if not evidence.trail else "no call in the audit trail tells it"
        return Because("by_hand", f"{note}; {told}" if note else told)
    told = person.tell()
    return Because("by_hand", f"{note}; {told}" if note else told, person.who, person.time)
