"""What Terraform marks sensitive leaves no copy in a stored plan, whatever its alphabet and encoding."""

import base64
import json
import string
from pathlib import Path
from typing import Any
from urllib.parse import quote, quote_plus

import pytest
from click.testing import CliRunner
from hypothesis import assume, example, given
from hypothesis import strategies as st

from ray_platform.cli.checks.mask import mask as mask_command
from ray_platform.terraform.plan import read_plan
from ray_platform.text.errors import PlanFormatError, SettingsError
from ray_platform.text.redaction import (
    MASK,
    is_secret_key,
    plan_secrets,
    redact_plan_json,
    redact_text,
)

HEX = "9f86d081884c7d659a2feaa0c55ad015"


def change(type_: str, after: Any, marks: Any, name: str = "x", **more: Any) -> dict[str, Any]:
    return {
        "address": f"{type_}.{name}",
        "mode": "managed",
        "type": type_,
        "name": name,
        "provider_name": "registry.terraform.io/hashicorp/aws",
        "change": {
            "actions": ["create"],
            "before": None,
            "after": after,
            "after_unknown": {},
            "before_sensitive": False,
            "after_sensitive": marks,
        },
        **more,
    }


def plan_with(value: Any, *copies: Any, **more: Any) -> dict[str, Any]:
    """A plan in which one place is marked, and copies of the value are in tags that are not."""
    tags = {f"t{number}": copy for number, copy in enumerate(copies)}
    return {
        "format_version": "1.2",
        "terraform_version": "1.11.4",
        "resource_changes": [
            change("aws_ssm_parameter", {"value": value}, {"value": True}),
            change("aws_vpc", {"tags": tags}, {}, name="y"),
        ],
        **more,
    }


def spellings(value: str) -> dict[str, str]:
    """The value in each encoding; alone in a text."""
    data = value.encode()
    return {
        "as it is": value,
        "upper case": value.upper(),
        "lower case": value.lower(),
        "backwards": value[::-1],
        "URL-encoded": quote(value, safe=""),
        "as a form": quote_plus(value),
        "hexadecimal": data.hex(),
        "HEXADECIMAL": data.hex().upper(),
        "base32": base64.b32encode(data).decode(),
        "base32 without an end": base64.b32encode(data).decode().rstrip("="),
        "base64": base64.b64encode(data).decode(),
        "base64 without an end": base64.b64encode(data).decode().rstrip("="),
        "base64 for URLs": base64.urlsafe_b64encode(data).decode(),
        "in JSON": json.dumps({"id": value}),
        "in JSON in JSON": json.dumps({"a": json.dumps({"id": value})}),
    }


def longer(value: str) -> dict[str, str]:
    """The value as a part of something longer."""
    data = value.encode()
    return {
        "within a word": f"pre{value}post",
        **{
            f"{name} of a longer text {offset}": encode(b"x" * offset + data + b"yz").decode()
            for offset in range(5)
            for name, encode in (("base64", base64.b64encode), ("base32", base64.b32encode))
        },
        "hexadecimal of a longer text": (b"x" + data + b"y").hex(),
    }


def survivors(value: str, copies: dict[str, str]) -> list[str]:
    """The copies that are still there after masking."""
    masked = redact_plan_json(plan_with(value, *copies.values()))
    tags = masked["resource_changes"][1]["change"]["after"]["tags"]
    return [
        name
        for (name, copy), now in zip(copies.items(), tags.values(), strict=True)
        if MASK not in now or copy in now
    ]


WORDS = st.text(string.ascii_letters + string.digits + "-_./+=!@#$%^&*", min_size=6, max_size=40)
ALPHABETS = st.one_of(
    st.text("0123456789abcdef", min_size=6, max_size=64),
    st.text(string.digits, min_size=6, max_size=20),
    st.text(string.ascii_lowercase, min_size=6, max_size=30),
    st.builds(
        "-".join, st.lists(st.text(string.ascii_lowercase, min_size=3), min_size=2, max_size=4)
    ),
    WORDS,
    st.text(min_size=6, max_size=30).map(str.strip),
)


