"""The canaries in recorded plans of AWS: what the local walk has no resource for."""

import copy
import json
from pathlib import Path
from typing import Any

import pytest

from ray_platform.change.apply import by_module
from ray_platform.cost.estimate import estimate
from ray_platform.cost.price_book import load_price_book
from ray_platform.drift.incidents.incident import follow
from ray_platform.drift.items import drift_items, to_json, to_markdown
from ray_platform.drift.rules import read_rules
from ray_platform.policy.policy_engine import PolicyEngine
from ray_platform.records.version_differences import resource_differences
from ray_platform.terraform.plan import read_plan
from ray_platform.terraform.state import read_terraform_state
from ray_platform.text.errors import PlatformError, TerraformError
from ray_platform.text.redaction import (
    MASK,
    plan_secrets,
    quoted_secrets,
    redact_plan_json,
    redact_text,
)
from tests.support.canaries import BY_KEY, BY_LOOK, BY_MARK, CANARIES, IN_CONTEXT, USER_DATA

ROOT = Path(__file__).resolve().parents[3]
PLAN = json.loads((ROOT / "tests" / "data" / "plan_local.json").read_text(encoding="utf-8"))
BOOK = read_rules((ROOT / "policies" / "drift.toml").read_text(encoding="utf-8"), where="drift")
MARKED, OTHER = BY_MARK.values()
KEYED = BY_KEY["password"]
GITHUB, SLACK = BY_LOOK["GitHub ghp_"], BY_LOOK["Slack"]
EACH = IN_CONTEXT["a key of for_each"]
ADDRESS = f'module.storage.aws_ssm_parameter.x["{EACH}"]'
PLANTED = (MARKED, OTHER, KEYED, GITHUB, SLACK, EACH, USER_DATA, BY_KEY["in user_data"])


def change(
    type_: str, before: Any, after: Any, marks: Any, address: str = ADDRESS
) -> dict[str, Any]:
    return {
        "address": address,
        "module_address": "module.storage",
        "mode": "managed",
        "type": type_,
        "name": "x",
        "index": EACH,
        "change": {
            "actions": ["update"],
            "before": before,
            "after": after,
            "before_sensitive": marks,
            "after_sensitive": marks,
        },
    }


@pytest.fixture(scope="module")
def plan() -> dict[str, Any]:
    """Our own plan, in which a parameter, a user, a launch template and a node group hold canaries."""
    plan = copy.deepcopy(PLAN)
    for item in plan["resource_changes"]:
        after = item["change"]["after"]
        if item["type"] == "aws_launch_template":
            after["user_data"] = USER_DATA
        if item["type"] == "aws_eks_node_group":
            after["instance_types"] = [f"m5.{GITHUB}"]
            after["tags_all"] = {"owner": f"team of {MARKED}", "hook": SLACK}
    plan["resource_changes"] += [
        # What the provider's schema calls sensitive stands in the configuration as a constant.
        change("aws_ssm_parameter", {"value": OTHER}, {"value": MARKED}, {"value": True}),
        change("aws_mq_user", {}, {"password": KEYED, "port": 5432}, {}, "aws_mq_user.x"),
    ]
    plan["configuration"]["root_module"].setdefault("resources", []).append(
        {
            "address": "aws_ssm_parameter.x",
            "type": "aws_ssm_parameter",
            "name": "x",
            "expressions": {"value": {"constant_value": MARKED}},
        }
    )
    plan["checks"] = [{"problems": [{"message": f"refused: {MARKED}"}]}]
    return plan


def assert_none_in(text: str, *, besides: tuple[str, ...] = ()) -> None:
    assert [canary for canary in PLANTED if canary in text and canary not in besides] == []


def test_a_stored_plan_its_verdict_and_its_estimate_hold_no_canary(plan: dict[str, Any]) -> None:
    clean = redact_plan_json(plan)
    assert_none_in(json.dumps(clean))
    assert redact_plan_json(clean) == clean
    read = read_plan(clean)
    verdict = PolicyEngine(ROOT / "policies").check_plan(read, "local")
    told = verdict.to_markdown() + json.dumps(verdict.to_json())
    assert verdict.denied
    assert "instance-type" in told
    assert MASK in told
    assert_none_in(told)
    costs = estimate(read, load_price_book("us-east-1"))
    priced = costs.to_markdown() + json.dumps(costs.to_json())
    assert "ec2/m5.(sensitive)" in priced
    assert_none_in(priced)
    assert "5432" in json.dumps(clean)
    assert 'aws_eks_node_group.this["gpu"]' in {
        c.address.partition(".")[2].partition(".")[2] for c in read.changes
    }


def test_the_text_of_a_plan_holds_no_canary(plan: dict[str, Any]) -> None:
    text = f"""
  # {ADDRESS} will be updated in-place
  + password       = "{KEYED}"
  ~ master_password = "{KEYED}" -> "{KEYED}2"
  + note           = "{KEYED}"
  + owner          = "team of {MARKED}"
  + user_data      = "{USER_DATA}"
  + secrets        = {{
      + db = "{OTHER}"
    }}
  + user_data      = <<-EOT
        export DB={BY_KEY["in user_data"]}
    EOT
  + engine         = "postgres"
"""
    clean = redact_text(text, plan_secrets(plan) | quoted_secrets(plan))
    assert_none_in(clean)
    assert 'engine         = "postgres"' in clean
    assert "# module.storage.aws_ssm_parameter.x" in clean


