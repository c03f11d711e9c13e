"""What a plan takes away: what holds data is told first, what stays is not told."""

from typing import Any

from ray_platform.terraform.losses import Loss, losses
from ray_platform.terraform.plan import read_plan


def change(address: str, *actions: str, mode: str = "managed") -> dict[str, Any]:
    kind, name = address.split(".")
    body = {"actions": list(actions), "before": {}, "after": {}}
    return {"address": address, "mode": mode, "type": kind, "name": name, "change": body}


def test_deleted_and_replaced_resources_are_told_with_what_they_hold() -> None:
    plan = read_plan(
        {
            "format_version": "1.2",
            "resource_changes": [
                change("aws_subnet.a", "delete"),
                change("aws_s3_bucket.data", "delete", "create"),
                change("aws_db_instance.history", "delete"),
                change("aws_vpc.kept", "no-op"),
                change("aws_eip.grown", "update"),
                change("aws_iam_policy_document.read", "read", mode="data"),
            ],
        }
    )
    assert losses(plan) == (
        Loss("aws_db_instance.history", "delete", "its databases"),
        Loss("aws_s3_bucket.data", "replace", "its objects"),
        Loss("aws_subnet.a", "delete", ""),
    )
