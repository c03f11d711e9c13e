"""How severe a drift is: a table of rules, read from the top; the first that matches decides.

The severities: ``major`` opens something up, loses something or weakens a protection; ``none`` is
expected or means nothing; everything else is ``minor``.
"""

import ipaddress
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Any, Literal

from ray_platform.core.node_pools import NodePool

Severity = Literal["none", "minor", "major"]

_BY_HAND = "changed outside Terraform"


@dataclass(frozen=True)
class Fact:
    """One difference and what is around it. ``keys`` is its path without list indices."""

    type: str
    attribute: str
    keys: tuple[str, ...]
    before: Any
    after: Any
    removed: bool
    resource_before: Mapping[str, Any]
    resource_after: Mapping[str, Any]
    pools: tuple[NodePool, ...]


@dataclass(frozen=True)
class Verdict:
    severity: Severity
    cause: str
    reason: str


@dataclass(frozen=True)
class Rule:
    """Matches by resource type and dotted attribute (shell patterns), then by ``when``."""

    severity: Severity
    types: str
    attributes: str
    reason: str
    when: Callable[[Fact], bool] = lambda fact: True
    cause: str = _BY_HAND


def judge(fact: Fact) -> Verdict:
    """The verdict of the first rule that matches."""
    for rule in RULES:
        dotted = ".".join(fact.keys)
        if (
            any(fnmatchcase(fact.type, pattern) for pattern in rule.types.split())
            and any(fnmatchcase(dotted, pattern) for pattern in rule.attributes.split())
            and rule.when(fact)
        ):
            return Verdict(rule.severity, rule.cause, rule.reason)
    return Verdict("minor", _BY_HAND, "an attribute differs; the next apply sets it back")


def _networks(value: Any) -> list[ipaddress.IPv4Network | ipaddress.IPv6Network]:
    """Every CIDR below a value."""
    if isinstance(value, Mapping):
        return [net for item in value.values() for net in _networks(item)]
    if isinstance(value, list):
        return [net for item in value for net in _networks(item)]
    if isinstance(value, str) and "/" in value:
        try:
            return [ipaddress.ip_network(value, strict=False)]
        except ValueError:
            return []
    return []


def _open_to_all(fact: Fact) -> bool:
    return any(n.prefixlen == 0 for n in _networks(fact.after)) and not any(
        n.prefixlen == 0 for n in _networks(fact.before)
    )


def _lets_more_in(fact: Fact) -> bool:
    """Anything but a removal or a narrower network: a port range or a protocol may widen too."""
    if fact.after in (None, "", [], {}):
        return False
    old, new = _networks(fact.before), _networks(fact.after)
    if old and new and not isinstance(fact.after, Mapping):
        return not all(any(_within(inner, outer) for outer in old) for inner in new)
    return fact.keys[-1] != "description"


def _within(
    inner: ipaddress.IPv4Network | ipaddress.IPv6Network,
    outer: ipaddress.IPv4Network | ipaddress.IPv6Network,
) -> bool:
    if isinstance(inner, ipaddress.IPv4Network) and isinstance(outer, ipaddress.IPv4Network):
        return inner.subnet_of(outer)
    if isinstance(inner, ipaddress.IPv6Network) and isinstance(outer, ipaddress.IPv6Network):
        return inner.subnet_of(outer)
    return False


def _off(fact: Fact) -> bool:
    """A protection that was there is gone: true to false, or a value to nothing."""
    return fact.after in (None, False, "", [], {}, "Disabled", "DISABLED", "Suspended")


def _on(fact: Fact) -> bool:
    return fact.after is True


def _within_bounds(fact: Fact) -> bool:
    """Whether the live node count lies within the pool's bounds."""
    name = fact.resource_before.get("node_group_name", "")
    pool = next((p for p in fact.pools if name == p.name or name.endswith(f"-{p.name}")), None)
    if pool is not None:
        low, high = pool.min_size, pool.max_size
    else:
        scaling = (fact.resource_before.get("scaling_config") or [{}])[0]
        low, high = scaling.get("min_size"), scaling.get("max_size")
    if not all(isinstance(n, int) for n in (low, high, fact.after)):
        return False
    return bool(low <= fact.after <= high)


