"""What the policies are asked and what they answer.

The rules are in ``policies/``; this is the way in (the few fields that they read, since handing over
a whole plan costs more than judging it) and the way out (a `Verdict`).
"""

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ray_platform.config.node_pools import NodePool
from ray_platform.policy.plan_facts import ResourceFacts, judged_attributes
from ray_platform.terraform.plan import Action, Plan, ResourceChange

#: What every resource is judged by, whatever its type.
COMMON_FIELDS = ("tags_all",)

#: Violations that are shown one by one in Markdown; the rest is counted, since a comment on GitHub
#: holds 65,535 characters.
SHOWN_IN_MARKDOWN = 50

#: Kinds of facts that rules look for in resources of any type.
_KINDS = frozenset({"documents", "principals", "open_to"})

_BUCKET_PARTS = (
    "aws_s3_bucket_public_access_block",
    "aws_s3_bucket_server_side_encryption_configuration",
)

#: Terraform's own words for an action. The order of a replacement makes no difference to a rule.
_ACTIONS: Mapping[Action, tuple[str, ...]] = {
    "create": ("create",),
    "update": ("update",),
    "replace": ("delete", "create"),
    "replace-and-forget": ("create", "forget"),
    "delete": ("delete",),
    "read": ("read",),
    "no-op": ("no-op",),
    "forget": ("forget",),
}


@dataclass(frozen=True, order=True)
class Violation:
    """One rule broken by one resource; ``message`` holds the value, ``fix`` how to mend it."""

    id: str
    resource: str
    message: str
    fix: str
    severity: str = "deny"

    def to_json(self) -> dict[str, str]:
        return {
            "id": self.id,
            "resource": self.resource,
            "message": self.message,
            "fix": self.fix,
            "severity": self.severity,
        }


@dataclass(frozen=True, order=True)
class Excepted:
    """A violation that a reviewed entry of ``policies/exceptions.toml`` lets through, and until when."""

    violation: Violation
    owner: str
    reason: str
    until: str

    def to_json(self) -> dict[str, Any]:
        return {
            **self.violation.to_json(),
            "owner": self.owner,
            "reason": self.reason,
            "until": self.until,
        }

    def __str__(self) -> str:
        item = self.violation
        return (
            f"[{item.id}] {item.resource}: {item.message} "
            f"(excepted by {self.owner} until {self.until}: {self.reason})"
        )


@dataclass(frozen=True)
class Verdict:
    """What the policies of one bundle say, sorted: what they deny, what they advise, what was excepted.

    Only ``violations`` stop anything.
    """

    violations: tuple[Violation, ...]
    bundle_digest: str
    advice: tuple[Violation, ...] = ()
    excepted: tuple[Excepted, ...] = ()

    @property
    def denied(self) -> bool:
        return bool(self.violations)

    def to_json(self) -> dict[str, Any]:
        return {
            "denied": self.denied,
            "violations": [violation.to_json() for violation in self.violations],
            "advice": [item.to_json() for item in self.advice],
            "excepted": [item.to_json() for item in self.excepted],
            "bundle_digest": self.bundle_digest,
        }

    def to_markdown(self) -> str:
        """A table of the first 50 violations; beyond them, how many each rule has. Then the rest."""
        lines = ["Policy allows it: no violations."]
        if self.denied:
            lines = [f"Policy denies it: {_counted(self.violations, 'violation')}.", ""]
            lines += _table(self.violations)
        if self.excepted:
            lines += ["", f"{_counted(self.excepted, 'exception')}:", ""]
            lines += [f"- {_cell(str(item))}" for item in self.excepted[:SHOWN_IN_MARKDOWN]]
            lines += _rest(len(self.excepted))
        if self.advice:
            lines += ["", f"Advice, which stops nothing: {len(self.advice)}.", ""]
            lines += _table(self.advice)
        return "\n".join(lines) + "\n"


def _counted(items: Sequence[Any], word: str) -> str:
    return f"{len(items)} {word}{'' if len(items) == 1 else 's'}"


def _rest(count: int) -> list[str]:
    return ["", f"The first {SHOWN_IN_MARKDOWN} are shown."] if count > SHOWN_IN_MARKDOWN else []


