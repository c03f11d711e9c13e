"""Where a live Kubernetes object differs from the manifest that a release has of it.

Compared is what the manifest sets. Lists of named things are matched by their keys and the other ones as
sets, so that neither order nor what the API filled in is a difference. Of the kinds whose whole spec is
ours, what was added to the spec is one too.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from ray_platform.kubernetes.manifest_fields import (
    AMOUNT_FIELDS,
    AMOUNTS,
    FILLED_IN,
    IDENTITY,
    KEYS,
    LEFT_OUT,
    ORDERED,
    WHOLLY_OURS,
)
from ray_platform.kubernetes.quantity import quantity
from ray_platform.text.tree_differences import ABSENT, is_nothing


@dataclass(frozen=True)
class Compared:
    """One object of a release: its document in the manifest, and the live one, None where it is gone.

    ``asked`` is what today's chart and values make of it; None where they have no such object.
    """

    wanted: Mapping[str, Any]
    live: Mapping[str, Any] | None
    asked: Mapping[str, Any] | None


@dataclass(frozen=True)
class Element:
    """A step into a list: the element's key, or its place where it has none; ``index`` in the live list."""

    name: str
    index: int | None

    def __str__(self) -> str:
        return self.name


Path = tuple[str | Element, ...]


@dataclass(frozen=True)
class FieldDifference:
    """One place: ``wanted`` in the manifest, ``live`` in the API; `ABSENT` for what is not there."""

    path: Path
    wanted: Any
    live: Any

    @property
    def text(self) -> str:
        """As in ``spec.workerGroupSpecs[cpu].template.spec.containers[ray-worker].image``."""
        text = ""
        for step in self.path:
            if isinstance(step, Element):
                text += f"[{step.name}]"
            else:
                text += f".{step}" if text else step
        return text

    @property
    def keys(self) -> tuple[str, ...]:
        """The path with the keys of named elements, and without the places of unnamed ones."""
        return tuple(
            str(step) for step in self.path if isinstance(step, str) or not step.name.isdigit()
        )


def identity(document: Mapping[str, Any]) -> tuple[str, str]:
    """Kind and name of a manifest's document."""
    return str(document.get("kind", "")), str(document["metadata"]["name"])


def differences(wanted: Mapping[str, Any], live: Mapping[str, Any]) -> Iterator[FieldDifference]:
    """Each place where a live object is not as its manifest says.

    Args:
        wanted: The document of the release's manifest.
        live: The same object, as the API has it.
    """
    comparison = _Comparison(str(wanted.get("kind", "")))
    for field in ("labels", "annotations"):
        for key, value in ((wanted.get("metadata") or {}).get(field) or {}).items():
            there = ((live.get("metadata") or {}).get(field) or {}).get(key, ABSENT)
            yield from comparison.of(("metadata", field, key), value, there)
    for key in wanted:
        if key not in IDENTITY:
            yield from comparison.of((key,), wanted[key], live.get(key, ABSENT))


def put_back(wanted: Mapping[str, Any], live: Mapping[str, Any]) -> dict[str, Any]:
    """The live object as its manifest says, with all that is not compared as it stands."""
    comparison = _Comparison(str(wanted.get("kind", "")))
    made = dict(live)
    for key in wanted:
        if key not in IDENTITY:
            made[key] = comparison.mended((key,), wanted[key], live.get(key, ABSENT))
    metadata = dict(live.get("metadata") or {})
    for field in ("labels", "annotations"):
        asked = (wanted.get("metadata") or {}).get(field) or {}
        if asked:
            metadata[field] = {**(metadata.get(field) or {}), **asked}
    return {**made, "metadata": metadata}


