"""Each cause needs its evidence: Git, the other resources, the autoscaler, the audit trail."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from ray_platform.config.node_pools import NodePool
from ray_platform.drift.causes import NO_EVIDENCE, Scaling
from ray_platform.drift.configuration import read_configuration
from ray_platform.drift.items import DriftItem, drift_items
from ray_platform.drift.rules import read_rules
from ray_platform.drift.trail import TrailEvent
from ray_platform.drift.unmanaged import LiveResource, find_unmanaged
from ray_platform.terraform.plan import read_plan
from ray_platform.text.errors import SettingsError

RULES = Path(__file__).resolve().parents[3] / "policies" / "drift.toml"
TEXT = RULES.read_text(encoding="utf-8")
BOOK = read_rules(TEXT, where=RULES.name)
POOLS = (NodePool("cpu", ("m5.xlarge",), 2, 10),)


def event(
    name: str, *values: str, who: str = "ann", source: str = "ec2", **more: Any
) -> TrailEvent:
    return TrailEvent(
        id=name,
        time="2026-11-20T10:00:00+00:00",
        name=name,
        source=f"{source}.amazonaws.com",
        who=who,
        role=more.get("role", ""),
        kind=more.get("kind", "AssumedRole"),
        user_agent=more.get("user_agent", "console"),
        values=frozenset(values),
    )


def told(
    type_: str,
    before: dict[str, Any],
    live: dict[str, Any] | None,
    wanted: dict[str, Any] | None,
    *,
    written: dict[str, Any] | None = None,
    file: str = "",
    others: tuple[tuple[str, dict[str, Any]], ...] = (),
    **evidence: Any,
) -> tuple[DriftItem, ...]:
    """The items where the state has ``before``, the API ``live``, and Git asks for ``wanted``."""

    def change(kind: str, old: Any, new: Any, actions: list[str]) -> dict[str, Any]:
        return {
            "address": f"{kind}.x",
            "type": kind,
            "name": "x",
            "change": {"actions": actions, "before": old, "after": new},
        }

    changes = [change(kind, values, values, ["no-op"]) for kind, values in others]
    if wanted is not None:
        action = "create" if live is None else "no-op" if live == wanted else "update"
        changes.append(change(type_, live, wanted, [action]))
    drifted = change(type_, before, live, ["delete"] if live is None else ["update"])
    expressions = {key: {"references": ["var.x"]} for key in written or {}}
    resource = {"address": f"{type_}.x", "mode": "managed", "type": type_, "name": "x"}
    data = {
        "format_version": "1.2",
        "resource_changes": changes,
        "resource_drift": [drifted],
        "configuration": {"root_module": {"resources": [{**resource, "expressions": expressions}]}},
    }
    plan = read_plan(data)
    config = read_configuration(plan, data, {"main.tf": file})
    known = replace(NO_EVIDENCE, configuration=config, **evidence)
    return drift_items(plan, BOOK, pools=POOLS, evidence=known)


LOG = "aws_cloudwatch_log_group"


def test_what_git_would_set_back_was_changed_by_hand() -> None:
    (item,) = told(LOG, {"days": 30}, {"days": 1}, {"days": 30}, written={"days": 1})
    assert item.cause == "by_hand"


def test_what_git_asks_for_and_the_state_does_not_know_is_an_unapplied_change() -> None:
    (item,) = told(LOG, {"days": 14}, {"days": 30}, {"days": 30}, written={"days": 1})
    assert item.cause == "unapplied_change"
    assert "Git" in item.evidence


def test_what_git_has_not_named_and_the_state_had_not_is_filled_in() -> None:
    (item,) = told(LOG, {"class": None}, {"class": "STANDARD"}, {"class": "STANDARD"})
    assert (item.cause, item.severity) == ("provider_default", "none")


def test_what_only_people_set_is_never_taken_for_a_default() -> None:
    (item,) = told("aws_s3_bucket", {}, {"cors_rule": [{"a": 1}]}, {"cors_rule": [{"a": 1}]})
    assert item.cause == "by_hand"


def test_what_git_has_not_named_and_another_value_replaced_was_changed_by_hand() -> None:
    (item,) = told(LOG, {"class": "STANDARD"}, {"class": "OTHER"}, {"class": "OTHER"})
    assert item.cause == "by_hand"


def test_what_terraform_was_told_to_ignore_is_no_change_of_git() -> None:
    file = 'resource "aws_cloudwatch_log_group" "x" {\n  lifecycle {\n    ignore_changes = [days]\n  }\n}\n'
    (item,) = told(LOG, {"days": 30}, {"days": 1}, {"days": 1}, written={"days": 1}, file=file)
    assert item.cause == "by_hand"


def test_a_dynamic_block_counts_as_written() -> None:
    file = 'resource "aws_eks_node_group" "x" {\n  dynamic "taint" {\n    for_each = []\n  }\n}\n'
    live = {"taint": [{"key": "gpu"}]}
    (item,) = told("aws_eks_node_group", {"taint": []}, live, live, file=file)
    assert item.cause == "unapplied_change"


def test_a_removed_resource_that_git_still_has_was_removed_by_hand() -> None:
    (item,) = told(LOG, {"days": 1}, None, {"days": 1})
    assert (item.cause, item.severity) == ("by_hand", "major")
    (item,) = told(LOG, {"days": 1}, None, None)
    assert (item.cause, item.severity) == ("unapplied_change", "major")


ROLE = {"id": "r", "name": "r"}
LINK = ("aws_iam_role_policy_attachment", {"role": "r", "policy_arn": "arn:p"})


def test_what_another_resource_of_ours_sets_is_filled_in_and_the_rest_is_not() -> None:
    live = {**ROLE, "managed_policy_arns": ["arn:p", "arn:admin"]}
    items = told("aws_iam_role", {**ROLE, "managed_policy_arns": []}, live, live, others=(LINK,))
    assert {(i.after, i.cause, i.severity) for i in items} == {
        ("arn:p", "provider_default", "none"),
        ("arn:admin", "by_hand", "major"),
    }


def scaled(desired: int, **evidence: Any) -> DriftItem:
    def group(count: int) -> dict[str, Any]:
        sizes = {"min_size": 2, "max_size": 10, "desired_size": count}
        return {
            "arn": "arn:group",
            "cluster_name": "c",
            "node_group_name": "cpu",
            "scaling_config": [sizes],
        }

    (item,) = told("aws_eks_node_group", group(2), group(desired), group(desired), **evidence)
    return item


def test_a_node_count_within_its_bounds_is_the_autoscalers_with_what_ray_says() -> None:
    seen = {"cpu": Scaling("cpu", 5, 1, "2026-11-20T10:00:00+00:00")}
    item = scaled(6, scaling=seen)
    assert (item.cause, item.severity) == ("autoscaler", "none")
    assert "started 5 and ended 1 nodes of cpu" in item.evidence


def test_a_node_count_that_a_person_set_is_by_hand_also_within_its_bounds() -> None:
    by_ann = event("UpdateNodegroupConfig", "c", "cpu", source="eks")
    assert scaled(6, trail=[by_ann]).cause == "by_hand"
    by_role = replace(by_ann, role="ray-platform-local-cluster-autoscaler", who="1700000000")
    assert scaled(6, trail=[by_role]).cause == "autoscaler"


def test_the_audit_trail_says_who_and_when() -> None:
    group = {"id": "sg-1", "ingress": []}
    opened = {"id": "sg-1", "ingress": [{"cidr_blocks": ["0.0.0.0/0"]}]}
    trail = [
        event("CreateTags", "sg-1", who="bob"),
        event("AuthorizeSecurityGroupIngress", "sg-1"),
        event("AuthorizeSecurityGroupIngress", "sg-2", who="eve"),
    ]
    (item,) = told("aws_security_group", group, opened, group, written={"ingress": 1}, trail=trail)
    assert (item.who, item.when) == ("ann", "2026-11-20T10:00:00+00:00")
    assert "ann called AuthorizeSecurityGroupIngress" in item.evidence


def test_without_a_trail_the_reason_is_said() -> None:
    (item,) = told(LOG, {"days": 30}, {"days": 1}, {"days": 30}, trail_note="no trail here")
    assert item.evidence == "no trail here"


def test_a_default_tag_that_changed_in_git_alone_is_no_drift_of_the_tag() -> None:
    old = {"tags": {}, "tags_all": {"repo": "a"}}
    live = {"tags": {"repo": "a"}, "tags_all": {"repo": "a"}}
    (item,) = told("aws_vpc", old, live, {"tags": {}, "tags_all": {"repo": "b"}})
    assert (item.cause, item.severity) == ("unapplied_change", "none")


def test_what_aws_and_kubernetes_make_is_not_unmanaged_and_neither_is_ours() -> None:
    nothing: dict[str, Any] = {"tags": {}, "details": {}, "arn": "", "owned": False, "made_at": ""}

    def live(id_: str, **more: Any) -> LiveResource:
        return LiveResource("aws_security_group", id_, "in vpc-1", **{**nothing, **more})

    found = find_unmanaged(
        [
            live("sg-managed"),
            live("sg-ours", tags={"environment": "dev", "managed-by": "terraform"}),
            live("sg-others", tags={"environment": "prod", "managed-by": "terraform"}),
            live("sg-cluster", tags={"kubernetes.io/cluster/c": "owned"}),
            live("sg-eks"),
            live("sg-aws", owned=True),
            live("sg-hand", tags={"owner": "ann"}),
        ],
        {
            "a": {"id": "sg-managed"},
            "b": {"vpc_config": [{"cluster_security_group_id": "sg-eks"}]},
        },
        environment="dev",
        cluster="c",
    )
    assert [item.id for item in found] == ["sg-hand", "sg-others"]


@pytest.mark.parametrize(
    ("change", "what"),
    [
        (('level      = "none"', 'level      = "nil"'), "level is 'nil'"),
        (('when       = "off"', 'when       = "of"'), "there is no condition 'of'"),
        (("[[computed]]", "[[compute]]"), "unknown entries: compute"),
        (('name       = "iam"', 'name       = "routes"'), "rules named twice: routes"),
        (('values     = ["MUTABLE"]\n', ""), "values, a list of texts"),
        (("[[filled_in]]", "[[filled_in"), "malformed"),
        (('reason     = "traffic takes another way"\n', ""), "it lacks reason"),
    ],
)
def test_a_wrong_rule_is_told_when_the_rules_are_read(change: tuple[str, str], what: str) -> None:
    assert change[0] in TEXT
    with pytest.raises(SettingsError, match=what) as raised:
        read_rules(TEXT.replace(*change, 1), where="policies/drift.toml")
    assert "policies/drift.toml" in raised.value.where
