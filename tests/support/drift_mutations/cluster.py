"""The cluster: control plane, node groups, launch templates."""

from collections.abc import Callable, Iterator
from typing import Any

from tests.support.drift_mutation import HAND, Lab, Mutation, pair


def control_plane(lab: Lab) -> Iterator[Mutation]:
    ((address, cluster),) = lab.of_type("aws_eks_cluster")
    name = {"name": cluster["name"]}
    for what, attribute, severity, there, back in (
        (
            "a public endpoint",
            "vpc_config.endpoint_public_access",
            "major",
            {"endpointPublicAccess": True},
            {"endpointPublicAccess": False},
        ),
        (
            "no private endpoint",
            "vpc_config.endpoint_private_access",
            "major",
            {"endpointPrivateAccess": False},
            {"endpointPrivateAccess": True},
        ),
    ):
        yield pair(
            lab,
            what,
            address,
            attribute,
            severity,
            "eks",
            "update_cluster_config",
            {**name, "resourcesVpcConfig": there},
            {**name, "resourcesVpcConfig": back},
        )
    everything = [*cluster["enabled_cluster_log_types"]]
    for what, types in (("no logs", everything), ("no audit log", ["audit"])):
        left = [item for item in everything if item not in types]
        there = [{"types": types, "enabled": False}, {"types": left, "enabled": True}]
        back = [{"types": everything, "enabled": True}]
        yield pair(
            lab,
            what,
            address,
            "enabled_cluster_log_types",
            "major",
            "eks",
            "update_cluster_config",
            {**name, "logging": {"clusterLogging": [item for item in there if item["types"]]}},
            {**name, "logging": {"clusterLogging": back}},
        )
    yield pair(
        lab,
        "other authentication",
        address,
        "access_config.authentication_mode",
        "major",
        "eks",
        "update_cluster_config",
        {**name, "accessConfig": {"authenticationMode": "API"}},
        {**name, "accessConfig": {"authenticationMode": "API_AND_CONFIG_MAP"}},
    )
    yield pair(
        lab,
        "another Kubernetes version",
        address,
        "version",
        "major",
        "eks",
        "update_cluster_version",
        {**name, "version": "1.36"},
        {**name, "version": cluster["version"]},
    )
    ((address, provider),) = lab.of_type("aws_iam_openid_connect_provider")
    arn = {"OpenIDConnectProviderArn": provider["arn"]}
    yield pair(
        lab,
        "another audience",
        address,
        "client_id_list",
        "major",
        "iam",
        "add_client_id_to_open_id_connect_provider",
        {**arn, "ClientID": "somebody-else"},
        {**arn, "ClientID": "somebody-else"},
        back_call="remove_client_id_from_open_id_connect_provider",
    )
    yield pair(
        lab,
        "another thumbprint",
        address,
        "thumbprint_list",
        "major",
        "iam",
        "update_open_id_connect_provider_thumbprint",
        {**arn, "ThumbprintList": ["a" * 40]},
        {**arn, "ThumbprintList": []},
    )


def node_groups(lab: Lab) -> Iterator[Mutation]:
    for address, group in lab.of_type("aws_eks_node_group"):
        (sizes,) = group["scaling_config"]
        low, high, now = sizes["min_size"], sizes["max_size"], sizes["desired_size"]
        within = [n for n in range(low, high + 1) if n != now][:3]
        for wanted, cause, severity in (
            *((n, "autoscaler", "none") for n in within),
            (high + 1, HAND, "major"),
        ):
            yield _scaled(
                lab,
                address,
                group,
                f"{wanted} nodes",
                "desired_size",
                cause,
                severity,
                desiredSize=wanted,
            )
        yield _scaled(
            lab, address, group, "more nodes allowed", "max_size", HAND, "major", maxSize=high + 40
        )
        yield _scaled(
            lab, address, group, "another minimum", "min_size", HAND, "major", minSize=low + 1
        )
        names = {"clusterName": group["cluster_name"], "nodegroupName": group["node_group_name"]}
        yield pair(
            lab,
            "a label more",
            address,
            "labels",
            "minor",
            "eks",
            "update_nodegroup_config",
            {**names, "labels": {"addOrUpdateLabels": {"team": "x"}}},
            {**names, "labels": {"removeLabels": ["team"]}},
        )
        yield pair(
            lab,
            "another Kubernetes version",
            address,
            "version",
            "major",
            "eks",
            "update_nodegroup_version",
            {**names, "version": "1.36"},
            {**names, "version": group["version"]},
        )
        yield pair(
            lab,
            "a taint more",
            address,
            "taint",
            "minor",
            "eks",
            "update_nodegroup_config",
            {
                **names,
                "taints": {
                    "addOrUpdateTaints": [{"key": "x", "value": "y", "effect": "NO_EXECUTE"}]
                },
            },
            {
                **names,
                "taints": {"removeTaints": [{"key": "x", "value": "y", "effect": "NO_EXECUTE"}]},
            },
        )
    for address, tag in lab.of_type("aws_autoscaling_group_tag"):
        (own,) = tag["tag"]
        one = {
            "ResourceId": tag["autoscaling_group_name"],
            "ResourceType": "auto-scaling-group",
            "Key": own["key"],
            "PropagateAtLaunch": False,
        }
        yield pair(
            lab,
            "another value",
            address,
            "tag.value",
            "minor",
            "autoscaling",
            "create_or_update_tags",
            {"Tags": [{**one, "Value": "other"}]},
            {"Tags": [{**one, "Value": own["value"]}]},
        )


