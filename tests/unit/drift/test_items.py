"""What somebody changed behind Terraform's back is named, weighed and shown without secrets."""

import copy
import json
from dataclasses import replace
from pathlib import Path
from typing import Any, get_args

import pytest

from ray_platform.config.node_pools import NodePool
from ray_platform.drift.causes import Cause
from ray_platform.drift.items import DriftItem, drift_items, to_json, to_markdown, worst
from ray_platform.drift.rules import read_rules
from ray_platform.terraform.plan import read_plan

RULES = Path(__file__).resolve().parents[3] / "policies" / "drift.toml"
BOOK = read_rules(RULES.read_text(encoding="utf-8"), where=RULES.name)

RULE = {
    "cidr_blocks": ["10.0.0.0/16"],
    "description": "kubelet",
    "from_port": 443,
    "ipv6_cidr_blocks": [],
    "protocol": "tcp",
    "security_groups": [],
    "self": False,
    "to_port": 443,
}


def drifted(
    type_: str,
    before: dict[str, Any],
    after: dict[str, Any] | None,
    *,
    pools: tuple[NodePool, ...] = (),
    sensitive: Any = False,
) -> tuple[DriftItem, ...]:
    return drift_items(
        read_plan(
            {
                "format_version": "1.2",
                "resource_changes": [],
                "resource_drift": [
                    {
                        "address": f"module.vpc.{type_}.x",
                        "type": type_,
                        "name": "x",
                        "change": {
                            "actions": ["update"] if after is not None else ["delete"],
                            "before": before,
                            "after": after,
                            "before_sensitive": sensitive,
                            "after_sensitive": sensitive,
                        },
                    }
                ],
            }
        ),
        BOOK,
        pools=pools,
    )


def test_no_drift_is_said_in_words() -> None:
    plan = read_plan({"format_version": "1.2", "resource_changes": []})
    assert drift_items(plan, BOOK) == ()
    assert worst(()) == "none"
    assert "No drift" in to_markdown(())


def test_a_rule_added_to_a_security_group_is_major_and_named() -> None:
    opened = {**RULE, "cidr_blocks": ["0.0.0.0/0"], "from_port": 22, "to_port": 22}
    (item,) = drifted("aws_security_group", {"ingress": [RULE]}, {"ingress": [opened, RULE]})
    assert (item.attribute, item.severity) == ("ingress[0]", "major")
    assert item.before is None
    assert item.after["cidr_blocks"] == ["0.0.0.0/0"]
    assert "whole internet" in item.reason


@pytest.mark.parametrize(
    ("before", "after", "severity"),
    [
        (["10.0.0.0/16"], ["0.0.0.0/0"], "major"),
        (["10.0.0.0/16"], ["10.0.0.0/8"], "major"),
        (["10.0.0.0/16"], ["10.0.0.0/16", "192.0.2.7/32"], "major"),
        (["10.0.0.0/16"], ["10.0.1.0/24"], "minor"),
        (["10.0.0.0/16", "10.1.0.0/16"], ["10.0.0.0/16"], "minor"),
    ],
)
def test_a_wider_network_is_major_and_a_narrower_one_minor(
    before: list[str], after: list[str], severity: str
) -> None:
    items = drifted(
        "aws_security_group",
        {"ingress": [{**RULE, "cidr_blocks": before}]},
        {"ingress": [{**RULE, "cidr_blocks": after}]},
    )
    assert worst(items) == severity
    assert all(item.attribute.startswith("ingress[0].cidr_blocks[") for item in items)


def test_ipv6_and_wider_ports_count_as_opened() -> None:
    for change in ({"ipv6_cidr_blocks": ["::/0"]}, {"to_port": 65535}, {"protocol": "-1"}):
        items = drifted(
            "aws_security_group", {"ingress": [RULE]}, {"ingress": [{**RULE, **change}]}
        )
        assert worst(items) == "major", change


def test_a_rule_taken_away_is_minor() -> None:
    (item,) = drifted("aws_security_group", {"ingress": [RULE]}, {"ingress": []})
    assert (item.severity, item.after) == ("minor", None)


def test_another_order_of_the_same_rules_is_no_drift() -> None:
    other = {**RULE, "from_port": 80, "to_port": 80}
    rules = {"ingress": [RULE, other]}, {"ingress": [other, copy.deepcopy(RULE)]}
    assert drifted("aws_security_group", *rules) == ()


