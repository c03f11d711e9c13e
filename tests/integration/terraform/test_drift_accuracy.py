"""How right the drift report is: precision and recall over hundreds of mutations of what stands."""

from ray_platform.session.environment_session import open_session
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from ray_platform.drift.items import DriftItem
from ray_platform.drift.detect import drift_rules, weigh
from ray_platform.session.environment_session import EnvironmentSession
from tests.integration.conftest import AppliedLocal
from tests.support.drift_mutation import Lab, Mutation, batches, type_of
from tests.support.drift_mutations import every_mutation

pytestmark = [pytest.mark.real, pytest.mark.xdist_group("terraform"), pytest.mark.timeout(600)]

#: Terraform's word where nothing was reported, or nothing should have been.
NOTHING = "not reported"


@dataclass
class Score:
    """(wanted, told) of each mutation, for severity and cause; what was told and nobody did."""

    severities: Counter[tuple[str, str]] = field(default_factory=Counter)
    causes: Counter[tuple[str, str]] = field(default_factory=Counter)
    by_type: Counter[str] = field(default_factory=Counter)
    wrong: list[str] = field(default_factory=list)
    beside: list[DriftItem] = field(default_factory=list)
    sizes: list[int] = field(default_factory=list)

    def add(self, batch: Sequence[Mutation], items: Sequence[DriftItem]) -> None:
        self.sizes.append(len(batch))
        told: set[int] = set()
        for mutation in batch:
            own = [item for item in items if mutation.is_told_by(item)]
            told |= {id(item) for item in own}
            told |= {id(item) for item in items if mutation.repeats_in(item)}
            severity = max((i.severity for i in own), key=_order, default=NOTHING)
            causes = {i.cause for i in own} or {NOTHING}
            wanted = mutation.severity or NOTHING, mutation.cause or NOTHING
            self.severities[wanted[0], severity] += 1
            for cause in causes:
                self.causes[wanted[1], cause] += 1
            self.by_type[mutation.type] += 1
            if (severity, causes) != (wanted[0], {wanted[1]}):
                self.wrong.append(
                    f"{mutation.address} {mutation.attribute} ({mutation.name}): "
                    f"wanted {wanted}, told {severity}, {sorted(causes)}"
                )
        self.beside += [item for item in items if id(item) not in told]

    def table(self, title: str, pairs: Counter[tuple[str, str]], extra: Iterable[str]) -> str:
        """Precision and recall of each class; what nobody did counts against precision."""
        beside = Counter(extra)
        lines = [f"| {title} | mutations | precision | recall |", "|---|--:|--:|--:|"]
        for name in sorted({name for pair in pairs for name in pair}):
            right = pairs[name, name]
            wanted = sum(n for (want, _), n in pairs.items() if want == name)
            told = sum(n for (_, tell), n in pairs.items() if tell == name) + beside[name]
            precision = f"{right / told:.3f}" if told else "-"
            recall = f"{right / wanted:.3f}" if wanted else "-"
            lines.append(f"| {name} | {wanted} | {precision} | {recall} |")
        return "\n".join(lines)

    def report(self) -> str:
        count = sum(self.sizes)
        types = ", ".join(f"{name} {n}" for name, n in sorted(self.by_type.items()))
        return "\n\n".join(
            [
                f"{count} mutations of {len(self.by_type)} types in {len(self.sizes)} refreshes "
                f"({', '.join(map(str, self.sizes))} at once)",
                self.table("severity", self.severities, (i.severity for i in self.beside)),
                self.table("cause", self.causes, (i.cause for i in self.beside)),
                f"types: {types}",
                "\n".join(["wrong:", *self.wrong]),
                "\n".join(["told beside them:", *map(str, self.beside)]),
            ]
        )

    @property
    def cause_right(self) -> float:
        return sum(n for (a, b), n in self.causes.items() if a == b) / sum(self.causes.values())


def _order(severity: str) -> int:
    return (NOTHING, "none", "minor", "major").index(severity)


def look(lab: Lab, session: EnvironmentSession, out: Path) -> tuple[DriftItem, ...]:
    """One refresh, read as the stage `drift_report` reads it."""
    terraform = lab.applied.terraform
    made = terraform.look_for_drift(out)
    plan = made.json if made else None
    return weigh(session, plan, terraform.state(), book=drift_rules(session), progress=lambda line: None)


def measure(lab: Lab, session: EnvironmentSession, out: Path) -> Score:
    score = Score()
    for batch in batches(every_mutation(lab)):
        done: list[Mutation] = []
        back = lab.write_state
        restore = None
        try:
            for mutation in batch:
                mutation.do()
                done.append(mutation)
            restore = back()
            score.add(batch, look(lab, session, out))
        finally:
            if restore:
                restore()
            for mutation in reversed(done):
                mutation.undo()
    return score


@pytest.fixture(scope="module")
def score(applied_local: AppliedLocal, tmp_path_factory: pytest.TempPathFactory) -> Score:
    lab = Lab(applied_local)
    session = open_session(applied_local.settings, "local")
    out = tmp_path_factory.mktemp("drift") / "drift.tfplan"
    found = measure(lab, session, out)
    print(f"\n{found.report()}")
    assert look(lab, session, out) == (), "the mutations were not all undone"
    return found


def test_at_least_three_hundred_mutations_of_every_type_were_judged(
    score: Score, applied_local: AppliedLocal
) -> None:
    assert sum(score.sizes) >= 300
    managed = {type_of(address) for address in applied_local.terraform.state().resources}
    assert managed <= set(score.by_type)


def test_no_major_is_false(score: Score) -> None:
    false = [pair for pair, n in score.severities.items() if pair[1] == "major" != pair[0] and n]
    assert (false, [item for item in score.beside if item.severity == "major"]) == ([], [])


def test_every_real_major_is_found(score: Score) -> None:
    assert [
        pair for pair, n in score.severities.items() if pair[0] == "major" != pair[1] and n
    ] == []


def test_the_cause_is_right_in_at_least_95_percent(score: Score) -> None:
    assert score.cause_right >= 0.95
