"""The policy documents of a plan's resources, also those that are known only after apply.

A document that a first plan does not know is judged by the ``data.aws_iam_policy_document`` that it comes
from, which the plan does have. Where it comes from anything else it has a ``problem``.
"""

import json
from collections.abc import Iterator, Mapping
from typing import Any

from ray_platform.policy.access_documents import UNTIL_APPLY, read_blocks, read_text
from ray_platform.policy.principals import OWN_PRINCIPALS, is_set
from ray_platform.policy.references import ConfigurationReferences, Targets, without_keys
from ray_platform.terraform.plan import Plan, ResourceChange

#: Attributes that hold a policy document, whatever the type; others are recognized by what they hold.
DOCUMENTS = (
    "access_policies",
    "access_policy",
    "assume_role_policy",
    "inline_policy",
    "policy",
    "policy_document",
    "resource_policy",
)
#: What these types' documents say is no right to anything.
NO_RIGHTS = (
    # Lifecycle rules, restrictions of a whole organization, boundaries of an endpoint, backup plans.
    "aws_appautoscaling_policy",
    "aws_autoscaling_policy",
    "aws_cloudfront_cache_policy",
    "aws_cloudfront_origin_request_policy",
    "aws_dlm_lifecycle_policy",
    "aws_ecr_lifecycle_policy",
    "aws_organizations_policy",
    "aws_vpc_endpoint",
    "aws_vpc_endpoint_policy",
)
_IDENTITY = (
    "aws_iam_group_policy",
    "aws_iam_policy",
    "aws_iam_role_policy",
    "aws_iam_user_policy",
    "aws_ssoadmin_permission_set_inline_policy",
)


class DocumentFacts:
    """The documents of one plan.

    Args:
        plan: The plan.
        configuration: Its configuration; None where it came without one.
        own: The account ids that are ours.
    """

    def __init__(
        self, plan: Plan, configuration: ConfigurationReferences | None, own: frozenset[str]
    ) -> None:
        self.configuration, self.own = configuration, own
        self._read = plan.read_data
        self._planned = {
            change.address: change
            for change in plan.changes
            if change.mode == "data" and change.type == "aws_iam_policy_document"
        }

    def of(self, change: ResourceChange) -> Iterator[dict[str, Any]]:
        """Each document of a resource.

        ``attribute``, ``kind`` (``identity``, ``trust`` or ``resource``), and what `read_text` says.
        """
        if not change.type.startswith("aws") or change.type in NO_RIGHTS:
            return
        for attribute, text in change.after.items():
            if not isinstance(text, str) or not text:
                continue
            if _is_document(text, sure=attribute in DOCUMENTS):
                yield self._document(change, attribute, read_text(text, self.own))
        for number, block in enumerate(_blocks(change, "inline_policy")):
            if isinstance(text := block.get("policy"), str):
                place = f"inline_policy[{number}].policy"
                yield self._document(change, place, read_text(text, self.own))
            elif _mark(change.after_unknown.get("inline_policy"), number, "policy"):
                yield self._document(
                    change, "inline_policy", self._from_source(change, "inline_policy")
                )
        for attribute in DOCUMENTS:
            if change.after_unknown.get(attribute) is True and is_set(
                self.configuration, change, attribute
            ):
                yield self._document(change, attribute, self._from_source(change, attribute))

    def _document(
        self, change: ResourceChange, attribute: str, found: Mapping[str, Any]
    ) -> dict[str, Any]:
        kind = "resource"
        if attribute == "assume_role_policy":
            kind = "trust"
        elif change.type in _IDENTITY or attribute.startswith("inline_policy"):
            kind = "identity"
        return {"attribute": attribute, "kind": kind, **found}

    def _from_source(self, change: ResourceChange, attribute: str) -> dict[str, Any]:
        """The document that an attribute will hold, from the data sources that it refers to."""
        if self.configuration is None:
            return {"problem": UNTIL_APPLY, "statements": []}
        targets = self.configuration.targets(change.address, attribute)
        return self._from_targets(change.address, targets, set())

    def _from_targets(self, owner: str, targets: Targets, seen: set[str]) -> dict[str, Any]:
        assert self.configuration is not None  # noqa: S101
        named = {address for address, _ in targets.found}
        types = {address.split(".")[-2] for address in named}
        if not targets.complete or types != {"aws_iam_policy_document"}:
            return {"problem": UNTIL_APPLY, "statements": []}
        instances = self.configuration.instances(owner, targets)
        if named - {without_keys(address) for address in instances}:
            return {"problem": UNTIL_APPLY, "statements": []}
        statements: list[dict[str, Any]] = []
        for address in instances:
            if address in seen:
                continue
            seen.add(address)
            found = self._from_data(address, seen)
            if found["problem"]:
                return found
            statements += found["statements"]
        return {"problem": "", "statements": statements}

    def _from_data(self, address: str, seen: set[str]) -> dict[str, Any]:
        if (read := self._read.get(address)) is not None:
            return read_text(str(read.get("json")), self.own)
        data = self._planned.get(address)
        if data is None:
            return {"problem": UNTIL_APPLY, "statements": []}
        content = read_blocks(data.after, data.after_unknown, self.own)
        self._settle_principals(data, content)
        found = [content]
        for attribute in ("source_policy_documents", "override_policy_documents"):
            found += self._included(data, attribute, seen)
        if problems := [item for item in found if item["problem"]]:
            return problems[0]
        return {"problem": "", "statements": [one for item in found for one in item["statements"]]}

    def _included(
        self, data: ResourceChange, attribute: str, seen: set[str]
    ) -> Iterator[dict[str, Any]]:
        assert self.configuration is not None  # noqa: S101
        texts = data.after.get(attribute) or []
        yield from (read_text(text, self.own) for text in texts if isinstance(text, str) and text)
        hidden = data.after_unknown.get(attribute)
        if hidden is True or (isinstance(hidden, list) and True in hidden):
            targets = self.configuration.targets(data.address, attribute)
            yield self._from_targets(data.address, targets, seen)

    def _settle_principals(self, data: ResourceChange, content: Mapping[str, Any]) -> None:
        """A principal that is known only after apply is ours when a resource of this plan makes it."""
        assert self.configuration is not None  # noqa: S101
        targets = self.configuration.targets(data.address, "statement")
        types = {address.split(".")[-2] for address, _ in targets.found}
        if types & set(OWN_PRINCIPALS):
            for statement in content["statements"]:
                unknown = statement["unknown_principals"]
                statement["unknown_principals"] = [who for who in unknown if who != UNTIL_APPLY]


def _is_document(text: str, *, sure: bool) -> bool:
    """Whether a text is a policy document; where one is expected, also one that cannot be read."""
    if text.lstrip()[:1] != "{":
        return False
    try:
        content = json.loads(text)
    except (ValueError, RecursionError):
        return sure
    return isinstance(content, Mapping) and any(str(key).lower() == "statement" for key in content)


def _blocks(change: ResourceChange, name: str) -> list[Mapping[str, Any]]:
    found = change.after.get(name)
    return [item for item in found if isinstance(item, Mapping)] if isinstance(found, list) else []


def _mark(marks: Any, number: int, name: str) -> bool:
    if not isinstance(marks, list) or number >= len(marks):
        return marks is True
    mark = marks[number]
    return mark is True or (isinstance(mark, Mapping) and mark.get(name) is True)