def test_a_removed_resource_is_major() -> None:
    (item,) = drifted("aws_s3_bucket", {"bucket": "b"}, None)
    assert (item.severity, item.attribute, item.after) == ("major", "", "removed")


@pytest.mark.parametrize(
    ("type_", "before", "after"),
    [
        ("aws_iam_role", {"assume_role_policy": "{}"}, {"assume_role_policy": '{"a":1}'}),
        ("aws_iam_role_policy_attachment", {"policy_arn": "a"}, {"policy_arn": "b"}),
        (
            "aws_eks_cluster",
            {"vpc_config": [{"endpoint_public_access": False}]},
            {"vpc_config": [{"endpoint_public_access": True}]},
        ),
        (
            "aws_s3_bucket_public_access_block",
            {"block_public_acls": True},
            {"block_public_acls": False},
        ),
        (
            "aws_eks_cluster",
            {"encryption_config": [{"resources": ["secrets"]}]},
            {"encryption_config": []},
        ),
        ("aws_ebs_volume", {"encrypted": True}, {"encrypted": False}),
        ("aws_cloudwatch_log_group", {"kms_key_id": "arn:aws:kms:x"}, {"kms_key_id": ""}),
        (
            "aws_launch_template",
            {"metadata_options": [{"http_tokens": "required"}]},
            {"metadata_options": [{"http_tokens": "optional"}]},
        ),
    ],
)
def test_a_weakened_protection_is_major(
    type_: str, before: dict[str, Any], after: dict[str, Any]
) -> None:
    assert worst(drifted(type_, before, after)) == "major"


def test_the_same_change_the_other_way_is_not_major() -> None:
    for attribute in ("block_public_acls", "restrict_public_buckets"):
        items = drifted("aws_s3_bucket_public_access_block", {attribute: False}, {attribute: True})
        assert worst(items) == "minor"


def scaled(desired: int, pools: tuple[NodePool, ...] = ()) -> DriftItem:
    sizes = {"min_size": 2, "max_size": 10}
    (item,) = drifted(
        "aws_eks_node_group",
        {"node_group_name": "ray-local-cpu", "scaling_config": [{**sizes, "desired_size": 2}]},
        {
            "node_group_name": "ray-local-cpu",
            "scaling_config": [{**sizes, "desired_size": desired}],
        },
        pools=pools,
    )
    return item


def test_a_node_count_moved_by_the_autoscaler_is_none() -> None:
    item = scaled(7)
    assert (item.severity, item.cause) == ("none", "autoscaler")
    assert item.attribute == "scaling_config[0].desired_size"


def test_a_node_count_outside_the_pools_bounds_is_major() -> None:
    assert scaled(11).severity == "major"
    assert scaled(7, (NodePool("cpu", ("m5.xlarge",), 2, 5),)).severity == "major"


def test_changed_bounds_are_major() -> None:
    (item,) = drifted(
        "aws_eks_node_group",
        {"scaling_config": [{"max_size": 10}]},
        {"scaling_config": [{"max_size": 50}]},
    )
    assert (item.severity, item.before, item.after) == ("major", 10, 50)


def test_a_tag_is_minor_and_its_repetition_in_tags_all_is_noise() -> None:
    items = drifted(
        "aws_vpc",
        {"tags": {"team": "a"}, "tags_all": {"team": "a"}},
        {"tags": {"team": "b"}, "tags_all": {"team": "b"}},
    )
    assert [(i.attribute, i.severity) for i in items] == [
        ("tags.team", "minor"),
        ("tags_all.team", "none"),
    ]


def test_a_default_tag_shows_in_tags_all_alone_and_is_minor() -> None:
    (item,) = drifted("aws_vpc", {"tags_all": {"repo": "a"}}, {"tags_all": {"repo": "b"}})
    assert item.severity == "minor"


def test_computed_noise_is_none_with_its_reason() -> None:
    (item,) = drifted("aws_s3_object", {"etag": "1"}, {"etag": "2"})
    assert item.severity == "none"
    assert "computed" in item.reason


def test_absent_null_and_empty_are_the_same() -> None:
    assert drifted("aws_vpc", {"a": None, "b": [], "c": ""}, {"a": "", "c": None}) == ()


def test_a_sensitive_value_is_seen_to_change_and_never_shown() -> None:
    before, after = {"user": "u", "pin": "canary-1"}, {"user": "u", "pin": "canary-2"}
    items = drifted("aws_db_instance", before, after, sensitive={"pin": True})
    assert [item.attribute for item in items] == ["pin"]
    assert "canary" not in json.dumps(to_json(items)) + to_markdown(items)
    assert drifted("aws_db_instance", before, dict(before), sensitive={"pin": True}) == ()


