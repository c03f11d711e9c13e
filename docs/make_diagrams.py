"""Writes the asset graph of the code location into docs/explanation/architecture.md, as Mermaid.

``python docs/make_diagrams.py`` rewrites it, ``--check`` only reports whether it is up to date.
"""

import sys
from collections import defaultdict
from pathlib import Path

import dagster as dg

DOCUMENT = Path(__file__).parent / "explanation" / "architecture.md"
BEGIN = "<!-- asset graph: begin, written by docs/make_diagrams.py -->"
END = "<!-- asset graph: end -->"


def asset_graph(definitions: dg.Definitions) -> str:
    """The assets by group with their checks, and what each one is made from, as a Mermaid flowchart.

    A blocking check has a `!` behind its name.
    """
    graph = definitions.resolve_asset_graph()
    checks: dict[dg.AssetKey, list[str]] = defaultdict(list)
    for check in sorted(graph.asset_check_keys, key=lambda check: check.name):
        blocking = graph.get(check).blocking
        checks[check.asset_key].append(f"{check.name}{' !' if blocking else ''}")
    groups: dict[str, list[str]] = defaultdict(list)
    edges: list[str] = []
    for key in graph.toposorted_asset_keys:
        node, name = graph.get(key), key.to_user_string()
        label = "<br/>".join([f"<b>{name}</b>", *checks[key]])
        groups[node.group_name or "default"].append(f'    {name}["{label}"]')
        edges += sorted(f"  {parent.to_user_string()} --> {name}" for parent in node.parent_keys)
    lines = ["```mermaid", "flowchart LR"]
    for group, nodes in groups.items():
        lines += [f"  subgraph {group}", *nodes, "  end"]
    return "\n".join([*lines, *edges, "```"])


def with_graph(document: str, graph: str) -> str:
    """The document with the graph between its marks.

    Raises:
        ValueError: it has no marks.
    """
    before, begin, rest = document.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        raise ValueError(f"{DOCUMENT.name} lacks the lines {BEGIN!r} and {END!r}")
    return f"{before}{BEGIN}\n{graph}\n{END}{after}"


def main(arguments: list[str]) -> int:
    from ray_platform.definitions import defs

    old = DOCUMENT.read_text(encoding="utf-8")
    new = with_graph(old, asset_graph(defs()))
    if "--check" in arguments:
        return int(old != new)
    DOCUMENT.write_text(new, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
