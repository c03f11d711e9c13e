"""The shape of each resource type: which SKUs it is billed by, and how many units of each.

A type that is neither here nor on the list of free types (``free_types.json``) has no price, and is named.
"""

import functools
import json
from collections.abc import Iterator, Mapping
from decimal import Decimal
from importlib import resources

from ray_platform.cost import shapes_compute as compute
from ray_platform.cost import shapes_data as data
from ray_platform.cost import shapes_network as network
from ray_platform.cost.reading import AttributeView, Item, Part, Shape, Use, always
from ray_platform.cost.surroundings import Surroundings
from ray_platform.terraform.plan import ResourceChange


def _cluster(
    look: AttributeView, change: ResourceChange, around: Surroundings, side: str
) -> Iterator[Item]:
    """The control plane: by version and support, and by tier where one is chosen."""
    version = look.text("version", default="latest")
    policy = look.blocks("upgrade_policy")
    support = policy[0].text("support_type", default="EXTENDED") if policy else "EXTENDED"
    if version is None or support is None:
        skus: tuple[str, ...] = ("eks_control_plane", "eks_control_plane_extended")
    elif support == "STANDARD":
        # AWS upgrades it at the end of its standard support.
        skus = ("eks_control_plane",)
    else:
        skus = (f"eks_control_plane/{version}",)
    yield Part("EKS control plane", skus, Decimal(1), Decimal(1))
    scaling = look.blocks("control_plane_scaling_config")
    if scaling:
        tier = scaling[0].text("tier", default="standard")
        if tier != "standard":
            yield always(f"control plane tier {tier}", f"eks_control_plane_tier/{tier}")
    compute_config = look.blocks("compute_config")
    if compute_config and compute_config[0].flag("enabled"):
        yield Use("nodes that EKS Auto Mode starts", "eks_auto_mode")


def _fee(what: str, sku: str) -> Shape:
    def shape(
        look: AttributeView, change: ResourceChange, around: Surroundings, side: str
    ) -> Iterator[Item]:
        yield always(what, sku)

    return shape


def _use(what: str, sku: str) -> Shape:
    def shape(
        look: AttributeView, change: ResourceChange, around: Surroundings, side: str
    ) -> Iterator[Item]:
        yield Use(what, sku)

    return shape


def _secret(
    look: AttributeView, change: ResourceChange, around: Surroundings, side: str
) -> Iterator[Item]:
    yield always("secret", "secret", Decimal(1 + len(look.blocks("replica"))))
    yield Use("its API calls", "secret_calls")


SHAPES: Mapping[str, Shape] = {
    "aws_alb": network.load_balancer,
    "aws_autoscaling_group": compute.autoscaling_group,
    "aws_cloudwatch_log_group": _use("logs written to the group", "cloudwatch_logs"),
    "aws_db_instance": data.database,
    "aws_ebs_volume": compute.volume,
    "aws_ecr_registry_scanning_configuration": data.registry_scanning,
    "aws_ecr_repository": data.registry,
    "aws_ecs_service": compute.container_service,
    "aws_efs_file_system": data.file_system,
    "aws_eip": network.address,
    "aws_eks_cluster": _cluster,
    "aws_eks_fargate_profile": compute.fargate_profile,
    "aws_eks_node_group": compute.node_group,
    "aws_elasticache_cluster": data.cache_cluster,
    "aws_elasticache_replication_group": data.replication_group,
    "aws_elb": network.classic_balancer,
    "aws_flow_log": network.flow_log,
    "aws_fsx_lustre_file_system": data.lustre,
    "aws_instance": compute.instance,
    "aws_internet_gateway": network.internet_gateway,
    "aws_kms_external_key": _fee("KMS key", "kms_key"),
    "aws_kms_key": _fee("KMS key", "kms_key"),
    "aws_kms_replica_key": _fee("KMS key", "kms_key"),
    "aws_launch_template": compute.launch_template,
    "aws_lb": network.load_balancer,
    "aws_nat_gateway": network.nat_gateway,
    "aws_rds_cluster": data.aurora_cluster,
    "aws_rds_cluster_instance": data.aurora_instance,
    "aws_route53_zone": network.zone,
    "aws_s3_bucket": data.bucket,
    "aws_s3_bucket_intelligent_tiering_configuration": data.intelligent_tiering,
    "aws_s3_bucket_object": data.stored_object,
    "aws_s3_object": data.stored_object,
    "aws_s3_object_copy": data.stored_object,
    "aws_secretsmanager_secret": _secret,
    "aws_vpc_endpoint": network.vpc_endpoint,
}


@functools.cache
def free_types() -> frozenset[str]:
    """The resource types without a charge of their own, each named in full."""
    text = resources.files("ray_platform.cost").joinpath("free_types.json").read_text("utf-8")
    return frozenset(name for names in json.loads(text)["types"].values() for name in names)
