"""What a real API server fills in for the built-in kinds that somebody here relies on."""

import base64
from typing import Any

from ray_platform_sandbox.kubernetes.failures import invalid
from ray_platform_sandbox.kubernetes.schema.kinds import CRD_GROUP, CRD_PLURAL, Kind
from ray_platform_sandbox.kubernetes.store import now

#: No address is given out: a service's real address stands in its annotations and status.
SERVICE_ADDRESS = "127.0.0.1"


def fill_in(kind: Kind, content: dict[str, Any]) -> dict[str, Any]:
    """The object with what the server decides.

    Raises:
        ApiFailure: a CRD cannot be served.
    """
    match kind.group, kind.plural:
        case "", "secrets":
            _write_only_strings(content)
            content.setdefault("type", "Opaque")
        case "", "services":
            spec = content.setdefault("spec", {})
            spec.setdefault("type", "ClusterIP")
            spec.setdefault("clusterIP", SERVICE_ADDRESS)
            for port in spec.get("ports") or []:
                port.setdefault("protocol", "TCP")
        case "", "namespaces":
            content["status"] = content.get("status") or {"phase": "Active"}
        case "", "pods":
            content["status"] = content.get("status") or {"phase": "Pending"}
        case group, plural if (group, plural) == (CRD_GROUP, CRD_PLURAL):
            _establish(content)
    return content


def _write_only_strings(secret: dict[str, Any]) -> None:
    for key, text in (secret.pop("stringData", None) or {}).items():
        secret.setdefault("data", {})[key] = base64.b64encode(str(text).encode()).decode()


def _establish(crd: dict[str, Any]) -> None:
    name = crd["metadata"]["name"]
    try:
        spec, names = crd["spec"], crd["spec"]["names"]
        stored = [version["name"] for version in spec["versions"] if version.get("storage")]
        wanted = f"{names['plural']}.{spec['group']}"
        complete = bool(names["kind"] and spec["scope"])
    except (KeyError, TypeError) as error:
        raise invalid("CustomResourceDefinition", name, f"spec: Required value: {error}") from error
    if name != wanted or not complete or len(stored) != 1:
        raise invalid(
            "CustomResourceDefinition",
            name,
            f"metadata.name must be {wanted!r}, and one version must be stored",
        )
    names.setdefault("singular", names["kind"].lower())
    names.setdefault("listKind", f"{names['kind']}List")
    earlier = (crd.get("status") or {}).get("conditions") or [{}]
    since = earlier[0].get("lastTransitionTime") or now()
    crd["status"] = {
        "acceptedNames": names,
        "storedVersions": stored,
        "conditions": [
            {
                "type": condition,
                "status": "True",
                "reason": reason,
                "message": message,
                "lastTransitionTime": since,
            }
            for condition, reason, message in (
                ("NamesAccepted", "NoConflicts", "no conflicts found"),
                ("Established", "InitialNamesAccepted", "the initial names have been accepted"),
            )
        ],
    }
