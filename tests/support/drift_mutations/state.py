"""The state behind Git, or behind a newer provider: written into its bucket."""

from collections.abc import Iterator
from typing import Any

from tests.support.drift_mutation import Lab, Mutation


def unapplied_changes(lab: Lab) -> Iterator[Mutation]:
    """Live is what Git asks for, and the state has what was before: an older value is written into it."""
    older: tuple[tuple[tuple[str, ...], str, Any, str], ...] = (
        (("aws_cloudwatch_log_group",), "retention_in_days", 14, "minor"),
        (("aws_kms_key",), "description", "an older description", "minor"),
        (
            ("aws_iam_role_policy", "aws_s3_bucket_policy"),
            "policy",
            '{"Version":"2012-10-17","Statement":[]}',
            "major",
        ),
        (("aws_eks_cluster",), "version", "1.34", "major"),
        (
            ("aws_eks_addon",),
            "service_account_role_arn",
            "arn:aws:iam::123456789012:role/older",
            "major",
        ),
        (("aws_ecr_repository",), "image_tag_mutability", "MUTABLE", "minor"),
        (("aws_vpc",), "enable_dns_hostnames", False, "minor"),
        (("aws_kms_alias",), "target_key_id", "11111111-2222-3333-4444-555555555555", "major"),
        (("aws_flow_log",), "traffic_type", "REJECT", "major"),
        (("aws_s3_bucket_public_access_block",), "block_public_acls", False, "minor"),
        (("aws_s3_bucket_public_access_block",), "restrict_public_buckets", False, "minor"),
        (("aws_vpc_endpoint",), "private_dns_enabled", False, "minor"),
    )
    for types, attribute, value, severity in older:
        for address, attributes in lab.of_type(*types):
            if (
                attribute == "private_dns_enabled"
                and attributes["vpc_endpoint_type"] != "Interface"
            ):
                continue
            yield Mutation(
                f"the state has an older {attribute}",
                address,
                attribute,
                "unapplied_change",
                severity,
                lab.edit(address, lambda a, k=attribute, v=value: a.update({k: v})),
                also=((_bucket(lab), "policy"),)
                if address.endswith("aws_s3_bucket_policy.artifacts")
                else (),
            )
    for address, _ in lab.of_type("aws_eks_node_group"):
        yield Mutation(
            "the state has a smaller pool",
            address,
            "scaling_config.max_size",
            "unapplied_change",
            "major",
            lab.edit(
                address,
                lambda a: a["scaling_config"][0].update(
                    max_size=a["scaling_config"][0]["max_size"] - 1
                ),
            ),
            also=((address, "scaling_config"),),
        )
        yield Mutation(
            "the state lacks a label",
            address,
            "labels",
            "unapplied_change",
            "minor",
            lab.edit(address, lambda a: a["labels"].pop("ray-platform/pool")),
        )
    for address, _ in lab.of_type("aws_security_group"):
        yield Mutation(
            "the state has no rule yet",
            address,
            "ingress",
            "unapplied_change",
            "major",
            lab.edit(address, lambda a: a.update(ingress=[])),
        )
    for address, attributes in lab.of_type(
        "aws_subnet",
        "aws_route_table",
        "aws_vpc_endpoint",
        "aws_eip",
        "aws_nat_gateway",
        "aws_internet_gateway",
    ):
        if (attributes.get("tags") or {}).get("Name"):
            yield Mutation(
                "the state has an older name",
                address,
                "tags.Name",
                "unapplied_change",
                "minor",
                lab.edit(
                    address,
                    lambda a: (a["tags"].update(Name="older"), a["tags_all"].update(Name="older")),
                ),
                also=((address, "tags_all.Name"),),
            )


def provider_defaults(lab: Lab) -> Iterator[Mutation]:
    """What a newer provider reads and an older one did not: null in the state, AWS's own default live.

    None of these attributes stands in the configuration.
    """
    defaults = {
        "aws_vpc": ("dhcp_options_id", "instance_tenancy"),
        "aws_subnet": ("private_dns_hostname_type_on_launch", "availability_zone_id"),
        "aws_kms_key": ("customer_master_key_spec", "key_usage"),
        "aws_eip": ("network_border_group", "public_dns"),
        "aws_nat_gateway": ("connectivity_type",),
        "aws_flow_log": ("log_format", "log_destination_type"),
        "aws_eks_cluster": ("kubernetes_network_config", "upgrade_policy"),
        "aws_eks_node_group": ("release_version", "disk_size"),
        "aws_vpc_endpoint": ("dns_entry", "subnet_configuration", "dns_options"),
        "aws_s3_bucket": ("hosted_zone_id", "region"),
        "aws_ecr_repository": ("repository_url", "registry_id"),
        "aws_iam_role": ("path", "create_date"),
        "aws_launch_template": ("arn",),
        "aws_eks_addon": ("created_at",),
    }
    for kind, attributes in defaults.items():
        for address, values in lab.of_type(kind):
            for attribute in attributes:
                if values.get(attribute):
                    yield Mutation(
                        f"{attribute} is new to the state",
                        address,
                        attribute,
                        "provider_default",
                        "none",
                        lab.edit(
                            address,
                            lambda a, k=attribute: a.update(
                                {k: [] if isinstance(a[k], list) else None}
                            ),
                        ),
                    )
    for address, role in lab.of_type("aws_iam_role"):
        for attribute in ("managed_policy_arns", "inline_policy"):
            if role.get(attribute):
                yield Mutation(
                    f"{attribute} of another resource",
                    address,
                    attribute,
                    "provider_default",
                    "none",
                    lab.edit(address, lambda a, k=attribute: a.update({k: []})),
                )
    for attribute in (
        "versioning",
        "lifecycle_rule",
        "server_side_encryption_configuration",
        "policy",
    ):
        yield Mutation(
            f"{attribute} of another resource",
            _bucket(lab),
            attribute,
            "provider_default",
            "none",
            lab.edit(
                _bucket(lab),
                lambda a, k=attribute: a.update({k: [] if isinstance(a[k], list) else ""}),
            ),
        )


def _bucket(lab: Lab) -> str:
    return lab.of_type("aws_s3_bucket")[0][0]