def test_a_secret_that_terraform_does_not_mark_is_masked_by_its_key() -> None:
    items = drifted("aws_x", {"password": "canary-1"}, {"password": "canary-2"})
    assert "canary" not in repr(items)


def test_json_and_markdown_tell_the_worst_first() -> None:
    items = drifted(
        "aws_security_group",
        {"ingress": [], "tags": {"a|b": "1"}},
        {"ingress": [RULE], "tags": {"a|b": "2"}},
    )
    data = to_json(items)
    assert (data["severity"], data["counts"]) == ("major", {"major": 1, "minor": 1, "none": 0})
    assert set(data["items"][0]) >= {"address", "attribute", "before", "after", "severity"}
    assert json.loads(json.dumps(data)) == data
    lines = to_markdown(items).splitlines()
    assert "major" in lines[2] and "minor" in lines[3]
    assert r"a\|b" in lines[3]


def test_the_table_has_one_short_line_an_item_and_counts_what_it_leaves_out() -> None:
    rules = [{**RULE, "description": "x" * 300} for _ in range(3)]
    items = drifted("aws_security_group", {"ingress": []}, {"ingress": rules})
    long = replace(items[0], address=f"module.vpc.{'a' * 200}.end", who="a-person" * 9)
    lines = to_markdown([long, *items]).splitlines()
    assert len(lines) == 2 + 1 + len(items)
    assert all(len(line) <= 150 for line in lines)
    assert "…" in lines[2] and "end ingress[0]" in lines[2]
    many = to_markdown([replace(items[0], attribute=f"a{at}") for at in range(207)])
    assert many.endswith("\nand 7 more items\n")


def test_a_recorded_refresh_only_plan_of_the_real_provider_reads_as_it_happened() -> None:
    # Recorded with Terraform 1.11 and the AWS provider 5.100 after boto3 opened port 22 to the
    # internet, tagged the group and deleted a bucket's public access block.
    path = Path(__file__).resolve().parents[2] / "data" / "drift_refresh_only.json"
    items = drift_items(read_plan(json.loads(path.read_text(encoding="utf-8"))), BOOK)
    assert [(i.address, i.attribute, i.severity) for i in items] == [
        ("aws_s3_bucket_public_access_block.b", "", "major"),
        ("aws_security_group.api", "ingress[0]", "major"),
        ("aws_security_group.api", "tags.owner", "minor"),
        ("aws_security_group.api", "tags_all.owner", "none"),
    ]
    assert items[1].after["from_port"] == 22


@pytest.mark.parametrize(
    ("type_", "attribute", "before", "after", "severity"),
    [
        ("aws_db_instance", "publicly_accessible", False, True, "major"),
        ("aws_db_instance", "storage_encrypted", True, False, "major"),
        ("aws_db_instance", "deletion_protection", True, False, "major"),
        ("aws_db_instance", "backup_retention_period", 30, 1, "major"),
        ("aws_db_instance", "multi_az", True, False, "major"),
        ("aws_db_instance", "instance_class", "db.m6g.large", "db.m6g.xlarge", "major"),
        (
            "aws_db_instance",
            "maintenance_window",
            "sun:03:30-sun:04:30",
            "mon:03:30-mon:04:30",
            "minor",
        ),
        ("aws_elasticache_replication_group", "transit_encryption_enabled", True, False, "major"),
        ("aws_elasticache_replication_group", "user_group_ids", ["redis"], [], "major"),
        ("aws_elasticache_user", "access_string", "off ~* -@all", "on ~* +@all", "major"),
        ("aws_elasticache_user_group", "user_ids", ["nobody"], ["nobody", "mallory"], "major"),
    ],
)
def test_what_opens_or_weakens_the_database_or_redis_is_major(
    type_: str, attribute: str, before: Any, after: Any, severity: str
) -> None:
    (item,) = drifted(type_, {attribute: before}, {attribute: after})
    assert item.severity == severity


@pytest.mark.parametrize("cause", get_args(Cause))
def test_an_item_of_every_cause_has_a_line_in_the_table(cause: Cause) -> None:
    (item,) = drifted("aws_vpc", {"x": "a"}, {"x": "b"})
    line = to_markdown((replace(item, cause=cause),)).splitlines()[-1]
    assert line.startswith("| minor | `vpc.aws_vpc.x x` |")
    assert line.split("|")[-2].strip(" `")
