"""The tags that every resource bears, so that a bill and an audit can be read by them."""

from collections.abc import Mapping
from typing import Any

#: Which commit made a resource.
COMMIT_TAG = "commit"
#: ``commit`` is written when a resource is made and ignored afterwards, so the state does not hold it.
REQUIRED_TAGS = ("repo", "environment", "managed-by")


def missing_tags(
    resources: Mapping[str, Mapping[str, Any]], *, environment: str
) -> dict[str, tuple[str, ...]]:
    """What required tags resources lack, by address; resources that cannot bear tags are left out.

    A resource can bear tags when its type has ``tags_all``. A tag ``environment`` of another
    environment counts as missing.
    """
    found: dict[str, tuple[str, ...]] = {}
    for address, attributes in resources.items():
        if "tags_all" not in attributes:
            continue
        tags = attributes["tags_all"] or {}
        lacking = tuple(
            name
            for name in REQUIRED_TAGS
            if not tags.get(name) or (name == "environment" and tags[name] != environment)
        )
        if lacking:
            found[address] = lacking
    return found
