"""Shapes of what keeps data: RDS, Aurora, ElastiCache, EFS, FSx for Lustre, S3, ECR."""

from collections.abc import Iterator
from decimal import Decimal

from ray_platform.cost.reading import (
    AttributeView,
    Free,
    Item,
    Note,
    Part,
    Use,
    above,
    always,
    not_known,
    plus,
    times,
)
from ray_platform.cost.surroundings import Surroundings
from ray_platform.terraform.plan import ResourceChange

#: A gp3 volume of RDS has more from this size on (not SQL Server): (GB, IOPS, MB/s) included.
#: https://docs.aws.amazon.com/AmazonRDS/latest/UserGuide/CHAP_Storage.html
_RDS_GP3 = ((400, 12_000, 500), (0, 3_000, 125))
_GROWS = (
    "A database's volume is priced at the size it starts with; RDS makes it larger when it fills."
)


def database(
    look: AttributeView, change: ResourceChange, around: Surroundings, side: str
) -> Iterator[Item]:
    engine, kind = look.text("engine"), look.text("instance_class")
    two = look.flag("multi_az")
    zones = "two" if two else "one"
    if engine is None or kind is None or two is None:
        yield not_known("database", "its engine, class or multi_az is not known")
    else:
        yield always(
            f"{engine} {kind} in {zones} zone{'s' if two else ''}", f"rds/{engine}/{kind}/{zones}"
        )
    if not (engine or "").startswith("aurora"):
        yield from _database_volume(look, zones)
    if look.flag("manage_master_user_password"):
        yield always("its password's secret", "secret")
    if look.raw("max_allocated_storage"):
        yield Note(_GROWS)
    yield Use("backups of the database", "rds_backup")


def _database_volume(look: AttributeView, zones: str) -> Iterator[Item]:
    size = look.number("allocated_storage")
    iops_set = look.raw("iops") not in (None, 0, "")
    kind = look.text("storage_type", default="io1" if iops_set else "gp2")
    if kind is None:
        yield not_known("its volume", "its storage_type is not known")
        return
    shown = "?" if size is None else f"{size.normalize():f}"
    yield always(f"its volume of {shown} GB {kind}", f"rds-volume/{kind}/{zones}", size)
    if kind in ("io1", "io2"):
        yield always("its IOPS", f"rds-iops/{kind}/{zones}", look.number("iops"))
    if kind == "gp3":
        base = next((row for row in _RDS_GP3 if size is not None and size >= row[0]), _RDS_GP3[-1])
        iops = above(look.number("iops", default=Decimal(base[1])), base[1])
        if iops != 0:
            yield always(f"its IOPS above {base[1]}", f"rds-iops/gp3/{zones}", iops)
        mbps = above(look.number("storage_throughput", default=Decimal(base[2])), base[2])
        if mbps != 0:
            yield always(f"its MB/s above {base[2]}", f"rds-throughput/gp3/{zones}", mbps)


def aurora_cluster(
    look: AttributeView, change: ResourceChange, around: Surroundings, side: str
) -> Iterator[Item]:
    engine = look.text("engine")
    kind = look.raw("db_cluster_instance_class")
    if kind:
        yield Part(
            f"three {engine} {kind}", (f"rds-cluster/{engine}/{kind}",), Decimal(3), Decimal(3)
        )
        yield not_known("its volume", "clusters of three instances have no price in the book")
        return
    if look.text("engine_mode", default="provisioned") == "serverless":
        yield Use("capacity units (serverless v1)", "aurora_acu_v1")
    io = look.text("storage_type", default="aurora") == "aurora-iopt1"
    yield Use("data in the cluster", "aurora_storage_io_optimized" if io else "aurora_storage")
    if not io:
        yield Use("reads and writes of the storage", "aurora_io")
    if look.flag("manage_master_user_password"):
        yield always("its password's secret", "secret")


