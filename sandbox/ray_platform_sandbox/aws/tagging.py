"""Resources that the Resource Groups Tagging API lists in AWS and moto 5.2.5 leaves out.

Those that `terraform/` makes: EKS clusters, node groups and add-ons, ECR repositories, OIDC providers,
elastic addresses, launch templates, VPC endpoints. Without them nothing could be proven by that API.
"""

from collections.abc import Iterator
from typing import Any


def list_all_tagged_resources() -> None:
    """Let `GetResources` list them too. To be called once a process."""
    from moto.core.resource_tagging import TaggedResource, make_tag_matcher, match_resource_type
    from moto.resourcegroupstaggingapi.models import ResourceGroupsTaggingAPIBackend

    backend: Any = ResourceGroupsTaggingAPIBackend
    plain = backend._get_resources_generator

    def every(
        self: Any,
        tag_filters: Any = None,
        resource_type_filters: Any = None,
        resource_arn_list: Any = None,
    ) -> Iterator[TaggedResource]:
        yield from plain(self, tag_filters, resource_type_filters, resource_arn_list)
        fits = make_tag_matcher(tag_filters)
        for kind, arn, tags in _left_out(self.account_id, self.region_name):
            if not (tags and fits(tags) and match_resource_type(kind, resource_type_filters)):
                continue
            if not resource_arn_list or arn in resource_arn_list:
                yield TaggedResource(arn, tags, kind)

    backend._get_resources_generator = every


def _left_out(account: str, region: str) -> Iterator[tuple[str, str, dict[str, str]]]:
    """(kind, ARN, tags) of each."""
    from moto.ec2.models import ec2_backends
    from moto.ecr.models import ecr_backends
    from moto.eks.models import eks_backends
    from moto.iam.models import iam_backends

    for cluster in eks_backends[account][region].clusters.values():
        yield "eks:cluster", cluster.arn, dict(cluster.tags or {})
        for group in cluster.nodegroups.values():
            yield "eks:nodegroup", group.arn, dict(group.tags or {})
        for addon in cluster.__dict__.get("_addons", {}).values():  # kept there by `emulator_eks`
            yield "eks:addon", addon["addonArn"], dict(addon.get("tags") or {})
    ecr = ecr_backends[account][region]
    for repository in ecr.repositories.values():
        tags = ecr.tagger.get_tag_dict_for_resource(repository.arn)
        yield "ecr:repository", repository.arn, tags
    for provider in iam_backends[account]["aws"].open_id_providers.values():
        tags = {tag["Key"]: tag["Value"] for tag in provider.tags.values()}
        yield "iam:oidc-provider", provider.arn, tags
    ec2 = ec2_backends[account][region]
    for kind, names in (
        ("elastic-ip", [str(address.allocation_id) for address in ec2.addresses]),
        ("launch-template", list(ec2.launch_templates)),
        ("vpc-endpoint", list(ec2.vpc_end_points)),
    ):
        for name in names:
            arn = f"arn:aws:ec2:{region}:{account}:{kind}/{name}"
            yield f"ec2:{kind}", arn, dict(ec2.tags.get(name, {}))
