"""Approvals: who said yes to which plan on which state, and whether that is enough."""

from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from typing import Any

from ray_platform.text.canonical import short
from ray_platform.text.errors import NotApproved

#: Whom an automatic approval names.
AUTOMATIC = "automatic"


@dataclass(frozen=True)
class Approval:
    """One person's yes. It binds to a plan digest, the state that the plan was made from, and the policies
    that let the plan through.

    ``at`` is an ISO 8601 time in UTC; ``source`` says how it was given (``cli``, ``automatic``).
    """

    environment: str
    plan_digest: str
    state_lineage: str
    state_serial: int
    by: str
    at: str
    source: str
    policy_digest: str = ""

    def to_json(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> "Approval":
        return cls(**data)


def binding(
    approvals: Iterable[Approval],
    *,
    environment: str,
    plan_digest: str,
    state_lineage: str,
    state_serial: int,
    policy_digest: str,
) -> tuple[Approval, ...]:
    """The approvals that hold for this plan on this state, one a person, the earliest of each."""
    holding: dict[str, Approval] = {}
    for approval in sorted(approvals, key=lambda item: item.at):
        if (
            approval.environment,
            approval.plan_digest,
            approval.state_lineage,
            approval.state_serial,
            approval.policy_digest,
        ) == (environment, plan_digest, state_lineage, state_serial, policy_digest):
            holding.setdefault(approval.by.strip().casefold(), approval)
    return tuple(holding.values())


def require(
    approvals: Iterable[Approval],
    *,
    required: int,
    environment: str,
    plan_digest: str,
    state_lineage: str,
    state_serial: int,
    policy_digest: str,
) -> tuple[Approval, ...]:
    """The approvals that let this plan be applied.

    Raises:
        NotApproved: fewer people than required; says how many are missing and whether some approved
            this plan on an earlier state.
    """
    given = tuple(approvals)
    holding = binding(
        given,
        environment=environment,
        plan_digest=plan_digest,
        state_lineage=state_lineage,
        state_serial=state_serial,
        policy_digest=policy_digest,
    )
    if len(holding) >= required:
        return holding
    void = len({approval.by for approval in given} - {approval.by for approval in holding})
    note = f"; {void} given for another plan, state or policies are void" if void else ""
    raise NotApproved(
        f"the plan has {len(holding)} of {required} approvals{note}",
        where=f"environment {environment}, plan {short(plan_digest)}, state serial {state_serial}",
        fix=f"ray-platform approve {short(plan_digest)} --env {environment} --by NAME",
    )
