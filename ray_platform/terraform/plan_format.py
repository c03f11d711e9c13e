"""The parts of a plan's JSON that this version knows; a plan with any other part is refused by name.

A key that is not known may stand for work that Terraform will do (Terraform 1.14 runs `action_invocations`
on apply), so that a plan which holds one cannot be judged as if it were whole.

Format: https://developer.hashicorp.com/terraform/internals/json-format (format version 1.2, Terraform 1.13).
"""

from collections.abc import Iterator, Mapping
from typing import Any

from ray_platform.text.errors import PlanFormatError

#: Top-level keys.
PLAN_KEYS = frozenset(
    {
        *("format_version", "terraform_version", "timestamp", "variables", "configuration"),
        *("planned_values", "prior_state", "resource_changes", "resource_drift"),
        *("output_changes", "relevant_attributes", "checks", "deferred_changes"),
        *("applyable", "complete", "errored"),
    }
)
#: Keys of an entry of ``resource_changes``, ``resource_drift`` and of a deferred change.
RESOURCE_KEYS = frozenset(
    {
        *("address", "previous_address", "module_address", "mode", "type", "name", "index"),
        *("provider_name", "deposed", "change", "action_reason"),
    }
)
#: Keys of its ``change``.
CHANGE_KEYS = frozenset(
    {
        *("actions", "before", "after", "after_unknown", "before_sensitive", "after_sensitive"),
        *("replace_paths", "importing", "generated_config", "before_identity", "after_identity"),
    }
)
#: Keys of a resource in ``configuration``.
CONFIGURED_KEYS = frozenset(
    {
        *("address", "mode", "type", "name", "provider_config_key", "provisioners", "expressions"),
        *("schema_version", "count_expression", "for_each_expression", "depends_on"),
    }
)
#: Keys of a module in ``configuration``.
MODULE_KEYS = frozenset({"outputs", "resources", "module_calls", "variables"})
#: Keys of a module call in ``configuration``.
CALL_KEYS = frozenset(
    {
        *("source", "expressions", "count_expression", "for_each_expression", "module"),
        *("version_constraint", "depends_on"),
    }
)
#: Modes of a resource.
MODES = frozenset({"managed", "data"})
#: Every documented ``actions`` of a change; the order is Terraform's.
ACTIONS = frozenset(
    {
        *(("no-op",), ("create",), ("read",), ("update",), ("delete",), ("forget",)),
        *(("delete", "create"), ("create", "delete"), ("create", "forget"), ("forget", "create")),
    }
)

_FIX = (
    "use a version of ray_platform that knows it, or plan with Terraform 1.10 to 1.13 and without "
    "that part"
)


def require_known(data: Mapping[str, Any], *, where: str) -> None:
    """Refuse a plan with a part that this version does not know.

    Args:
        data: The parsed JSON of ``terraform show -json``.
        where: Names the file in the error.

    Raises:
        PlanFormatError: names each unknown part and where it is.
    """
    unknown = list(_unknown_parts(data))
    if unknown:
        shown = "; ".join(unknown[:5])
        more = f"; and {len(unknown) - 5} more" if len(unknown) > 5 else ""
        raise PlanFormatError(
            f"the plan holds what this version does not know: {shown}{more}", where=where, fix=_FIX
        )


def _unknown_parts(data: Mapping[str, Any]) -> Iterator[str]:
    for key in sorted(set(data) - PLAN_KEYS):
        yield f"the key {key!r}"
    for part in ("resource_changes", "resource_drift"):
        for item in data.get(part) or ():
            yield from _unknown_in_change(item)
    for item in data.get("deferred_changes") or ():
        yield from _unknown_in_change(item.get("resource_change") or {})
    root = (data.get("configuration") or {}).get("root_module") or {}
    yield from _unknown_in_module(root, "the root module")


def _unknown_in_change(item: Mapping[str, Any]) -> Iterator[str]:
    address = item.get("address", "a resource without an address")
    if not item.keys() <= RESOURCE_KEYS:
        yield f"the key {sorted(item.keys() - RESOURCE_KEYS)[0]!r} of {address}"
    change = item.get("change") or {}
    if not change.keys() <= CHANGE_KEYS:
        yield f"the key {sorted(change.keys() - CHANGE_KEYS)[0]!r} in the change of {address}"
    if tuple(change.get("actions") or ()) not in ACTIONS:
        yield f"the actions {change.get('actions')} of {address}"
    if item.get("mode", "managed") not in MODES:
        yield f"the mode {item['mode']!r} of {address}"


def _unknown_in_module(module: Mapping[str, Any], where: str) -> Iterator[str]:
    for key in sorted(module.keys() - MODULE_KEYS):
        yield f"the block {key!r} of {where}"
    for resource in module.get("resources") or ():
        for key in sorted(resource.keys() - CONFIGURED_KEYS):
            yield f"the block {key!r} of {resource.get('address')} in {where}"
    for name, call in (module.get("module_calls") or {}).items():
        for key in sorted(call.keys() - CALL_KEYS):
            yield f"the key {key!r} of module {name}"
        yield from _unknown_in_module(call.get("module") or {}, f"module {name}")
