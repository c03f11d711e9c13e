"""One right can be written in many ways; the facts are the same, and what has no reading is a problem."""

import json
from typing import Any

import pytest

from ray_platform.policy.access_documents import account_of, is_everyone, read_blocks, read_text

OWN = frozenset({"111111111111"})


def only(statement: Any) -> dict[str, Any]:
    found = read_text(json.dumps({"Statement": statement}), OWN)
    assert found["problem"] == ""
    (facts,) = found["statements"]
    return dict(facts)


def allow(**more: Any) -> dict[str, Any]:
    return {"Effect": "Allow", "Action": "s3:GetObject", "Resource": "arn:aws:s3:::b/k", **more}


@pytest.mark.parametrize("action", ["*", "*:*", "**", "?*", ["s3:GetObject", "*"], "*:?*", " * "])
def test_every_spelling_of_every_action_is_seen(action: Any) -> None:
    assert only([allow(Action=action)])["every_action"]


@pytest.mark.parametrize("action", ["s3:*", "s3:Get*", "iam:*", ["ec2:Run*", "s3:*"]])
def test_one_service_is_not_every_action(action: Any) -> None:
    assert not only([allow(Action=action)])["every_action"]


def test_a_statement_may_stand_without_a_list_and_keys_in_any_case() -> None:
    text = '{"statement": {"effect": "Allow", "ACTION": "*", "resource": "*"}}'
    (facts,) = read_text(text, OWN)["statements"]
    assert facts["every_action"] and facts["every_resource"]


def test_escapes_hide_nothing() -> None:
    text = '{"State\\u006dent": [{"Effect": "Allow", "\\u0041ction": "\\u002a", "Resource": "*"}]}'
    assert read_text(text, OWN)["statements"][0]["every_action"]


def test_everything_but_something_is_every_action_and_every_resource() -> None:
    facts = only({"Effect": "Allow", "NotAction": "iam:*", "NotResource": "arn:aws:s3:::b"})
    assert facts["every_action"] and facts["every_resource"]


def test_services_and_ways_to_more_rights_are_named_whatever_their_case() -> None:
    facts = only([allow(Action=["S3:*", "IAM:Put*", "iam:AttachRolePolic?"])])
    assert facts["services"] == ["s3"]
    assert {"iam:putuserpolicy", "iam:attachrolepolicy"} <= set(facts["escalations"])


@pytest.mark.parametrize("resource", ["*", "**", "arn:aws:*", "arn:*:*:*:*:*", ["x", "*"], "arn:*"])
def test_every_resource_in_any_spelling(resource: Any) -> None:
    assert only([allow(Resource=resource)])["every_resource"]


@pytest.mark.parametrize(
    "resource", ["arn:aws:s3:::b/*", "arn:aws:s3:::b*", [], "arn:aws:sqs:r:1:q"]
)
def test_part_of_a_service_is_not_every_resource(resource: Any) -> None:
    assert not only([allow(Resource=resource)])["every_resource"]


@pytest.mark.parametrize(
    "principal",
    [
        "*",
        {"AWS": "*"},
        {"AWS": ["arn:aws:iam::111111111111:root", "*"]},
        {"AWS": "arn:aws:iam::*:root"},
        {"aws": "*"},
    ],
)
def test_everybody_in_any_spelling(principal: Any) -> None:
    assert only([allow(Principal=principal)])["everyone"]


def test_everybody_but_somebody_is_everybody() -> None:
    assert only([allow(NotPrincipal={"AWS": "arn:aws:iam::111111111111:root"})])["everyone"]


def test_own_and_foreign_accounts_are_told_apart() -> None:
    names = ["111111111111", "arn:aws:iam::222222222222:role/x", "arn:aws-cn:sts::333333333333:y/z"]
    facts = only([allow(Principal={"AWS": names, "Service": "ec2.amazonaws.com"})])
    assert facts["accounts"] == ["222222222222", "333333333333"]
    assert not facts["everyone"] and facts["unknown_principals"] == []


def test_a_principal_that_names_no_account_is_unknown() -> None:
    facts = only([allow(Principal={"AWS": "AIDAEXAMPLE", "CanonicalUser": "79a5"})])
    assert facts["unknown_principals"] == ["AIDAEXAMPLE", "79a5 (canonicaluser)"]


