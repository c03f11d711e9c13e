"""What the expressions of a configuration refer to: the part of a plan that is known before values are.

On a first plan a bucket's id is unknown, but the plan's ``configuration`` says which bucket an access
block names. References are followed through variables, module outputs and ``for_each``. Locals are not
in a plan's JSON: a reference to one cannot be followed, and `Targets.complete` says so.

Format: https://developer.hashicorp.com/terraform/internals/json-format#configuration-representation.
"""

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

Module = tuple[str, ...]

#: An instance key, with quotes and escapes as Terraform writes them.
_KEY = re.compile(r'\[(?:"(?:[^"\\]|\\.)*"|\d+)\]')
_STEP = re.compile(r'(?:\[(?:"(?:[^"\\]|\\.)*"|\d+)\]|[^.])+')
#: References that are no part of a value that is known only after apply.
_PLAIN = ("count", "path", "terraform", "self")
#: Deeper than any chain of modules; what goes deeper is a circle.
_DEPTH = 40


@dataclass(frozen=True)
class Targets:
    """What an expression refers to.

    ``found`` holds pairs of a configuration address (no instance keys) and the one instance key that is
    written in the expression, or an empty text. ``complete`` is False where something was not followed.
    """

    found: frozenset[tuple[str, str]]
    complete: bool


_NOTHING = Targets(frozenset(), True)
_UNFOLLOWED = Targets(frozenset(), False)


def without_keys(address: str) -> str:
    """An address without its instance keys: ``aws_subnet.b`` for ``aws_subnet.b["x"]``."""
    return _KEY.sub("", address)


def keys_of(address: str) -> tuple[str, ...]:
    """The instance keys by step of an address, an empty text for a step without one."""
    keys: list[str] = []
    for step in _steps(address):
        found = _KEY.search(step)
        keys.append(found[0] if found else "")
    return tuple(keys)


