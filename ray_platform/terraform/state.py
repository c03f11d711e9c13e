"""The Terraform state as data: read from the state file (format version 4)."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ray_platform.text.errors import StateError
from ray_platform.text.redaction import NOTHING, marked_texts, redact, redact_marked, secret_values


@dataclass(frozen=True)
class TerraformState:
    """The state: its lineage and serial, managed resources' attributes by address, output values.

    An environment without a state has the lineage ``""`` and the serial 0. ``outputs`` and ``resources`` hold
    every value; ``marks`` says by address what of the attributes is sensitive, as in a plan's JSON,
    ``sensitive_outputs`` which outputs are, and ``secrets`` what of that is looked for in texts.
    """

    lineage: str
    serial: int
    resources: Mapping[str, Mapping[str, Any]]
    outputs: Mapping[str, Any]
    marks: Mapping[str, Any]
    sensitive_outputs: frozenset[str]
    secrets: frozenset[str]

    @property
    def clean_outputs(self) -> dict[str, Any]:
        """The outputs with secrets masked."""
        marks = dict.fromkeys(self.sensitive_outputs, True)
        clean: dict[str, Any] = redact(redact_marked(dict(self.outputs), marks), self.secrets)
        return clean


def read_terraform_state(content: bytes, *, where: str = "state") -> TerraformState:
    """Turn a state file (format version 4) into a `TerraformState`; no bytes are an empty state.

    Raises:
        StateError: not a state, or of another format version.
    """
    if not content:
        return TerraformState("", 0, {}, {}, {}, frozenset(), NOTHING)
    try:
        data = json.loads(content)
        if data["version"] != 4:
            raise ValueError(f"format version {data['version']}")
        instances = {
            _address(resource, instance): instance
            for resource in data["resources"]
            if resource["mode"] == "managed"
            for instance in resource["instances"]
        }
        resources = {address: instance["attributes"] for address, instance in instances.items()}
        marks = {
            address: _marks(instance["sensitive_attributes"])
            for address, instance in instances.items()
            if instance.get("sensitive_attributes")
        }
        declared = data.get("outputs", {})
        outputs = {name: item.get("value") for name, item in declared.items()}
        hidden = {name for name, item in declared.items() if item.get("sensitive")}
        secrets = marked_texts(outputs, dict.fromkeys(hidden, True))
        for address, mark in marks.items():
            secrets |= marked_texts(resources[address], mark)
        return TerraformState(
            str(data["lineage"]),
            int(data["serial"]),
            resources,
            outputs,
            marks,
            frozenset(hidden),
            secret_values(secrets),
        )
    except (ValueError, KeyError, TypeError) as error:
        raise StateError(
            f"the Terraform state cannot be read: {error}",
            where=where,
            fix="restore an earlier version of the object: its bucket keeps them",
        ) from error


def _marks(paths: Sequence[Sequence[Mapping[str, Any]]]) -> dict[str, Any]:
    """A state's list of sensitive paths as nested marks; below a list or set all of it is sensitive."""
    marks: dict[str, Any] = {}
    for path in paths:
        steps: list[str] = []
        for step in path:
            if step.get("type") == "index" and not isinstance(step["value"].get("value"), str):
                break
            steps.append(str(step["value"]["value"] if step["type"] == "index" else step["value"]))
        node = marks
        for name in steps[:-1]:
            inner = node.setdefault(name, {})
            if inner is True:
                break
            node = inner
        else:
            if steps:
                node[steps[-1]] = True
    return marks


def _address(resource: Mapping[str, Any], instance: Mapping[str, Any]) -> str:
    module = f"{resource['module']}." if resource.get("module") else ""
    key = instance.get("index_key")
    index = "" if key is None else f"[{json.dumps(key)}]"
    return f"{module}{resource['type']}.{resource['name']}{index}"