@dataclass(frozen=True)
class _Comparison:
    kind: str

    def of(self, path: Path, wanted: Any, live: Any) -> Iterator[FieldDifference]:
        if self._is_left_out(path) or _same(path, wanted, live):
            return
        if wanted is ABSENT:
            if self._is_added(path, live):
                yield FieldDifference(path, wanted, live)
        elif isinstance(wanted, Mapping) and isinstance(live, Mapping):
            for key in sorted({*wanted, *live}):
                yield from self.of((*path, key), wanted.get(key, ABSENT), live.get(key, ABSENT))
        elif isinstance(wanted, list) and isinstance(live, list):
            for element, ours, theirs in self._pairs(path, wanted, live):
                yield from self.of((*path, element), ours, theirs)
        else:
            yield FieldDifference(path, wanted, live)

    def mended(self, path: Path, wanted: Any, live: Any) -> Any:
        if self._is_left_out(path) or wanted is ABSENT or _same(path, wanted, live):
            return wanted if live is ABSENT else live
        if isinstance(wanted, Mapping) and isinstance(live, Mapping):
            made = {}
            for key in [*live, *(key for key in wanted if key not in live)]:
                at = (*path, key)
                if key in wanted or not self._is_added(at, live[key]) or self._is_left_out(at):
                    made[key] = self.mended(at, wanted.get(key, ABSENT), live.get(key, ABSENT))
            return made
        if isinstance(wanted, list) and isinstance(live, list):
            return [
                self.mended((*path, element), ours, theirs)
                for element, ours, theirs in self._pairs(path, wanted, live)
                if ours is not ABSENT or not self._is_added((*path, element), theirs)
            ]
        return wanted

    def _is_left_out(self, path: Path) -> bool:
        names = tuple(step for step in path if isinstance(step, str))
        return names in LEFT_OUT.get(self.kind, frozenset())

    def _is_added(self, path: Path, live: Any) -> bool:
        """Whether what only the live object has was put there by somebody."""
        if path[0] != "spec" or self.kind not in WHOLLY_OURS:
            return False
        if isinstance(path[-1], Element):
            return True
        return not (is_nothing(live) or live is False or live in FILLED_IN.get(path[-1], ()))

    def _pairs(
        self, path: Path, wanted: list[Any], live: list[Any]
    ) -> Iterator[tuple[Element, Any, Any]]:
        """The elements that belong together: those of the manifest in its order, then the others."""
        name = next(step for step in reversed(path) if isinstance(step, str))
        if name in ORDERED:
            for index in range(max(len(wanted), len(live))):
                ours = wanted[index] if index < len(wanted) else ABSENT
                theirs = live[index] if index < len(live) else ABSENT
                yield Element(str(index), index if theirs is not ABSENT else None), ours, theirs
            return
        for keys in KEYS.get(name, ()):
            ours_by, live_by = _by_key(wanted, keys), _by_key(live, keys)
            if ours_by is not None and live_by is not None:
                for key in [*ours_by, *(key for key in live_by if key not in ours_by)]:
                    at = live_by.get(key)
                    theirs = ABSENT if at is None else live[at]
                    ours = wanted[ours_by[key]] if key in ours_by else ABSENT
                    yield Element(key, at), ours, theirs
                return
        yield from self._as_sets(path, wanted, live)

    def _as_sets(
        self, path: Path, wanted: list[Any], live: list[Any]
    ) -> Iterator[tuple[Element, Any, Any]]:
        left = list(range(len(live)))
        partner: dict[int, int] = {}
        for place, ours in enumerate(wanted):
            here = (*path, Element(str(place), None))
            same = next((i for i in left if not any(self.of(here, ours, live[i]))), None)
            if same is not None:
                left.remove(same)
                partner[place] = same
        alone = [place for place in range(len(wanted)) if place not in partner]
        # One element that became one other reads best as a change of it.
        if len(alone) == len(left) == 1:
            partner[alone[0]] = left.pop()
        for place, ours in enumerate(wanted):
            at = partner.get(place)
            theirs = ABSENT if at is None else live[at]
            yield Element(str(place if at is None else at), at), ours, theirs
        for at in left:
            yield Element(str(at), at), ABSENT, live[at]


def _by_key(elements: list[Any], keys: tuple[str, ...]) -> dict[str, int] | None:
    """Where each key stands; None where an element has none, or two have the same."""
    found: dict[str, int] = {}
    for index, element in enumerate(elements):
        if not isinstance(element, Mapping) or not all(element.get(key) for key in keys):
            return None
        found[", ".join(str(element[key]) for key in keys)] = index
    return found if len(found) == len(elements) else None


def _same(path: Path, wanted: Any, live: Any) -> bool:
    if is_nothing(wanted) and is_nothing(live):
        return True
    if isinstance(wanted, bool) != isinstance(live, bool):
        return False
    if wanted is not ABSENT and live is not ABSENT and wanted == live:
        return True
    names = [step for step in path if isinstance(step, str)]
    if names[-1:] and (names[-1] in AMOUNT_FIELDS or (len(names) > 1 and names[-2] in AMOUNTS)):
        amounts = (quantity(wanted), quantity(live))
        return None not in amounts and amounts[0] == amounts[1]
    return False
