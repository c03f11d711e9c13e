"""Milliseconds of `lineage`, `runs` and `diff` in a long history, against asking Dagster run by run.

The history is generated: 100,000 burst runs on 2,000 infra versions, each with a materialization as large
as a real one (50 KB), and as many runs of another job, in SQLite and in a PostgreSQL that is started for it.
Run: ``.venv/bin/python bench/lineage.py`` (about 15 minutes and 12 GB of disk; ``--bursts 5000`` for less).
"""

import argparse
import random
import shutil
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

import dagster as dg
from dagster import DagsterEventType, RunsFilter
from dagster._core.instance import InstanceRef

from ray_platform.config.partitions import INFRA_VERSION_TAG
from ray_platform.lineage.trace import describe, explain
from ray_platform.records.records_store import Records
from ray_platform.run_history.run_history_store import RunHistory, hold_connections
from ray_platform.store.artifact_store import Artifacts, FileStore
from tests.support.burst_history import Run, Story, in_bulk, keep_shards
from tests.support.postgres import find_postgres, running_postgres

LIMIT = 50


def made_instance(folder: Path, storage: dict[str, Any]) -> dg.DagsterInstance:
    folder.mkdir(parents=True)
    overrides = {"storage": storage, "telemetry": {"enabled": False}}
    return dg.DagsterInstance.from_ref(InstanceRef.from_dir(str(folder), overrides=overrides))


class RunByRun:
    """The obvious alternative: Dagster's API for each run."""

    def __init__(self, instance: dg.DagsterInstance) -> None:
        self.instance = instance

    def facts(self, run_id: str) -> dict[str, Any]:
        events = self.instance.get_records_for_run(
            run_id, of_type=DagsterEventType.ASSET_MATERIALIZATION
        )
        made = [record.asset_materialization for record in events.records]
        return {k: v.value for item in made if item for k, v in item.metadata.items()}

    def lineage(self, run_id: str) -> Any:
        (record,) = self.instance.get_run_records(RunsFilter(run_ids=[run_id]))
        return record.dagster_run.tags[INFRA_VERSION_TAG], self.facts(run_id)

    def beginning(self, prefix: str) -> Any:
        found = [r for r in self.instance.get_runs() if r.run_id.startswith(prefix)]
        return self.lineage(found[0].run_id)

    def runs(self, versions: Sequence[str]) -> Any:
        records = self.instance.get_run_records(
            RunsFilter(tags={INFRA_VERSION_TAG: list(versions)}), limit=LIMIT
        )
        return [(r, self.facts(r.dagster_run.run_id)) for r in records]

    def all_runs(self) -> Any:
        ((_, versions),) = self.instance.get_run_tags([INFRA_VERSION_TAG])
        return self.runs(sorted(versions))


def milliseconds(ask: Callable[[Run, Run], Any], pairs: Sequence[tuple[Run, Run]]) -> list[float]:
    taken = []
    for one, other in pairs:
        begun = time.perf_counter()
        ask(one, other)
        taken.append((time.perf_counter() - begun) * 1000)
    return sorted(taken)


def measure(
    name: str, instance: dg.DagsterInstance, story: Story, folder: Path, times: int
) -> None:
    records = Records(Artifacts(FileStore(folder / "artifacts")), "local")
    begun = time.perf_counter()
    in_bulk(instance, story)
    written = time.perf_counter() - begun
    hold_connections(instance)
    history = RunHistory(instance, folder / f"index-{name}")
    begun = time.perf_counter()
    history.bursts(limit=1)
    filled = time.perf_counter() - begun
    size = sum(file.stat().st_size for file in (folder / f"index-{name}").iterdir()) / 1e6
    print(
        f"\n{name}: written in {written:.0f} s; index filled in {filled:.0f} s, {size:.0f} MB\n",
        flush=True,
    )
    good = [run for run in story.runs() if run.version and run.good]
    chance = random.Random(3)  # noqa: S311
    pairs = [(chance.choice(good), chance.choice(good)) for _ in range(times)]
    few = pairs[:5]
    newest = [run for run in story.runs() if run.version][-LIMIT:]
    on_version = [run for run in story.runs() if run.version == few[0][0].version][-LIMIT:]
    keep_shards(instance, story, [*newest, *on_version, *(run for pair in few for run in pair)])
    plain = RunByRun(instance)

    def diff(one: Run, other: Run) -> None:
        a, b = history.pair(one.run_id, other.run_id)
        explain(records, a.infra_version, b.infra_version)

    def plain_diff(one: Run, other: Run) -> None:
        a, b = plain.lineage(one.run_id)[0], plain.lineage(other.run_id)[0]
        explain(records, a, b)

    questions: dict[str, tuple[Callable[[Run, Run], Any], Callable[[Run, Run], Any]]] = {
        "`lineage`, the whole id": (
            lambda one, _: describe(records, history.burst(one.run_id)),
            lambda one, _: plain.lineage(one.run_id),
        ),
        "`lineage`, the id's beginning": (
            lambda one, _: describe(records, history.burst(one.run_id[:8])),
            lambda one, _: plain.beginning(one.run_id[:8]),
        ),
        f"`runs`, {LIMIT} newest": (lambda *_: history.bursts(), lambda *_: plain.all_runs()),
        "`runs --infra-version`": (
            lambda one, _: history.bursts(one.version),
            lambda *_: plain.runs([few[0][0].version]),
        ),
        "`diff`": (diff, plain_diff),
    }
    print("| question | p50 ms | p95 ms | run by run, median ms | ratio |\n|---|--:|--:|--:|--:|")
    for question, (ours, theirs) in questions.items():
        taken = milliseconds(ours, pairs)
        other = milliseconds(theirs, few)
        p50, p95 = taken[len(taken) // 2], taken[int(len(taken) * 0.95)]
        base = other[len(other) // 2]
        print(
            f"| {question} | {p50:.0f} | {p95:.0f} | {base:,.0f} | {base / p50:.1f} |", flush=True
        )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--bursts", type=int, default=100_000)
    parser.add_argument("--versions", type=int, default=2_000)
    parser.add_argument("--times", type=int, default=200, help="how often each question is asked")
    asked = parser.parse_args()
    story = Story(asked.bursts, min(asked.versions, asked.bursts))
    print(f"{story.bursts:,} burst runs on {story.versions:,} infra versions.")
    folder = Path(tempfile.mkdtemp(prefix="ray-platform-lineage-"))
    folder.chmod(0o755)
    try:
        story.keep_artifacts(Artifacts(FileStore(folder / "artifacts")))
        base = folder / "sqlite"
        instance = made_instance(base, {"sqlite": {"base_dir": str(base / "storage")}})
        measure("SQLite", instance, story, folder, asked.times)
        shutil.rmtree(base)
        if find_postgres() is None:
            raise SystemExit("PostgreSQL is not installed: its half is not measured")
        with running_postgres() as url:
            base = folder / "postgresql"
            instance = made_instance(base, {"postgres": {"postgres_url": url}})
            measure("PostgreSQL", instance, story, folder, asked.times)
    finally:
        shutil.rmtree(folder)


if __name__ == "__main__":
    main()
