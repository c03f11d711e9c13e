"""Storage: bucket, registry, log groups, the EBS add-on."""

import json
from collections.abc import Iterator
from datetime import UTC

from tests.support.drift_mutation import HAND, Lab, Mutation, pair


def buckets(lab: Lab) -> Iterator[Mutation]:
    ((address, bucket),) = lab.of_type("aws_s3_bucket")
    name = {"Bucket": bucket["bucket"]}
    part = "module.storage.aws_s3_bucket_{}.artifacts".format
    yield pair(
        lab,
        "versioning suspended",
        part("versioning"),
        "versioning_configuration",
        "major",
        "s3",
        "put_bucket_versioning",
        {**name, "VersioningConfiguration": {"Status": "Suspended"}},
        {**name, "VersioningConfiguration": {"Status": "Enabled"}},
        also=((address, "versioning"),),
    )
    own = lab.s3.get_bucket_encryption(**name)["ServerSideEncryptionConfiguration"]
    plain = {"Rules": [{"ApplyServerSideEncryptionByDefault": {"SSEAlgorithm": "AES256"}}]}
    yield pair(
        lab,
        "no key of ours",
        part("server_side_encryption_configuration"),
        "rule",
        "major",
        "s3",
        "put_bucket_encryption",
        {**name, "ServerSideEncryptionConfiguration": plain},
        {**name, "ServerSideEncryptionConfiguration": own},
        also=((address, "server_side_encryption_configuration"),),
    )
    closed = {
        "BlockPublicAcls": True,
        "IgnorePublicAcls": True,
        "BlockPublicPolicy": True,
        "RestrictPublicBuckets": True,
    }
    for field, attribute in (
        ("BlockPublicAcls", "block_public_acls"),
        ("IgnorePublicAcls", "ignore_public_acls"),
        ("BlockPublicPolicy", "block_public_policy"),
        ("RestrictPublicBuckets", "restrict_public_buckets"),
    ):
        yield Mutation(
            f"{attribute} off",
            part("public_access_block"),
            attribute,
            HAND,
            "major",
            lambda f=field: lab.s3.put_public_access_block(
                **name, PublicAccessBlockConfiguration={**closed, f: False}
            ),
            lambda: lab.s3.put_public_access_block(**name, PublicAccessBlockConfiguration=closed),
            # One call sets all four.
            also=((part("public_access_block"), "block_public"), (address, "one flag at a time")),
        )
    policy = lab.s3.get_bucket_policy(**name)["Policy"]
    anybody = json.dumps(
        {
            "Version": "2012-10-17",
            "Statement": [
                {
                    "Effect": "Allow",
                    "Principal": "*",
                    "Action": "s3:GetObject",
                    "Resource": f"{bucket['arn']}/*",
                }
            ],
        }
    )
    yield pair(
        lab,
        "anybody may read",
        part("policy"),
        "policy",
        "major",
        "s3",
        "put_bucket_policy",
        {**name, "Policy": anybody},
        {**name, "Policy": policy},
        also=((address, "policy"),),
    )
    yield pair(
        lab,
        "no policy",
        part("policy"),
        "",
        "major",
        "s3",
        "delete_bucket_policy",
        name,
        {**name, "Policy": policy},
        back_call="put_bucket_policy",
        also=((address, "policy"), (part("policy"), "policy")),
    )
    yield pair(
        lab,
        "open to all users",
        address,
        "grant",
        "major",
        "s3",
        "put_bucket_acl",
        {**name, "ACL": "public-read"},
        {**name, "ACL": "private"},
    )
    rules = lab.s3.get_bucket_lifecycle_configuration(**name)["Rules"]
    longer = json.loads(json.dumps(rules))
    for rule in longer:
        if "Expiration" in rule:
            rule["Expiration"] = {"Days": 600}
    yield pair(
        lab,
        "kept longer",
        part("lifecycle_configuration"),
        "rule",
        "minor",
        "s3",
        "put_bucket_lifecycle_configuration",
        {**name, "LifecycleConfiguration": {"Rules": longer}},
        {**name, "LifecycleConfiguration": {"Rules": rules}},
        also=((address, "lifecycle_rule"),),
    )
    cors = {
        "CORSRules": [{"AllowedMethods": ["GET"], "AllowedOrigins": ["https://example.invalid"]}]
    }
    yield pair(
        lab,
        "a CORS rule",
        address,
        "cors_rule",
        "minor",
        "s3",
        "put_bucket_cors",
        {**name, "CORSConfiguration": cors},
        name,
        back_call="delete_bucket_cors",
    )


