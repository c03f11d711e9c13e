"""Who may do what: roles, policies, keys."""

import json
from collections.abc import Iterator

from tests.support.drift_mutation import Lab, Mutation, pair

ADMIN = "arn:aws:iam::aws:policy/AdministratorAccess"


def roles(lab: Lab) -> Iterator[Mutation]:
    anybody = json.dumps(
        {
            "Version": "2012-10-17",
            "Statement": [
                {"Effect": "Allow", "Principal": {"AWS": "*"}, "Action": "sts:AssumeRole"}
            ],
        }
    )
    everything = json.dumps(
        {
            "Version": "2012-10-17",
            "Statement": [{"Effect": "Allow", "Action": "*", "Resource": "*"}],
        }
    )
    for address, role in lab.of_type("aws_iam_role"):
        name = {"RoleName": role["name"]}
        yield pair(
            lab,
            "anybody may take the role",
            address,
            "assume_role_policy",
            "major",
            "iam",
            "update_assume_role_policy",
            {**name, "PolicyDocument": anybody},
            {**name, "PolicyDocument": role["assume_role_policy"]},
        )
        yield pair(
            lab,
            "made an administrator",
            address,
            "managed_policy_arns",
            "major",
            "iam",
            "attach_role_policy",
            {**name, "PolicyArn": ADMIN},
            {**name, "PolicyArn": ADMIN},
            back_call="detach_role_policy",
            holds=ADMIN,
        )
        yield pair(
            lab,
            "another inline policy",
            address,
            "inline_policy",
            "major",
            "iam",
            "put_role_policy",
            {**name, "PolicyName": "extra", "PolicyDocument": everything},
            {**name, "PolicyName": "extra"},
            back_call="delete_role_policy",
            holds="extra",
        )
        yield pair(
            lab,
            "longer sessions",
            address,
            "max_session_duration",
            "major",
            "iam",
            "update_role",
            {**name, "MaxSessionDuration": 43200},
            {**name, "MaxSessionDuration": 3600},
        )
        yield pair(
            lab,
            "a description",
            address,
            "description",
            "minor",
            "iam",
            "update_role_description",
            {**name, "Description": "by ann"},
            {**name, "Description": ""},
        )
        yield pair(
            lab,
            "a boundary",
            address,
            "permissions_boundary",
            "major",
            "iam",
            "put_role_permissions_boundary",
            {**name, "PermissionsBoundary": ADMIN},
            {**name},
            back_call="delete_role_permissions_boundary",
        )
    for address, policy in lab.of_type("aws_iam_role_policy"):
        owner = _role_of(lab, policy["role"])
        name = {"RoleName": policy["role"], "PolicyName": policy["name"]}
        yield pair(
            lab,
            "allows everything",
            address,
            "policy",
            "major",
            "iam",
            "put_role_policy",
            {**name, "PolicyDocument": everything},
            {**name, "PolicyDocument": policy["policy"]},
            also=((owner, "inline_policy"),),
        )
        yield pair(
            lab,
            "removed",
            address,
            "",
            "major",
            "iam",
            "delete_role_policy",
            name,
            {**name, "PolicyDocument": policy["policy"]},
            back_call="put_role_policy",
            also=((owner, "inline_policy"),),
        )
    for address, link in lab.of_type("aws_iam_role_policy_attachment"):
        name = {"RoleName": link["role"], "PolicyArn": link["policy_arn"]}
        owner = _role_of(lab, link["role"])
        yield pair(
            lab,
            "detached",
            address,
            "",
            "major",
            "iam",
            "detach_role_policy",
            name,
            name,
            back_call="attach_role_policy",
            also=((owner, "managed_policy_arns"),),
        )


def _role_of(lab: Lab, name: str) -> str:
    return next(address for address, role in lab.of_type("aws_iam_role") if role["name"] == name)


def keys(lab: Lab) -> Iterator[Mutation]:
    found = lab.of_type("aws_kms_key")
    for address, key in found:
        name = {"KeyId": key["key_id"]}
        weak = json.dumps(
            {
                "Version": "2012-10-17",
                "Statement": [
                    {
                        "Effect": "Allow",
                        "Principal": {"AWS": "*"},
                        "Action": "kms:*",
                        "Resource": "*",
                    }
                ],
            }
        )
        yield pair(
            lab,
            "rotation off",
            address,
            "enable_key_rotation",
            "major",
            "kms",
            "disable_key_rotation",
            name,
            name,
            back_call="enable_key_rotation",
            also=((address, "rotation_period_in_days"),),
        )
        yield pair(
            lab,
            "disabled",
            address,
            "is_enabled",
            "major",
            "kms",
            "disable_key",
            name,
            name,
            back_call="enable_key",
        )
        yield pair(
            lab,
            "another policy",
            address,
            "policy",
            "major",
            "kms",
            "put_key_policy",
            {**name, "PolicyName": "default", "Policy": weak},
            {**name, "PolicyName": "default", "Policy": key["policy"]},
        )
        yield pair(
            lab,
            "another description",
            address,
            "description",
            "minor",
            "kms",
            "update_key_description",
            {**name, "Description": "whose?"},
            {**name, "Description": key["description"]},
        )
    for address, alias in lab.of_type("aws_kms_alias"):
        other = next(key["key_id"] for _, key in found if key["key_id"] != alias["target_key_id"])
        name = {"AliasName": alias["name"]}
        yield pair(
            lab,
            "points to another key",
            address,
            "target_key_id",
            "major",
            "kms",
            "update_alias",
            {**name, "TargetKeyId": other},
            {**name, "TargetKeyId": alias["target_key_id"]},
            also=((address, "target_key_arn"),),
        )
