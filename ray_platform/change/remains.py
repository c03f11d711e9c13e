"""What is left of an environment after its removal: things that still bear its tags, weighed."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class Tagged:
    """Something that AWS lists with tags. ``ends`` says why it may stay a while; empty: nothing says so."""

    arn: str
    tags: Mapping[str, str]
    ends: str


@dataclass(frozen=True)
class Remains:
    """``left`` must go, ``ending`` will go by itself or is kept on purpose; each with its reason."""

    left: tuple[str, ...]
    ending: tuple[str, ...]


def weigh(
    found: Collection[Tagged], *, environment: str, cluster: str, repositories: Collection[str]
) -> Remains:
    """What of the things found was the environment's.

    Others may use the tag ``environment`` too: ours bear the repository's as well, or the cluster's name.

    Args:
        found: What AWS lists.
        environment: The environment's name.
        cluster: Its EKS cluster's name, which begins every name that Terraform gives.
        repositories: What the tag ``repo`` of its resources may hold.
    """
    mine = {
        item.arn: item
        for item in found
        if _made_by_terraform(item, environment, cluster, repositories)
        or f"kubernetes.io/cluster/{cluster}" in item.tags
        or item.tags.get("elbv2.k8s.aws/cluster") == cluster
    }
    told = sorted(mine.values(), key=lambda item: item.arn)
    return Remains(
        left=tuple(item.arn for item in told if not item.ends),
        ending=tuple(f"{item.arn} ({item.ends})" for item in told if item.ends),
    )


def _made_by_terraform(
    item: Tagged, environment: str, cluster: str, repositories: Collection[str]
) -> bool:
    tags = item.tags
    if tags.get("environment") != environment or "managed-by" not in tags:
        return False
    return (
        tags.get("repo") in repositories or cluster in item.arn or cluster in tags.get("Name", "")
    )
