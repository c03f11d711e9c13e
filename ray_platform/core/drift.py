"""Drift: what the live API says against what the Terraform state says, from a refresh-only plan.

``terraform plan -refresh-only`` puts each difference into ``resource_drift``: ``before`` is the
state, ``after`` is what the API answered. Here the two become one `DriftItem` an attribute.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from ray_platform.core.canonical import canonical_json, digest
from ray_platform.core.drift_rules import Fact, Severity, judge
from ray_platform.core.node_pools import NodePool
from ray_platform.core.plan import Plan, ResourceChange
from ray_platform.core.redaction import MASK, redact, redact_marked

_ORDER: Mapping[Severity, int] = {"none": 0, "minor": 1, "major": 2}
_ICON: Mapping[Severity, str] = {"none": "·", "minor": "!", "major": "!!"}
_CELL_CHARS = 120

#: Attributes whose lists are sets: another order of the same elements is no difference.
_SETS = frozenset(
    {"ingress", "egress", "cidr_blocks", "ipv6_cidr_blocks", "prefix_list_ids", "security_groups"}
    | {"security_group_ids", "vpc_security_group_ids", "subnet_ids", "public_access_cidrs"}
    | {"enabled_cluster_log_types", "managed_policy_arns", "route_table_ids", "client_id_list"}
    | {"instance_types", "route", "taint"}
)
_ABSENT = object()
_SEAL = "(sealed)"


@dataclass(frozen=True)
class DriftItem:
    """One attribute that differs.

    ``before`` is the state's value, ``after`` the live one, both with secrets masked; ``cause``
    says who most likely did it, ``reason`` why the severity is what it is.
    """

    address: str
    attribute: str
    before: Any
    after: Any
    severity: Severity
    cause: str
    reason: str


def drift_items(plan: Plan, *, pools: Sequence[NodePool] = ()) -> tuple[DriftItem, ...]:
    """Every difference of a refresh-only plan, the worst first.

    Args:
        plan: Made with ``-refresh-only``; its ``drift`` is read.
        pools: The node pools: a node count within their bounds is the autoscaler's work. Without
            them the bounds in the state count.
    """
    items = [item for change in plan.drift for item in _items_of(change, pools)]
    return tuple(sorted(items, key=lambda i: (-_ORDER[i.severity], i.address, i.attribute)))


def worst(items: Sequence[DriftItem]) -> Severity:
    """The highest severity among the items; ``none`` when there are none."""
    return max((item.severity for item in items), key=_ORDER.__getitem__, default="none")


def to_json(items: Sequence[DriftItem]) -> dict[str, Any]:
    """``severity``, the counts by severity, and the ``items``."""
    counts: dict[str, int] = {"major": 0, "minor": 0, "none": 0}
    for item in items:
        counts[item.severity] += 1
    return {"severity": worst(items), "counts": counts, "items": [asdict(item) for item in items]}


def to_markdown(items: Sequence[DriftItem]) -> str:
    """A table for people, the worst first."""
    if not items:
        return "No drift: what runs is what the state says.\n"
    lines = [
        "| severity | resource | attribute | state | live | cause | reason |",
        "|---|---|---|---|---|---|---|",
    ]
    for item in items:
        cells = (
            f"{_ICON[item.severity]} {item.severity}",
            _code(item.address),
            _code(item.attribute),
            _code(item.before),
            _code(item.after),
            _text(item.cause),
            _text(item.reason),
        )
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


def _items_of(change: ResourceChange, pools: Sequence[NodePool]) -> Iterator[DriftItem]:
    if change.action == "delete":
        yield _item(change, "", "exists", "removed", pools, removed=True)
        return
    old_tree, new_tree = (
        redact_marked(
            redact_marked(dict(tree), change.before_sensitive, _seal), change.after_sensitive, _seal
        )
        for tree in (change.before, change.after)
    )
    for path, old, new in _leaves(old_tree, new_tree, ()):
        yield _item(
            change,
            _path_text(path),
            _shown(path, old),
            _shown(path, new),
            pools,
            path=path,
            raw=(_plain(old), _plain(new)),
        )


def _item(
    change: ResourceChange,
    attribute: str,
    before: Any,
    after: Any,
    pools: Sequence[NodePool],
    *,
    path: tuple[str | int, ...] = (),
    raw: tuple[Any, Any] = (None, None),
    removed: bool = False,
) -> DriftItem:
    verdict = judge(
        Fact(
            type=change.type,
            attribute=attribute,
            keys=tuple(str(part) for part in path if isinstance(part, str)),
            before=raw[0],
            after=raw[1],
            removed=removed,
            resource_before=change.before,
            resource_after=change.after,
            pools=tuple(pools),
        )
    )
    return DriftItem(
        change.address, attribute, before, after, verdict.severity, verdict.cause, verdict.reason
    )


def _leaves(
    old: Any, new: Any, path: tuple[str | int, ...]
) -> Iterator[tuple[tuple[str | int, ...], Any, Any]]:
    """Where the two differ, at the deepest place that has a name of its own."""
    if _same(old, new):
        return
    sealed = any(isinstance(side, Mapping) and _SEAL in side for side in (old, new))
    if isinstance(old, Mapping) and isinstance(new, Mapping) and not sealed:
        for key in sorted({*old, *new}):
            yield from _leaves(old.get(key, _ABSENT), new.get(key, _ABSENT), (*path, key))
    elif isinstance(old, list) and isinstance(new, list):
        name = next((part for part in reversed(path) if isinstance(part, str)), "")
        if name in _SETS:
            yield from _set_leaves(old, new, path)
        else:
            for index in range(max(len(old), len(new))):
                left = old[index] if index < len(old) else _ABSENT
                right = new[index] if index < len(new) else _ABSENT
                yield from _leaves(left, right, (*path, index))
    else:
        yield path, old, new


def _set_leaves(
    old: list[Any], new: list[Any], path: tuple[str | int, ...]
) -> Iterator[tuple[tuple[str | int, ...], Any, Any]]:
    """Elements taken from or added to a set, each told by its place in the list that holds it."""
    old_keys = [canonical_json(item) for item in old]
    new_keys = [canonical_json(item) for item in new]
    gone = [i for i, key in enumerate(old_keys) if key not in new_keys]
    come = [i for i, key in enumerate(new_keys) if key not in old_keys]
    # One element that became one other reads best as a change of it.
    if len(gone) == len(come) == 1:
        yield from _leaves(old[gone[0]], new[come[0]], (*path, come[0]))
        return
    for index in gone:
        yield (*path, index), old[index], _ABSENT
    for index in come:
        yield (*path, index), _ABSENT, new[index]


def _same(old: Any, new: Any) -> bool:
    """Equal, or both nothing: the provider turns absent into null, "" or [] without any meaning."""
    if _is_nothing(old) and _is_nothing(new):
        return True
    return old is new or (type(old) is type(new) and bool(old == new))


def _is_nothing(value: Any) -> bool:
    return value is _ABSENT or value is None or value in ("", [], {})


def _seal(value: Any) -> Any:
    """A stand-in for a sensitive value: tells whether it changed, and nothing else."""
    if isinstance(value, Mapping) and _SEAL in value:
        return value
    return {_SEAL: digest(value)}


def _shown(path: tuple[str | int, ...], value: Any) -> Any:
    """The value for people: sealed values masked, then all that is secret by key or by look."""
    name = next((part for part in reversed(path) if isinstance(part, str)), "")
    return redact({name: _unseal(_plain(value))})[name]


def _unseal(value: Any) -> Any:
    if isinstance(value, Mapping):
        return MASK if _SEAL in value else {key: _unseal(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_unseal(item) for item in value]
    return value


def _plain(value: Any) -> Any:
    return None if value is _ABSENT else value


def _path_text(path: tuple[str | int, ...]) -> str:
    text = ""
    for part in path:
        if isinstance(part, int):
            text += f"[{part}]"
        elif part.replace("_", "").replace("-", "").isalnum():
            text += f".{part}" if text else part
        else:
            text += f'["{part}"]'
    return text


def _code(value: Any) -> str:
    text = value if isinstance(value, str) else canonical_json(value).decode()
    text = text if len(text) <= _CELL_CHARS else text[: _CELL_CHARS - 1] + "…"
    return f"`{_text(text).replace('`', chr(39))}`" if text else ""


def _text(text: str) -> str:
    return text.replace("|", "\\|").replace("\n", " ")
