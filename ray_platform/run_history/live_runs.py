"""What a plan would take away from under a training run that is live.

A burst run needs its whole environment: the network, the control plane, every node pool (the head and the
workers stand there), the bucket that it writes to, the registry that new nodes pull from. So whatever a
plan deletes or replaces harms it, but for the few kinds below. A node group whose launch template or
version changes is updated in place, and its nodes are replaced all the same.
"""

from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from typing import Any

from ray_platform.terraform.plan import Plan, ResourceChange

#: Types that no run needs while it trains: names, logs, clean-up, hints for scaling from zero.
HARMLESS_TYPES = frozenset(
    {
        "aws_autoscaling_group_tag",
        "aws_cloudwatch_log_group",
        "aws_ecr_lifecycle_policy",
        "aws_flow_log",
        "aws_kms_alias",
        "aws_s3_bucket_lifecycle_configuration",
    }
)
#: Resources of harmful types that only flow logs use.
HARMLESS_ADDRESSES = ("module.vpc.aws_iam_role.flow", "module.vpc.aws_iam_role_policy.flow")
#: Attributes of a node group that EKS changes by replacing the group's nodes.
#: https://docs.aws.amazon.com/eks/latest/userguide/managed-node-update-behavior.html
NODE_REPLACING = ("launch_template", "release_version", "version")


@dataclass(frozen=True)
class LiveRun:
    """A training run that has started and not ended; ``started`` in epoch seconds, None while unknown."""

    run_id: str
    environment: str
    infra_version: str
    started: float | None


@dataclass(frozen=True)
class Disruption:
    """One resource that live runs need and that a plan takes away; ``how`` says how."""

    address: str
    how: str

    def to_json(self) -> dict[str, Any]:
        return asdict(self)


def disruptions(plan: Plan) -> tuple[Disruption, ...]:
    """What a plan takes away from under a run that is live in its environment, by address."""
    found = [(change.address, _how(change)) for change in plan.changes]
    return tuple(Disruption(address, how) for address, how in sorted(found) if how)


def describe_disruptions(
    live: Iterable[LiveRun], found: Iterable[Disruption], *, most: int = 5
) -> str:
    """One sentence for people: which runs, which resources. Empty when there is nothing to tell."""
    runs, resources = list(live), list(found)
    if not runs or not resources:
        return ""
    named = "; ".join(f"{item.address} is {item.how}" for item in resources[:most])
    more = f"; and {len(resources) - most} more" if len(resources) > most else ""
    ids = ", ".join(run.run_id for run in runs)
    who = (
        f"burst run {ids} is live and needs"
        if len(runs) == 1
        else f"burst runs {ids} are live and need"
    )
    return f"{who} what this plan takes away: {named}{more}"


def _how(change: ResourceChange) -> str:
    # A deposed object was replaced by an earlier apply: nothing runs on it.
    if change.mode != "managed" or change.deposed or change.type in HARMLESS_TYPES:
        return ""
    if change.address.split("[")[0] in HARMLESS_ADDRESSES:
        return ""
    if change.action in ("delete", "replace"):
        return "removed" if change.action == "delete" else "replaced"
    if change.action == "update" and change.type == "aws_eks_node_group":
        changed = [name for name in NODE_REPLACING if _differs(change, name)]
        if changed:
            return f"updated by new nodes, since its {' and '.join(changed)} changes"
    return ""


def _differs(change: ResourceChange, name: str) -> bool:
    unknown: Mapping[str, Any] = change.after_unknown
    return _unknown(unknown.get(name)) or change.before.get(name) != change.after.get(name)


def _unknown(value: Any) -> bool:
    """Whether a value, or any part of it, is known only after the apply."""
    if isinstance(value, Mapping):
        return any(_unknown(item) for item in value.values())
    if isinstance(value, list):
        return any(_unknown(item) for item in value)
    return value is True
