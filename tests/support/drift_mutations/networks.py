"""Networks: security groups, subnets, routes, endpoints."""

import json
from collections.abc import Callable, Iterator
from typing import Any

from tests.support.drift_mutation import HAND, Lab, Mutation, pair, permission

LISTEN = (22, 3389, 6379, 8265, 10001)


def security_groups(lab: Lab) -> Iterator[Mutation]:
    groups = lab.of_type("aws_security_group", "aws_default_security_group")
    for address, group in groups:
        sg = group["id"]

        def rule(
            what: str,
            severity: str,
            permission: dict[str, Any],
            *,
            way: str = "ingress",
            sg: str = sg,
            address: str = address,
            holds: str = "",
        ) -> Mutation:
            arguments = {"GroupId": sg, "IpPermissions": [permission]}
            return Mutation(
                f"{way} {what}",
                address,
                way,
                HAND,
                severity,
                lambda: getattr(lab.ec2, f"authorize_security_group_{way}")(**arguments),
                lambda: getattr(lab.ec2, f"revoke_security_group_{way}")(**arguments),
                holds=holds,
            )

        for port in LISTEN:
            yield rule(
                f"port {port} for all",
                "major",
                permission(port, IpRanges=[{"CidrIp": "0.0.0.0/0"}]),
                holds=f'"from_port": {port}',
            )
        yield rule(
            "ports of another network",
            "major",
            permission(9000, 9100, IpRanges=[{"CidrIp": "192.0.2.0/24"}]),
            holds='"from_port": 9000',
        )
        yield rule(
            "IPv6 for all",
            "major",
            permission(7000, Ipv6Ranges=[{"CidrIpv6": "::/0"}]),
            holds='"from_port": 7000',
        )
        yield rule(
            "another group",
            "major",
            permission(5432, UserIdGroupPairs=[{"GroupId": groups[0][1]["id"]}]),
            holds='"from_port": 5432',
        )
        yield rule(
            "a way out for all",
            "major",
            permission(443, IpRanges=[{"CidrIp": "0.0.0.0/0"}]),
            way="egress",
        )
        if not group["ingress"]:
            continue
        own = permission(
            443, IpRanges=[{"CidrIp": "10.0.0.0/16", "Description": "HTTPS from inside the VPC"}]
        )
        for what, severity, other in (
            ("wider network", "major", permission(443, IpRanges=[{"CidrIp": "10.0.0.0/8"}])),
            (
                "narrower network",
                "minor",
                permission(
                    443,
                    IpRanges=[
                        {"CidrIp": "10.0.1.0/24", "Description": "HTTPS from inside the VPC"}
                    ],
                ),
            ),
            ("wider ports", "major", permission(1, 65535, IpRanges=own["IpRanges"])),
            ("rule revoked", "minor", None),
            ("the same rule made anew", None, own),
        ):
            yield Mutation(
                f"ingress {what}",
                address,
                "ingress",
                HAND if severity else None,
                severity,
                _swap_rules(lab, sg, own, other),
                _swap_rules(lab, sg, other, own),
            )


def _swap_rules(lab: Lab, sg: str, old: Any, new: Any) -> Callable[[], None]:
    def swap() -> None:
        if old:
            lab.ec2.revoke_security_group_ingress(GroupId=sg, IpPermissions=[old])
        if new:
            lab.ec2.authorize_security_group_ingress(GroupId=sg, IpPermissions=[new])

    return swap


def networks(lab: Lab) -> Iterator[Mutation]:
    gateway = lab.of_type("aws_internet_gateway")[0][1]["id"]
    for address, subnet in lab.of_type("aws_subnet"):
        yield Mutation(
            "public addresses for all",
            address,
            "map_public_ip_on_launch",
            HAND,
            "major",
            lambda s=subnet["id"]: lab.ec2.modify_subnet_attribute(
                SubnetId=s, MapPublicIpOnLaunch={"Value": True}
            ),
            lambda s=subnet["id"]: lab.ec2.modify_subnet_attribute(
                SubnetId=s, MapPublicIpOnLaunch={"Value": False}
            ),
        )
    for address, table in lab.of_type("aws_route_table"):
        for network in ("192.0.2.0/24", "198.51.100.0/24"):
            target = {"RouteTableId": table["id"], "DestinationCidrBlock": network}
            yield Mutation(
                f"route {network} to the internet",
                address,
                "route",
                HAND,
                "major",
                lambda t=target: lab.ec2.create_route(**t, GatewayId=gateway),
                lambda t=target: lab.ec2.delete_route(**t),
                holds=network,
            )
    address, vpc = lab.of_type("aws_vpc")[0]
    for attribute, field in (
        ("enable_dns_hostnames", "EnableDnsHostnames"),
        ("enable_dns_support", "EnableDnsSupport"),
    ):
        yield pair(
            lab,
            f"{attribute} off",
            address,
            attribute,
            "minor",
            "ec2",
            "modify_vpc_attribute",
            {"VpcId": vpc["id"], field: {"Value": False}},
            {"VpcId": vpc["id"], field: {"Value": True}},
        )
    other = lab.state["module.eks_cluster.aws_security_group.api"]["id"]
    for address, endpoint in lab.of_type("aws_vpc_endpoint"):
        name = {"VpcEndpointId": endpoint["id"]}
        opened = json.dumps(
            {
                "Version": "2012-10-17",
                "Statement": [
                    {"Effect": "Allow", "Principal": "*", "Action": "s3:PutObject", "Resource": "*"}
                ],
            }
        )
        yield pair(
            lab,
            "another policy",
            address,
            "policy",
            "major",
            "ec2",
            "modify_vpc_endpoint",
            {**name, "PolicyDocument": opened},
            {**name, "PolicyDocument": endpoint["policy"]},
        )
        if endpoint["vpc_endpoint_type"] == "Interface":
            yield pair(
                lab,
                "another security group",
                address,
                "security_group_ids",
                "major",
                "ec2",
                "modify_vpc_endpoint",
                {**name, "AddSecurityGroupIds": [other]},
                {**name, "RemoveSecurityGroupIds": [other]},
            )