def registry_logs_and_addons(lab: Lab) -> Iterator[Mutation]:
    ((address, repository),) = lab.of_type("aws_ecr_repository")
    name = {"repositoryName": repository["name"]}
    yield pair(
        lab,
        "images can be replaced",
        address,
        "image_tag_mutability",
        "major",
        "ecr",
        "put_image_tag_mutability",
        {**name, "imageTagMutability": "MUTABLE"},
        {**name, "imageTagMutability": "IMMUTABLE"},
    )
    yield pair(
        lab,
        "no scan",
        address,
        "image_scanning_configuration",
        "minor",
        "ecr",
        "put_image_scanning_configuration",
        {**name, "imageScanningConfiguration": {"scanOnPush": False}},
        {**name, "imageScanningConfiguration": {"scanOnPush": True}},
    )
    ((address, policy),) = lab.of_type("aws_ecr_lifecycle_policy")
    other = policy["policy"].replace(":14", ":99")
    yield pair(
        lab,
        "images kept longer",
        address,
        "policy",
        "minor",
        "ecr",
        "put_lifecycle_policy",
        {**name, "lifecyclePolicyText": other},
        {**name, "lifecyclePolicyText": policy["policy"]},
    )
    other_key = lab.state["module.storage.aws_kms_key.artifacts"]["arn"]
    for address, group in lab.of_type("aws_cloudwatch_log_group"):
        name = {"logGroupName": group["name"]}
        for days in (1, 365):
            yield pair(
                lab,
                f"kept {days} days",
                address,
                "retention_in_days",
                "minor",
                "logs",
                "put_retention_policy",
                {**name, "retentionInDays": days},
                {**name, "retentionInDays": group["retention_in_days"]},
            )
        own = {**name, "kmsKeyId": group["kms_key_id"]}
        yield pair(
            lab,
            "without a key",
            address,
            "kms_key_id",
            "major",
            "logs",
            "disassociate_kms_key",
            name,
            own,
            back_call="associate_kms_key",
        )
        yield pair(
            lab,
            "another key",
            address,
            "kms_key_id",
            "major",
            "logs",
            "associate_kms_key",
            {**name, "kmsKeyId": other_key},
            own,
        )
    ((address, addon),) = lab.of_type("aws_eks_addon")
    name = {"clusterName": addon["cluster_name"], "addonName": addon["addon_name"]}
    node_role = lab.state["module.node_pools.aws_iam_role.node"]["arn"]
    for what, attribute, severity, there, back in (
        (
            "another version",
            "addon_version",
            "minor",
            {"addonVersion": "v9.9.9-eksbuild.1"},
            {"addonVersion": addon["addon_version"]},
        ),
        (
            "another role",
            "service_account_role_arn",
            "major",
            {"serviceAccountRoleArn": node_role},
            {"serviceAccountRoleArn": addon["service_account_role_arn"]},
        ),
    ):
        yield Mutation(
            what,
            address,
            attribute,
            HAND,
            severity,
            lambda t=there: lab.eks.update_addon(**name, **t),
            lambda b=back: _addon_as_it_was(lab, address, name, b),
            also=((address, "modified_at"),),
        )


def _addon_as_it_was(lab: Lab, address: str, name: dict[str, str], back: dict[str, str]) -> None:
    lab.eks.update_addon(**name, **back)
    changed = lab.eks.describe_addon(**name)["addon"]["modifiedAt"]
    lab.settle(address, modified_at=f"{changed.astimezone(UTC):%Y-%m-%dT%H:%M:%SZ}")
