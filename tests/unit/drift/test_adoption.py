"""Drift that a variable can say is adopted in the variables file, and nothing else of it changes."""

from pathlib import Path

import pytest

from ray_platform.drift.adoption import adopted_text, adoptions
from ray_platform.drift.items import DriftItem
from ray_platform.hcl.variables_file import read_values

VARIABLES = Path(__file__).resolve().parents[3] / "terraform" / "environments" / "dev.tfvars"
CPU = 'module.node_pools.aws_eks_node_group.this["cpu"]'
CLUSTER = "module.eks_cluster.aws_eks_cluster.this"


def by_hand(address: str, attribute: str, before: object, after: object) -> DriftItem:
    return DriftItem(address, attribute, before, after, "minor", "by_hand", "changed", who="bob")


def maximum(after: object, before: object = 10) -> DriftItem:
    return by_hand(CPU, "scaling_config[0].max_size", before, after)


def test_the_bounds_of_a_pool_are_adopted_in_its_own_block_alone() -> None:
    text = VARIABLES.read_text(encoding="utf-8")
    was = read_values(text)
    ((adoption,), left) = adoptions([maximum(12, was["node_pools"]["cpu"]["max_size"])])
    changed = adopted_text(text, adoption)
    assert left == ()
    assert changed is not None
    was["node_pools"]["cpu"]["max_size"] = 12
    assert read_values(changed) == was
    assert [line for line in changed.splitlines() if line not in text.splitlines()] == [
        next(line for line in changed.splitlines() if line.strip() == "max_size       = 12")
    ]


def test_the_version_of_kubernetes_is_adopted() -> None:
    text = VARIABLES.read_text(encoding="utf-8")
    version = read_values(text)["kubernetes_version"]
    ((adoption,), _) = adoptions([by_hand(CLUSTER, "version", version, "1.99")])
    changed = adopted_text(text, adoption)
    assert changed is not None
    assert 'kubernetes_version = "1.99"' in changed


@pytest.mark.parametrize(
    "text",
    [
        "node_pools = { cpu = { max_size = 10 } }",  # another layout: a person writes it
        "node_pools = {\n  gpu = {\n    max_size = 10\n  }\n}\n",
        "node_pools = {\n  cpu = {\n    max_size = 11\n  }\n}\n",
        "node_pools = {\n  cpu = {\n    max_size = 100\n  }\n}\n",
        'node_pools = {\n  cpu = {\n    note = "}" # }\n  }\n  gpu = {\n    max_size = 10\n  }\n}\n',
    ],
)
def test_what_does_not_stand_there_as_it_was_applied_is_left_alone(text: str) -> None:
    ((adoption,), _) = adoptions([maximum(12)])
    assert adopted_text(text, adoption) is None


def test_what_no_variable_says_is_named_and_what_nobody_changed_is_not() -> None:
    opened = by_hand("module.vpc.aws_security_group.endpoints", "ingress", [], ["0.0.0.0/0"])
    scaled = DriftItem(
        CPU, "scaling_config[0].desired_size", 2, 4, "none", "autoscaler", "within its bounds"
    )
    odd = maximum("12; rm -rf")
    found, left = adoptions([opened, scaled, odd])
    assert found == ()
    assert left == (opened, odd)
