"""Which infra version made a metric change: the versions between a good run and a bad one, and what to try.

A version is judged by its runs' median: nearer to the good run's value or to the bad one's. What cannot be
judged is untested. If one change made the difference, it came with a version after the last good one and
not after the first bad one, and the middle of the untested ones between them halves what is left.
"""

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

Judgement = Literal["good", "bad", "untested"]


@dataclass(frozen=True)
class Tried:
    """One infra version with the metric of each run on it, by run id; None for a run without it."""

    infra_version: str
    runs: Mapping[str, float | None]

    @property
    def median(self) -> float | None:
        values = [value for value in self.runs.values() if value is not None]
        return statistics.median(values) if values else None


@dataclass(frozen=True)
class Step:
    """A version in order, judged."""

    tried: Tried
    judgement: Judgement

    def to_json(self) -> dict[str, Any]:
        return {
            "infra_version": self.tried.infra_version,
            "judgement": self.judgement,
            "median": self.tried.median,
            "runs": dict(self.tried.runs),
        }


@dataclass(frozen=True)
class Bisection:
    """The versions from good to bad in order, and what is left of them.

    ``last_good`` and ``first_bad`` are the nearest two judged versions between which good turns to bad;
    ``left`` the untested versions between them; ``next`` the one to try, None when none is left: then
    ``first_bad`` made the difference. ``wavers`` says that the judgements go back and forth, so that more
    than one change is at work, or chance.
    """

    steps: tuple[Step, ...]
    last_good: str
    first_bad: str
    left: tuple[str, ...]
    next: str | None
    wavers: bool

    def to_json(self) -> dict[str, Any]:
        return {
            "versions": [step.to_json() for step in self.steps],
            "last_good": self.last_good,
            "first_bad": self.first_bad,
            "left": list(self.left),
            "next": self.next,
            "wavers": self.wavers,
        }


def bisect(versions: Sequence[Tried], good: float, bad: float) -> Bisection:
    """Judge the versions and name the next one to try.

    Args:
        versions: In order, the good run's first, the bad run's last; two or more.
        good: The metric of the good run.
        bad: That of the bad run.

    Raises:
        ValueError: fewer than two versions, or the two runs have the same metric.
    """
    if len(versions) < 2 or good == bad:
        raise ValueError("nothing lies between the two runs")
    judged: list[Judgement] = [_judge(item.median, good, bad) for item in versions]
    judged[0], judged[-1] = "good", "bad"  # as the person who asks says
    at_bad = judged.index("bad")
    at_good = max(at for at in range(at_bad) if judged[at] == "good")
    left = tuple(item.infra_version for item in versions[at_good + 1 : at_bad])
    tested = [judgement for judgement in judged if judgement != "untested"]
    return Bisection(
        steps=tuple(Step(item, j) for item, j in zip(versions, judged, strict=True)),
        last_good=versions[at_good].infra_version,
        first_bad=versions[at_bad].infra_version,
        left=left,
        next=left[len(left) // 2] if left else None,
        wavers=tested != sorted(tested, key=lambda judgement: judgement == "bad"),
    )


def _judge(value: float | None, good: float, bad: float) -> Judgement:
    """Halfway between the two counts as bad."""
    if value is None:
        return "untested"
    return "good" if abs(value - good) < abs(value - bad) else "bad"
