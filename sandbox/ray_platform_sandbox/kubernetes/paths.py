"""What a URL path of the API names: a group and version, a collection, an object, a subresource."""

from dataclasses import dataclass

#: Subresources of a namespace: /api/v1/namespaces/x/status is not a collection in x.
_OF_NAMESPACES = ("status", "finalize")


@dataclass(frozen=True)
class Target:
    """What a path names. ``namespace`` empty: all, or none; ``name`` empty: the collection."""

    group: str
    version: str
    plural: str
    namespace: str = ""
    name: str = ""
    subresource: str = ""


def parse_path(path: str) -> Target | None:
    """The target of a path below ``/api/v1/`` or ``/apis/GROUP/VERSION/``; None for any other."""
    parts = [part for part in path.split("/") if part]
    if len(parts) > 2 and parts[0] == "api":
        group, version, rest = "", parts[1], parts[2:]
    elif len(parts) > 3 and parts[0] == "apis":
        group, version, rest = parts[1], parts[2], parts[3:]
    else:
        return None
    namespace = ""
    if len(rest) > 2 and rest[0] == "namespaces" and rest[2] not in _OF_NAMESPACES:
        namespace, rest = rest[1], rest[2:]
    plural, name, subresource, *more = [*rest, "", ""][: max(3, len(rest))]
    if more:
        return None
    return Target(group, version, plural, namespace, name, subresource)