@pytest.mark.parametrize(
    ("condition", "own_only"),
    [
        ({"StringEquals": {"aws:SourceAccount": "111111111111"}}, True),
        ({"ArnLike": {"AWS:SourceArn": ["arn:aws:s3:us-east-1:111111111111:b/*"]}}, True),
        ({"StringEquals": {"aws:SourceAccount": ["111111111111", "222222222222"]}}, False),
        ({"StringEqualsIfExists": {"aws:SourceAccount": "111111111111"}}, False),
        ({"ForAllValues:StringEquals": {"aws:SourceAccount": "111111111111"}}, False),
        ({"StringNotEquals": {"aws:SourceAccount": "111111111111"}}, False),
        ({"StringLike": {"aws:SourceAccount": "*"}}, False),
        ({"StringEquals": {"aws:UserAgent": "111111111111"}}, False),
        ({"Bool": {"aws:SecureTransport": "true"}}, False),
        ({"ArnLike": {"aws:SourceArn": "arn:aws:s3:::any*"}}, False),
    ],
)
def test_only_a_condition_on_an_own_account_closes_a_public_statement(
    condition: Any, own_only: bool
) -> None:
    assert only([allow(Principal="*", Condition=condition)])["own_only"] is own_only


@pytest.mark.parametrize(
    ("condition", "subject"),
    [
        ({"StringEquals": {"token.actions.githubusercontent.com:sub": "repo:me/x:ref:y"}}, True),
        ({"StringLike": {"token.actions.githubusercontent.com:sub": "repo:me/mine:*"}}, True),
        ({"StringLike": {"token.actions.githubusercontent.com:sub": "repo:*"}}, False),
        ({"StringLike": {"token.actions.githubusercontent.com:sub": "*"}}, False),
        ({"StringLike": {"token.actions.githubusercontent.com:sub": ["repo:me/x:y", "*"]}}, False),
        ({"StringEqualsIfExists": {"x:sub": "system:serviceaccount:a:b"}}, False),
        ({"StringEquals": {"aws:PrincipalTag/x": "y"}}, False),
        ({}, False),
    ],
)
def test_a_provider_is_trusted_for_a_named_subject_alone(condition: Any, subject: bool) -> None:
    facts = only([allow(Principal={"Federated": "arn:aws:iam::111111111111:oidc-provider/x"})])
    assert facts["federated"] and not facts["subject"]
    named = allow(Principal={"Federated": "cognito-identity.amazonaws.com"}, Condition=condition)
    assert only([named])["subject"] is subject


@pytest.mark.parametrize(
    "text",
    [
        "{",
        '{"Statement": "*"}',
        '{"Statement": [1]}',
        "[]",
        "{}",
        '{"Statement": [{"Effect": "Deny", "Effect": "Allow"}]}',
        '{"Statement": [{"Action": "s3:GetObject", "action": "*"}]}',
        '{"Statement":' + "[" * 100_000,
    ],
)
def test_what_has_no_one_reading_is_a_problem(text: str) -> None:
    found = read_text(text, OWN)
    assert found["problem"]
    assert found["statements"] == []


def test_only_a_plain_deny_is_a_deny() -> None:
    assert not only([{**allow(), "Effect": "Deny"}])["allow"]
    assert only([{**allow(), "Effect": None}])["allow"]


def test_blocks_of_a_data_source_say_the_same_as_json() -> None:
    block = {
        "effect": None,
        "actions": ["*"],
        "resources": ["*"],
        "not_actions": None,
        "not_resources": None,
        "principals": [{"type": "AWS", "identifiers": ["*"]}],
        "not_principals": [],
        "condition": [],
    }
    (facts,) = read_blocks({"statement": [block]}, {}, OWN)["statements"]
    assert facts == only([{"Effect": "Allow", "Action": "*", "Resource": "*", "Principal": "*"}])


def test_an_action_that_is_known_only_after_apply_may_be_any() -> None:
    block = {"actions": [None], "resources": [None], "principals": []}
    hidden = {"statement": [{"actions": [True], "resources": [True]}]}
    (facts,) = read_blocks({"statement": [block]}, hidden, OWN)["statements"]
    assert facts["every_action"] and not facts["every_resource"]


def test_statements_that_are_known_only_after_apply_are_a_problem() -> None:
    assert read_blocks({}, {"statement": True}, OWN)["problem"]


def test_accounts_and_everybody() -> None:
    assert account_of("arn:aws:iam::111111111111:root") == "111111111111"
    assert account_of("arn:aws:s3:::b") == account_of("1234") == ""
    assert is_everyone("*") and is_everyone("arn:aws:iam::1234*:root")
    assert not is_everyone("arn:aws:iam::111111111111:role/*")
