"""Shapes of the network: NAT gateways, addresses, endpoints, load balancers, DNS, logs of traffic."""

from collections.abc import Iterator
from decimal import Decimal

from ray_platform.cost.reading import AttributeView, Free, Item, Note, Part, Use, always, not_known
from ray_platform.cost.surroundings import Surroundings
from ray_platform.terraform.plan import ResourceChange

_ENDPOINTS = {
    "Interface": "interface_endpoint",
    "GatewayLoadBalancer": "gwlb_endpoint",
    "Resource": "resource_endpoint",
    "ServiceNetwork": "service_network_endpoint",
}
_BALANCERS = ("application", "network", "gateway")


def nat_gateway(
    look: AttributeView, change: ResourceChange, around: Surroundings, side: str
) -> Iterator[Item]:
    mode = look.text("availability_mode", default="zonal")
    if mode == "regional":
        named = look.blocks("availability_zone_address")
        zones = len(named) or len(around.zones(change.module, look.raw("vpc_id"), side))
        if zones:
            yield always(f"regional NAT gateway in {zones} zones", "nat_gateway", Decimal(zones))
        else:
            yield not_known(
                "regional NAT gateway", "the plan does not say how many zones it serves"
            )
    elif mode is None:
        yield not_known("NAT gateway", "its availability_mode is not known")
    else:
        yield always("NAT gateway", "nat_gateway")
    yield Use("traffic through the NAT gateway", "nat_gateway_data")


def address(
    look: AttributeView, change: ResourceChange, around: Surroundings, side: str
) -> Iterator[Item]:
    yield always("public IPv4 address", "public_ipv4")


def vpc_endpoint(
    look: AttributeView, change: ResourceChange, around: Surroundings, side: str
) -> Iterator[Item]:
    kind = look.text("vpc_endpoint_type", default="Gateway")
    if kind == "Gateway":
        yield Free("a gateway endpoint")
        return
    if kind is None or kind not in _ENDPOINTS:
        yield not_known("VPC endpoint", f"vpc_endpoint_type {kind or 'is known only after apply'}")
        return
    sku = _ENDPOINTS[kind]
    known = look.raw("subnet_ids")
    if isinstance(known, list) and known and all(known) and not look.is_unknown("subnet_ids"):
        zones = len(known)
    else:
        subnets = around.referenced(change, "subnet_ids", "aws_subnet", side)
        named = {values.get("availability_zone") for _, values in subnets} - {None}
        zones = len(named or around.zones(change.module, look.raw("vpc_id"), side))
        if zones:
            yield Note(
                "Endpoints whose subnets are not known before apply are priced in each of the "
                f"{zones} zones that the plan has subnets in."
            )
    what = "interface endpoints" if kind == "Interface" else f"{kind} endpoints"
    if zones:
        yield always(what, sku, Decimal(zones))
    else:
        yield not_known(what, "the plan does not say how many zones it is in")
    yield Use("traffic through the endpoint", f"{sku}_data")


def load_balancer(
    look: AttributeView, change: ResourceChange, around: Surroundings, side: str
) -> Iterator[Item]:
    kind = look.text("load_balancer_type", default="application")
    if kind not in _BALANCERS:
        yield not_known(
            "load balancer", f"load_balancer_type {kind or 'is known only after apply'}"
        )
        return
    yield always(f"{kind} load balancer", f"lb/{kind}")
    yield Use("its capacity units", f"lb/{kind}-capacity")


def classic_balancer(
    look: AttributeView, change: ResourceChange, around: Surroundings, side: str
) -> Iterator[Item]:
    yield always("classic load balancer", "lb/classic")
    yield Use("traffic through it", "lb/classic-data")


def zone(
    look: AttributeView, change: ResourceChange, around: Surroundings, side: str
) -> Iterator[Item]:
    yield always("hosted zone", "route53_zone")
    yield Use("its queries", "route53_queries")


def flow_log(
    look: AttributeView, change: ResourceChange, around: Surroundings, side: str
) -> Iterator[Item]:
    kind = look.text("log_destination_type", default="cloud-watch-logs")
    if kind is None:
        yield not_known("flow log", "its log_destination_type is not known")
    else:
        yield Use(f"flow logs delivered to {kind}", f"vended_logs/{kind}")


def internet_gateway(
    look: AttributeView, change: ResourceChange, around: Surroundings, side: str
) -> Iterator[Item]:
    yield Use("traffic out to the internet", "internet_out")


def transit_attachment(
    look: AttributeView, change: ResourceChange, around: Surroundings, side: str
) -> Iterator[Item]:
    yield Part(
        "transit gateway attachment", ("transit_gateway_attachment",), Decimal(1), Decimal(1)
    )
    yield Use("traffic through it", "transit_gateway_data")
