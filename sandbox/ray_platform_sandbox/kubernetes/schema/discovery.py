"""What the API says of itself: version, groups, resources, and the OpenAPI that clients look into."""

from collections.abc import Iterator, Mapping
from typing import Any

from ray_platform_sandbox.kubernetes.schema.kinds import Kind, Kinds

#: What EKS calls its versions; Helm compares it with a chart's ``kubeVersion``.
VERSION = "1.33.5"
_PARAMETERS = [
    {"name": name, "in": "query", "schema": {"type": "string"}}
    for name in ("fieldValidation", "dryRun", "fieldManager")
]


def discover(path: str, kinds: Kinds, version: int) -> dict[str, Any] | None:
    """The document at a path outside the collections; None: there is none.

    Args:
        path: Of the URL.
        kinds: What is served.
        version: The store's, by which clients cache the OpenAPI.
    """
    parts = [part for part in path.split("/") if part]
    match parts:
        case []:
            return {"paths": ["/api", "/apis", "/openapi/v3", "/version"]}
        case ["healthz" | "readyz" | "livez"]:
            return {}
        case ["version"]:
            major, minor, _ = VERSION.split(".")
            return {
                "major": major,
                "minor": minor,
                "gitVersion": f"v{VERSION}",
                "platform": "linux/amd64",
            }
        case ["api"]:
            return {"kind": "APIVersions", "versions": ["v1"]}
        case ["apis"]:
            groups = [_group(name, vs) for name, vs in kinds.groups().items() if name]
            return {"kind": "APIGroupList", "apiVersion": "v1", "groups": groups}
        case ["apis", name]:
            versions = kinds.groups().get(name)
            if versions is None:
                return None
            return {"kind": "APIGroup", "apiVersion": "v1", **_group(name, versions)}
        case ["api", api_version]:
            return _resources(kinds, api_version)
        case ["apis", name, api_version]:
            return _resources(kinds, f"{name}/{api_version}")
        case ["openapi", "v3"]:
            return {
                "paths": {
                    _root(kind): {"serverRelativeURL": f"/openapi/v3/{_root(kind)}?hash={version}"}
                    for kind in kinds
                }
            }
        case ["openapi", "v3", *root]:
            return _open_api(kinds, "/".join(root))
    return None


def _group(name: str, versions: list[str]) -> dict[str, Any]:
    spelled = [{"groupVersion": f"{name}/{version}", "version": version} for version in versions]
    return {"name": name, "versions": spelled, "preferredVersion": spelled[0]}


def _root(kind: Kind) -> str:
    return f"apis/{kind.api_version}" if kind.group else f"api/{kind.api_version}"


def _resources(kinds: Kinds, api_version: str) -> dict[str, Any] | None:
    listed = [
        entry for kind in kinds if kind.api_version == api_version for entry in _entries(kind)
    ]
    if not listed:
        return None
    return {
        "kind": "APIResourceList",
        "apiVersion": "v1",
        "groupVersion": api_version,
        "resources": listed,
    }


_VERBS = {"log": ["get"], "portforward": ["create", "get"]}


def _entries(kind: Kind) -> Iterator[dict[str, Any]]:
    common = {"kind": kind.kind, "namespaced": kind.namespaced}
    yield {
        **common,
        "name": kind.plural,
        "singularName": kind.singular,
        "shortNames": list(kind.short_names),
        "categories": list(kind.categories),
        "verbs": list(kind.verbs),
    }
    for subresource in sorted(kind.subresources):
        yield {
            **common,
            "name": f"{kind.plural}/{subresource}",
            "singularName": "",
            "verbs": _VERBS.get(subresource, ["get", "patch", "update"]),
        }


def _open_api(kinds: Kinds, root: str) -> dict[str, Any] | None:
    """Enough for clients to learn that the server validates, and what a CRD declares."""
    served = [kind for kind in kinds if _root(kind) == root]
    if not served:
        return None

    def names(kind: Kind) -> Mapping[str, str]:
        return {"group": kind.group, "version": kind.version, "kind": kind.kind}

    return {
        "openapi": "3.0.0",
        "info": {"title": "Kubernetes on one machine", "version": VERSION},
        "paths": {
            f"/{root}/{'namespaces/{namespace}/' if kind.namespaced else ''}{kind.plural}/{{name}}": {
                "patch": {
                    "parameters": _PARAMETERS,
                    "responses": {},
                    "x-kubernetes-group-version-kind": names(kind),
                }
            }
            for kind in served
        },
        "components": {
            "schemas": {
                f"{kind.group}.{kind.version}.{kind.kind}": {
                    **(kind.schema or {"type": "object"}),
                    "x-kubernetes-group-version-kind": [names(kind)],
                }
                for kind in served
            }
        },
    }
