"""What an expression refers to, through variables, outputs and loops."""

from typing import Any

import pytest

from ray_platform.policy.references import ConfigurationReferences, keys_of, longest, without_keys


def refers(*names: str) -> dict[str, Any]:
    return {"references": list(names)}


def resource(address: str, **more: Any) -> dict[str, Any]:
    loop = more.pop("for_each", None)
    block: dict[str, Any] = {"address": address, "expressions": more}
    return {**block, "for_each_expression": loop} if loop else block


CONFIGURATION = {
    "root_module": {
        "resources": [
            resource("aws_s3_bucket.b"),
            resource("aws_x.direct", bucket=refers("aws_s3_bucket.b.id", "aws_s3_bucket.b")),
            resource("aws_x.literal", bucket=refers('aws_s3_bucket.many["k.1"].id')),
            resource("aws_s3_bucket.many"),
            resource(
                "aws_x.each",
                for_each=refers("aws_s3_bucket.many"),
                bucket=refers("each.value.id", "each.value"),
            ),
            resource("aws_x.hidden", bucket=refers("local.bucket", "aws_s3_bucket.b.id")),
            resource("aws_x.output", bucket=refers("module.a.out", "module.a")),
            resource("aws_x.whole", bucket=refers("module.a", "each.key")),
            resource("aws_x.nested", block=[{"inner": [{"id": refers("aws_s3_bucket.b.id")}]}]),
            resource("aws_x.constant", bucket={"constant_value": "x"}),
        ],
        "module_calls": {
            "a": {
                "expressions": {"given": refers("aws_s3_bucket.b.arn", "aws_s3_bucket.b")},
                "module": {
                    "resources": [
                        resource("aws_s3_bucket.own"),
                        resource("aws_x.given", bucket=refers("var.given")),
                        resource("aws_x.default", bucket=refers("var.other")),
                        resource("aws_x.own", bucket=refers("aws_s3_bucket.own", "each.key")),
                    ],
                    "outputs": {"out": {"expression": refers("aws_s3_bucket.own.id")}},
                },
            }
        },
    }
}
ADDRESSES = [
    "aws_s3_bucket.b",
    'aws_s3_bucket.many["k.1"]',
    'aws_s3_bucket.many["k.2"]',
    'module.a["x"].aws_s3_bucket.own',
    'module.a["y"].aws_s3_bucket.own',
]
READ = ConfigurationReferences(CONFIGURATION, ADDRESSES)


def meant(owner: str, attribute: str = "bucket") -> list[str]:
    return READ.instances(owner, READ.targets(owner, attribute))


@pytest.mark.parametrize(
    ("owner", "found"),
    [
        ("aws_x.direct", ["aws_s3_bucket.b"]),
        ("aws_x.literal", ['aws_s3_bucket.many["k.1"]']),
        ('aws_x.each["k.2"]', ['aws_s3_bucket.many["k.2"]']),
        ('module.a["x"].aws_x.given', ["aws_s3_bucket.b"]),
        ('module.a["x"].aws_x.default', []),
        # Within a module, the same instance of the module.
        ('module.a["x"].aws_x.own', ['module.a["x"].aws_s3_bucket.own']),
        # From outside, nobody knows which.
        ("aws_x.output", ADDRESSES[3:]),
        ("aws_x.whole", ADDRESSES[3:]),
        ("aws_x.constant", []),
    ],
)
def test_a_reference_is_followed_to_the_instances_that_may_be_meant(
    owner: str, found: list[str]
) -> None:
    assert meant(owner) == found
    assert READ.targets(owner, "bucket").complete


def test_nested_blocks_count_as_their_outermost() -> None:
    assert meant("aws_x.nested", "block") == ["aws_s3_bucket.b"]


def test_a_local_value_cannot_be_followed_and_that_is_said() -> None:
    targets = READ.targets("aws_x.hidden", "bucket")
    assert not targets.complete
    assert READ.instances("aws_x.hidden", targets) == ["aws_s3_bucket.b"]


def test_a_resource_that_the_configuration_lacks_is_not_followed() -> None:
    assert not READ.targets("aws_x.none", "bucket").complete
    assert READ.expressions("aws_x.none") is None


def test_a_circle_of_modules_ends() -> None:
    around = {
        "root_module": {
            "module_calls": {
                "a": {
                    "expressions": {"in": refers("module.a.out")},
                    "module": {
                        "resources": [resource("aws_x.y", bucket=refers("var.in"))],
                        "outputs": {"out": {"expression": refers("var.in")}},
                    },
                }
            }
        }
    }
    read = ConfigurationReferences(around, [])
    assert read.targets("module.a.aws_x.y", "bucket").found == frozenset()


def test_ten_thousand_instances_are_told_apart_at_once() -> None:
    addresses = [f'aws_s3_bucket.many["{number}"]' for number in range(10_000)]
    read = ConfigurationReferences(CONFIGURATION, addresses)
    for number in range(10_000):
        owner = f'aws_x.each["{number}"]'
        assert read.instances(owner, read.targets(owner, "bucket")) == [addresses[number]]


def test_addresses_are_cut_at_dots_outside_of_keys() -> None:
    address = 'module.a["x.y\\"]"].aws_b.c[0]'
    assert without_keys(address) == "module.a.aws_b.c"
    assert keys_of(address) == ("", '["x.y\\"]"]', "", "[0]")


def test_what_only_begins_another_reference_is_left_out() -> None:
    assert longest(["a.b.c", "a.b", "d.e", "d.e"]) == ["a.b.c", "d.e"]
