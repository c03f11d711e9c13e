"""Calls of the cloud's API as its audit trail tells them, and which of them explains a difference.

The shape of an event: https://docs.aws.amazon.com/awscloudtrail/latest/userguide/cloudtrail-event-reference.html
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

#: Resource type prefix -> the first part of ``eventSource``; the longest prefix that fits decides.
_SERVICES: Mapping[str, str] = {
    "aws_": "ec2",
    "aws_autoscaling_": "autoscaling",
    "aws_cloudwatch_log_": "logs",
    "aws_ecr_": "ecr",
    "aws_eks_": "eks",
    "aws_iam_": "iam",
    "aws_kms_": "kms",
    "aws_s3_": "s3",
}
#: What names a resource in a call: all attributes of one group must occur. Default: `_DEFAULT`.
_NAMES: Mapping[str, tuple[tuple[str, ...], ...]] = {
    "aws_autoscaling_group_tag": (("autoscaling_group_name",),),
    "aws_ecr_lifecycle_policy": (("repository",),),
    "aws_eks_addon": (("arn",), ("cluster_name", "addon_name")),
    "aws_eks_node_group": (("arn",), ("cluster_name", "node_group_name")),
    "aws_iam_role_policy": (("role", "name"),),
    "aws_iam_role_policy_attachment": (("role", "policy_arn"),),
    "aws_kms_alias": (("name",), ("arn",)),
    "aws_kms_key": (("key_id",), ("arn",)),
    "aws_route_table_association": (("id",), ("route_table_id", "subnet_id")),
}
_DEFAULT = (("id",), ("arn",), ("name",), ("bucket",))
_BUCKET = (("bucket",), ("id",), ("arn",))
#: Words of calls that take something away.
_REMOVALS = (
    "Delete",
    "Remove",
    "Revoke",
    "Detach",
    "Disassociate",
    "Schedule",
    "Release",
    "Disable",
)


@dataclass(frozen=True)
class TrailEvent:
    """One call that was not read-only. ``time`` is ISO 8601 in UTC; ``source`` like ``ec2.amazonaws.com``.

    ``who`` is the session's or user's name as the trail tells it, ``role`` the role that was taken.
    """

    id: str
    time: str
    name: str
    source: str
    who: str
    role: str
    kind: str
    user_agent: str
    values: frozenset[str]

    @property
    def by_autoscaler(self) -> bool:
        """An autoscaler's role, or the autoscaling service itself."""
        names = f"{self.who} {self.role}".lower()
        return "autoscal" in names or self.who in (
            "eks.amazonaws.com",
            "AWSServiceRoleForAmazonEKS",
        )

    @property
    def by_person(self) -> bool:
        """Neither an autoscaler nor a service of AWS."""
        return not self.by_autoscaler and self.kind not in ("AWSService", "AWSInternal")

    @property
    def by_terraform(self) -> bool:
        return "terraform" in self.user_agent.lower()

    def tell(self) -> str:
        """Who called what, and when, for people."""
        role = f" (role {self.role})" if self.role and self.role != self.who else ""
        tool = " with Terraform" if self.by_terraform else ""
        return f"{self.who}{role} called {self.name}{tool} at {self.time}"


def read_event(item: Mapping[str, Any], detail: Mapping[str, Any]) -> TrailEvent:
    """One event out of LookupEvents.

    Args:
        item: An element of its ``Events``; ``EventTime`` as an ISO 8601 text.
        detail: Its ``CloudTrailEvent``, parsed.
    """
    identity = detail.get("userIdentity") or {}
    issuer = (identity.get("sessionContext") or {}).get("sessionIssuer") or {}
    who = item.get("Username") or identity.get("userName") or identity.get("invokedBy")
    named = (resource.get("ResourceName") for resource in item.get("Resources") or ())
    return TrailEvent(
        id=str(item.get("EventId", "")),
        time=str(item.get("EventTime", "")),
        name=str(item.get("EventName", "")),
        source=str(item.get("EventSource", "")),
        who=str(who or str(identity.get("arn", "")).rpartition("/")[2] or "somebody"),
        role=str(issuer.get("userName") or ""),
        kind=str(identity.get("type", "")),
        user_agent=str(detail.get("userAgent", "")),
        values=frozenset(
            {str(name) for name in named if name}
            | set(_texts(detail.get("requestParameters")))
            | set(_texts(detail.get("responseElements")))
        ),
    )


def names_of(type_: str, attributes: Mapping[str, Any]) -> tuple[tuple[str, ...], ...]:
    """By which names a call may tell this resource: each group of names tells it by itself."""
    groups = _BUCKET if type_.startswith("aws_s3_bucket") else _NAMES.get(type_, _DEFAULT)
    found = (tuple(str(attributes.get(key) or "") for key in group) for group in groups)
    return tuple(dict.fromkeys(names for names in found if all(names)))


def explaining_event(
    events: Iterable[TrailEvent],
    type_: str,
    attributes: Mapping[str, Any],
    *,
    tag: bool = False,
    removed: bool = False,
) -> TrailEvent | None:
    """The latest call on a resource that may have made a difference, or None.

    Args:
        events: What the trail holds since the state was written.
        type_: The resource's type.
        attributes: Its attributes in the state.
        tag: Whether a tag differs: only calls that tag explain that, and they explain nothing else.
        removed: Whether the resource is gone: calls that take something away come first.
    """
    service = _SERVICES[max((p for p in _SERVICES if type_.startswith(p)), key=len, default="aws_")]
    groups = names_of(type_, attributes)
    about = [
        event
        for event in events
        if event.source.partition(".")[0] == service
        and any(all(_tells(event, name) for name in group) for group in groups)
        and ("Tag" in event.name) == tag
    ]
    if removed:
        about = [event for event in about if event.name.startswith(_REMOVALS)] or about
    return max(about, key=lambda event: (event.time, event.id), default=None)


def _tells(event: TrailEvent, name: str) -> bool:
    return name in event.values


def _texts(value: Any) -> Iterator[str]:
    """Every text below a value; of an ARN or a path also its last part."""
    if isinstance(value, Mapping):
        for item in value.values():
            yield from _texts(item)
    elif isinstance(value, list):
        for item in value:
            yield from _texts(item)
    elif isinstance(value, str):
        yield value
