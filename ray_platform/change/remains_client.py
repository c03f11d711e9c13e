"""What AWS still lists under an environment's tags: the Resource Groups Tagging API, and IAM itself.

That API lists some things for hours after they were deleted, and keys that only wait for their end: what it
names of these types is looked up. IAM's roles it does not list at all, its OIDC providers in one region.
"""

from collections.abc import Callable, Iterator
from typing import Any

from ray_platform.change.remains import Tagged
from ray_platform.text.errors import ToolError

_GONE = ("deleted", "deleting", "terminated", "shutting-down")
_PAGE = 100


def tagged(aws: Callable[[str], Any], *, environment: str, cluster: str) -> tuple[Tagged, ...]:
    """Everything in the region that bears the environment's tags or those of its cluster, and its roles.

    Args:
        aws: Gives a boto3 client by its service.
        environment: The value of the tag ``environment``.
        cluster: The EKS cluster's name; roles whose name begins with it are looked at, and OIDC providers
            of EKS.

    Raises:
        ToolError: AWS refuses, or does not answer.
    """
    from botocore.exceptions import BotoCoreError, ClientError

    where = f"environment {environment}, cluster {cluster}"
    try:
        found = {}
        for filters in (
            {"Key": "environment", "Values": [environment]},
            {"Key": f"kubernetes.io/cluster/{cluster}"},
            {"Key": "elbv2.k8s.aws/cluster", "Values": [cluster]},
        ):
            for item in _by_tag(aws("resourcegroupstaggingapi"), filters):
                found[item.arn] = item
        listed = (_as_it_is(aws, item) for item in found.values())
        here = {item.arn: item for item in listed if item is not None}
        return tuple({**here, **{item.arn: item for item in _in_iam(aws("iam"), cluster)}}.values())
    except ClientError as error:
        code = error.response.get("Error", {}).get("Code", "")
        raise ToolError(
            f"AWS refused to list what is left: {error.operation_name}, {code}",
            where=where,
            fix="allow tag:GetResources, iam:List*, kms:DescribeKey and ec2:Describe* to the role that "
            "destroys, then run destroy again: it looks again",
        ) from error
    except BotoCoreError as error:
        raise ToolError(
            f"AWS does not answer: {error}",
            where=where,
            fix="check credentials and network, then run destroy again: it looks again",
        ) from error


def _by_tag(api: Any, filters: dict[str, Any]) -> Iterator[Tagged]:
    pages = api.get_paginator("get_resources").paginate(
        TagFilters=[filters], ResourcesPerPage=_PAGE
    )
    for page in pages:
        for item in page["ResourceTagMappingList"]:
            yield Tagged(
                item["ResourceARN"],
                {tag["Key"]: tag["Value"] for tag in item.get("Tags", ())},
                ends="",
            )


def _in_iam(iam: Any, cluster: str) -> Iterator[Tagged]:
    for provider in iam.list_open_id_connect_providers()["OpenIDConnectProviderList"]:
        arn = provider["Arn"]
        if "/oidc.eks." in arn:
            answer = iam.list_open_id_connect_provider_tags(OpenIDConnectProviderArn=arn)
            yield Tagged(arn, {tag["Key"]: tag["Value"] for tag in answer["Tags"]}, ends="")
    for page in iam.get_paginator("list_roles").paginate():
        for role in page["Roles"]:
            if role["RoleName"].startswith(f"{cluster}-"):
                answer = iam.list_role_tags(RoleName=role["RoleName"])
                yield Tagged(
                    role["Arn"], {tag["Key"]: tag["Value"] for tag in answer["Tags"]}, ends=""
                )


def _as_it_is(aws: Callable[[str], Any], item: Tagged) -> Tagged | None:
    """The thing, with why it may stay a while; None when it is gone and only still listed."""
    service, kind, name = _parts(item.arn)
    if service == "kms" and kind == "key":
        key = aws("kms").describe_key(KeyId=item.arn)["KeyMetadata"]
        if key["KeyState"] in ("PendingDeletion", "PendingReplicaDeletion"):
            day = f"{key['DeletionDate']:%Y-%m-%d}" if key.get("DeletionDate") else "its day"
            return Tagged(item.arn, item.tags, f"AWS deletes it on {day}")
    elif (service, kind) in (("rds", "snapshot"), ("elasticache", "snapshot")):
        return Tagged(item.arn, item.tags, "a last snapshot, kept on purpose")
    elif service == "ec2" and kind in _STATES:
        return None if _state(aws("ec2"), kind, name).lower() in _GONE else item
    return item


def _state(ec2: Any, kind: str, name: str) -> str:
    from botocore.exceptions import ClientError

    call, parameter, field = _STATES[kind]
    try:
        answer = getattr(ec2, call)(**{parameter: [name]})
    except ClientError as error:
        if "NotFound" in error.response.get("Error", {}).get("Code", ""):
            return "deleted"
        raise
    items = [entry for item in answer[field] for entry in item.get("Instances", [item])]
    state = items[0]["State"] if items else "deleted"
    return str(state["Name"] if isinstance(state, dict) else state)


#: EC2 tells the state of these for an hour after their end: call, parameter and field by kind.
_STATES = {
    "natgateway": ("describe_nat_gateways", "NatGatewayIds", "NatGateways"),
    "instance": ("describe_instances", "InstanceIds", "Reservations"),
    "vpc-endpoint": ("describe_vpc_endpoints", "VpcEndpointIds", "VpcEndpoints"),
}


def _parts(arn: str) -> tuple[str, str, str]:
    """(service, kind, name) of an ARN, whose last part is ``kind/name`` or ``kind:name``."""
    service, rest = arn.split(":", 5)[2], arn.split(":", 5)[5]
    kind, _, name = rest.replace(":", "/", 1).partition("/")
    return service, kind, name
