"""What a plan would take away: resources that go or are replaced, and which of them hold data."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from ray_platform.terraform.plan import Plan

#: Resource types whose end is the end of data or of the means to read it, and what that is.
HOLDS: Mapping[str, str] = {
    "aws_cloudwatch_log_group": "its logs",
    "aws_db_instance": "its databases",
    "aws_ebs_volume": "the volume's content",
    "aws_ecr_repository": "its images",
    "aws_efs_file_system": "its files",
    "aws_eks_cluster": "everything that runs in it, and its volumes",
    "aws_elasticache_replication_group": "its content",
    "aws_kms_key": "the means to read what it encrypts",
    "aws_rds_cluster": "its databases",
    "aws_s3_bucket": "its objects",
}


@dataclass(frozen=True)
class Loss:
    """A resource that a plan deletes or replaces. ``holds`` says what goes with it; empty: no data."""

    address: str
    action: str
    holds: str

    def to_json(self) -> dict[str, Any]:
        return asdict(self)


def losses(plan: Plan) -> tuple[Loss, ...]:
    """What a plan takes away, what holds data first."""
    found = [
        Loss(change.shown_address, change.action, HOLDS.get(change.type, ""))
        for change in plan.changes
        if change.mode == "managed" and change.action in ("delete", "replace")
    ]
    return tuple(sorted(found, key=lambda loss: (not loss.holds, loss.address)))
