"""Are all resources tagged? The state says what Terraform set, the tagging API what really stands."""

from collections.abc import Mapping
from typing import Any

from ray_platform.change.apply import by_module
from ray_platform.records.infra_version import MODULES
from ray_platform.session.environment_session import EnvironmentSession
from ray_platform.terraform.resource_tags import COMMIT_TAG, missing_tags


def untagged(session: EnvironmentSession) -> dict[str, dict[str, tuple[str, ...]]]:
    """The tags that resources lack, by module and address.

    The tag ``commit`` is not in the state (terraform/README.md), so it is looked for in the live tags of
    every resource that the tagging API lists.
    """
    resources = by_module(session.terraform().state())
    live = _live_tags(session)
    found: dict[str, dict[str, tuple[str, ...]]] = {}
    for module in MODULES:
        missing = missing_tags(resources.get(module, {}), environment=session.name)
        for address, attributes in resources.get(module, {}).items():
            tags = live.get(str(attributes.get("arn")))
            if tags is not None and not tags.get(COMMIT_TAG):
                missing[address] = (*missing.get(address, ()), COMMIT_TAG)
        found[module] = missing
    return found


def _live_tags(session: EnvironmentSession) -> Mapping[str, Mapping[str, Any]]:
    pages = session.aws("resourcegroupstaggingapi").get_paginator("get_resources")
    return {
        item["ResourceARN"]: {tag["Key"]: tag["Value"] for tag in item["Tags"]}
        for page in pages.paginate(TagFilters=[{"Key": "environment", "Values": [session.name]}])
        for item in page["ResourceTagMappingList"]
    }