@given(ALPHABETS)
@example("123456")
@example("production")
@example("correct-horse")
@example(HEX)
@example('a"b\\c<d>&e${f}')
@example("Straße-öffnen")
@example("us-east-1")
def test_no_copy_of_a_marked_value_survives_in_any_encoding(value: str) -> None:
    # A palindrome of the mask itself, and texts that are the mask, hide nothing.
    assume(len(value) >= 6 and value.lower() not in MASK and MASK not in value)
    assume(not value.encode(errors="replace").isspace() and "\n" not in value and "\r" not in value)
    assert survivors(value, spellings(value)) == []


@given(st.text(string.ascii_letters + string.digits + "-_.", min_size=12, max_size=40))
@example(HEX)
@example("aaaaaaaaaaaa")
def test_no_copy_of_a_long_marked_value_survives_within_something_longer(value: str) -> None:
    assert survivors(value, longer(value)) == []


@given(ALPHABETS)
def test_masking_a_masked_plan_changes_nothing(value: str) -> None:
    plan = plan_with(value, *spellings(value).values()) if value else plan_with("x" * 9)
    once = redact_plan_json(plan)
    assert redact_plan_json(once) == once


def test_short_and_common_values_shred_nothing() -> None:
    for value in ("true", "dev", "443", "22", "yes", "0"):
        copies = (f"{value} and {value}", f"{value}-x", "development", "4430", "truely")
        masked = redact_plan_json(plan_with(value, *copies))
        assert masked["resource_changes"][0]["change"]["after"]["value"] == MASK
        assert list(masked["resource_changes"][1]["change"]["after"]["tags"].values()) == list(
            copies
        )
    # One plain word is masked where it stands alone, and not within other words.
    masked = redact_plan_json(
        plan_with("secret", "the secret.", "arn:aws:secretsmanager:x", "secretly")
    )
    assert list(masked["resource_changes"][1]["change"]["after"]["tags"].values()) == [
        f"the {MASK}.",
        "arn:aws:secretsmanager:x",
        "secretly",
    ]


@pytest.mark.parametrize(
    "value", ["delete", "create", "managed", "aws_vpc", "resource_changes", "no-op", "update"]
)
def test_a_value_that_is_called_like_a_part_of_the_plan_hides_nothing_of_it(value: str) -> None:
    plan = plan_with(value, value)
    plan["resource_changes"].append(
        {**change("aws_vpc", None, False, name="z"), "address": 'module.delete.aws_vpc.z["delete"]'}
    )
    plan["resource_changes"][2]["change"]["actions"] = ["delete"]
    masked = redact_plan_json(plan)
    read = read_plan(masked)
    assert [item.type for item in read.changes] == ["aws_ssm_parameter", "aws_vpc", "aws_vpc"]
    assert read.counts.delete == 1
    if value == "delete":
        assert read.changes[2].address == f'module.delete.aws_vpc.z["{MASK}"]'


def test_constants_in_module_calls_defaults_and_nested_blocks_are_masked() -> None:
    configuration = {
        "root_module": {
            "variables": {"a": {"sensitive": True, "default": "first-default"}},
            "module_calls": {
                "one": {
                    "source": "./one",
                    "expressions": {
                        "key": {"constant_value": {"deep": ["second-argument"]}},
                        "name": {"constant_value": "in the open"},
                    },
                    "module": {
                        "variables": {
                            "key": {"sensitive": True, "default": {"b": "third-default"}},
                            "name": {},
                        }
                    },
                }
            },
            "resources": [
                {
                    "address": "aws_x.y",
                    "type": "aws_x",
                    "name": "y",
                    "expressions": {
                        "block": [
                            {
                                "pin": {"constant_value": "1234"},
                                "of": {"references": ["var.a", "var"]},
                            }
                        ]
                    },
                }
            ],
        }
    }
    plan = plan_with(
        "other-value",
        "first-default",
        "second-argument",
        "third-default",
        configuration=configuration,
    )
    plan["resource_changes"].append(
        change("aws_x", {"block": [{"pin": "1234"}]}, {"block": [{"pin": True}]}, name="y")
    )
    masked = redact_plan_json(plan)
    text = json.dumps(masked)
    assert not [
        word
        for word in ("first-default", "second-argument", "third-default", "1234")
        if word in text
    ]
    root = masked["configuration"]["root_module"]
    assert root["module_calls"]["one"]["expressions"]["name"]["constant_value"] == "in the open"
    assert root["resources"][0]["expressions"]["block"][0]["of"]["references"] == ["var.a", "var"]


