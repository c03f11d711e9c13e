"""What differed in the infrastructure under two runs: manifests, then what their digests stand for."""

from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from typing import Any

#: Beside a resource's masked attributes: the digest of the unmasked ones.
WHOLE_DIGEST = "(digest)"


@dataclass(frozen=True)
class Difference:
    """One value that differs. ``subject`` is a resource address, ``variables``, ``ray`` or ``manifest``."""

    subject: str
    attribute: str
    before: Any
    after: Any

    def to_json(self) -> dict[str, Any]:
        return asdict(self)


def leaves(value: Any, path: str = "") -> Iterator[tuple[str, Any]]:
    """Every leaf of nested JSON with its path, as in ``scaling_config[0].max_size``.

    An empty mapping or list is a leaf.
    """
    if isinstance(value, Mapping) and value:
        for key in value:
            yield from leaves(value[key], f"{path}.{key}" if path else str(key))
    elif isinstance(value, list) and value:
        for index, item in enumerate(value):
            yield from leaves(item, f"{path}[{index}]")
    else:
        yield path, value


def differences(subject: str, before: Any, after: Any) -> tuple[Difference, ...]:
    """The leaves in which two values differ, by path; None stands for a leaf that is absent."""
    old, new = dict(leaves(before)), dict(leaves(after))
    return tuple(
        Difference(subject, path, old.get(path), new.get(path))
        for path in sorted(old.keys() | new.keys())
        if old.get(path) != new.get(path)
    )


def resource_differences(
    before: Mapping[str, Any], after: Mapping[str, Any]
) -> tuple[Difference, ...]:
    """Differences between one module's resources, by address.

    A resource that is on one side alone is one difference: its attribute is ``(resource)``.
    """
    found: list[Difference] = []
    for address in sorted(before.keys() | after.keys()):
        if address not in after:
            found.append(Difference(address, "(resource)", "present", "absent"))
        elif address not in before:
            found.append(Difference(address, "(resource)", "absent", "present"))
        else:
            seen = differences(address, before[address], after[address])
            shown = [item for item in seen if item.attribute != WHOLE_DIGEST]
            if seen and not shown:
                shown = [Difference(address, "(a masked value)", "one", "another")]
            found.extend(shown)
    return tuple(found)
