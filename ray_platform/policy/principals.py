"""Whom a resource names outside of a policy document: an account, a role, everybody."""

import re
from collections.abc import Iterator, Mapping
from typing import Any

from ray_platform.policy.access_documents import UNTIL_APPLY, account_of, is_everyone
from ray_platform.policy.references import ConfigurationReferences
from ray_platform.terraform.plan import ResourceChange

#: Resource type -> the attribute that names somebody.
NAMING: Mapping[str, str] = {
    "aws_ami_launch_permission": "account_id",
    "aws_cloudwatch_event_permission": "principal",
    "aws_db_cluster_snapshot": "shared_accounts",
    "aws_db_snapshot": "shared_accounts",
    "aws_ec2_transit_gateway_peering_attachment": "peer_account_id",
    "aws_eks_access_entry": "principal_arn",
    "aws_eks_access_policy_association": "principal_arn",
    "aws_kms_grant": "grantee_principal",
    "aws_lambda_layer_version_permission": "principal",
    "aws_lambda_permission": "principal",
    "aws_ram_principal_association": "principal",
    "aws_redshift_endpoint_authorization": "account",
    "aws_snapshot_create_volume_permission": "account_id",
    "aws_vpc_endpoint_service": "allowed_principals",
    "aws_vpc_endpoint_service_allowed_principal": "principal_arn",
    "aws_vpc_peering_connection": "peer_owner_id",
}
_CONFIG_MAPS = (
    "kubernetes_config_map",
    "kubernetes_config_map_v1",
    "kubernetes_config_map_v1_data",
)
_ARN_IN_TEXT = re.compile(r"arn:[a-z-]+:(?:iam|sts)::[^:\s]*:[^\s\"']+")
_SERVICE = re.compile(r"[a-z0-9.-]+\.amazonaws\.com(\.cn)?|[a-z0-9-]+\.amazon\.com")
#: An ARN that is known only after apply names one of ours when it comes from one of these.
OWN_PRINCIPALS = (
    "aws_caller_identity",
    "aws_cloudfront_origin_access_identity",
    "aws_iam_openid_connect_provider",
    "aws_iam_role",
    "aws_iam_saml_provider",
    "aws_iam_user",
)


def named_principals(
    change: ResourceChange, configuration: ConfigurationReferences | None, own: frozenset[str]
) -> Iterator[dict[str, str]]:
    """Whom a resource names.

    Args:
        change: The resource.
        configuration: The plan's; None where it came without one.
        own: The account ids that are ours.

    Returns:
        ``attribute``, ``who`` and ``whose``: ``own``, ``foreign``, ``everyone``, ``unknown`` or ``service``.
    """
    if change.type in _CONFIG_MAPS:
        yield from _cluster_map(change, own)
        return
    attribute = NAMING.get(change.type)
    if attribute is None:
        return
    hidden = change.after_unknown.get(attribute)
    is_hidden = hidden is True or (isinstance(hidden, list) and True in hidden)
    if (
        is_hidden
        and is_set(configuration, change, attribute)
        and not _is_made_here(change, attribute, configuration)
    ):
        yield {"attribute": attribute, "who": UNTIL_APPLY, "whose": "unknown"}
    value = change.after.get(attribute)
    for who in value if isinstance(value, list) else [value]:
        if isinstance(who, str) and who:
            whose = _whose(change, who, own)
            yield {"attribute": attribute, "who": who, "whose": whose}


def is_set(
    configuration: ConfigurationReferences | None, change: ResourceChange, attribute: str
) -> bool:
    """Whether the configuration sets an attribute; without a configuration nobody knows, so yes."""
    if configuration is None:
        return True
    expressions = configuration.expressions(change.address)
    return expressions is None or attribute in expressions


def _is_made_here(
    change: ResourceChange, attribute: str, configuration: ConfigurationReferences | None
) -> bool:
    if configuration is None:
        return False
    targets = configuration.targets(change.address, attribute)
    types = {address.split(".")[-2] for address, _ in targets.found}
    return targets.complete and bool(types) and types <= set(OWN_PRINCIPALS)


def _whose(change: ResourceChange, who: str, own: frozenset[str]) -> str:
    if is_everyone(who) or who == "all":
        return "everyone"
    if _SERVICE.fullmatch(who):
        # A service works for whoever asks it: without a source, for any account.
        source = any(
            change.after.get(name) or change.after_unknown.get(name) is True
            for name in ("source_account", "source_arn", "principal_org_id")
        )
        return "service" if source or change.type != "aws_lambda_permission" else "everyone"
    account = account_of(who)
    if not account:
        return "unknown"
    return "own" if account in own else "foreign"


def _cluster_map(change: ResourceChange, own: frozenset[str]) -> Iterator[dict[str, str]]:
    """Whom the ConfigMap ``kube-system/aws-auth`` lets into a cluster."""
    blocks: Any = change.after.get("metadata")
    name = blocks[0].get("name") if isinstance(blocks, list) and blocks else None
    if name != "aws-auth":
        return
    data = change.after.get("data")
    marks = change.after_unknown.get("data")
    if marks is True or (isinstance(marks, Mapping) and True in marks.values()):
        yield {"attribute": "data", "who": UNTIL_APPLY, "whose": "unknown"}
    for key, text in (data or {}).items():
        found = _ARN_IN_TEXT.findall(str(text)) if key != "mapAccounts" else []
        found += re.findall(r"\b\d{12}\b", str(text)) if key == "mapAccounts" else []
        for who in found:
            yield {"attribute": f"data.{key}", "who": who, "whose": _whose(change, who, own)}
