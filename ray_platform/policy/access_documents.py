"""IAM policy documents as facts: what a statement lets whom do, whatever way it is written.

A document reaches a plan as JSON in a string, or as the blocks of ``data.aws_iam_policy_document`` that is
read during apply. Both become the same `Statement` facts, which ``policies/terraform/identity.rego`` judges.
What cannot be read is a `problem`, never an empty document.

Grammar: https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_grammar.html
"""

import fnmatch
import functools
import json
import re
from collections.abc import Mapping, Sequence
from typing import Any

#: Actions of several services: who may do more than two of these services' has a wildcard over services.
_PROBES = ("s3:getobject", "ec2:runinstances", "kms:decrypt", "iam:createuser", "sts:assumerole")
#: By each of these alone an identity can give itself any other right, where it may use it on everything.
#: Source: the privilege escalation methods of IAM that Rhino Security Labs published in 2018.
_ESCALATIONS = (
    "iam:attachgrouppolicy",
    "iam:attachrolepolicy",
    "iam:attachuserpolicy",
    "iam:createaccesskey",
    "iam:createloginprofile",
    "iam:createpolicyversion",
    "iam:putgrouppolicy",
    "iam:putrolepolicy",
    "iam:putuserpolicy",
    "iam:setdefaultpolicyversion",
    "iam:updateassumerolepolicy",
    "iam:updateloginprofile",
    "iam:addusertogroup",
)
#: Conditions that name the account a request comes from; by one of these a public statement is not public.
_ACCOUNT_KEYS = (
    "aws:principalaccount",
    "aws:sourceaccount",
    "aws:sourceowner",
    "kms:calleraccount",
)
_ARN_KEYS = ("aws:principalarn", "aws:sourcearn")
_EQUALS = ("stringequals", "stringequalsignorecase", "stringlike", "arnequals", "arnlike")
#: Stands for a principal whose name is not known yet.
UNTIL_APPLY = "known only after apply"
_ACCOUNT = re.compile(r"\d{12}")
_ARN = re.compile(r"arn:[^:]*:[^:]*:[^:]*:(?P<account>[^:]*):.*", re.DOTALL)
_SUBJECT = re.compile(r":(sub|aud|amr|app_id|oaud)$|^saml:")


def read_text(text: str, own: frozenset[str]) -> dict[str, Any]:
    """The facts of a document that is JSON.

    Args:
        text: The document.
        own: The account ids that are ours.

    Returns:
        ``problem`` (an empty text, or why it cannot be judged) and ``statements``.
    """
    try:
        content = json.loads(text, object_pairs_hook=_once)
    except (ValueError, RecursionError) as error:
        return _unreadable(f"it is not the JSON of a policy: {error}")
    if not isinstance(content, Mapping):
        return _unreadable("it is not the JSON of a policy: no object")
    found = content.get("statement")
    blocks = [found] if isinstance(found, Mapping) else found
    if not isinstance(blocks, list) or not all(isinstance(block, Mapping) for block in blocks):
        return _unreadable("it has no list of statements")
    return {"problem": "", "statements": [_from_json(block, own) for block in blocks]}


def read_blocks(after: Mapping[str, Any], hidden: Any, own: frozenset[str]) -> dict[str, Any]:
    """The facts of the ``statement`` blocks of an ``aws_iam_policy_document`` that is read during apply.

    Args:
        after: Its attributes, as far as they are known.
        hidden: ``after_unknown``, in the same nesting.
        own: The account ids that are ours.
    """
    marks = hidden if isinstance(hidden, Mapping) else {}
    if marks.get("statement") is True:
        return _unreadable("its statements are known only after apply")
    blocks = after.get("statement") or []
    marked = marks.get("statement") or []
    statements = []
    for number, block in enumerate(blocks):
        mark = marked[number] if number < len(marked) else {}
        statements.append(_from_block(block, mark if isinstance(mark, Mapping) else {}, own))
    return {"problem": "", "statements": statements}