def _table(items: Sequence[Violation]) -> list[str]:
    lines = ["| rule | resource | what is wrong | how to mend it |", "|---|---|---|---|"]
    lines += [
        f"| {_cell(item.id)} | `{_cell(item.resource)}` | {_cell(item.message)} | {_cell(item.fix)} |"
        for item in items[:SHOWN_IN_MARKDOWN]
    ]
    if len(items) > SHOWN_IN_MARKDOWN:
        counts = Counter(item.id for item in items)
        told = ", ".join(f"{rule} {count}" for rule, count in sorted(counts.items()))
        lines += ["", f"The first {SHOWN_IN_MARKDOWN} are shown. All by rule: {told}."]
    return lines


def read_verdict(found: Sequence[Mapping[str, str]], bundle_digest: str) -> Verdict:
    """A verdict of what the rules found, each violation once, in an order of its own.

    Raises:
        KeyError: a violation lacks a key that every rule has to give.
    """
    items = sorted(
        {
            Violation(
                id=item["id"],
                resource=item["resource"],
                message=item["message"],
                fix=item["fix"],
                severity=item["severity"],
            )
            for item in found
        }
    )
    # A severity that is not known denies.
    return Verdict(
        violations=tuple(item for item in items if item.severity != "advice"),
        bundle_digest=bundle_digest,
        advice=tuple(item for item in items if item.severity == "advice"),
    )


def policy_input(
    plan: Plan,
    *,
    environment: str,
    destroy: bool = False,
    fields: Mapping[str, Sequence[str]] | None = None,
    accounts: Collection[str] = (),
    protected: Collection[str] = (),
) -> dict[str, Any]:
    """The input of ``policies/terraform.rego``: ``terraform show -json``, and facts beside each resource.

    Args:
        plan: The plan; resources that stay as they are count too.
        environment: Names the numbers that hold.
        destroy: Whether the removal of everything was asked for.
        fields: Resource type -> the attributes that the rules read (``policy.fields`` in
            ``policies/data.json``); of other types the tags. None hands over everything.
        accounts: Account ids that are ours besides the one that the plan was made in.
        protected: Types of which is said what goes with them.
    """
    facts = ResourceFacts(plan, accounts=accounts, protected=protected)
    return {
        "prepared": True,
        "environment": environment,
        "destroy": destroy,
        "resource_changes": [
            _change(
                change,
                None if fields is None else (*fields.get(change.type, ()), *COMMON_FIELDS),
                facts,
            )
            for change in plan.changes
            if change.mode == "managed"
        ],
    }


def hidden_fields(plan: Plan, fields: Mapping[str, Sequence[str]]) -> tuple[Violation, ...]:
    """A violation for each attribute that a rule reads and that is marked sensitive.

    A stored plan holds no sensitive value, so that no rule could judge it: ``sensitive(...)`` around a
    setting must not carry it past the rules.
    """
    return tuple(
        Violation(
            id="hidden-value",
            resource=change.address,
            message=f"{name} is marked sensitive, so that no rule can judge it",
            fix=f"do not mark {name} sensitive: it is a setting, not a secret",
        )
        for change in plan.changes
        if change.mode == "managed" and change.action not in ("delete", "forget")
        for name in dict.fromkeys((*fields.get(change.type, ()), *judged_attributes(change.type)))
        if _is_marked(change.after_sensitive, name)
    )


def not_whole(plan: Plan) -> tuple[Violation, ...]:
    """A violation for each reason why the plan is only a part of what Terraform would do.

    What is missing cannot be judged, so that no rule may call such a plan allowed.
    """
    return tuple(
        Violation(
            id="plan-not-whole",
            resource="plan",
            message=f"the plan is not whole, so that it cannot be judged: {why}",
            fix="remove what stopped, targeted or deferred it, then plan again",
        )
        for why in plan.unfinished
    )


def _is_marked(marks: Any, name: str) -> bool:
    """Whether anything in an attribute is sensitive; marks are nested as the attributes are."""
    if not isinstance(marks, Mapping):
        return marks is True
    return _any_true(marks.get(name))


def _any_true(marks: Any) -> bool:
    if isinstance(marks, Mapping):
        return any(_any_true(item) for item in marks.values())
    if isinstance(marks, list):
        return any(_any_true(item) for item in marks)
    return marks is True