RULES: tuple[Rule, ...] = (
    Rule("major", "*", "*", "the resource is gone: what needs it is broken", lambda f: f.removed),
    # Node counts.
    Rule(
        "none",
        "aws_eks_node_group",
        "scaling_config.desired_size",
        "the node count moved within the pool's bounds",
        _within_bounds,
        "the autoscaler",
    ),
    Rule(
        "major",
        "aws_eks_node_group",
        "scaling_config.*",
        "the pool's bounds, or a node count outside of them, changed: cost and capacity",
    ),
    # Networks.
    Rule(
        "major",
        "aws_security_group aws_security_group_rule aws_vpc_security_group_*_rule "
        "aws_default_security_group aws_network_acl* aws_default_network_acl",
        "ingress* egress* cidr* ipv6_cidr* referenced_* source_* from_port to_port protocol "
        "ip_protocol rule_action self prefix_list*",
        "the network is open to the whole internet",
        _open_to_all,
    ),
    Rule(
        "major",
        "aws_security_group aws_security_group_rule aws_vpc_security_group_*_rule "
        "aws_default_security_group aws_network_acl* aws_default_network_acl",
        "ingress* egress* cidr* ipv6_cidr* referenced_* source_* from_port to_port protocol "
        "ip_protocol rule_action self prefix_list*",
        "a network rule was added or widened",
        _lets_more_in,
    ),
    Rule(
        "major",
        "aws_route_table aws_route",
        "route route.* *gateway_id *cidr_block",
        "traffic takes another way",
    ),
    Rule("major", "aws_subnet", "map_public_ip_on_launch", "nodes would get public IPs", _on),
    # Endpoints.
    Rule(
        "major",
        "aws_eks_cluster",
        "vpc_config.endpoint_public_access",
        "the API endpoint is public",
        _on,
    ),
    Rule(
        "major",
        "aws_eks_cluster",
        "vpc_config.endpoint_private_access",
        "the private API endpoint is off",
        _off,
    ),
    Rule(
        "major",
        "aws_eks_cluster",
        "vpc_config.public_access_cidrs",
        "the API endpoint admits more addresses",
        _lets_more_in,
    ),
    Rule(
        "major",
        "aws_eks_cluster",
        "enabled_cluster_log_types",
        "control plane logs are off",
        _off,
    ),
    Rule("major", "aws_eks_cluster", "version", "the Kubernetes version changed"),
    # Storage.
    Rule(
        "major",
        "aws_s3_bucket_public_access_block",
        "block_public_* ignore_public_acls restrict_public_buckets",
        "the bucket may become public",
        _off,
    ),
    Rule(
        "major",
        "aws_s3_bucket_acl aws_s3_bucket",
        "acl grant grant.* access_control_policy*",
        "who may read the bucket changed",
    ),
    Rule("major", "aws_s3_bucket*", "*versioning*", "bucket versioning is off", _off),
    # Encryption.
    Rule(
        "major",
        "*",
        "*encrypt* *kms_key* *sse_* *rule.apply_server_side_encryption_by_default*",
        "encryption was removed or weakened",
        _off,
    ),
    Rule(
        "major",
        "*",
        "*sse_algorithm *kms_key_arn *kms_key_id *kms_master_key_id",
        "another key or algorithm encrypts",
    ),
    Rule(
        "major",
        "aws_kms_key",
        "is_enabled enable_key_rotation deletion_window_in_days",
        "the key is off, about to go, or no longer rotated",
        _off,
    ),
    # Who may do what.
    Rule(
        "major",
        "aws_iam_*",
        "*policy* inline_policy* managed_policy_arns* policy_arn role user group "
        "permissions_boundary url client_id_list* thumbprint_list*",
        "who may do what changed",
    ),
    Rule(
        "major",
        "aws_s3_bucket_policy aws_s3_bucket aws_kms_key aws_kms_key_policy "
        "aws_ecr_repository_policy aws_vpc_endpoint",
        "policy",
        "who may do what changed",
    ),
    Rule(
        "major",
        "aws_launch_template",
        "metadata_options.http_tokens",
        "instance metadata answers without a token (IMDSv1)",
        lambda f: f.after != "required",
    ),
    # Noise.
    Rule(
        "none",
        "*",
        "etag *.etag version_id unique_id last_modified* latest_version default_version "
        "update_time* status state platform_version resources resources.* "
        "request_charged stored_bytes certificate_authority.* created_at create_date "
        "estimated_number_of_* tags_all tags_all.*",
        "computed by AWS (tags_all repeats tags), not set by Terraform",
        lambda f: _computed(f),
        "AWS itself",
    ),
    Rule("minor", "*", "tags tags.* tags_all tags_all.*", "a tag differs: cost and ownership"),
)


def _computed(fact: Fact) -> bool:
    """``tags_all`` repeats a change of ``tags``; a change of a default tag shows there alone."""
    if fact.keys[0] != "tags_all":
        return True
    return bool(fact.resource_before.get("tags") != fact.resource_after.get("tags"))
