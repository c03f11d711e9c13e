"""Removed, and made again by the same calls."""

from collections.abc import Iterator
from typing import Any

from tests.support.drift_mutation import HAND, Lab, Mutation, pair, tagged


def gone_and_made_again(lab: Lab) -> Iterator[Mutation]:
    """Removed resources whose names are their ids, so that they can be made again by the same calls."""
    for address, alias in lab.of_type("aws_kms_alias"):
        name = {"AliasName": alias["name"]}
        yield pair(
            lab,
            "gone",
            address,
            "",
            "major",
            "kms",
            "delete_alias",
            name,
            {**name, "TargetKeyId": alias["target_key_id"]},
            back_call="create_alias",
            also=((address, "target_key_id"), (address, "target_key")),
        )
    for address, key in lab.of_type("aws_kms_key"):
        yield Mutation(
            "about to be deleted",
            address,
            "",
            HAND,
            "major",
            lambda k=key: lab.kms.schedule_key_deletion(KeyId=k["key_id"], PendingWindowInDays=7),
            lambda k=key: (
                lab.kms.cancel_key_deletion(KeyId=k["key_id"]),
                lab.kms.enable_key(KeyId=k["key_id"]),
            ),
            also=tuple(
                (address, attribute)
                for attribute in (
                    "is_enabled",
                    "enable_key_rotation",
                    "policy",
                    "description",
                    "tags",
                    "tags_all",
                    "customer_master_key_spec",
                    "key_usage",
                )
            ),
        )
    ((address, policy),) = lab.of_type("aws_ecr_lifecycle_policy")
    name = {"repositoryName": policy["repository"]}
    yield pair(
        lab,
        "gone",
        address,
        "",
        "major",
        "ecr",
        "delete_lifecycle_policy",
        name,
        {**name, "lifecyclePolicyText": policy["policy"]},
        back_call="put_lifecycle_policy",
        also=((address, "policy"),),
    )
    for address, tag in lab.of_type("aws_autoscaling_group_tag"):
        (own,) = tag["tag"]
        one = {
            "ResourceId": tag["autoscaling_group_name"],
            "ResourceType": "auto-scaling-group",
            "Key": own["key"],
            "PropagateAtLaunch": False,
            "Value": own["value"],
        }
        yield pair(
            lab,
            "gone",
            address,
            "",
            "major",
            "autoscaling",
            "delete_tags",
            {"Tags": [one]},
            {"Tags": [one]},
            back_call="create_or_update_tags",
            also=((address, "tag"),),
        )
    bucket_address, bucket = lab.of_type("aws_s3_bucket")[0]
    name = {"Bucket": bucket["bucket"]}
    part = "module.storage.aws_s3_bucket_{}.artifacts".format
    closed = {
        "BlockPublicAcls": True,
        "IgnorePublicAcls": True,
        "BlockPublicPolicy": True,
        "RestrictPublicBuckets": True,
    }
    yield pair(
        lab,
        "gone",
        part("public_access_block"),
        "",
        "major",
        "s3",
        "delete_public_access_block",
        name,
        {**name, "PublicAccessBlockConfiguration": closed},
        back_call="put_public_access_block",
        also=(
            (part("public_access_block"), "block_public"),
            (part("public_access_block"), "block_public_acls"),
            (part("public_access_block"), "restrict_public_buckets"),
            (bucket_address, "one flag at a time"),
        ),
    )
    own = lab.s3.get_bucket_tagging(**name)["TagSet"]
    for what, attribute, tag, also in (
        ("a tag more", "tags.owner", {"Key": "owner", "Value": "ann"}, "tags_all.owner"),
        (
            "whose environment?",
            "tags.environment",
            {"Key": "environment", "Value": "other"},
            "tags_all.environment",
        ),
    ):
        new = [*(item for item in own if item["Key"] != tag["Key"]), tag]
        yield pair(
            lab,
            what,
            bucket_address,
            attribute,
            "minor",
            "s3",
            "put_bucket_tagging",
            {**name, "Tagging": {"TagSet": new}},
            {**name, "Tagging": {"TagSet": own}},
            also=((bucket_address, also), (bucket_address, "one tag set at a time")),
        )
    for address, link in lab.of_type("aws_route_table_association"):
        yield _linked_anew(lab, address, link)
    ((address, log),) = lab.of_type("aws_flow_log")
    yield Mutation(
        "gone",
        address,
        "",
        HAND,
        "major",
        lambda: lab.ec2.delete_flow_logs(FlowLogIds=[log["id"]]),
        lambda a=address: _flow_log_as_it_was(lab, a, log),
    )
    for address, group in lab.of_type("aws_cloudwatch_log_group"):
        yield Mutation(
            "gone",
            address,
            "",
            HAND,
            "major",
            lambda g=group: lab.logs.delete_log_group(logGroupName=g["name"]),
            lambda g=group: _log_group_as_it_was(lab, g),
        )


def _linked_anew(lab: Lab, address: str, link: Any) -> Mutation:
    def undo() -> None:
        names = {"RouteTableId": link["route_table_id"], "SubnetId": link["subnet_id"]}
        lab.settle(address, id=lab.ec2.associate_route_table(**names)["AssociationId"])

    def do() -> None:
        now = lab.applied.terraform.state().resources[address]["id"]
        lab.ec2.disassociate_route_table(AssociationId=now)

    return Mutation("gone", address, "", HAND, "major", do, undo)


def _flow_log_as_it_was(lab: Lab, address: str, log: Any) -> None:
    made = lab.ec2.create_flow_logs(
        ResourceIds=[log["vpc_id"]],
        ResourceType="VPC",
        TrafficType=log["traffic_type"],
        LogDestinationType=log["log_destination_type"],
        LogDestination=log["log_destination"],
        DeliverLogsPermissionArn=log["iam_role_arn"],
        MaxAggregationInterval=log["max_aggregation_interval"],
        **tagged("vpc-flow-log", {**log["tags_all"], **_commit(lab)}),
    )
    (new,) = made["FlowLogIds"]
    lab.settle(address, id=new, arn=log["arn"].replace(log["id"], new))


def _log_group_as_it_was(lab: Lab, group: Any) -> None:
    tags = {**group["tags_all"], **_commit(lab)}
    lab.logs.create_log_group(logGroupName=group["name"], kmsKeyId=group["kms_key_id"], tags=tags)
    lab.logs.put_retention_policy(
        logGroupName=group["name"], retentionInDays=group["retention_in_days"]
    )


def _commit(lab: Lab) -> dict[str, str]:
    """The tag that Terraform sets and does not show (terraform/README.md)."""
    vpc = lab.of_type("aws_vpc")[0][1]["id"]
    (found,) = lab.ec2.describe_vpcs(VpcIds=[vpc])["Vpcs"]
    return {"commit": next(tag["Value"] for tag in found["Tags"] if tag["Key"] == "commit")}
