"""What exists in a VPC and in an EKS cluster, whoever made it: some twenty requests, no cost.

Types that are looked for: instances, network interfaces, volumes, security groups, subnets, route tables,
internet, NAT and VPN gateways, VPC endpoints, peering connections; node groups, Fargate profiles and
add-ons of the cluster. Its access entries are not: EKS makes some by itself and does not say which.
"""

import datetime as dt
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from ray_platform.drift.unmanaged import LiveResource
from ray_platform.text.errors import ToolError


def inventory(aws: Callable[[str], Any], *, vpc_id: str, cluster: str) -> tuple[LiveResource, ...]:
    """Everything of the types above in the VPC and the cluster.

    Args:
        aws: Gives a boto3 client by its service.
        vpc_id: The VPC; empty: none is looked into.
        cluster: The EKS cluster; empty: none is looked into.

    Raises:
        ToolError: AWS refuses, or does not answer.
    """
    from botocore.exceptions import BotoCoreError, ClientError

    try:
        found = list(_in_vpc(aws("ec2"), vpc_id)) if vpc_id else []
        found += list(_in_cluster(aws("eks"), cluster)) if cluster else []
    except ClientError as error:
        code = error.response.get("Error", {}).get("Code", "")
        raise ToolError(
            f"AWS refused to list what is in the VPC: {error.operation_name}, {code}",
            where=f"{vpc_id}, cluster {cluster}",
            fix="allow ec2:Describe*, eks:List* and eks:Describe* to the role that looks for drift",
        ) from error
    except BotoCoreError as error:
        raise ToolError(
            f"AWS does not answer: {error}",
            where=f"{vpc_id}, cluster {cluster}",
            fix="check the AWS credentials and the network",
        ) from error
    return tuple(found)


def _in_vpc(ec2: Any, vpc: str) -> Iterator[LiveResource]:
    place = f"in {vpc}"
    here = [{"Name": "vpc-id", "Values": [vpc]}]
    attached = [{"Name": "attachment.vpc-id", "Values": [vpc]}]
    instances: list[str] = []
    parts: set[str] = set()
    for group in _all(ec2, "describe_instances", "Reservations", Filters=here):
        for item in group["Instances"]:
            if item["State"]["Name"] in ("terminated", "shutting-down"):
                continue
            instances.append(item["InstanceId"])
            yield _resource(
                "aws_instance",
                item["InstanceId"],
                place,
                item,
                made_at=item.get("LaunchTime"),
                instance_type=item.get("InstanceType"),
                # An address of its own makes it reachable from anywhere, whatever its groups say today.
                cidr_blocks=["0.0.0.0/0"] if item.get("PublicIpAddress") else [],
            )
    for item in _all(ec2, "describe_security_groups", "SecurityGroups", Filters=here):
        cidrs = [
            entry.get("CidrIp") or entry.get("CidrIpv6")
            for rule in item.get("IpPermissions", ())
            for entry in (*rule.get("IpRanges", ()), *rule.get("Ipv6Ranges", ()))
        ]
        yield _resource(
            "aws_security_group",
            item["GroupId"],
            place,
            item,
            owned=item.get("GroupName") == "default",
            name=item.get("GroupName"),
            cidr_blocks=cidrs,
        )
    for item in _all(ec2, "describe_subnets", "Subnets", Filters=here):
        yield _resource(
            "aws_subnet", item["SubnetId"], place, item, cidr_block=item.get("CidrBlock")
        )
    for item in _all(ec2, "describe_route_tables", "RouteTables", Filters=here):
        main = any(link.get("Main") for link in item.get("Associations", ()))
        yield _resource("aws_route_table", item["RouteTableId"], place, item, owned=main)
    for item in _all(ec2, "describe_internet_gateways", "InternetGateways", Filters=attached):
        yield _resource("aws_internet_gateway", item["InternetGatewayId"], place, item)
    for item in _all(ec2, "describe_nat_gateways", "NatGateways", Filters=here):
        addresses = item.get("NatGatewayAddresses", ())
        parts |= {address.get("NetworkInterfaceId") for address in addresses}
        if item.get("State") not in ("deleted", "deleting"):
            yield _resource(
                "aws_nat_gateway",
                item["NatGatewayId"],
                place,
                item,
                made_at=item.get("CreateTime"),
            )
    for item in _all(ec2, "describe_vpn_gateways", "VpnGateways", Filters=attached):
        if item.get("State") not in ("deleted", "deleting"):
            yield _resource("aws_vpn_gateway", item["VpnGatewayId"], place, item)
    for item in _all(ec2, "describe_vpc_endpoints", "VpcEndpoints", Filters=here):
        parts |= set(item.get("NetworkInterfaceIds", ()))
        if str(item.get("State")).lower() not in ("deleted", "deleting"):
            yield _resource(
                "aws_vpc_endpoint",
                item["VpcEndpointId"],
                place,
                item,
                made_at=item.get("CreationTimestamp"),
                owned=bool(item.get("RequesterManaged")),
                service_name=item.get("ServiceName"),
            )
    for item in _all(ec2, "describe_network_interfaces", "NetworkInterfaces", Filters=here):
        attachment = item.get("Attachment") or {}
        kind = item.get("InterfaceType", "interface")
        yield _resource(
            "aws_network_interface",
            item["NetworkInterfaceId"],
            place,
            {"Tags": item.get("TagSet", ())},
            # Those of instances, gateways and endpoints count with these.
            owned=bool(
                item["NetworkInterfaceId"] in parts
                or item.get("RequesterManaged")
                or kind not in ("interface", "efa", "trunk")
                or attachment.get("InstanceId")
            ),
            description=item.get("Description"),
            cidr_blocks=["0.0.0.0/0"] if (item.get("Association") or {}).get("PublicIp") else [],
        )
    for side in ("requester-vpc-info.vpc-id", "accepter-vpc-info.vpc-id"):
        filters = [{"Name": side, "Values": [vpc]}]
        links = _all(
            ec2, "describe_vpc_peering_connections", "VpcPeeringConnections", Filters=filters
        )
        for item in links:
            if item.get("Status", {}).get("Code") not in ("deleted", "rejected", "expired"):
                yield _resource(
                    "aws_vpc_peering_connection", item["VpcPeeringConnectionId"], place, item
                )
    if instances:
        filters = [{"Name": "attachment.instance-id", "Values": instances}]
        for item in _all(ec2, "describe_volumes", "Volumes", Filters=filters):
            # A volume that goes with its instance counts with it (moto does not tell).
            goes = all(
                link.get("DeleteOnTermination", True) for link in item.get("Attachments", ())
            )
            yield _resource(
                "aws_ebs_volume",
                item["VolumeId"],
                place,
                item,
                made_at=item.get("CreateTime"),
                owned=goes,
                size_gib=item.get("Size"),
                encrypted=item.get("Encrypted"),
            )


