"""What differed in the infrastructure under two runs: manifests, then what their digests stand for."""

import difflib
import re
from collections.abc import Iterator, Mapping, Sequence
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


def text_differences(
    subject: str, before: Mapping[str, str], after: Mapping[str, str]
) -> tuple[Difference, ...]:
    """One difference a file: the lines that only one side has, without those around them."""
    found = []
    for name in sorted(before.keys() | after.keys()):
        old, new = before.get(name), after.get(name)
        if old == new:
            continue
        if old is None or new is None:
            sides = ("absent", "present") if old is None else ("present", "absent")
            found.append(Difference(subject, f"{name} (file)", *sides))
            continue
        lines = list(difflib.ndiff(old.splitlines(), new.splitlines()))
        gone = "\n".join(line[2:] for line in lines if line.startswith("- "))
        come = "\n".join(line[2:] for line in lines if line.startswith("+ "))
        found.append(Difference(subject, name, gone or None, come or None))
    return tuple(found)


@dataclass(frozen=True)
class Commit:
    """A commit between two infra versions, with the pull requests that its subject names."""

    commit: str
    subject: str

    @property
    def pull_requests(self) -> tuple[int, ...]:
        return pull_requests(self.subject)

    def to_json(self) -> dict[str, Any]:
        return {**asdict(self), "pull_requests": list(self.pull_requests)}


#: How GitHub writes the number: a squashed or rebased commit ends with it, a merge commit begins so.
_PULL_REQUEST = re.compile(r"\(#(\d+)\)|^Merge pull request #(\d+) ")


def pull_requests(subject: str) -> tuple[int, ...]:
    """The numbers of the pull requests that a commit's subject names."""
    return tuple(int(one or other) for one, other in _PULL_REQUEST.findall(subject))


@dataclass(frozen=True)
class MetricChange:
    """A number of two runs beside each other; None where a run has none.

    In the metric's own unit: seconds, node-seconds, US dollars, or none (loss, counts).
    """

    metric: str
    before: float | None
    after: float | None

    @property
    def change(self) -> float | None:
        return None if self.before is None or self.after is None else self.after - self.before

    @property
    def ratio(self) -> float | None:
        """After by before; None where either is missing or before is zero."""
        return self.after / self.before if self.before and self.after is not None else None

    def to_json(self) -> dict[str, Any]:
        return {**asdict(self), "change": self.change, "ratio": self.ratio}


#: What a phase is compared by, all in seconds.
_PHASE_SECONDS = ("seconds", "seconds_to_reach")


def metrics(facts: Mapping[str, Any], phases: Sequence[Mapping[str, Any]] = ()) -> dict[str, float]:
    """Every number of a run by name; those of a phase as ``phase NAME seconds``."""
    found = {name: float(value) for name, value in facts.items() if _is_number(value)}
    for phase in phases:
        for name in _PHASE_SECONDS:
            if _is_number(phase.get(name)):
                found[f"phase {phase['name']} {name}"] = float(phase[name])
    return found


def metric_changes(
    before: Mapping[str, float], after: Mapping[str, float]
) -> tuple[MetricChange, ...]:
    """The metrics of two runs beside each other, also those that are the same, in the first one's order."""
    return tuple(
        MetricChange(name, before.get(name), after.get(name))
        for name in dict.fromkeys([*before, *after])
    )


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)
