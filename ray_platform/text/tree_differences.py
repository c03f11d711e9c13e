"""Where two attribute trees differ, told at the deepest place that has a name of its own."""

from collections.abc import Iterator, Mapping
from typing import Any

from ray_platform.text.canonical import canonical_json, digest
from ray_platform.text.redaction import MASK, redact

Path = tuple[str | int, ...]

#: Attributes whose lists are sets: another order of the same elements is no difference.
_SETS = frozenset(
    {"ingress", "egress", "cidr_blocks", "ipv6_cidr_blocks", "prefix_list_ids", "security_groups"}
    | {"security_group_ids", "vpc_security_group_ids", "subnet_ids", "public_access_cidrs"}
    | {"enabled_cluster_log_types", "managed_policy_arns", "route_table_ids", "client_id_list"}
    | {"instance_types", "route", "taint", "inline_policy", "thumbprint_list", "grant"}
)
ABSENT = object()
_SEAL = "(sealed)"


def leaves(old: Any, new: Any, path: Path = ()) -> Iterator[tuple[Path, Any, Any]]:
    """(path, old, new) of each difference; `ABSENT` stands for what is not there."""
    if _same(old, new):
        return
    sealed = is_sealed(old) or is_sealed(new)
    if isinstance(old, Mapping) and isinstance(new, Mapping) and not sealed:
        for key in sorted({*old, *new}):
            yield from leaves(old.get(key, ABSENT), new.get(key, ABSENT), (*path, key))
    elif isinstance(old, list) and isinstance(new, list):
        name = next((part for part in reversed(path) if isinstance(part, str)), "")
        if name in _SETS:
            yield from _set_leaves(old, new, path)
        else:
            for index in range(max(len(old), len(new))):
                left = old[index] if index < len(old) else ABSENT
                right = new[index] if index < len(new) else ABSENT
                yield from leaves(left, right, (*path, index))
    else:
        yield path, old, new


def is_nothing(value: Any) -> bool:
    """Absent, null, "" and empty: the provider turns one into the other without any meaning."""
    return value is ABSENT or value is None or value in ("", [], {})


def plain(value: Any) -> Any:
    """The value with None for `ABSENT`."""
    return None if value is ABSENT else value


def seal(value: Any) -> Any:
    """A stand-in for a sensitive value: tells whether it changed, and nothing else."""
    if isinstance(value, Mapping) and _SEAL in value:
        return value
    return {_SEAL: digest(value)}


def is_sealed(value: Any) -> bool:
    return isinstance(value, Mapping) and _SEAL in value


def shown(path: Path, value: Any) -> Any:
    """The value for people: sealed values masked, then all that is secret by key or by look."""
    name = next((part for part in reversed(path) if isinstance(part, str)), "")
    return redact({name: _unseal(plain(value))})[name]


def path_text(path: Path) -> str:
    text = ""
    for part in path:
        if isinstance(part, int):
            text += f"[{part}]"
        elif part.replace("_", "").replace("-", "").isalnum():
            text += f".{part}" if text else part
        else:
            text += f'["{part}"]'
    return text


def _set_leaves(old: list[Any], new: list[Any], path: Path) -> Iterator[tuple[Path, Any, Any]]:
    """Elements taken from or added to a set, each told by its place in the list that holds it."""
    old_keys = [canonical_json(item) for item in old]
    new_keys = [canonical_json(item) for item in new]
    gone = [i for i, key in enumerate(old_keys) if key not in new_keys]
    come = [i for i, key in enumerate(new_keys) if key not in old_keys]
    # One element that became one other reads best as a change of it.
    if len(gone) == len(come) == 1:
        yield from leaves(old[gone[0]], new[come[0]], (*path, come[0]))
        return
    for index in gone:
        yield (*path, index), old[index], ABSENT
    for index in come:
        yield (*path, index), ABSENT, new[index]


def _same(old: Any, new: Any) -> bool:
    if is_nothing(old) and is_nothing(new):
        return True
    return old is new or (type(old) is type(new) and bool(old == new))


def _unseal(value: Any) -> Any:
    if isinstance(value, Mapping):
        return MASK if _SEAL in value else {key: _unseal(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_unseal(item) for item in value]
    return value