def account_of(principal: str) -> str:
    """The account id in an ARN or an id by itself; an empty text where there is none."""
    if _ACCOUNT.fullmatch(principal):
        return principal
    found = _ARN.fullmatch(principal)
    return found["account"] if found and _ACCOUNT.fullmatch(found["account"]) else ""


def is_everyone(principal: str) -> bool:
    """Whether a principal stands for anybody: a star, or an ARN whose account is a wildcard."""
    if principal and not principal.strip("*?"):
        return True
    found = _ARN.fullmatch(principal)
    return bool(found and set("*?") & set(found["account"]))


def _unreadable(why: str) -> dict[str, Any]:
    return {"problem": " ".join(why.split())[:200], "statements": []}


def _once(pairs: Sequence[tuple[str, Any]]) -> dict[str, Any]:
    """An object with lower-case keys. Two keys that AWS may take for one have no single reading."""
    found: dict[str, Any] = {}
    for key, value in pairs:
        if key.lower() in found:
            raise ValueError(f"the key {key} is there twice")
        found[key.lower()] = value
    return found


def _texts(value: Any) -> list[str]:
    """A text or a list of texts as a list; anything else is taken for a wildcard."""
    if value is None:
        return []
    items = value if isinstance(value, list) else [value]
    return [item if isinstance(item, str) else "*" for item in items]


def _from_json(block: Mapping[str, Any], own: frozenset[str]) -> dict[str, Any]:
    conditions = [
        (str(test), str(key), _texts(values))
        for test, keys in (block.get("condition") or {}).items()
        for key, values in (keys.items() if isinstance(keys, Mapping) else [("", "*")])
    ]
    principal = block.get("principal")
    principals = [
        (kind, identifier)
        for kind, identifiers in (
            principal.items() if isinstance(principal, Mapping) else [("aws", principal)]
        )
        for identifier in _texts(identifiers)
    ]
    return _facts(
        effect=block.get("effect"),
        actions=_texts(block.get("action")),
        not_actions="notaction" in block,
        resources=_texts(block.get("resource")),
        not_resources="notresource" in block,
        principals=principals,
        not_principals="notprincipal" in block,
        conditions=conditions,
        own=own,
    )


def _from_block(
    block: Mapping[str, Any], mark: Mapping[str, Any], own: frozenset[str]
) -> dict[str, Any]:
    def known(name: str) -> list[str]:
        if mark.get(name) is True:
            return ["*"]
        return ["" if item is None else str(item) for item in block.get(name) or []]

    def blocks(name: str) -> list[tuple[Mapping[str, Any], Mapping[str, Any]]]:
        marks = mark.get(name)
        found = block.get(name) or []
        paired = (
            marks if isinstance(marks, list) and len(marks) == len(found) else [{}] * len(found)
        )
        return list(zip(found, paired, strict=True))

    conditions = [
        (
            str(item.get("test")),
            # Known only after apply where the issuer of the cluster is part of its name.
            "?" if item.get("variable") is None else str(item["variable"]),
            ["" if value is None else str(value) for value in item.get("values") or []],
        )
        for item, _ in blocks("condition")
    ]
    principals = [
        (str(item.get("type")).lower(), "" if identifier is None else str(identifier))
        for item, hidden in blocks("principals")
        for identifier in ([None] if hidden.get("identifiers") is True else item["identifiers"])
    ]
    if mark.get("principals") is True:
        principals.append(("aws", ""))
    return _facts(
        effect="Allow" if block.get("effect") is None else block["effect"],
        # An action that is known only after apply may be any.
        actions=[item or "*" for item in known("actions")],
        not_actions=bool(block.get("not_actions")) or mark.get("not_actions") is True,
        # A resource that is known only after apply is made by this plan.
        resources=known("resources") if mark.get("resources") is not True else [],
        not_resources=bool(block.get("not_resources")) or mark.get("not_resources") is True,
        principals=principals,
        not_principals=bool(block.get("not_principals")) or mark.get("not_principals") is True,
        conditions=conditions,
        own=own,
    )