def split_input(
    asked: Mapping[str, Any], fields: Mapping[str, Sequence[str]], *, size: int = 1000
) -> tuple[dict[str, Any], tuple[dict[str, Any], ...]]:
    """An input of `policy_input` in parts, since rego-cpp stops a query that takes too many steps.

    Args:
        asked: The input.
        fields: Resource type -> the attributes that the rules read.
        size: Resources in a part, at most.

    Returns:
        The resources of the types in ``fields``, indexed by type, for ``findings_of_whole``; and all
        resources in parts, for ``findings_of_each``.
    """
    changes = asked["resource_changes"]
    parts = tuple(
        with_index({**asked, "resource_changes": changes[start : start + size]}, fields)
        for start in range(0, len(changes), size)
    )
    linked = [item for item in changes if item["type"] in fields]
    return with_index({**asked, "resource_changes": linked}, fields), parts


def with_index(asked: Mapping[str, Any], fields: Mapping[str, Sequence[str]]) -> dict[str, Any]:
    """An input of `policy_input` with the numbers of standing resources by type and by kind of fact.

    ``by_type`` has the types in ``fields``, ``by_fact`` the kinds in `_KINDS`, ``by_bucket`` what may belong
    to a bucket, by its name or address. They save a rule from looking through the whole plan.
    """
    by_type: dict[str, list[int]] = {}
    by_fact: dict[str, list[int]] = {}
    by_bucket: dict[str, list[int]] = {}
    for number, item in enumerate(asked["resource_changes"]):
        if item["change"]["after"] is None:
            continue
        if item["type"] in fields:
            by_type.setdefault(item["type"], []).append(number)
        for kind in _KINDS & item.get("facts", {}).keys():
            by_fact.setdefault(kind, []).append(number)
        if item["type"] in _BUCKET_PARTS:
            for name in _buckets_of(item):
                by_bucket.setdefault(name, []).append(number)
    return {**asked, "by_type": by_type, "by_fact": by_fact, "by_bucket": by_bucket}


def _buckets_of(item: Mapping[str, Any]) -> list[str]:
    """The buckets that a part may belong to, by name or address; which it does is the rules' to say."""
    if name := item["change"]["after"].get("bucket"):
        return [name]
    facts = item.get("facts", {})
    if "configured" in facts:
        return list(facts["references"].get("bucket", ()))
    return [item["address"].replace(f"{item['type']}.", "aws_s3_bucket.")]


def _change(
    change: ResourceChange, kept: Sequence[str] | None, facts: ResourceFacts
) -> dict[str, Any]:
    stands = change.action not in ("delete", "forget")
    after = _pick(change.after, kept) if stands else None
    hidden = _pick(change.after_unknown, kept) if stands else {}
    if after is not None and (tags := facts.tags(change)):
        after["tags_all"], hidden["tags_all"] = tags
    item: dict[str, Any] = {
        "address": change.address,
        "type": change.type,
        "change": {
            "actions": list(_ACTIONS[change.action]),
            "after": after,
            "after_unknown": hidden,
        },
    }
    # Only what says something: parsing the input takes OPA longer than judging it.
    more = {"deposed": change.deposed, "facts": facts.of(change)}
    return {**item, **{key: value for key, value in more.items() if value}}


def _pick(attributes: Any, kept: Sequence[str] | None) -> dict[str, Any]:
    if not isinstance(attributes, Mapping):
        return {}
    if kept is None:
        return dict(attributes)
    return {key: attributes[key] for key in kept if key in attributes}


def ray_input(
    documents: Sequence[Mapping[str, Any]], pools: Sequence[NodePool], *, environment: str
) -> dict[str, Any]:
    """The input of ``policies/ray.rego``.

    Args:
        documents: The rendered Kubernetes manifests.
        pools: The node pools that the Ray workers run on.
        environment: Names the numbers that hold.
    """
    return {
        "environment": environment,
        "documents": [dict(document) for document in documents],
        "pools": {pool.name: {"max_size": pool.max_size, "gpu": pool.gpu} for pool in pools},
    }


def manifests_input(documents: Sequence[Mapping[str, Any]], *, environment: str) -> dict[str, Any]:
    """The input of ``policies/kubernetes.rego``: manifests, and whose numbers hold."""
    return {
        "environment": environment,
        "documents": [dict(document) for document in documents],
    }


def both(one: Verdict, other: Verdict) -> Verdict:
    """Two verdicts of the same bundle as one."""
    return Verdict(
        violations=tuple(sorted({*one.violations, *other.violations})),
        bundle_digest=one.bundle_digest,
        advice=tuple(sorted({*one.advice, *other.advice})),
        excepted=tuple(sorted({*one.excepted, *other.excepted})),
    )


def _cell(text: str) -> str:
    return text.replace("|", "\\|").replace("\n", " ")
