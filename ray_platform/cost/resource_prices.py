"""What each Terraform resource type costs: its attributes turned into hourly parts."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from ray_platform.cost.price_book import CONTROL_PLANE, CONTROL_PLANE_EXTENDED, PriceBook
from ray_platform.terraform.plan import Plan, ResourceChange

#: EKS gives a node this much when nothing says otherwise, in GB.
#: Source: https://docs.aws.amazon.com/eks/latest/APIReference/API_CreateNodegroup.html (diskSize).
DEFAULT_VOLUME_GB = 20

#: Resource type -> (service in the price book, what the unit counts): billed by use.
_BY_USE: Mapping[str, tuple[tuple[str, str], ...]] = {
    "aws_nat_gateway": (("nat_gateway_data", "traffic through the NAT gateway"),),
    "aws_s3_bucket": (("s3_standard", "objects in the bucket"),),
    "aws_ecr_repository": (("ecr_storage", "images in the repository"),),
    "aws_cloudwatch_log_group": (("cloudwatch_logs", "logs written to the group"),),
    "aws_db_instance": (("rds_backup", "backups of the database"),),
}

#: Resource types that AWS does not bill by themselves.
_FREE = frozenset(
    {
        "aws_vpc",
        "aws_subnet",
        "aws_internet_gateway",
        "aws_route",
        "aws_route_table",
        "aws_flow_log",
    }
    | {"aws_security_group", "aws_security_group_rule", "aws_route_table_association"}
    | {"aws_kms_alias", "aws_kms_key_policy", "aws_launch_template", "aws_eks_addon"}
    | {"aws_autoscaling_group_tag", "terraform_data"}
    | {"aws_db_subnet_group", "aws_elasticache_subnet_group"}
    | {"aws_elasticache_user", "aws_elasticache_user_group"}
)
_FREE_FAMILIES = (
    *("aws_iam_", "aws_default_", "aws_vpc_security_group_", "aws_s3_bucket_", "aws_ecr_"),
    *("aws_eks_access_", "aws_eks_pod_identity_", "aws_network_acl", "aws_vpc_endpoint"),
    *("random_", "null_", "tls_", "time_"),
)


@dataclass(frozen=True)
class UsePrice:
    """A resource that is billed by use: what one ``unit`` costs in US dollars."""

    address: str
    what: str
    unit_usd: Decimal
    unit: str


@dataclass(frozen=True)
class HourlyPart:
    """One side of a line: US dollars an hour at minimum and maximum size.

    ``what`` is for people. ``service`` is the price book's name of the service, empty where no rule
    asks for it.
    """

    what: str
    low: Decimal
    high: Decimal
    pool: str = ""
    service: str = ""


def is_free(type_: str) -> bool:
    """Whether AWS bills nothing for a resource of this type by itself.

    A gateway endpoint is free; an interface endpoint is priced before this is asked.
    """
    return type_ in _FREE or type_.startswith(_FREE_FAMILIES)


class ResourcePrices:
    """Turns attributes of resources into hourly parts, remembering what it had to assume."""

    def __init__(self, plan: Plan, book: PriceBook) -> None:
        self._plan = plan
        self._book = book
        self._notes: set[str] = set()
        self.volumes: dict[str, int] = {}

    def notes(self) -> list[str]:
        book = self._book
        return [
            f"List prices of {book.region}, {book.date}; {book.hours_per_month} hours a month.",
            *sorted(self._notes),
        ]

    def parts(self, change: ResourceChange, values: Mapping[str, Any]) -> Iterator[HourlyPart]:
        match change.type:
            case "aws_eks_cluster":
                version = str(values.get("version") or "")
                price = self._book.control_plane(version)
                if price is self._book.service(CONTROL_PLANE_EXTENDED):
                    self._notes.add(
                        f"Kubernetes {version} is past its standard support: the control plane "
                        f"costs ${price.usd} an hour until it is upgraded."
                    )
                yield HourlyPart("EKS control plane", price.usd, price.usd, service=CONTROL_PLANE)
            case "aws_nat_gateway":
                yield self._always("NAT gateway", self._book.service("nat_gateway").usd)
            case "aws_eip":
                yield self._always("public IPv4 address", self._book.service("public_ipv4").usd)
            case "aws_kms_key":
                monthly = self._book.service("kms_key").usd
                yield self._always("KMS key", monthly / self._book.hours_per_month)
            case "aws_vpc_endpoint" if values.get("vpc_endpoint_type") == "Interface":
                zones = self._zones(change, values)
                usd = self._book.service("interface_endpoint").usd * zones
                yield self._always("interface endpoints", usd)
            case "aws_eks_node_group":
                yield from self._node_group(change, values)
            case "aws_db_instance":
                yield from self._database(values)
            case "aws_elasticache_replication_group":
                nodes = int(values.get("num_cache_clusters") or 1)
                kind = str(values.get("node_type") or "")
                usd = self._book.cache_hourly(kind) * nodes
                yield self._always(f"{nodes} Redis of {kind}", usd)

    def by_use(self, change: ResourceChange) -> Iterator[UsePrice]:
        uses = _BY_USE.get(change.type, ())
        if change.type == "aws_vpc_endpoint":
            if change.after.get("vpc_endpoint_type") != "Interface":
                return
            uses = (("interface_endpoint_data", "traffic through the endpoint"),)
        for service, what in uses:
            price = self._book.service(service)
            yield UsePrice(change.address, what, price.usd, price.unit)

    def _database(self, values: Mapping[str, Any]) -> Iterator[HourlyPart]:
        two = bool(values.get("multi_az"))
        kind, size = (
            str(values.get("instance_class") or ""),
            int(values.get("allocated_storage") or 0),
        )
        hours = self._book.hours_per_month
        zones = "in two zones" if two else "in one zone"
        yield self._always(f"PostgreSQL {kind} {zones}", self._book.database_hourly(kind, two))
        volume = self._book.service("rds_gp3_volume_two_zones" if two else "rds_gp3_volume").usd
        yield self._always(f"its volume of {size} GB", volume * size / hours)
        if values.get("manage_master_user_password"):
            yield self._always("its password's secret", self._book.service("secret").usd / hours)
        if values.get("max_allocated_storage"):
            self._notes.add(
                "A database's volume is priced at the size it starts with; RDS makes it larger when it fills."
            )

    @staticmethod
    def _always(what: str, hourly: Decimal) -> HourlyPart:
        return HourlyPart(what, hourly, hourly)

    def _zones(self, change: ResourceChange, values: Mapping[str, Any]) -> int:
        """One endpoint is billed in each zone; before the subnets exist, zones are counted."""
        known = values.get("subnet_ids")
        if isinstance(known, list) and known and all(known):
            return len(known)
        zones = {
            other.after.get("availability_zone")
            for other in self._plan.changes
            if other.type == "aws_subnet" and other.module == change.module
        } - {None}
        self._notes.add(
            "Interface endpoints whose subnets are not known before apply are priced in each of "
            f"the {len(zones) or 1} zones that the plan has subnets in."
        )
        return len(zones) or 1

    def _node_group(
        self, change: ResourceChange, values: Mapping[str, Any]
    ) -> Iterator[HourlyPart]:
        scaling = (values.get("scaling_config") or [{}])[0]
        low, high = int(scaling.get("min_size") or 0), int(scaling.get("max_size") or 0)
        # Without a value EKS takes t3.medium: let the book say that it has no price for it.
        instance_type = (values.get("instance_types") or ["t3.medium"])[0]
        spot = values.get("capacity_type") == "SPOT"
        pool = str(_index(change.address) or values.get("node_group_name") or change.name)
        volume = self._volume_gb(change, values)
        self.volumes[pool] = volume
        if spot:
            self._notes.add(self._book.spot_assumption)
        hourly = self._book.hourly(instance_type, spot)
        sizes = f"{low} to {high} {instance_type}"
        yield HourlyPart(
            f"nodes of {pool}: {sizes}{' (spot)' if spot else ''}",
            hourly * low,
            hourly * high,
            pool,
        )
        disk = self._book.volume_hourly(volume)
        yield HourlyPart(
            f"volumes of {pool}: {low} to {high} of {volume} GB gp3", disk * low, disk * high, pool
        )

    def _volume_gb(self, change: ResourceChange, values: Mapping[str, Any]) -> int:
        """Of the launch template with the same index; ids are not known before the first apply."""
        side = "before" if values is change.before else "after"
        templates = {
            _index(other.address): getattr(other, side)
            for other in self._plan.changes
            if other.type == "aws_launch_template" and other.module == change.module
        }
        template = templates.get(_index(change.address)) or {}
        sizes = [
            int(ebs["volume_size"])
            for mapping in template.get("block_device_mappings") or ()
            for ebs in mapping.get("ebs") or ()
            if ebs.get("volume_size")
        ]
        return sum(sizes) or int(values.get("disk_size") or DEFAULT_VOLUME_GB)


def _index(address: str) -> str:
    """``cpu`` for ``module.node_pools.aws_eks_node_group.this["cpu"]``, else ``""``."""
    return address.rsplit('["', 1)[1].rstrip('"]') if address.endswith('"]') else ""
