"""What a pull request does to one environment: its plan, in the facts that decide and that people read."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from typing import Any


@dataclass(frozen=True)
class Outcome:
    """What an apply came to. ``state`` is ``success`` or ``failure``."""

    state: str
    infra_version: str = ""
    run_id: str = ""
    at: str = ""
    said: str = ""
    outputs: Mapping[str, str] = field(default_factory=dict)
    verified: tuple[str, ...] = ()


@dataclass(frozen=True)
class PlanReport:
    """One plan of a pull request in one environment.

    ``commit`` is what was planned: the head, or the merge commit. ``base`` is the base branch's commit whose
    policies, approvals and budget hold. ``why`` says why it was planned again; empty for the first time.
    ``changes`` are (action, address), what loses something first. Dollars are US dollars a month, as texts
    to the cent; ``unpriced`` are (address, why) of what has no price and is not in them,
    ``more_approvals`` how many approvals that asks for in addition. ``shown_at`` is when it stood in our
    comment, by the forge's clock. ``excepted`` has a sentence for each violation that a reviewed exception
    lets through.
    """

    environment: str
    repository: str
    number: int
    commit: str
    base: str
    plan_digest: str
    state_lineage: str
    state_serial: int
    policy_digest: str
    run_id: str
    made_at: str
    counts: Mapping[str, int]
    empty: bool
    changes: tuple[tuple[str, str], ...] = ()
    losses: tuple[tuple[str, str, str], ...] = ()
    violations: tuple[Mapping[str, str], ...] = ()
    advice: tuple[Mapping[str, str], ...] = ()
    excepted: tuple[str, ...] = ()
    over_budget: str = ""
    unpriced: tuple[tuple[str, str], ...] = ()
    more_approvals: int = 0
    harms: str = ""
    dollars: Mapping[str, str] = field(default_factory=dict)
    whatif: str = ""
    why: str = ""
    content_digest: str = ""
    shown_at: str = ""
    outcome: Outcome | None = None

    @property
    def denied(self) -> bool:
        """Whether a check that a person cannot overrule by approving said no."""
        return bool(self.violations or self.over_budget)

    @property
    def is_applied(self) -> bool:
        return self.outcome is not None and self.outcome.state == "success"

    def same_as(self, other: "PlanReport") -> bool:
        """Whether an approval of the other one is an approval of this one."""
        return self._bound() == other._bound()

    def shown(self, at: str) -> "PlanReport":
        return replace(self, shown_at=at)

    def with_outcome(self, outcome: Outcome) -> "PlanReport":
        return replace(self, outcome=outcome)

    def _bound(self) -> tuple[Any, ...]:
        return (
            self.environment,
            self.commit,
            self.plan_digest,
            self.state_lineage,
            self.state_serial,
            self.policy_digest,
        )

    def to_json(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> "PlanReport":
        fields = dict(data)
        outcome = fields.pop("outcome", None)
        return cls(
            **{
                **fields,
                "changes": tuple((a, b) for a, b in fields["changes"]),
                "losses": tuple((a, b, c) for a, b, c in fields["losses"]),
                "violations": tuple(fields["violations"]),
                "unpriced": tuple((a, b) for a, b in fields.get("unpriced", ())),
                "advice": tuple(fields.get("advice", ())),
                "excepted": tuple(fields.get("excepted", ())),
            },
            outcome=Outcome(**{**outcome, "verified": tuple(outcome["verified"])})
            if outcome
            else None,
        )
