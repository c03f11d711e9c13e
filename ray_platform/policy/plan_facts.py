"""Facts that the rules cannot find by themselves: what is referred to, what documents allow, who we are.

They are handed to the rules beside each resource, as ``facts`` (see the head of ``policies/terraform.rego``).
"""

from collections.abc import Collection, Iterator, Mapping
from functools import cached_property
from typing import Any

from ray_platform.policy.access_documents import UNTIL_APPLY, account_of
from ray_platform.policy.document_facts import DOCUMENTS, NO_RIGHTS, DocumentFacts
from ray_platform.policy.network_ranges import is_world
from ray_platform.policy.principals import NAMING, is_set, named_principals
from ray_platform.policy.references import ConfigurationReferences, without_keys
from ray_platform.terraform.plan import Plan, ResourceChange

#: Resource type -> attributes of which a rule asks, while their values are unknown, whether the configuration
#: sets them and what they refer to.
_REFERENCES: Mapping[str, tuple[str, ...]] = {
    "aws_ec2_transit_gateway_peering_attachment_accepter": ("transit_gateway_attachment_id",),
    "aws_eip": ("instance", "network_interface"),
    "aws_eks_node_group": ("launch_template", "subnet_ids"),
    "aws_elasticache_cluster": ("replication_group_id",),
    "aws_fsx_lustre_file_system": ("kms_key_id",),
    "aws_fsx_ontap_file_system": ("kms_key_id",),
    "aws_fsx_openzfs_file_system": ("kms_key_id",),
    "aws_fsx_windows_file_system": ("kms_key_id",),
    "aws_iam_group_policy_attachment": ("policy_arn",),
    "aws_iam_policy_attachment": ("policy_arn",),
    "aws_iam_role_policy_attachment": ("policy_arn",),
    "aws_iam_user_policy_attachment": ("policy_arn",),
    "aws_instance": ("ipv6_address_count", "ipv6_addresses"),
    "aws_mq_broker": ("publicly_accessible",),
    "aws_neptune_cluster_instance": ("publicly_accessible",),
    "aws_rds_cluster_instance": ("publicly_accessible",),
    "aws_redshiftserverless_workgroup": ("publicly_accessible",),
    "aws_route": ("gateway_id", "route_table_id"),
    "aws_route_table": ("route",),
    "aws_route_table_association": ("route_table_id", "subnet_id"),
    "aws_s3_bucket_public_access_block": ("bucket",),
    "aws_s3_bucket_server_side_encryption_configuration": ("bucket",),
    "aws_vpc_peering_connection_accepter": ("vpc_peering_connection_id",),
}
#: Attributes that hold address ranges, in the types whose rules say who may come in.
_RANGES: Mapping[str, tuple[str, ...]] = {
    "aws_security_group": ("ingress",),
    "aws_default_security_group": ("ingress",),
    "aws_security_group_rule": ("cidr_blocks", "ipv6_cidr_blocks"),
    "aws_vpc_security_group_ingress_rule": ("cidr_ipv4", "cidr_ipv6"),
    "aws_ec2_managed_prefix_list": ("entry",),
    "aws_ec2_managed_prefix_list_entry": ("cidr",),
}
_REMOVALS = ("replace", "delete", "replace-and-forget")
#: Types whose ARN in the state names the account they are in.
_TELLING = ("aws_eks_cluster", "aws_iam_role", "aws_kms_key")
_RANGE_KEYS = ("cidr", "cidr_blocks", "ipv6_cidr_blocks", "cidr_ipv4", "cidr_ipv6")


def judged_attributes(kind: str) -> tuple[str, ...]:
    """The attributes of a type that facts are made of: none of them may be hidden as a secret."""
    documents = DOCUMENTS if kind.startswith("aws") and kind not in NO_RIGHTS else ()
    named = (NAMING[kind],) if kind in NAMING else ()
    return (*documents, *_RANGES.get(kind, ()), *named)


