"""Doubling a count, a size or a type in a plan never leaves the total the same."""

import copy
from typing import Any

from hypothesis import assume, given
from hypothesis import strategies as st

from ray_platform.cost.estimate import Estimate
from tests.support.plans import changed, priced

counts = st.integers(1, 40)
sizes = st.integers(1, 4000)
#: A type and its double.
TYPES = (("m5.large", "m5.xlarge"), ("c6i.xlarge", "c6i.2xlarge"), ("m6g.large", "m6g.xlarge"))
CLASSES = (("db.t4g.small", "db.t4g.medium"), ("db.m6g.large", "db.m6g.xlarge"))
NODES = (("cache.t4g.micro", "cache.t4g.small"), ("cache.t4g.small", "cache.t4g.medium"))


def told(found: Estimate) -> tuple[Any, ...]:
    """The total as a person or a gate sees it."""
    return (found.monthly(), [(item.address, item.why) for item in found.unpriced])


def differs(
    kind: str, attributes: dict[str, Any], path: tuple[Any, ...], value: Any, *others: Any
) -> None:
    """The total moves when one attribute does, and so does a doubled number."""
    doubled = copy.deepcopy(attributes)
    node: Any = doubled
    for step in path[:-1]:
        node = node[step]
    node[path[-1]] = value
    one, two = (priced(changed(f"{kind}.x", side), *others) for side in (attributes, doubled))
    assert told(one) != told(two), (path, one.monthly())
    assert (one.totals.after_max, one.totals.after_min) < (
        two.totals.after_max,
        two.totals.after_min,
    )


@given(low=counts, more=counts, size=sizes, types=st.sampled_from(TYPES), text=st.booleans())
def test_a_node_group(low: int, more: int, size: int, types: tuple[str, str], text: bool) -> None:
    def number(value: int) -> Any:
        return str(value) if text else value

    group = {
        "node_group_name": "g",
        "instance_types": [types[0]],
        "scaling_config": [{"min_size": number(low), "max_size": number(low + more)}],
        "disk_size": number(size),
    }
    differs("aws_eks_node_group", group, ("scaling_config", 0, "min_size"), number(2 * low))
    differs(
        "aws_eks_node_group", group, ("scaling_config", 0, "max_size"), number(2 * (low + more))
    )
    differs("aws_eks_node_group", group, ("disk_size",), number(2 * size))
    differs("aws_eks_node_group", group, ("instance_types",), [types[1]])
    differs("aws_eks_node_group", group, ("instance_types",), list(types))


@given(
    size=sizes,
    kind=st.sampled_from(("gp2", "gp3", "st1", "sc1", "standard", "io1", "io2")),
    iops=st.integers(3001, 100_000),
)
def test_a_volume(size: int, kind: str, iops: int) -> None:
    volume: dict[str, Any] = {"type": kind, "size": size}
    if kind in ("gp3", "io1", "io2"):
        volume["iops"] = iops
        differs("aws_ebs_volume", volume, ("iops",), 2 * iops)
    if kind == "gp3":
        volume["throughput"] = 200
        differs("aws_ebs_volume", volume, ("throughput",), 400)
    differs("aws_ebs_volume", volume, ("size",), 2 * size)


@given(
    size=sizes,
    classes=st.sampled_from(CLASSES),
    iops=st.integers(12_001, 60_000),
    two=st.booleans(),
)
def test_a_database(size: int, classes: tuple[str, str], iops: int, two: bool) -> None:
    database = {
        "engine": "postgres",
        "instance_class": classes[0],
        "allocated_storage": size,
        "storage_type": "io1",
        "iops": iops,
        "multi_az": two,
    }
    differs("aws_db_instance", database, ("allocated_storage",), 2 * size)
    differs("aws_db_instance", database, ("instance_class",), classes[1])
    differs("aws_db_instance", database, ("iops",), 2 * iops)
    if not two:
        differs("aws_db_instance", database, ("multi_az",), True)


@given(shards=counts, replicas=st.integers(1, 5), nodes=st.sampled_from(NODES))
def test_a_cache(shards: int, replicas: int, nodes: tuple[str, str]) -> None:
    cache = {"node_type": nodes[0], "num_node_groups": shards, "replicas_per_node_group": replicas}
    kind = "aws_elasticache_replication_group"
    differs(kind, cache, ("num_node_groups",), 2 * shards)
    differs(kind, cache, ("replicas_per_node_group",), 2 * replicas)
    differs(kind, cache, ("node_type",), nodes[1])
    differs(
        kind,
        {"node_type": nodes[0], "num_cache_clusters": shards},
        ("num_cache_clusters",),
        2 * shards,
    )


@given(zones=counts, size=sizes, low=counts)
def test_the_rest(zones: int, size: int, low: int) -> None:
    for kind in ("Interface", "GatewayLoadBalancer"):
        endpoint = {"vpc_endpoint_type": kind, "subnet_ids": [f"s-{n}" for n in range(zones)]}
        twice = [f"s-{n}" for n in range(2 * zones)]
        differs("aws_vpc_endpoint", endpoint, ("subnet_ids",), twice)
    lustre = {
        "storage_type": "SSD",
        "deployment_type": "PERSISTENT_2",
        "per_unit_storage_throughput": 125,
        "storage_capacity": size,
    }
    differs("aws_fsx_lustre_file_system", lustre, ("storage_capacity",), 2 * size)
    differs("aws_fsx_lustre_file_system", lustre, ("per_unit_storage_throughput",), 250)
    files = {"throughput_mode": "provisioned", "provisioned_throughput_in_mibps": size}
    differs("aws_efs_file_system", files, ("provisioned_throughput_in_mibps",), 2 * size)
    secret = {"replica": [{"region": f"r{n}"} for n in range(zones)]}
    differs("aws_secretsmanager_secret", secret, ("replica",), secret["replica"] * 2)


@given(low=counts, more=counts, size=sizes)
def test_an_autoscaling_group(low: int, more: int, size: int) -> None:
    template = changed(
        "aws_launch_template.t",
        {
            "name": "t",
            "instance_type": "m5.large",
            "block_device_mappings": [{"ebs": [{"volume_size": size, "volume_type": "gp3"}]}],
        },
    )
    group = {
        "name": "g",
        "min_size": low,
        "max_size": low + more,
        "launch_template": [{"name": "t", "version": "$Latest"}],
    }
    differs("aws_autoscaling_group", group, ("min_size",), 2 * low, template)
    differs("aws_autoscaling_group", group, ("max_size",), 2 * (low + more), template)


@given(
    field=st.sampled_from(("min_size", "max_size")),
    value=st.sampled_from((None, True, "", "many", -1)),
)
def test_a_size_that_is_no_number_is_never_a_price(field: str, value: Any) -> None:
    scaling = {"min_size": 2, "max_size": 4}
    assume(scaling[field] != value)
    group = {"instance_types": ["m5.large"], "scaling_config": [{**scaling, field: value}]}
    found = priced(changed("aws_eks_node_group.g", group))
    assert found.monthly()["after_min" if field == "min_size" else "after_max"] is None
    assert found.unpriced_changes
