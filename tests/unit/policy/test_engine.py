"""The engine on real plans: the repository's own passes, adversarial ones do not, failures refuse."""

import copy
import json
import random
import re
import shutil
from collections.abc import Callable
from datetime import date
from pathlib import Path
from typing import Any

import pytest

from ray_platform.config.node_pools import INSTANCE_TYPES, NodePool
from ray_platform.policy.policy_engine import PolicyEngine
from ray_platform.policy.verdict import Verdict, policy_input
from ray_platform.terraform.plan import read_plan
from ray_platform.terraform.resource_tags import REQUIRED_TAGS
from ray_platform.text.errors import SettingsError
from tests.support.scripts import load_script

ROOT = Path(__file__).resolve().parents[3]
POLICIES = ROOT / "policies"
ENGINE = PolicyEngine(POLICIES)
PACKAGES = ("terraform", "ray", "kubernetes")
DATA = json.loads((POLICIES / "data.json").read_text())
PLAN = json.loads((ROOT / "tests" / "data" / "plan_local.json").read_text())
GPU = 'module.node_pools.aws_eks_node_group.this["gpu"]'
Edit = Callable[[dict[str, Any]], None]


def changed(edit: Edit) -> dict[str, Any]:
    """The real plan, with its resource changes by address handed to ``edit``."""
    plan = copy.deepcopy(PLAN)
    by_address = {item["address"]: item for item in plan["resource_changes"]}
    edit(by_address)
    plan["resource_changes"] = list(by_address.values())
    return plan


def check(plan: dict[str, Any], *, destroy: bool = False) -> Verdict:
    return ENGINE.check_plan(read_plan(plan), "local", destroy)


def ids(verdict: Verdict) -> set[str]:
    return {violation.id for violation in verdict.violations}


def after(by_address: dict[str, Any], address: str) -> dict[str, Any]:
    found: dict[str, Any] = by_address[address]["change"]["after"]
    return found


def test_the_plan_of_the_repository_is_allowed() -> None:
    assert check(PLAN).violations == ()


def test_eleven_gpu_nodes_are_denied_with_rule_resource_and_value() -> None:
    verdict = check(changed(lambda by: after(by, GPU)["scaling_config"][0].update(max_size=11)))
    (violation,) = verdict.violations
    assert violation.id == "gpu-nodes"
    assert violation.resource == GPU
    assert "11" in violation.message
    assert "10" in violation.message
    assert violation.fix


def test_the_sum_counts_when_each_pool_alone_is_small_enough() -> None:
    def edit(by: dict[str, Any]) -> None:
        second = copy.deepcopy(by[GPU])
        second["address"] = 'module.node_pools.aws_eks_node_group.this["more"]'
        second["change"]["after"]["scaling_config"][0]["max_size"] = 6
        by[second["address"]] = second

    (violation,) = check(changed(edit)).violations
    assert (violation.id, violation.resource.split('"')[1]) == ("gpu-nodes", "more")
    assert "sums to 11" in violation.message


def of_type(kind: str) -> list[str]:
    return [i["address"] for i in PLAN["resource_changes"] if i["type"] == kind]


def set_actions(kind: str, actions: list[str]) -> Edit:
    def edit(by: dict[str, Any]) -> None:
        for address in of_type(kind):
            by[address]["change"]["actions"] = actions

    return edit


def drop(kind: str) -> Edit:
    def edit(by: dict[str, Any]) -> None:
        for address in of_type(kind):
            del by[address]

    return edit


def put(kind: str, key: str, value: Any) -> Edit:
    def edit(by: dict[str, Any]) -> None:
        for address in of_type(kind):
            after(by, address)[key] = value
            by[address]["change"]["after_unknown"].pop(key, None)

    return edit


