"""What the policies are asked, and how a verdict is told."""

from typing import Any

from ray_platform.policy.verdict import Verdict, Violation, policy_input, read_verdict
from ray_platform.terraform.plan import read_plan


def plan_of(*changes: dict[str, Any]) -> Any:
    return read_plan({"format_version": "1.2", "resource_changes": list(changes)})


def change(address: str, actions: list[str], after: Any, **more: Any) -> dict[str, Any]:
    kind, name = address.split(".")
    return {
        "address": address,
        "type": kind,
        "name": name,
        "mode": more.pop("mode", "managed"),
        "change": {"actions": actions, "before": None, "after": after, **more},
    }


def test_only_the_fields_that_rules_read_are_handed_over() -> None:
    plan = plan_of(
        change(
            "aws_subnet.a",
            ["create"],
            {"id": "s", "cidr_block": "10.0.0.0/8", "tags_all": {"a": "b"}},
            after_unknown={"arn": True, "id": True},
        )
    )
    (asked,) = policy_input(plan, environment="dev", fields={"aws_subnet": ["id"]})[
        "resource_changes"
    ]
    assert asked["change"] == {
        "actions": ["create"],
        "after": {"id": "s", "tags_all": {"a": "b"}},
        "after_unknown": {"id": True},
    }


def test_of_a_type_that_no_rule_reads_the_tags_are_left() -> None:
    plan = plan_of(change("aws_x.a", ["no-op"], {"secret": 1, "tags_all": None}))
    (asked,) = policy_input(plan, environment="dev", fields={})["resource_changes"]
    assert asked["change"]["after"] == {"tags_all": None}


def test_what_goes_has_no_after_and_a_replacement_is_a_deletion_too() -> None:
    plan = plan_of(
        change("aws_s3_bucket.a", ["delete"], None),
        change("aws_s3_bucket.b", ["create", "delete"], {"bucket": "b"}),
    )
    asked = policy_input(plan, environment="dev")["resource_changes"]
    assert [item["change"]["after"] for item in asked] == [None, {"bucket": "b"}]
    assert all("delete" in item["change"]["actions"] for item in asked)


def test_data_sources_are_not_judged() -> None:
    plan = plan_of(change("aws_ami.a", ["read"], {"id": "x"}, mode="data"))
    assert policy_input(plan, environment="dev")["resource_changes"] == []


def violations(count: int) -> list[dict[str, str]]:
    return [
        {
            "id": "imdsv2",
            "resource": f'aws_x.a["{number:03}"]',
            "message": "a|b",
            "fix": "c",
            "severity": "deny",
        }
        for number in range(count)
    ]


def test_a_verdict_does_not_depend_on_the_order_of_what_was_found() -> None:
    found = violations(5)
    assert read_verdict(found, "d") == read_verdict(found[::-1], "d")
    assert read_verdict([*found, found[0]], "d") == read_verdict(found, "d")


def test_no_violation_is_no_denial() -> None:
    verdict = Verdict((), "d")
    assert not verdict.denied
    assert verdict.to_json() == {
        "denied": False,
        "violations": [],
        "advice": [],
        "excepted": [],
        "bundle_digest": "d",
    }
    assert "no violations" in verdict.to_markdown()


def test_a_violation_denies_and_is_told_with_its_remedy() -> None:
    verdict = Verdict((Violation("imdsv2", "aws_x.a", "tokens are optional", "require them"),), "d")
    assert verdict.denied
    assert "| imdsv2 | `aws_x.a` | tokens are optional | require them |" in verdict.to_markdown()


def test_many_violations_are_counted_by_rule_and_fit_in_a_comment() -> None:
    text = read_verdict(violations(5000), "d").to_markdown()
    assert "5000 violations" in text
    assert "imdsv2 5000" in text
    assert len(text) < 65_535
    assert "a\\|b" in text