def test_a_number_and_the_parts_of_a_marked_text_are_known_too() -> None:
    secrets = plan_secrets(
        plan_with({"n": 918273645, "j": '{"password": "Qx7-horse-b"}', "pem": "first-line-9A\nx"})
    )
    assert {"918273645", "Qx7-horse-b", "first-line-9A"} <= secrets
    masked = redact_plan_json(plan_with({"n": 918273645}, 918273645, "port 918273645", 443))
    assert list(masked["resource_changes"][1]["change"]["after"]["tags"].values()) == [
        MASK,
        f"port {MASK}",
        443,
    ]


@pytest.mark.parametrize(
    "key",
    [
        "db_pass",
        "psk",
        "tunnel1_preshared_key",
        "pre_shared_key",
        "encryption_key",
        "pwd",
        "creds",
        "registry_creds",
        "database_dsn",
        "DSN",
        "slack_webhook_url",
        "github_pat",
        "sshKey",
    ],
)
def test_more_keys_sound_like_secrets(key: str) -> None:
    assert is_secret_key(key)


@pytest.mark.parametrize(
    "key",
    [
        "bypass",
        "pass_through",
        "path",
        "pattern",
        "webhook_arn",
        "compass",
        "kms_key_arn",
        "auth_token_update_strategy",
        "credential_id",
        "webhooks",
        "dispatch",
    ],
)
def test_other_keys_do_not(key: str) -> None:
    assert not is_secret_key(key)


def test_what_only_names_a_key_stays_and_a_webhooks_address_goes() -> None:
    arn = "arn:aws:kms:us-east-1:123456789012:key/9a1b2c3d-4e5f-6789-abcd-ef0123456789"
    masked = redact_plan_json(
        {"resource_changes": [change("a", {"encryption_key": arn, "webhook": "https://a/b"}, {})]}
    )
    assert masked["resource_changes"][0]["change"]["after"] == {
        "encryption_key": arn,
        "webhook": MASK,
    }


@pytest.mark.parametrize(
    ("text", "secret"),
    [
        ("user:hunter22@tcp(db:3306)/x", "hunter22"),
        (f"https://{HEX}@o1.ingest.sentry.io/2", HEX),
        ("https://discord.com/api/webhooks/123456/" + "aB3" * 12, "aB3aB3aB3"),
    ],
)
def test_addresses_with_a_key_in_them_are_seen_by_their_look(text: str, secret: str) -> None:
    assert secret not in redact_text(text)


def test_the_command_prints_the_plan_as_it_would_be_stored(tmp_path: Path) -> None:
    file = tmp_path / "plan.json"
    plan = plan_with(HEX, f"key {HEX}")
    file.write_text(json.dumps(plan))
    answer = CliRunner().invoke(mask_command, [str(file)])
    assert answer.exit_code == 0
    assert json.loads(answer.stdout) == redact_plan_json(plan)
    assert HEX not in answer.stdout
    file.write_text("{}")
    assert isinstance(CliRunner().invoke(mask_command, [str(file)]).exception, PlanFormatError)
    missing = CliRunner().invoke(mask_command, [str(tmp_path / "none")])
    assert isinstance(missing.exception, SettingsError)