def aurora_instance(
    look: AttributeView, change: ResourceChange, around: Surroundings, side: str
) -> Iterator[Item]:
    engine, kind = look.text("engine"), look.text("instance_class")
    if engine is None or kind is None:
        yield not_known("database instance", "its engine or instance_class is not known")
        return
    name = look.raw("cluster_identifier")
    clusters = [
        values
        for _, values in around.of("aws_rds_cluster", side)
        if name and values.get("cluster_identifier") == name
    ] or [
        values
        for _, values in around.referenced(change, "cluster_identifier", "aws_rds_cluster", side)
    ]
    cluster = AttributeView(clusters[0] if len(clusters) == 1 else {}, {}, None)
    cluster.reasons = look.reasons
    if kind == "db.serverless":
        blocks = cluster.blocks("serverlessv2_scaling_configuration")
        low = blocks[0].number("min_capacity") if blocks else None
        high = blocks[0].number("max_capacity") if blocks else None
        why = "" if blocks else "its cluster's serverlessv2_scaling_configuration is not known"
        yield Part("Aurora capacity units (serverless v2)", ("aurora_acu",), low, high, why)
        return
    if not clusters:
        yield Note(
            "An Aurora instance whose cluster is not in the plan is priced with standard storage."
        )
    io = cluster.raw("storage_type") == "aurora-iopt1"
    yield always(f"{engine} {kind}", f"{'aurora-io' if io else 'aurora'}/{engine}/{kind}")


def replication_group(
    look: AttributeView, change: ResourceChange, around: Surroundings, side: str
) -> Iterator[Item]:
    shards_known = look.raw("num_node_groups") not in (None, 0, "") or look.is_unknown(
        "num_node_groups"
    )
    if shards_known:
        each = plus(look.number("replicas_per_node_group", default=Decimal(0)), Decimal(1))
        nodes = times(look.number("num_node_groups"), each)
    elif look.raw("num_cache_clusters") or look.is_unknown("num_cache_clusters"):
        nodes = look.number("num_cache_clusters")
    else:
        nodes = look.number("number_cache_clusters", default=Decimal(1))
    yield from _cache_nodes(look, nodes, "redis")


def cache_cluster(
    look: AttributeView, change: ResourceChange, around: Surroundings, side: str
) -> Iterator[Item]:
    if look.raw("replication_group_id"):
        yield Free("a node of a replication group, which is priced")
        return
    yield from _cache_nodes(look, look.number("num_cache_nodes", default=Decimal(1)), "memcached")


def _cache_nodes(look: AttributeView, nodes: Decimal | None, default: str) -> Iterator[Item]:
    engine, kind = look.text("engine", default=default), look.text("node_type")
    if engine is None or kind is None:
        yield not_known("cache nodes", "its engine or node_type is not known")
        return
    shown = "?" if nodes is None else f"{nodes.normalize():f}"
    yield always(f"{shown} nodes of {engine} {kind}", f"cache/{engine}/{kind}", nodes)
    yield Use("backups beyond the free ones", "cache_backup")


def file_system(
    look: AttributeView, change: ResourceChange, around: Surroundings, side: str
) -> Iterator[Item]:
    one = bool(look.raw("availability_zone_name"))
    yield Use("files in it", "efs_one_zone" if one else "efs_standard")
    if look.text("throughput_mode", default="bursting") == "provisioned":
        yield always(
            "provisioned throughput, MB/s",
            "efs_throughput",
            look.number("provisioned_throughput_in_mibps"),
        )


def lustre(
    look: AttributeView, change: ResourceChange, around: Surroundings, side: str
) -> Iterator[Item]:
    storage, kind = look.text("storage_type"), look.text("deployment_type")
    size = look.number("storage_capacity")
    if storage is None or kind is None:
        yield not_known("Lustre file system", "its storage_type or deployment_type is not known")
        return
    sku = f"fsx-lustre/{storage}/{kind}"
    if kind.startswith("PERSISTENT"):
        speed = look.number("per_unit_storage_throughput")
        sku = f"{sku}/{'?' if speed is None else f'{speed.normalize():f}'}"
    yield always(f"Lustre {kind} {storage}, GB", sku, size)


def bucket(
    look: AttributeView, change: ResourceChange, around: Surroundings, side: str
) -> Iterator[Item]:
    yield Use("objects in the bucket", "s3_standard")


def stored_object(
    look: AttributeView, change: ResourceChange, around: Surroundings, side: str
) -> Iterator[Item]:
    yield Use("the object in its bucket", "s3_standard")


def intelligent_tiering(
    look: AttributeView, change: ResourceChange, around: Surroundings, side: str
) -> Iterator[Item]:
    yield Use("objects that are watched", "s3_tiering_monitoring")


def registry(
    look: AttributeView, change: ResourceChange, around: Surroundings, side: str
) -> Iterator[Item]:
    yield Use("images in the repository", "ecr_storage")


def registry_scanning(
    look: AttributeView, change: ResourceChange, around: Surroundings, side: str
) -> Iterator[Item]:
    if look.text("scan_type", default="BASIC") == "BASIC":
        yield Free("basic scanning")
    else:
        yield Use("images that Amazon Inspector scans", "inspector_image_scan")
