"""A burst run as others are told of it: its state, the infrastructure under it, what it read and made."""

import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Literal

from ray_platform.text.errors import ArtifactError

State = Literal["START", "COMPLETE", "FAIL", "ABORT"]
_STATES: Mapping[str, State] = {
    "START": "START",
    "COMPLETE": "COMPLETE",
    "FAIL": "FAIL",
    "ABORT": "ABORT",
}
#: The version of docs/schemas/InfraVersionRunFacet.json: another one where the facet's fields change.
FACET_VERSION = "1-0-0"
FACET_FILE = "docs/schemas/InfraVersionRunFacet.json"
_GITHUB = re.compile(r"(?:https://github\.com/|git@github\.com:)([\w.-]+)/([\w.-]+?)(?:\.git)?/?")


@dataclass(frozen=True)
class Item:
    """Something that a run reads or makes; ``version`` is the digest of its content."""

    namespace: str
    name: str
    version: str


@dataclass(frozen=True)
class RunReport:
    """One change of a run's state.

    ``at`` is an ISO 8601 time in UTC; ``facet`` is `infra_facet`; ``producer`` and ``schema_url`` are URIs;
    ``error`` is empty unless the run failed.
    """

    state: State
    at: str
    run_id: str
    environment: str
    producer: str
    schema_url: str
    facet: Mapping[str, Any]
    inputs: tuple[Item, ...]
    outputs: tuple[Item, ...] = ()
    error: str = ""

    def to_json(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_json(cls, data: Any, *, where: str) -> "RunReport":
        """A stored report.

        Raises:
            ArtifactError: it is none.
        """
        try:
            return cls(
                **{
                    **data,
                    "state": _STATES[data["state"]],
                    "inputs": tuple(Item(**item) for item in data["inputs"]),
                    "outputs": tuple(Item(**item) for item in data["outputs"]),
                }
            )
        except (KeyError, TypeError) as error:
            raise ArtifactError(
                f"this is no report of a run: {error!r}", where=where, fix="remove the file"
            ) from error


def infra_facet(infra_version: str, manifest: Mapping[str, Any]) -> dict[str, Any]:
    """The fields of the run facet ``rayPlatform_infraVersion`` (docs/schemas/InfraVersionRunFacet.json)."""
    ray = manifest["ray"] or {}
    return {
        "infraVersion": infra_version,
        "environment": manifest["environment"],
        "commit": manifest["commit"],
        "dirty": manifest["dirty"],
        "planDigest": manifest["plan_digest"],
        "stateLineage": manifest["state_lineage"],
        "stateSerial": manifest["state_serial"],
        "modules": dict(manifest["modules"]),
        "policyBundleDigest": manifest["policy_bundle_digest"],
        "priceBookVersion": manifest["price_book_version"],
        "rayVersion": ray.get("version", ""),
        "rayImage": ray.get("image", ""),
        "chartDigest": ray.get("chart_digest", ""),
        "valuesDigest": ray.get("values_digest", ""),
    }


def inputs_of(manifest: Mapping[str, Any]) -> tuple[Item, ...]:
    """What a run stands on: each Terraform module's resources, and the Ray chart with its values."""
    namespace = f"ray-platform:{manifest['environment']}"
    modules = [
        Item(namespace, f"terraform/{name}", digest)
        for name, digest in sorted(manifest["modules"].items())
    ]
    ray = manifest["ray"]
    chart = [Item(namespace, "helm/ray", ray["manifest_digest"])] if ray else []
    return tuple(modules + chart)


def output_of(url: str, digest: str) -> Item:
    """A stored file by OpenLineage's naming rules: ``s3://BUCKET`` and key, or ``file`` and path."""
    if url.startswith("s3://"):
        bucket, _, key = url.removeprefix("s3://").partition("/")
        return Item(f"s3://{bucket}", key, digest)
    return Item("file", url, digest)


def identity(remote: str, commit: str) -> tuple[str, str]:
    """(producer, schema URL) as URIs: on GitHub where the repository lies there, else names of our own."""
    if found := _GITHUB.fullmatch(remote):
        owner, name = found.groups()
        return (
            f"https://github.com/{owner}/{name}/tree/{commit}",
            f"https://raw.githubusercontent.com/{owner}/{name}/{commit}/{FACET_FILE}"
            "#/$defs/InfraVersionRunFacet",
        )
    schema = f"urn:ray-platform:schema:{FACET_VERSION}:InfraVersionRunFacet.json"
    return "urn:ray-platform", f"{schema}#/$defs/InfraVersionRunFacet"