class ResourceFacts:
    """The facts about one plan.

    Args:
        plan: The plan.
        accounts: Account ids that are ours besides the one that the plan was made in.
        protected: Types of which it is said what goes with them.
    """

    def __init__(
        self, plan: Plan, *, accounts: Collection[str] = (), protected: Collection[str] = ()
    ) -> None:
        self.plan, self.protected = plan, frozenset(protected)
        self._defaults: dict[str, Mapping[str, Any]] = {}
        known = [*(c.address for c in plan.changes if not c.deposed), *plan.read_data]
        #: None where the plan came without a configuration: then no reference is known.
        self.configuration = (
            ConfigurationReferences(plan.configuration, known) if plan.configuration else None
        )
        self.own = frozenset({*accounts, *self._caller_accounts()})
        self._documents = DocumentFacts(plan, self.configuration, self.own)

    def of(self, change: ResourceChange) -> dict[str, Any]:
        """The facts about one resource; only keys that say something.

        ``configured`` the attributes that the configuration sets (absent: unknown); ``references`` by
        attribute the resource instances; ``documents`` its policy documents; ``open_to`` ranges that are
        the world's; ``principals`` whom it names otherwise; ``takes_along`` what goes with it when it is
        replaced or removed.
        """
        facts: dict[str, Any] = {}
        names = _REFERENCES.get(change.type, ())
        if names and self.configuration is not None:
            expressions = self.configuration.expressions(change.address) or {}
            facts["configured"] = [name for name in names if name in expressions]
            facts["references"] = {
                name: self._instances(change.address, name) for name in facts["configured"]
            }
        if principals := list(named_principals(change, self.configuration, self.own)):
            facts["principals"] = principals
        if documents := list(self._documents.of(change)):
            facts["documents"] = documents
        if change.type in _RANGES and (ranges := sorted(set(self._open_to(change)))):
            facts["open_to"] = ranges
        if change.type in self.protected and change.action in _REMOVALS and not change.deposed:
            facts["takes_along"] = self._takes_along(change)
        return facts

    def tags(self, change: ResourceChange) -> tuple[Any, Any] | None:
        """``tags_all`` and its unknown part where the provider leaves all of it unknown; else None.

        The provider does so when one tag is unknown, and when there are no default tags. Then the resource's
        own tags count, and the default tags as other resources of the plan have them.
        """
        if change.after_unknown.get("tags_all") is not True:
            return None
        hidden = change.after_unknown.get("tags")
        own = change.after.get("tags") or {}
        marks = hidden if isinstance(hidden, Mapping) else {}
        known = {name: value for name, value in own.items() if value is not None}
        return {**self._default_tags(change), **known}, {
            name: True for name, mark in marks.items() if mark is True
        }

    def _instances(self, address: str, attribute: str) -> list[str]:
        assert self.configuration is not None  # noqa: S101
        targets = self.configuration.targets(address, attribute)
        found = self.configuration.instances(address, targets)
        if attribute != "bucket":
            return found
        # `bucket = aws_s3_bucket_versioning.a.bucket` names the bucket of that one.
        buckets: set[str] = set()
        todo, seen = list(found), set(found)
        while todo:
            item = todo.pop()
            if without_keys(item).split(".")[-2] == "aws_s3_bucket":
                buckets.add(item)
                continue
            further = self.configuration.targets(item, "bucket")
            new = set(self.configuration.instances(item, further)) - seen
            seen |= new
            todo += new
        return sorted(buckets)

    def _caller_accounts(self) -> Iterator[str]:
        """The account that the root's own provider works in: a provider by an alias may be anybody's.

        From who asked, and from what AWS answered about resources that are there already.
        """
        for address, values in self.plan.read_data.items():
            if ".aws_caller_identity." in f".{address}" and self._is_own_provider(address):
                yield str(values.get("account_id"))
        for change in self.plan.changes:
            account = account_of(str(change.before.get("arn"))) if change.type in _TELLING else ""
            if account and self._is_own_provider(change.address):
                yield account

    def _is_own_provider(self, address: str) -> bool:
        if self.configuration is None:
            return True
        block = self.configuration.resource(address)
        return block is not None and block.get("provider_config_key") == "aws"

    # Tags

    def _provider(self, change: ResourceChange) -> str | None:
        block = self.configuration.resource(change.address) if self.configuration else None
        return str(block.get("provider_config_key")) if block else None

    def _default_tags(self, change: ResourceChange) -> Mapping[str, Any]:
        """The default tags of its provider: as the configuration or another resource of it has them."""
        provider = self._provider(change)
        if self.configuration is None or provider is None:
            return {}
        if provider not in self._defaults:
            settings = self.configuration.providers.get(provider) or {}
            blocks = (settings.get("expressions") or {}).get("default_tags") or []
            self._defaults[provider] = self._tags_of(provider, blocks[0]) if blocks else {}
        return self._defaults[provider]

    def _tags_of(self, provider: str, block: Mapping[str, Any]) -> Mapping[str, Any]:
        written = (block.get("tags") or {}).get("constant_value")
        if isinstance(written, Mapping):
            return written
        for change in self.plan.changes:
            known = change.after.get("tags_all")
            if not isinstance(known, Mapping) or change.after_unknown.get("tags_all"):
                continue
            if self._provider(change) == provider:
                own = change.after.get("tags") or {}
                return {name: value for name, value in known.items() if name not in own}
        return {}

    # Networks

    def _open_to(self, change: ResourceChange) -> Iterator[str]:
        if change.type == "aws_security_group_rule" and change.after.get("type") == "egress":
            return
        for attribute in _RANGES[change.type]:
            value = change.after.get(attribute)
            hidden = change.after_unknown.get(attribute)
            if hidden is True:
                if is_set(self.configuration, change, attribute):
                    yield f"{attribute} ({UNTIL_APPLY})"
            elif isinstance(value, list) and value and isinstance(value[0], Mapping):
                marks = hidden if isinstance(hidden, list) else []
                for number, block in enumerate(value):
                    yield from _ranges(block, marks[number] if number < len(marks) else {})
            else:
                yield from _ranges({"cidr": value}, {"cidr": hidden})

    # Removal

    def _takes_along(self, change: ResourceChange) -> list[str]:
        """What else the plan removes or replaces because it refers to this, by whatever steps."""
        if self.configuration is None:
            return []
        taken, todo = set(), [without_keys(change.address)]
        while todo:
            for dependent in self._dependents.get(todo.pop(), ()):
                if dependent not in taken:
                    taken.add(dependent)
                    todo.append(dependent)
        found: set[str] = set()
        for address in taken:
            by_key, _ = self.configuration.near(change.address, address)
            found.update(one for addresses in by_key.values() for one in addresses)
        return sorted((found & self._removed) - {change.address})

    @cached_property
    def _removed(self) -> frozenset[str]:
        return frozenset(c.address for c in self.plan.changes if c.action in _REMOVALS)

    @cached_property
    def _dependents(self) -> Mapping[str, set[str]]:
        """Configuration address -> the resources whose expressions refer to it."""
        assert self.configuration is not None  # noqa: S101
        found: dict[str, set[str]] = {}
        for address in self.configuration.config_addresses():
            for name in self.configuration.expressions(address) or {}:
                for target, _ in self.configuration.targets(address, name).found:
                    found.setdefault(target, set()).add(address)
        return found


def _ranges(block: Mapping[str, Any], marks: Any) -> Iterator[str]:
    """The ranges of one block that are the world's, or that nobody knows yet."""
    for key in _RANGE_KEYS:
        hidden = marks.get(key) if isinstance(marks, Mapping) else marks
        if hidden is True or (isinstance(hidden, list) and True in hidden):
            yield f"{key} ({UNTIL_APPLY})"
        value = block.get(key)
        for text in value if isinstance(value, list) else [value]:
            if isinstance(text, str) and text and is_world(text):
                yield text