def _in_cluster(eks: Any, cluster: str) -> Iterator[LiveResource]:
    place = f"in the cluster {cluster}"
    names = {"clusterName": cluster}
    for name in _all(eks, "list_nodegroups", "nodegroups", **names):
        item = eks.describe_nodegroup(nodegroupName=name, **names)["nodegroup"]
        yield _resource(
            "aws_eks_node_group",
            f"{cluster}:{name}",
            place,
            item,
            arn=item.get("nodegroupArn", ""),
            made_at=item.get("createdAt"),
            node_group_name=name,
            cluster_name=cluster,
            instance_types=item.get("instanceTypes"),
            max_size=(item.get("scalingConfig") or {}).get("maxSize"),
        )
    for name in _all(eks, "list_fargate_profiles", "fargateProfileNames", **names):
        item = eks.describe_fargate_profile(fargateProfileName=name, **names)["fargateProfile"]
        yield _resource(
            "aws_eks_fargate_profile",
            f"{cluster}:{name}",
            place,
            item,
            arn=item.get("fargateProfileArn", ""),
            made_at=item.get("createdAt"),
            name=name,
        )
    for name in _all(eks, "list_addons", "addons", **names):
        item = eks.describe_addon(addonName=name, **names)["addon"]
        yield _resource(
            "aws_eks_addon",
            f"{cluster}:{name}",
            place,
            item,
            arn=item.get("addonArn", ""),
            made_at=item.get("createdAt"),
            addon_name=name,
            cluster_name=cluster,
        )


def _resource(
    type_: str,
    id_: str,
    place: str,
    item: Mapping[str, Any],
    *,
    arn: str = "",
    owned: bool = False,
    made_at: Any = None,
    **details: Any,
) -> LiveResource:
    tags = item.get("tags") or {tag["Key"]: tag["Value"] for tag in item.get("Tags") or ()}
    return LiveResource(
        type_,
        id_,
        place,
        tags=tags,
        details={**{key: value for key, value in details.items() if value}, "tags": tags},
        arn=arn,
        owned=owned,
        made_at=made_at.astimezone(dt.UTC).isoformat(timespec="seconds")
        if isinstance(made_at, dt.datetime)
        else "",
    )


def _all(client: Any, call: str, field: str, **parameters: Any) -> Iterator[Any]:
    """Every element of an answer in pages."""
    if not client.can_paginate(call):
        yield from getattr(client, call)(**parameters)[field]
        return
    for page in client.get_paginator(call).paginate(**parameters):
        yield from page.get(field, ())
