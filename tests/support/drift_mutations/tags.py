"""Tags on everything that bears them."""

from collections.abc import Callable, Iterator
from typing import Any

from tests.support.drift_mutation import HAND, Lab, Mutation, tag_list

Tagger = tuple[Callable[[dict[str, str]], Any], Callable[[list[str]], Any]]


def tags(lab: Lab) -> Iterator[Mutation]:
    """A tag more, and one of ours overwritten, on everything that bears tags."""
    for address, attributes in sorted(lab.state.items()):
        tagger = _tagger(lab, address, attributes)
        if tagger is None or "tags_all" not in attributes:
            continue
        put, remove = tagger
        yield Mutation(
            "a tag more",
            address,
            "tags.owner",
            HAND,
            "minor",
            lambda p=put: p({"owner": "ann"}),
            lambda r=remove: r(["owner"]),
            also=((address, "tags_all.owner"),),
        )
        name = (attributes.get("tags") or {}).get("Name")
        if name:
            yield Mutation(
                "another name",
                address,
                "tags.Name",
                HAND,
                "minor",
                lambda p=put: p({"Name": "mine"}),
                lambda p=put, n=name: p({"Name": n}),
                also=((address, "tags_all.Name"),),
            )
        yield Mutation(
            "whose environment?",
            address,
            "tags.environment",
            HAND,
            "minor",
            lambda p=put: p({"environment": "other"}),
            lambda p=put: p({"environment": "local"}),
            also=((address, "tags_all.environment"),),
        )


def _tagger(lab: Lab, address: str, attributes: Any) -> Tagger | None:
    kind = address.split("[")[0].split(".")[-2]
    if kind.startswith(("aws_eks_",)):
        return (
            lambda t: lab.eks.tag_resource(resourceArn=attributes["arn"], tags=t),
            lambda k: lab.eks.untag_resource(resourceArn=attributes["arn"], tagKeys=k),
        )
    if kind == "aws_iam_role":
        return (
            lambda t: lab.iam.tag_role(RoleName=attributes["name"], Tags=tag_list(t)),
            lambda k: lab.iam.untag_role(RoleName=attributes["name"], TagKeys=k),
        )
    if kind == "aws_iam_openid_connect_provider":
        arn = {"OpenIDConnectProviderArn": attributes["arn"]}
        return (
            lambda t: lab.iam.tag_open_id_connect_provider(**arn, Tags=tag_list(t)),
            lambda k: lab.iam.untag_open_id_connect_provider(**arn, TagKeys=k),
        )
    if kind == "aws_kms_key":
        return (
            lambda t: lab.kms.tag_resource(
                KeyId=attributes["key_id"],
                Tags=[{"TagKey": k, "TagValue": v} for k, v in t.items()],
            ),
            lambda k: lab.kms.untag_resource(KeyId=attributes["key_id"], TagKeys=k),
        )
    if kind == "aws_cloudwatch_log_group":
        return (
            lambda t: lab.logs.tag_log_group(logGroupName=attributes["name"], tags=t),
            lambda k: lab.logs.untag_log_group(logGroupName=attributes["name"], tags=k),
        )
    if kind == "aws_ecr_repository":
        return (
            lambda t: lab.ecr.tag_resource(resourceArn=attributes["arn"], tags=tag_list(t)),
            lambda k: lab.ecr.untag_resource(resourceArn=attributes["arn"], tagKeys=k),
        )
    if kind == "aws_launch_template":
        return None  # moto shows the tags that the template was made with
    if kind == "aws_s3_bucket":
        return None  # PutBucketTagging replaces the whole set; done in `gone_and_made_again`
    return (
        lambda t: lab.ec2.create_tags(Resources=[attributes["id"]], Tags=tag_list(t)),
        lambda k: lab.ec2.delete_tags(
            Resources=[attributes["id"]], Tags=[{"Key": key} for key in k]
        ),
    )