def _scaled(
    lab: Lab,
    address: str,
    group: Any,
    what: str,
    field: str,
    cause: str,
    severity: str,
    **sizes: int,
) -> Mutation:
    (own,) = group["scaling_config"]
    plain = {
        "minSize": own["min_size"],
        "maxSize": own["max_size"],
        "desiredSize": own["desired_size"],
    }
    names = {"clusterName": group["cluster_name"], "nodegroupName": group["node_group_name"]}
    return Mutation(
        what,
        address,
        f"scaling_config.{field}",
        cause,
        severity,
        lambda: lab.eks.update_nodegroup_config(**names, scalingConfig={**plain, **sizes}),
        lambda: lab.eks.update_nodegroup_config(**names, scalingConfig=plain),
        # One call sets all three: two such mutations cannot be at once.
        also=((address, "scaling_config"),),
    )


def launch_templates(lab: Lab) -> Iterator[Mutation]:
    for address, template in lab.of_type("aws_launch_template"):
        options = {
            "HttpEndpoint": "enabled",
            "HttpTokens": "required",
            "HttpPutResponseHopLimit": 1,
        }
        for what, attribute, severity, data in (
            (
                "IMDSv1",
                "metadata_options.http_tokens",
                "major",
                {"MetadataOptions": {**options, "HttpTokens": "optional"}},
            ),
            (
                "pods reach the metadata",
                "metadata_options.http_put_response_hop_limit",
                "minor",
                {"MetadataOptions": {**options, "HttpPutResponseHopLimit": 2}},
            ),
            (
                "plain volumes",
                "block_device_mappings",
                "major",
                {"BlockDeviceMappings": [_disk(Encrypted=False, VolumeSize=100)]},
            ),
            (
                "larger volumes",
                "block_device_mappings",
                "minor",
                {"BlockDeviceMappings": [_disk(Encrypted=True, VolumeSize=300)]},
            ),
        ):
            yield Mutation(
                what,
                address,
                attribute,
                HAND,
                severity,
                _new_version(
                    lab,
                    template["id"],
                    {
                        "MetadataOptions": options,
                        "BlockDeviceMappings": [_disk(Encrypted=True, VolumeSize=100)],
                        **data,
                    },
                ),
                _no_new_version(lab, template["id"]),
                also=((address, "latest_version"), (address, "tag_specifications")),
            )


def _disk(**ebs: Any) -> dict[str, Any]:
    return {
        "DeviceName": "/dev/xvda",
        "Ebs": {"VolumeType": "gp3", "DeleteOnTermination": True, **ebs},
    }


def _new_version(lab: Lab, template: str, data: dict[str, Any]) -> Callable[[], None]:
    def make() -> None:
        (now,) = lab.ec2.describe_launch_template_versions(
            LaunchTemplateId=template, Versions=["$Latest"]
        )["LaunchTemplateVersions"]
        tags = now["LaunchTemplateData"].get("TagSpecifications", [])
        lab.ec2.create_launch_template_version(
            LaunchTemplateId=template, LaunchTemplateData={**data, "TagSpecifications": tags}
        )

    return make


def _no_new_version(lab: Lab, template: str) -> Callable[[], None]:
    first = next(
        t["latest_version"] for _, t in lab.of_type("aws_launch_template") if t["id"] == template
    )

    def remove() -> None:
        found = lab.ec2.describe_launch_template_versions(LaunchTemplateId=template)[
            "LaunchTemplateVersions"
        ]
        newer = [str(item["VersionNumber"]) for item in found if item["VersionNumber"] > first]
        lab.ec2.delete_launch_template_versions(LaunchTemplateId=template, Versions=newer)

    return remove
