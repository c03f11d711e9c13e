"""Made beside Terraform, in our VPC and cluster."""

from collections.abc import Callable, Iterator
from typing import Any

from tests.support.drift_mutation import Lab, Mutation, permission, tagged


def unmanaged(lab: Lab) -> Iterator[Mutation]:
    vpc = lab.of_type("aws_vpc")[0][1]["id"]
    subnet = lab.state['module.vpc.aws_subnet.private["1"]']["id"]
    ours = {"environment": "local", "managed-by": "hand"}
    owned = {"kubernetes.io/cluster/ray-platform-local": "owned"}
    for what, tags, cause, severity, opened in (
        ("a closed security group", {}, "unmanaged", "minor", False),
        ("a security group with a tag", {"team": "x"}, "unmanaged", "minor", False),
        ("an open security group", {}, "unmanaged", "major", True),
        ("a group of ours", ours, None, None, True),
        ("a group of the cluster", owned, None, None, False),
    ):
        yield _made(
            lab,
            what,
            "aws_security_group",
            cause,
            severity,
            _make_group(lab, vpc, what, tags, opened),
            lambda i: lab.ec2.delete_security_group(GroupId=i),
        )
    for what, tags, cause, severity in (
        ("an instance", {}, "unmanaged", "minor"),
        ("an instance that somebody tagged", {"owner": "ann"}, "unmanaged", "minor"),
        ("an instance with a public address", {}, "unmanaged", "major"),
        ("a node of our pools", ours, None, None),
    ):
        yield _made(
            lab,
            what,
            "aws_instance",
            cause,
            severity,
            _run_instance(lab, subnet, tags, public="public" in what),
            lambda i: lab.ec2.terminate_instances(InstanceIds=[i]),
        )
    for what, tags, cause in (
        ("an interface", {}, "unmanaged"),
        ("an interface of ours", ours, None),
    ):
        yield _made(
            lab,
            what,
            "aws_network_interface",
            cause,
            "minor" if cause else None,
            lambda t=tags: lab.ec2.create_network_interface(
                SubnetId=subnet, **tagged("network-interface", t)
            )["NetworkInterface"]["NetworkInterfaceId"],
            lambda i: lab.ec2.delete_network_interface(NetworkInterfaceId=i),
        )
    for number, tags, cause in ((50, {}, "unmanaged"), (51, ours, None)):
        yield _made(
            lab,
            f"subnet {number}",
            "aws_subnet",
            cause,
            "minor" if cause else None,
            lambda n=number, t=tags: lab.ec2.create_subnet(
                VpcId=vpc, CidrBlock=f"10.0.{n}.0/24", **tagged("subnet", t)
            )["Subnet"]["SubnetId"],
            lambda i: lab.ec2.delete_subnet(SubnetId=i),
        )
    yield _made(
        lab,
        "a route table",
        "aws_route_table",
        "unmanaged",
        "major",
        lambda: lab.ec2.create_route_table(VpcId=vpc)["RouteTable"]["RouteTableId"],
        lambda i: lab.ec2.delete_route_table(RouteTableId=i),
    )
    yield _made(
        lab,
        "a NAT gateway",
        "aws_nat_gateway",
        "unmanaged",
        "major",
        lambda: lab.ec2.create_nat_gateway(SubnetId=subnet, ConnectivityType="private")[
            "NatGateway"
        ]["NatGatewayId"],
        lambda i: _no_gateway(lab, i),
    )
    yield _made(
        lab,
        "a VPC endpoint",
        "aws_vpc_endpoint",
        "unmanaged",
        "minor",
        lambda: lab.ec2.create_vpc_endpoint(
            VpcId=vpc, ServiceName="com.amazonaws.us-east-1.dynamodb", VpcEndpointType="Gateway"
        )["VpcEndpoint"]["VpcEndpointId"],
        lambda i: lab.ec2.delete_vpc_endpoints(VpcEndpointIds=[i]),
    )
    yield _made(
        lab,
        "a peering",
        "aws_vpc_peering_connection",
        "unmanaged",
        "major",
        lambda: lab.ec2.create_vpc_peering_connection(
            VpcId=vpc, PeerVpcId=lab.ec2.create_vpc(CidrBlock="10.77.0.0/16")["Vpc"]["VpcId"]
        )["VpcPeeringConnection"]["VpcPeeringConnectionId"],
        lambda i: lab.ec2.delete_vpc_peering_connection(VpcPeeringConnectionId=i),
    )
    cluster = "ray-platform-local"
    role = lab.state["module.node_pools.aws_iam_role.node"]["arn"]
    template = lab.of_type("aws_launch_template")[0][1]["id"]
    yield Mutation(
        "a node group",
        f"aws_eks_node_group.{cluster}:mining",
        "(unmanaged)",
        "unmanaged",
        "major",
        lambda: lab.eks.create_nodegroup(
            clusterName=cluster,
            nodegroupName="mining",
            nodeRole=role,
            subnets=[subnet],
            instanceTypes=["g4dn.xlarge"],
            launchTemplate={"id": template, "version": "1"},
        ),
        lambda: lab.eks.delete_nodegroup(clusterName=cluster, nodegroupName="mining"),
    )
    yield Mutation(
        "an add-on",
        f"aws_eks_addon.{cluster}:vpc-cni",
        "(unmanaged)",
        "unmanaged",
        "minor",
        lambda: lab.eks.create_addon(clusterName=cluster, addonName="vpc-cni"),
        lambda: lab.eks.delete_addon(clusterName=cluster, addonName="vpc-cni"),
    )


