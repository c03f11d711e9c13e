"""The Terraform state as data: read from the state file (format version 4)."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from ray_platform.core.errors import StateError


@dataclass(frozen=True)
class TerraformState:
    """The state: its lineage and serial, managed resources' attributes by address, output values.

    An environment without a state has the lineage ``""`` and the serial 0.
    """

    lineage: str
    serial: int
    resources: Mapping[str, Mapping[str, Any]]
    outputs: Mapping[str, Any]


def read_terraform_state(content: bytes, *, where: str = "state") -> TerraformState:
    """Turn a state file (format version 4) into a `TerraformState`; no bytes are an empty state.

    Raises:
        StateError: not a state, or of another format version.
    """
    if not content:
        return TerraformState("", 0, {}, {})
    try:
        data = json.loads(content)
        if data["version"] != 4:
            raise ValueError(f"format version {data['version']}")
        resources = {
            _address(resource, instance): instance["attributes"]
            for resource in data["resources"]
            if resource["mode"] == "managed"
            for instance in resource["instances"]
        }
        outputs = {name: item.get("value") for name, item in data.get("outputs", {}).items()}
        return TerraformState(str(data["lineage"]), int(data["serial"]), resources, outputs)
    except (ValueError, KeyError, TypeError) as error:
        raise StateError(
            f"the Terraform state cannot be read: {error}",
            where=where,
            fix="restore an earlier version of the object: its bucket keeps them",
        ) from error


def _address(resource: Mapping[str, Any], instance: Mapping[str, Any]) -> str:
    module = f"{resource['module']}." if resource.get("module") else ""
    key = instance.get("index_key")
    index = "" if key is None else f"[{json.dumps(key)}]"
    return f"{module}{resource['type']}.{resource['name']}{index}"