ADVERSARIAL: list[tuple[str, Edit]] = [
    ("bucket-encryption", drop("aws_s3_bucket_server_side_encryption_configuration")),
    ("bucket-public", drop("aws_s3_bucket_public_access_block")),
    ("bucket-public", put("aws_s3_bucket_public_access_block", "block_public_acls", False)),
    ("imdsv2", drop("aws_launch_template")),
    ("volume-encryption", put("aws_launch_template", "block_device_mappings", [])),
    ("imdsv2", put("aws_launch_template", "metadata_options", [])),
    ("secret-encryption", put("aws_eks_cluster", "encryption_config", [])),
    ("log-encryption", put("aws_cloudwatch_log_group", "kms_key_id", "")),
    ("log-encryption", drop("aws_cloudwatch_log_group")),
    ("public-node", put("aws_subnet", "map_public_ip_on_launch", True)),
    ("public-endpoint", put("aws_eks_cluster", "vpc_config", [{"endpoint_public_access": True}])),
    ("deletion", set_actions("aws_s3_bucket", ["delete"])),
    ("deletion", set_actions("aws_eks_cluster", ["create", "delete"])),
    ("required-tags", put("aws_vpc", "tags_all", {"repo": "x"})),
    ("instance-type", put("aws_eks_node_group", "instance_types", ["p4d.24xlarge"])),
    ("gpu-taint", put("aws_eks_node_group", "taint", [])),
]


@pytest.mark.parametrize(("rule", "edit"), ADVERSARIAL, ids=[rule for rule, _ in ADVERSARIAL])
def test_an_adversarial_plan_is_denied(rule: str, edit: Edit) -> None:
    assert rule in ids(check(changed(edit)))


def test_destroy_lets_protected_resources_go() -> None:
    def edit(by: dict[str, Any]) -> None:
        for item in by.values():
            item["change"].update(actions=["delete"], after=None, after_unknown={})

    assert ids(check(changed(edit))) == {"deletion"}
    assert check(changed(edit), destroy=True).violations == ()


def test_the_verdict_does_not_depend_on_the_order_of_resources() -> None:
    def edit(by: dict[str, Any]) -> None:
        for index in (0, 1, 7):
            ADVERSARIAL[index][1](by)
        after(by, GPU)["scaling_config"][0]["max_size"] = 11

    plan = changed(edit)
    expected = check(plan)
    assert len(ids(expected)) >= 3
    for seed in range(5):
        random.Random(seed).shuffle(plan["resource_changes"])  # noqa: S311
        assert check(plan) == expected


@pytest.mark.parametrize("edit", [lambda _: None, *(edit for _, edit in ADVERSARIAL)])
def test_the_few_fields_give_the_verdict_of_the_whole_plan(edit: Edit) -> None:
    plan = read_plan(changed(edit))
    whole = policy_input(plan, environment="local")
    assert ENGINE.evaluate("terraform", whole) == ENGINE.check_plan(plan, "local")


def test_text_with_quotes_and_backslashes_comes_back_as_it_went_in() -> None:
    address = 'aws_ebs_volume.a["x\\"y\\\\z"]'

    def edit(by: dict[str, Any]) -> None:
        by[address] = {
            "address": address,
            "type": "aws_ebs_volume",
            "name": "a",
            "mode": "managed",
            "change": {"actions": ["create"], "after": {"encrypted": False}, "after_unknown": {}},
        }

    (violation,) = check(changed(edit)).violations
    assert violation.resource == address


def test_an_unknown_environment_names_the_known_ones() -> None:
    with pytest.raises(SettingsError) as caught:
        ENGINE.check_plan(read_plan(PLAN), "moon")
    assert "local" in caught.value.fix


@pytest.fixture
def own_policies(tmp_path: Path) -> Path:
    return Path(shutil.copytree(POLICIES, tmp_path / "policies"))


def test_a_syntax_error_is_told_with_file_and_line(own_policies: Path) -> None:
    path = own_policies / "ray.rego"
    lines = path.read_text().splitlines()
    lines[19] = "broken := if {"
    path.write_text("\n".join(lines))
    with pytest.raises(SettingsError) as caught:
        PolicyEngine(own_policies).check_plan(read_plan(PLAN), "local")
    assert caught.value.where == f"{path}:20"


def test_a_call_of_a_function_that_is_not_there_refuses(own_policies: Path) -> None:
    with (own_policies / "terraform" / "exposure.rego").open("a") as file:
        file.write("\nbroken := missing_function(3)\n")
    path = own_policies / "terraform.rego"
    path.write_text(path.read_text().replace("cpu_nodes, gpu_nodes,", "cpu_nodes, broken,"))
    with pytest.raises(SettingsError):
        PolicyEngine(own_policies).check_plan(read_plan(PLAN), "local")


