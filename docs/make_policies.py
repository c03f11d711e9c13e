"""Writes the rules and limits of ``policies/`` into the two pages of docs/reference about them.

``python docs/make_policies.py`` rewrites them, ``--check`` only reports whether they are up to date.
"""

import json
import re
import sys
import textwrap
from collections.abc import Mapping
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
PAGES = tuple(
    ROOT / "docs" / "reference" / name
    for name in ("policies-terraform.md", "policies-kubernetes.md")
)
MARKS = re.compile(r"(<!-- (\w+) of (\w+): begin -->\n).*?(<!-- \2 of \3: end -->)", re.DOTALL)
WIDTH = 112
#: What each limit of ``policies/data.json`` is for.
LIMITS = {
    "bucket_encryption": "algorithms that a bucket may use",
    "encryption_switches": "other volumes, by the attribute that encrypts each",
    "floating_tags": "image tags that name no version",
    "gpu_families": "instance families that make a node a GPU node, whatever its pool is called",
    "gpu_taint_keys": "taints that keep other pods off GPU nodes",
    "instance_types": "allowed types of nodes",
    "max_cpu_nodes": "nodes without GPUs, over all pools",
    "max_gpu_nodes": "nodes with GPUs, over all pools",
    "max_ray_gpus": "GPUs of all Ray pods at their maximum count",
    "own_accounts": "account ids that count as ours, in addition to the one that the plan is made in",
    "protected_types": "resources that are never deleted or replaced outside of `destroy`",
    "refused_node_kinds": "resources that create nodes outside of node groups",
    "refused_policies": "managed policies that no identity gets",
    "required_tags": "tags that must have a value",
    "root_devices": "names of root volumes; a launch template must map one",
}


def rules(package: str, catalogue: Mapping[str, Mapping[str, str]]) -> str:
    """One list item a rule, in the order of the names: what it asks, why, and the fix."""
    return "\n".join(
        _item(
            f"- **`{name}`**{_kind(rule)} {rule['what']} *Why:* {rule['why']} *Fix:* {rule['fix']}."
        )
        for name, rule in sorted(catalogue.items())
    )


def limits(defaults: Mapping[str, Any]) -> str:
    """One list item a limit of ``policies/data.json``: what it is for, and its default.

    Raises:
        KeyError: ``LIMITS`` lacks a limit.
    """
    return "\n".join(
        _item(f"- **`{name}`** {LIMITS[name]}: {_shown(value)}.")
        for name, value in sorted(defaults.items())
    )


def _kind(rule: Mapping[str, str]) -> str:
    """Rules deny unless they say otherwise."""
    return " (advice)" if rule.get("severity") == "advice" else ""


def _shown(value: Any) -> str:
    return f"`{value if isinstance(value, int) else ', '.join(value) or 'none'}`"


def _item(text: str) -> str:
    return textwrap.fill(
        text, WIDTH, subsequent_indent="  ", break_long_words=False, break_on_hyphens=False
    )


def with_lists(page: str, catalogues: Mapping[str, Mapping[str, Mapping[str, str]]]) -> str:
    """A page with the rules of a package, or the limits, between each pair of marks.

    Args:
        page: The text of the page.
        catalogues: The rules of each package: ``what``, ``why`` and ``fix`` by the rule's name.
    """
    defaults = json.loads((ROOT / "policies" / "data.json").read_text("utf-8"))["policy"][
        "defaults"
    ]

    def written(found: re.Match[str]) -> str:
        kind, package = found[2], found[3]
        text = limits(defaults) if kind == "limits" else rules(package, catalogues[package])
        return f"{found[1]}{text}\n{found[4]}"

    return MARKS.sub(written, page)


def catalogues() -> dict[str, Mapping[str, Mapping[str, str]]]:
    """The rules of every package, as the policy engine reads them."""
    from ray_platform.policy.policy_engine import PolicyEngine

    engine = PolicyEngine(ROOT / "policies")
    return {package: engine.rules(package) for package in ("terraform", "ray", "kubernetes")}


def main(arguments: list[str]) -> int:
    known = catalogues()
    stale = 0
    for path in PAGES:
        old = path.read_text(encoding="utf-8")
        new = with_lists(old, known)
        stale |= int(old != new)
        if "--check" not in arguments:
            path.write_text(new, encoding="utf-8")
    return stale if "--check" in arguments else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
