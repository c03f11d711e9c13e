"""Which attributes the pinned provider alone sets, out of `terraform providers schema -json`.

``python -m tests.support.provider_schema`` writes ``ray_platform/terraform/computed_attributes.json``.
"""

import json
import os
import subprocess
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from ray_platform.terraform.provider_mirror import PROVIDER, PROVIDER_VERSION, find_provider_mirror

RECORDED = (
    Path(__file__).resolve().parents[2] / "ray_platform" / "terraform" / "computed_attributes.json"
)


def schema(folder: Path, *, terraform: str = "terraform") -> Mapping[str, Any]:
    """The schemas of the provider's resource types (14 MB of JSON, 9 s).

    Args:
        folder: An empty folder to work in.
        terraform: The binary.
    """
    source = f'{{ source = "{PROVIDER}", version = "{PROVIDER_VERSION}" }}'
    text = f"terraform {{\n  required_providers {{\n    aws = {source}\n  }}\n}}\n"
    (folder / "main.tf").write_text(text, encoding="utf-8")
    env = {"PATH": os.environ["PATH"], "HOME": str(folder), "CHECKPOINT_DISABLE": "1"}
    mirror = find_provider_mirror(os.environ.get("RAY_PLATFORM_PROVIDER_DIR", ""))
    plugins = [f"-plugin-dir={mirror}"] if mirror else []

    def run(*arguments: str) -> str:
        done = subprocess.run(
            [terraform, *arguments], cwd=folder, env=env, capture_output=True, text=True, check=True
        )
        return done.stdout

    run("init", "-input=false", *plugins)
    found = json.loads(run("providers", "schema", "-json"))
    schemas: Mapping[str, Any] = found["provider_schemas"][f"registry.terraform.io/{PROVIDER}"]
    return dict(schemas["resource_schemas"])


def computed_of(schemas: Mapping[str, Any]) -> dict[str, list[str]]:
    """Dotted paths of the attributes that are computed and neither optional nor required, by type."""
    return {name: sorted(_computed(item["block"])) for name, item in sorted(schemas.items())}


def _computed(block: Mapping[str, Any], prefix: str = "") -> Iterator[str]:
    for name, attribute in (block.get("attributes") or {}).items():
        if attribute.get("computed") and not attribute.get("optional"):
            yield prefix + name
        elif "nested_type" in attribute:
            yield from _computed(attribute["nested_type"], f"{prefix}{name}.")
    for name, inner in (block.get("block_types") or {}).items():
        yield from _computed(inner["block"], f"{prefix}{name}.")


def main() -> None:
    """Write the list, one line a resource type."""
    with tempfile.TemporaryDirectory(prefix="schema-") as folder:
        found = computed_of(schema(Path(folder)))
    lines = [f"{json.dumps(k)}: {json.dumps(v, separators=(',', ':'))}" for k, v in found.items()]
    RECORDED.write_text("{\n" + ",\n".join(lines) + "\n}\n", encoding="utf-8")


if __name__ == "__main__":
    main()