def test_a_missing_or_mistyped_number_refuses(own_policies: Path) -> None:
    path = own_policies / "data.json"
    data = json.loads(path.read_text())
    for value, named in (({"max_gpu_nodes": "10"}, "max_gpu_nodes"), ({"gpus": 3}, "gpus")):
        data["policy"]["environments"]["local"] = value
        path.write_text(json.dumps(data))
        with pytest.raises(SettingsError) as caught:
            PolicyEngine(own_policies).check_plan(read_plan(PLAN), "local")
        assert named in caught.value.what


def test_numbers_hold_for_their_environment_alone(own_policies: Path) -> None:
    path = own_policies / "data.json"
    data = json.loads(path.read_text())
    data["policy"]["environments"]["local"] = {"max_gpu_nodes": 4}
    path.write_text(json.dumps(data))
    engine = PolicyEngine(own_policies)
    assert ids(engine.check_plan(read_plan(PLAN), "local")) == {"gpu-nodes"}
    assert "gpu-nodes" not in ids(engine.check_plan(read_plan(PLAN), "dev"))
    assert engine.bundle_digest != ENGINE.bundle_digest


def test_no_policies_at_all_refuse(tmp_path: Path) -> None:
    shutil.copy(POLICIES / "data.json", tmp_path)
    with pytest.raises(SettingsError):
        PolicyEngine(tmp_path).check_plan(read_plan(PLAN), "local")


def test_a_ray_manifest_is_judged_with_the_environment_s_pools() -> None:
    pod = {
        "spec": {
            "containers": [
                {
                    "name": "ray",
                    "image": "ray:2.60.0",
                    "resources": {
                        part: {"cpu": "1", "memory": "1Gi"} for part in ("requests", "limits")
                    },
                }
            ]
        }
    }
    cluster = {
        "kind": "RayCluster",
        "metadata": {"name": "ray"},
        "spec": {
            "headGroupSpec": {"template": pod},
            "workerGroupSpecs": [{"groupName": "cpu", "maxReplicas": 3, "template": pod}],
        },
    }

    def verdict(largest: int) -> Verdict:
        return ENGINE.check_ray([cluster], [NodePool("cpu", ("m5.large",), 0, largest)], "local")

    assert verdict(3).violations == ()
    (violation,) = verdict(2).violations
    assert violation.id == "ray-pool-size"
    assert violation.resource == "RayCluster/ray: worker group cpu"


def test_the_data_agrees_with_the_code_that_stands_on_the_same_facts() -> None:
    defaults = DATA["policy"]["defaults"]
    assert set(defaults["instance_types"]) <= set(INSTANCE_TYPES)
    assert tuple(defaults["required_tags"]) == REQUIRED_TAGS
    gpu_families = {name.split(".")[0] for name, (_, _, gpus) in INSTANCE_TYPES.items() if gpus}
    assert gpu_families <= set(defaults["gpu_families"])


def test_every_type_that_a_rule_names_has_its_fields() -> None:
    defaults, fields = DATA["policy"]["defaults"], DATA["policy"]["fields"]
    assert set(defaults["refused_node_kinds"]) <= set(fields)
    for kind, switch in defaults["encryption_switches"].items():
        assert switch in fields[kind]


def test_every_type_that_a_rule_asks_for_is_handed_over_whole() -> None:
    """Of other types a rule gets the tags alone, and in parts."""
    texts = [path.read_text() for path in (POLICIES / "terraform").glob("*.rego")]
    rules = [text for text in texts if "package terraform\n" in text]
    named = {
        name for text in rules for name in re.findall(r'"((?:aws|kubernetes)_[a-z0-9_]+)"', text)
    }
    assert len(named) > 50
    assert named <= set(DATA["policy"]["fields"])


def replaced(by: dict[str, Any], *kinds: str) -> None:
    for kind in kinds:
        for address in of_type(kind):
            by[address]["change"]["actions"] = ["delete", "create"]


