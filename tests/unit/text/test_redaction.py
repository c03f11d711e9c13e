"""Secrets never leave; what identifies infrastructure stays readable."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ray_platform.text.redaction import (
    MASK,
    is_secret_key,
    redact,
    redact_marked,
    redact_plan_json,
    redact_text,
)

# Made here from parts, so that no scanner takes this file for a leak.
CANARIES = {
    "AWS access key": "AKIA" + "IOSFODNN7EXAMPLE",
    "AWS session key": "ASIA" + "Y34FZKBOKMUTVV7A",
    "AWS secret key": "wJalrXUtnFEMI/K7MDENG/" + "bPxRfiCYEXAMPLEKEY",
    "GitHub token": "ghp_" + "16C7e42F292c6912E7710c838347Ae178B4a",
    "GitHub installation token": "ghs_" + "9Zq27bcE81kLmNoPqRsTuVwXyZ0123456789",
    "GitHub fine-grained token": "github_pat_" + "11ABCDEFG0abcdefghij_KLMNOPqrstuv0123456789",
    "JWT": "eyJhbGciOiJIUzI1NiJ9." + "eyJzdWIiOiIxMjM0NTY3ODkwIn0." + "dozjgNryP4J3jVmNHl0w5N",
    "PEM key": "-----BEGIN RSA PRIVATE KEY-----\nMIIEow\nAKCAQEA\n-----END RSA PRIVATE KEY-----",
    "PEM key cut short": "-----BEGIN PRIVATE KEY-----\nMIIEvQIBADANBgkqh",
    "Slack token": "xoxb-" + "123456789012-abcdefGHIJKL",
}

ORDINARY = [
    "arn:aws:iam::123456789012:role/ray-platform-local-Ray-7Fq2Lx9Pz4WvTn8Ks3Bd6Hj1",
    "arn:aws:kms:us-east-1:123456789012:key/9a1b2c3d-4e5f-6789-abcd-ef0123456789",
    "arn:aws:eks:us-east-1:123456789012:cluster/ray-platform-local",
    "sha256:9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08",
    "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08",
    "a70f8ad3c1f0e2b4d5968778695a4b3c2d1e0f9a",
    "vpc-0a1b2c3d4e5f60718",
    "sg-0123456789abcdef0",
    "10.0.0.0/16",
    "2001:db8:85a3::8a2e:370:7334/64",
    "9a1b2c3d-4e5f-6789-abcd-ef0123456789",
    'module.node_pools.aws_eks_node_group.pool["gpu"]',
    "AmazonEKSWorkerNodePolicyAndAnotherVeryLongName2",
    "https://oidc.eks.us-east-1.amazonaws.com/id/EXAMPLED539D4633E53DE1B71EXAMPLE",
    "123456789012.dkr.ecr.us-east-1.amazonaws.com/ray-platform-local",
    "ghcr.io/ray-project/ray:2.60.0-py311-cpu",
    "ELBSecurityPolicy-TLS13-1-2-2021-06",
    "2026-11-21T11:16:55Z",
    "the token is required and the password policy is on",
]


@pytest.mark.parametrize("kind", CANARIES)
def test_a_credential_is_masked_in_text_and_in_nested_json(kind: str) -> None:
    canary = CANARIES[kind]
    assert canary not in redact_text(f"before {canary} after")
    assert canary not in json.dumps(redact({"list": [{"note": f"x {canary}"}]}))
    assert redact_text(f"before {canary}").startswith("before ")


@pytest.mark.parametrize("text", ORDINARY)
def test_ordinary_content_is_untouched(text: str) -> None:
    assert redact_text(text) == text
    assert redact({"value": [text]}) == {"value": [text]}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("https://bot:hunter22@example.org/x.git", f"https://bot:{MASK}@example.org/x.git"),
        ("PGPASSWORD=hunter22 psql", f"PGPASSWORD={MASK} psql"),
        ('{"db_password": "hunter22"}', f'{{"db_password": "{MASK}"}}'),
        ("Authorization: Bearer abcdefghijklmnopqrst", f"Authorization: Bearer {MASK}"),
        ("AWS_SECRET_ACCESS_KEY=abcd1234", f"AWS_SECRET_ACCESS_KEY={MASK}"),
    ],
)
def test_an_assigned_secret_is_masked_and_its_name_stays(text: str, expected: str) -> None:
    assert redact_text(text) == expected


@pytest.mark.parametrize(
    "key", ["password", "db_password", "masterPassword", "auth_token", "api-key", "private_key"]
)
def test_keys_that_sound_like_secrets(key: str) -> None:
    assert is_secret_key(key)
    assert redact({key: "hunter22"}) == {key: MASK}


@pytest.mark.parametrize(
    "key",
    [
        "secret_arn",
        "http_tokens",
        "key_name",
        "kms_key_id",
        "token_ttl",
        "password_policy",
        "key",
        "skip_credentials_validation",
    ],
)
def test_keys_that_only_name_something(key: str) -> None:
    assert not is_secret_key(key)


def test_marks_of_terraform_are_followed_to_the_leaf() -> None:
    value = {"a": "1", "b": [{"c": "2", "d": "3"}, {"c": "4"}], "e": None}
    marks = {"b": [{"c": True}], "e": True}
    assert redact_marked(value, marks) == {
        "a": "1",
        "b": [{"c": MASK, "d": "3"}, {"c": "4"}],
        "e": None,
    }
    assert redact_marked(value, True) == MASK
    assert redact_marked(value, False) == value


def test_a_plan_loses_its_secrets_everywhere_and_nothing_else() -> None:
    def change(value: str) -> dict[str, Any]:
        return {
            "actions": ["update"],
            "before": {"plain": "vpc-0a1b2c3d4e5f60718", "hidden": value},
            "after": {"plain": "vpc-0a1b2c3d4e5f60718", "hidden": value},
            "before_sensitive": {"hidden": True},
            "after_sensitive": {"hidden": True},
        }

    canary = "plain-words-canary"
    data = {
        "format_version": "1.2",
        "resource_changes": [{"address": "aws_x.y", "change": change(canary)}],
        "resource_drift": [{"address": "aws_x.y", "change": change(canary)}],
        "output_changes": {"o": {"after": canary, "after_sensitive": True, "actions": ["create"]}},
        "variables": {"db_password": {"value": canary}, "region": {"value": "us-east-1"}},
        "planned_values": {
            "outputs": {"o": {"sensitive": True, "value": canary}},
            "root_module": {
                "child_modules": [
                    {
                        "resources": [
                            {"values": {"hidden": canary}, "sensitive_values": {"hidden": True}}
                        ]
                    }
                ]
            },
        },
        "configuration": {"x": {"password": {"constant_value": canary}}},
    }
    clean = redact_plan_json(data)
    assert canary not in json.dumps(clean)
    assert clean["variables"]["region"] == {"value": "us-east-1"}
    assert clean["resource_changes"][0]["change"]["after"]["plain"] == "vpc-0a1b2c3d4e5f60718"
    assert clean["resource_changes"][0]["change"]["actions"] == ["update"]
    assert redact_plan_json(clean) == clean


@given(st.text(max_size=200) | st.sampled_from([f"x={c} y" for c in CANARIES.values()]))
def test_masking_twice_is_masking_once(text: str) -> None:
    assert redact_text(redact_text(text)) == redact_text(text)
