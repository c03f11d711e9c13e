"""What a look at pull requests and issues asks Dagster to start."""

from collections.abc import Mapping
from dataclasses import dataclass

from ray_platform.config.partitions import (
    ASKED_BY_TAG,
    ASKED_FOR_TAG,
    BASE_TAG,
    CHANGE_TAG,
    COMMIT_TAG,
    PLAN_TAG,
    PULL_TAG,
    REPOSITORY_TAG,
    WHY_TAG,
)
from ray_platform.github.model import PullRef
from ray_platform.pull_requests.decide import Decision, DecisionFacts


@dataclass(frozen=True)
class Request:
    """A run to start. ``key`` names it for ever."""

    job: str
    environment: str
    key: str
    tags: Mapping[str, str]


def plan_request(ref: PullRef, name: str, facts: DecisionFacts, decision: Decision) -> Request:
    return Request(
        job="plan",
        environment=name,
        key=f"plan {ref} {name} {facts.asks_for}",
        tags={
            **_tags(ref, name, facts),
            ASKED_FOR_TAG: facts.asks_for,
            **({WHY_TAG: decision.why} if decision.why else {}),
        },
    )


def apply_request(ref: PullRef, name: str, facts: DecisionFacts) -> Request:
    plan = facts.report.plan_digest if facts.report else ""
    # The same plan may be asked for again: refused under rules that changed since, then approved anew.
    before = facts.run.applies if facts.run else 0
    return Request(
        job="apply",
        environment=name,
        key=f"apply {ref} {name} {plan} {facts.state.serial} {before}",
        tags={**_tags(ref, name, facts), ASKED_FOR_TAG: facts.asks_for, PLAN_TAG: plan},
    )


def _tags(ref: PullRef, name: str, facts: DecisionFacts) -> dict[str, str]:
    return {
        CHANGE_TAG: name,
        COMMIT_TAG: facts.commit,
        BASE_TAG: facts.base,
        PULL_TAG: str(ref),
        REPOSITORY_TAG: str(ref.repository),
        ASKED_BY_TAG: f"{facts.pull.author} by {ref}",
    }