def test_a_replaced_network_is_denied_with_what_it_takes_along() -> None:
    verdict = check(
        changed(
            lambda by: replaced(by, "aws_vpc", "aws_subnet", "aws_nat_gateway", "aws_eks_cluster")
        )
    )
    found = {item.resource: item.message for item in verdict.violations}
    assert found["module.vpc.aws_vpc.this"].startswith(
        "actions are delete, create; it takes along "
    )
    assert "module.eks_cluster.aws_eks_cluster.this" in found["module.vpc.aws_vpc.this"]
    assert 'module.vpc.aws_subnet.private["1"]' in found["module.vpc.aws_vpc.this"]
    assert ids(verdict) == {"deletion"}


def test_the_system_pool_is_named_when_it_would_be_replaced() -> None:
    verdict = check(changed(lambda by: replaced(by, "aws_eks_node_group")))
    told = {
        item.resource.split('"')[1]: "system pool" in item.message for item in verdict.violations
    }
    assert told == {"system": True, "cpu": False, "gpu": False}


def test_a_reviewed_exception_lets_one_violation_through_until_its_last_day(
    own_policies: Path,
) -> None:
    (own_policies / "exceptions.toml").write_text(
        f"[[exception]]\nrule = 'gpu-nodes'\nresource = '{GPU}'\nenvironment = 'local'\n"
        "owner = 'ml-team'\nreason = 'a deadline'\nuntil = 2026-12-24\n"
    )
    engine = PolicyEngine(own_policies)
    plan = read_plan(changed(lambda by: after(by, GPU)["scaling_config"][0].update(max_size=11)))
    held = engine.check_plan(plan, "local", today=date(2026, 12, 24))
    assert (held.denied, [item.owner for item in held.excepted]) == (False, ["ml-team"])
    ended = engine.check_plan(plan, "local", today=date(2026, 12, 25))
    assert ended.denied and "ended on 2026-12-24" in ended.violations[0].message
    assert engine.check_plan(plan, "dev", today=date(2026, 12, 24)).denied
    assert engine.bundle_digest != ENGINE.bundle_digest


def test_an_exception_that_is_not_whole_refuses_every_plan(own_policies: Path) -> None:
    (own_policies / "exceptions.toml").write_text("[[exception]]\nrule = 'gpu-nodes'\n")
    with pytest.raises(SettingsError) as caught:
        PolicyEngine(own_policies).check_plan(read_plan(PLAN), "local")
    assert "exceptions.toml" in str(caught.value.where)


@pytest.mark.parametrize(
    ("kind", "attribute"),
    [
        ("aws_iam_policy", "policy"),
        ("aws_iam_role", "assume_role_policy"),
        ("aws_iam_role", "inline_policy"),
        ("aws_security_group", "ingress"),
        ("aws_vpc_peering_connection", "peer_owner_id"),
    ],
)
def test_what_is_hidden_as_a_secret_is_not_taken_for_harmless(kind: str, attribute: str) -> None:
    def edit(by: dict[str, Any]) -> None:
        by["aws_x.x"] = {
            "address": f"{kind}.x",
            "type": kind,
            "name": "x",
            "mode": "managed",
            "change": {
                "actions": ["create"],
                "after": {attribute: "(sensitive)"},
                "after_unknown": {},
                "after_sensitive": {attribute: True},
            },
        }

    found = {(item.id, item.resource) for item in check(changed(edit)).violations}
    assert ("hidden-value", f"{kind}.x") in found


def test_the_pages_have_every_rule_and_limit_as_the_policies_have_them() -> None:
    pages = load_script(ROOT / "docs" / "make_policies.py")
    known = {package: ENGINE.rules(package) for package in PACKAGES}
    listed = []
    for path in pages.PAGES:
        text = path.read_text(encoding="utf-8")
        assert text == pages.with_lists(text, known), "run `python docs/make_policies.py`"
        listed += [(kind, package) for _, kind, package, _ in pages.MARKS.findall(text)]
    assert sorted(listed) == sorted(
        [*(("rules", package) for package in PACKAGES), ("limits", "policies")]
    )
    assert set(pages.LIMITS) == set(DATA["policy"]["defaults"])