def test_drift_and_its_incident_hold_no_canary(plan: dict[str, Any]) -> None:
    drifted = {
        **plan,
        "resource_drift": [
            change("aws_ssm_parameter", {"value": OTHER}, {"value": MARKED}, {"value": True}),
            change(
                "aws_security_group",
                {"description": OTHER, "ingress": []},
                {
                    "description": f"for {MARKED}",
                    "ingress": [
                        {
                            "cidr_blocks": ["0.0.0.0/0"],
                            "description": GITHUB,
                            "from_port": 22,
                            "to_port": 22,
                        }
                    ],
                },
                {},
            ),
        ],
    }
    known = plan_secrets(drifted)
    items = [item.masked(known) for item in drift_items(read_plan(drifted), BOOK)]
    assert {item.attribute for item in items} >= {"value", "description"}
    incidents = follow("local", (), items, now="2026-11-21T10:00:00Z")
    assert incidents
    told = to_markdown(items) + json.dumps(to_json(items))
    assert_none_in(told + json.dumps([incident.to_json() for incident in incidents]))
    assert "0.0.0.0/0" in told


def test_what_was_applied_and_what_differs_hold_no_canary(plan: dict[str, Any]) -> None:
    def state(value: str) -> bytes:
        marked = {
            "module": "module.storage",
            "mode": "managed",
            "type": "aws_ssm_parameter",
            "name": "x",
            "instances": [
                {
                    "index_key": EACH,
                    "attributes": {"value": value, "arn": "arn:aws:ssm:x", "tag": value},
                }
            ],
        }
        by_state = {
            **marked,
            "name": "y",
            "instances": [
                {
                    "attributes": {"deep": [{"secret_place": value}], "open": "yes"},
                    "sensitive_attributes": [
                        [
                            {"type": "get_attr", "value": "deep"},
                            {"type": "index", "value": {"type": "number", "value": 0}},
                        ]
                    ],
                }
            ],
        }
        content = {
            "version": 4,
            "lineage": "l",
            "serial": 1,
            "resources": [marked, by_state],
            "outputs": {"note": {"value": value, "sensitive": True}, "name": {"value": "canary"}},
        }
        return json.dumps(content).encode()

    stored = redact_plan_json(plan)
    one, other = (read_terraform_state(state(value)) for value in (MARKED, OTHER))
    before, after = (by_module(item, stored)["storage"] for item in (one, other))
    found = resource_differences(before, after)
    assert [item.attribute for item in found] == ["(a masked value)", "(a masked value)"]
    assert_none_in(json.dumps([before, after, [item.to_json() for item in found]]))
    assert "arn:aws:ssm:x" in json.dumps(before)
    assert one.clean_outputs == {"note": MASK, "name": "canary"}


@pytest.mark.parametrize("kind", [TerraformError, PlatformError])
def test_an_error_holds_no_secret_by_look_or_key_in_any_of_its_parts(
    kind: type[PlatformError],
) -> None:
    looks = [*BY_LOOK.values(), f"password={KEYED}"]
    for canary in looks:
        error = kind(f"said {canary}", where=f"at {canary}", fix=f"change {canary}")
        secret = canary.removeprefix("password=")
        assert secret not in str(error) + error.what + error.where + error.fix


def test_every_canary_is_found_by_something() -> None:
    """None of them would be missed wherever it stands together with its key, mark or look."""
    known = frozenset(BY_MARK.values())
    for name, canary in CANARIES.items():
        alone = redact_text(f"a {canary} b", known)
        if name in BY_MARK or name in BY_LOOK:
            assert canary not in alone, name
        elif name in BY_KEY:
            assert canary in alone, "it is to be found by its key alone"


@pytest.mark.parametrize(
    ("type_", "attribute", "value", "marks"),
    [
        (
            "aws_launch_template",
            "network_interfaces",
            [{"associate_public_ip_address": "true"}],
            True,
        ),
        ("aws_cloudwatch_log_group", "kms_key_id", "", True),
        (
            "aws_launch_template",
            "metadata_options",
            [{"http_tokens": "optional"}],
            [{"http_tokens": True}],
        ),
    ],
)
def test_a_setting_that_is_marked_sensitive_does_not_pass_the_rules(
    type_: str, attribute: str, value: Any, marks: Any
) -> None:
    plan = copy.deepcopy(PLAN)
    for item in plan["resource_changes"]:
        if item["type"] == type_:
            item["change"]["after"][attribute] = value
            item["change"]["after_sensitive"] = {attribute: marks}
    verdict = PolicyEngine(ROOT / "policies").check_plan(read_plan(redact_plan_json(plan)), "local")
    hidden = [item for item in verdict.violations if item.id == "hidden-value"]
    assert hidden
    assert all(attribute in item.message for item in hidden)