def _facts(
    *,
    effect: Any,
    actions: Sequence[str],
    not_actions: bool,
    resources: Sequence[str],
    not_resources: bool,
    principals: Sequence[tuple[str, str]],
    not_principals: bool,
    conditions: Sequence[tuple[str, str, Sequence[str]]],
    own: frozenset[str],
) -> dict[str, Any]:
    lowered = [action.strip().lower() for action in actions]
    accounts = [name for kind, name in principals if kind in ("aws", "*")]
    federated = [name for kind, name in principals if kind == "federated"]
    ids = {account_of(name) for name in accounts + federated} - {""}
    return {
        # Whatever is not surely a Deny is taken for an Allow.
        "allow": str(effect).lower() != "deny",
        "every_action": not_actions or any(_everything(action) for action in lowered),
        "services": sorted({action.split(":")[0] for action in lowered if _whole_service(action)}),
        "escalations": sorted(
            {probe for probe in _ESCALATIONS for action in lowered if _matches(action, probe)}
        ),
        "every_resource": not_resources or any(_every_resource(item) for item in resources),
        "everyone": not_principals or any(is_everyone(name) for name in accounts),
        "accounts": sorted(ids - own),
        # Neither ours nor another account's: an id that names no account, or one known after apply.
        "unknown_principals": sorted(
            {
                name or UNTIL_APPLY
                for name in accounts
                if not is_everyone(name) and not account_of(name)
            }
        )
        + sorted({f"{name} ({kind})" for kind, name in principals if kind == "canonicaluser"}),
        "federated": sorted({name or UNTIL_APPLY for name in federated}),
        "subject": any(_names_a_subject(*condition) for condition in conditions),
        "own_only": any(_own_only(*condition, own) for condition in conditions),
    }


@functools.lru_cache(maxsize=4096)
def _matches(pattern: str, action: str) -> bool:
    # Square brackets mean nothing to IAM.
    return fnmatch.fnmatchcase(action, pattern.replace("[", "[[]"))


def _everything(action: str) -> bool:
    services = {probe.split(":")[0] for probe in _PROBES if _matches(action, probe)}
    return len(services) > 2 or action in ("*", "*:*")


def _whole_service(action: str) -> bool:
    service, _, name = action.partition(":")
    return bool(service.strip("*?")) and bool(name) and not name.strip("*?")


def _every_resource(resource: str) -> bool:
    """A star, or an ARN without anything of its own after the service."""
    if not resource:
        # Known only after apply: made by this plan.
        return False
    if not resource.strip("*?"):
        return True
    steps = resource.split(":", 5)
    return steps[0] in ("arn", "arn*", "*") and not "".join(steps[2:]).strip("*?:/")


def _positive(test: str) -> bool:
    """Whether a test holds only when the key is there and equal: neither `IfExists` nor `ForAllValues`."""
    return test.lower().removeprefix("foranyvalue:") in _EQUALS


def _names_a_subject(test: str, key: str, values: Sequence[str]) -> bool:
    if not _positive(test) or not values or not (_SUBJECT.search(key.lower()) or key == "?"):
        return False
    # `repo:*` names anybody who has a repository: what stands before the first wildcard must say who.
    return all(
        len(re.split(r"[*?]", value)[0].rstrip(":/").split(":")) > 1 or not (set("*?") & set(value))
        for value in values
    )


def _own_only(test: str, key: str, values: Sequence[str], own: frozenset[str]) -> bool:
    if not _positive(test) or not values:
        return False
    if key.lower() in _ACCOUNT_KEYS:
        return all(value in own for value in values)
    if key.lower() in _ARN_KEYS:
        return all(account_of(value) in own for value in values)
    return False