def _made(
    lab: Lab,
    what: str,
    kind: str,
    cause: str | None,
    severity: str | None,
    make: Callable[[], str],
    remove: Callable[[str], Any],
) -> Mutation:
    made: list[str] = []
    mutation: Mutation

    def do() -> None:
        made.append(make())
        object.__setattr__(mutation, "address", f"{kind}.{made[-1]}")

    # Until it is made, the name keeps it apart from others of its kind.
    mutation = Mutation(
        what, f"{kind}.({what})", "(unmanaged)", cause, severity, do, lambda: remove(made.pop())
    )
    return mutation


def _make_group(
    lab: Lab, vpc: str, name: str, tags: dict[str, str], opened: bool
) -> Callable[[], str]:
    def make() -> str:
        made: str = lab.ec2.create_security_group(
            GroupName=name, Description="x", VpcId=vpc, **tagged("security-group", tags)
        )["GroupId"]
        if opened:
            lab.ec2.authorize_security_group_ingress(
                GroupId=made, IpPermissions=[permission(22, IpRanges=[{"CidrIp": "0.0.0.0/0"}])]
            )
        return made

    return make


def _run_instance(
    lab: Lab, subnet: str, tags: dict[str, str], public: bool = False
) -> Callable[[], str]:
    def make() -> str:  # any image: nothing is started
        image = lab.ec2.describe_images(Owners=["amazon"])["Images"][0]["ImageId"]
        interface = {"DeviceIndex": 0, "SubnetId": subnet, "AssociatePublicIpAddress": public}
        started = lab.ec2.run_instances(
            ImageId=image,
            MinCount=1,
            MaxCount=1,
            InstanceType="t3.micro",
            NetworkInterfaces=[interface],
            **tagged("instance", tags),
        )
        made: str = started["Instances"][0]["InstanceId"]
        return made

    return make


def _no_gateway(lab: Lab, gateway: str) -> None:
    """AWS removes the gateway's interface with it, moto does not."""
    (found,) = lab.ec2.describe_nat_gateways(NatGatewayIds=[gateway])["NatGateways"]
    lab.ec2.delete_nat_gateway(NatGatewayId=gateway)
    for address in found["NatGatewayAddresses"]:
        lab.ec2.delete_network_interface(NetworkInterfaceId=address["NetworkInterfaceId"])