class ConfigurationReferences:
    """The configuration of one plan.

    Args:
        configuration: The plan's ``configuration``.
        addresses: Every resource instance of the plan.
    """

    def __init__(self, configuration: Mapping[str, Any], addresses: Iterable[str]) -> None:
        self._modules: dict[Module, Mapping[str, Any]] = {}
        self._calls: dict[Module, Mapping[str, Any]] = {}
        self._resources: dict[str, tuple[Module, Mapping[str, Any]]] = {}
        self._followed: dict[tuple[Module, str, str], Targets] = {}
        self._instances: dict[str, list[str]] = {}
        self._near: dict[tuple[str, int], dict[tuple[str, ...], dict[str, list[str]]]] = {}
        self.providers: Mapping[str, Any] = configuration.get("provider_config") or {}
        self._walk((), configuration.get("root_module") or {})
        for address in addresses:
            self._instances.setdefault(without_keys(address), []).append(address)

    def resource(self, address: str) -> Mapping[str, Any] | None:
        """The block that a resource instance is made from; None where the plan has none."""
        found = self._resources.get(without_keys(address))
        return found[1] if found else None

    def expressions(self, address: str) -> Mapping[str, Any] | None:
        """The expressions of a resource by attribute; None where its block is not in the plan."""
        block = self.resource(address)
        return None if block is None else (block.get("expressions") or {})

    def targets(self, address: str, attribute: str) -> Targets:
        """What an attribute of a resource refers to, nested blocks included."""
        found = self._resources.get(without_keys(address))
        if found is None:
            return _UNFOLLOWED
        module, block = found
        expressions = block.get("expressions") or {}
        if attribute not in expressions:
            return _NOTHING
        return self._follow_all(module, block, _references(expressions[attribute]), _DEPTH)

    def instances(self, owner: str, targets: Targets) -> list[str]:
        """The resource instances that ``owner`` may mean, sorted; one where the plan tells which."""
        found: set[str] = set()
        for target, key in targets.found:
            found.update(self._meant(owner, target, key))
        return sorted(found)

    def config_addresses(self) -> Iterator[str]:
        """Every resource block, without instance keys."""
        yield from self._resources

    def near(self, owner: str, target: str) -> tuple[Mapping[str, list[str]], str]:
        """The instances of a block in the same instances of the modules that both lie in.

        Returns:
            Instance key -> addresses, and the owner's own instance key.
        """
        own = keys_of(owner)
        common = _common_modules(without_keys(owner), target)
        if (target, common) not in self._near:
            groups: dict[tuple[str, ...], dict[str, list[str]]] = {}
            for address in self._instances.get(target, []):
                keys = keys_of(address)
                group = groups.setdefault(keys[:common], {})
                group.setdefault(keys[-1], []).append(address)
            self._near[target, common] = groups
        return self._near[target, common].get(own[:common], {}), own[-1]

    def _meant(self, owner: str, target: str, key: str) -> list[str]:
        by_key, own = self.near(owner, target)
        if key:
            return by_key.get(key, [])
        if own in by_key and own:
            return by_key[own]
        return [address for addresses in by_key.values() for address in addresses]

    def _walk(self, module: Module, content: Mapping[str, Any]) -> None:
        self._modules[module] = content
        prefix = "".join(f"module.{name}." for name in module)
        for block in content.get("resources") or []:
            self._resources[prefix + block["address"]] = (module, block)
        for name, call in (content.get("module_calls") or {}).items():
            self._calls[(*module, name)] = call
            self._walk((*module, name), call.get("module") or {})

    def _follow_all(
        self, module: Module, block: Mapping[str, Any], references: Sequence[str], depth: int
    ) -> Targets:
        parts = [self._follow(module, block, reference, depth) for reference in longest(references)]
        return Targets(
            frozenset(pair for part in parts for pair in part.found),
            all(part.complete for part in parts),
        )

    def _follow(
        self, module: Module, block: Mapping[str, Any], reference: str, depth: int
    ) -> Targets:
        if depth == 0:
            return _UNFOLLOWED
        steps = _steps(reference)
        head = _KEY.sub("", steps[0])
        if head in _PLAIN or reference == "each.key":
            return _NOTHING
        if head == "each":
            loop = _references(block.get("for_each_expression") or {})
            return self._follow_all(module, {}, loop, depth - 1)
        at = (module, reference, "")
        if at not in self._followed:
            # A circle ends as something that was not followed.
            self._followed[at] = _UNFOLLOWED
            self._followed[at] = self._follow_named(module, steps, head, depth)
        return self._followed[at]

    def _follow_named(self, module: Module, steps: Sequence[str], head: str, depth: int) -> Targets:
        if head == "var":
            return self._variable(module, steps[1] if len(steps) > 1 else "", depth)
        if head == "module":
            return self._output(module, steps, depth)
        if head == "local":
            return _UNFOLLOWED
        wanted = 3 if head == "data" else 2
        if len(steps) < wanted:
            return _UNFOLLOWED
        name = ".".join(steps[:wanted])
        key = _KEY.search(steps[wanted - 1])
        prefix = "".join(f"module.{part}." for part in module)
        return Targets(frozenset({(prefix + _KEY.sub("", name), key[0] if key else "")}), True)

    def _variable(self, module: Module, name: str, depth: int) -> Targets:
        if not module:
            # A variable of the root has a value before the plan is made.
            return _NOTHING
        call = self._calls[module]
        name = _KEY.sub("", name)
        given = (call.get("expressions") or {}).get(name)
        if given is None:
            return _NOTHING
        return self._follow_all(module[:-1], call, _references(given), depth - 1)

    def _output(self, module: Module, steps: Sequence[str], depth: int) -> Targets:
        child = (*module, _KEY.sub("", steps[1])) if len(steps) > 1 else module
        content = self._modules.get(child)
        if content is None or child == module:
            return _UNFOLLOWED
        outputs = content.get("outputs") or {}
        # `module.a[each.key].b` is written as `module.a`: any of its outputs may be meant.
        named = [_KEY.sub("", steps[2])] if len(steps) > 2 else list(outputs)
        parts = [
            self._follow_all(
                child, {}, _references((outputs.get(name) or {}).get("expression")), depth - 1
            )
            for name in named
            if name in outputs
        ]
        if not parts:
            return _UNFOLLOWED
        return Targets(
            frozenset(pair for part in parts for pair in part.found),
            all(part.complete for part in parts),
        )


def longest(references: Sequence[str]) -> list[str]:
    """Each reference once, without those that only begin another: Terraform lists both."""
    unique = list(dict.fromkeys(references))
    return [
        one
        for one in unique
        if not any(other != one and other.startswith((f"{one}.", f"{one}[")) for other in unique)
    ]


def _references(expression: Any) -> list[str]:
    """The references in an expression or in nested blocks."""
    if isinstance(expression, Mapping):
        if isinstance(found := expression.get("references"), list):
            return [str(item) for item in found]
        return [item for part in expression.values() for item in _references(part)]
    if isinstance(expression, list):
        return [item for part in expression for item in _references(part)]
    return []


def _steps(address: str) -> list[str]:
    """An address cut at its dots; a dot within a key is none."""
    return _STEP.findall(address)


def _common_modules(one: str, other: str) -> int:
    """How many steps of two addresses belong to modules that both lie in."""
    mine, theirs = _steps(one), _steps(other)
    at = 0
    while (
        at + 1 < min(len(mine), len(theirs))
        and mine[at] == theirs[at] == "module"
        and mine[at + 1] == theirs[at + 1]
    ):
        at += 2
    return at
