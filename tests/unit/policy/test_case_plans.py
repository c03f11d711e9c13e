"""The plans that were judged wrong once (tests/data/cases/plans), as far as they are about policies."""

import json
from pathlib import Path

import pytest

from ray_platform.policy.policy_engine import PolicyEngine
from ray_platform.policy.verdict import Verdict
from ray_platform.terraform.plan import read_plan

ROOT = Path(__file__).resolve().parents[3]
CASES = ROOT / "tests" / "data" / "cases" / "plans"
ENGINE = PolicyEngine(ROOT / "policies")


def judge(case: str) -> Verdict:
    plan = read_plan(json.loads((CASES / f"{case}.json").read_text(encoding="utf-8")))
    return ENGINE.check_plan(plan, "local")


@pytest.mark.parametrize(
    ("case", "rule", "resource"),
    [
        ("forget-cluster", "deletion", "aws_eks_cluster.this"),
        ("create-then-forget", "deletion", "aws_eks_cluster.this"),
        ("nodes-without-tags", "required-tags", "aws_launch_template.nodes"),
        ("endpoint-both-off", "public-endpoint", "aws_eks_cluster.c"),
        ("eip-unknown-instance", "public-node", "aws_eip.e"),
        ("ipv6-subnet", "public-node", "aws_subnet.s"),
        ("ipv6-subnet", "public-node", "aws_launch_template.nodes"),
        ("pins-old-template-version", "template-version", "aws_eks_node_group.this"),
        ("real-provider-mixed", "volume-encryption", "aws_rds_cluster.aurora"),
        ("real-provider-mixed", "database-public", "aws_rds_cluster_instance.aurora"),
        ("real-provider-mixed", "cache-closed", "aws_elasticache_cluster.open"),
        ("real-provider-mixed", "public-node", "aws_eip.bastion"),
        ("real-provider-mixed", "required-tags", "aws_launch_template.shared"),
        ("scaling-null", "cpu-nodes", "aws_eks_node_group.this"),
    ],
)
def test_it_is_denied_by_the_rule_that_claims_it(case: str, rule: str, resource: str) -> None:
    found = {(item.id, item.resource) for item in judge(case).violations}
    assert (rule, resource) in found


@pytest.mark.parametrize(
    ("case", "rule"),
    [
        ("deposed-protected", "deletion"),
        ("max-size-string", "cpu-nodes"),
        ("nat-regional", "public-node"),
    ],
)
def test_it_is_not_denied_by_a_rule_that_it_keeps(case: str, rule: str) -> None:
    assert rule not in {item.id for item in judge(case).violations}


def test_a_pool_without_sizes_has_one_message_for_it() -> None:
    found = [item for item in judge("scaling-null").violations if "max_size" in item.message]
    assert [(item.id, item.message) for item in found] == [
        ("cpu-nodes", "scaling_config.max_size is not set")
    ]
