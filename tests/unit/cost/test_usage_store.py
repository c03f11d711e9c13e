"""The ledger conserves: whatever was lost, doubled, late or cut short, each millisecond of a node counts
once, and no step that is killed half-way changes that."""

import datetime as dt
import random
import subprocess
import sys
import time
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ray_platform.cost.ledger.usage_interval import (
    DAY_MS,
    HOUR_MS,
    Mark,
    Usage,
    UsageTotal,
    by_month,
    day_bounds,
    milliseconds,
)
from ray_platform.cost.ledger.usage_store import UsageLedger
from ray_platform.cost.price_book import load_price_book
from ray_platform.cost.report.day_costs import day_costs
from ray_platform.store.artifact_store import FileStore, S3Store
from ray_platform.text.errors import ArtifactError
from tests.support.usage_oracle import expected_totals, node_ms_up

ENV = "local"
DAYS = [dt.date(2026, 11, day) for day in range(19, 25)]
MIDNIGHT = milliseconds(day_bounds(DAYS[2])[0])
TYPES = ("m5.xlarge", "g4dn.xlarge")
HISTORIES = 10_000


def usage(
    start: int, end: int, node: str = "n1", run: str = "", pool: str = "cpu", **more: Any
) -> Usage:
    """Milliseconds from midnight."""
    fields: dict[str, Any] = {"team": "", "instance_type": "m5.xlarge", "spot": False, **more}
    kind = fields.pop("kind", "run" if run else "idle")
    return Usage(ENV, node, MIDNIGHT + start, MIDNIGHT + end, kind, run, pool, **fields)


@pytest.fixture
def ledger(tmp_path: Path) -> UsageLedger:
    return UsageLedger(FileStore(tmp_path / "artifacts"), tmp_path / "cache")


def totals(ledger: UsageLedger) -> tuple[UsageTotal, ...]:
    return ledger.read(ENV, DAYS[0], DAYS[-1]).totals


def shares(ledger: UsageLedger) -> dict[str, int]:
    found: dict[str, int] = defaultdict(int)
    for total in totals(ledger):
        found["+".join(total.runs) or total.kind] += total.node_ms
    return dict(found)


def test_a_run_has_its_part_of_a_node_and_the_rest_is_idle(ledger: UsageLedger) -> None:
    ledger.append([usage(0, 100), usage(20, 60, run="a"), usage(0, 90, "head", kind="overhead")])
    assert shares(ledger) == {"idle": 60, "a": 40, "overhead": 90}


def test_runs_on_one_node_share_what_both_hold(ledger: UsageLedger) -> None:
    ledger.append([usage(0, 60, run="a"), usage(40, 100, run="b")])
    assert shares(ledger) == {"a": 40, "a+b": 20, "b": 40}


def test_a_node_that_is_still_up_counts_until_it_was_last_seen(ledger: UsageLedger) -> None:
    for seen in (10, 30, 20, 30):
        ledger.append([usage(0, seen)])
    assert shares(ledger) == {"idle": 30}


def test_time_that_nobody_observed_is_not_charged(ledger: UsageLedger) -> None:
    ledger.append([usage(0, 10), usage(500, 510)])
    assert shares(ledger) == {"idle": 20}


def test_a_node_that_is_reported_with_two_types_counts_once(ledger: UsageLedger) -> None:
    ledger.append([usage(0, 100), usage(50, 120, instance_type="g4dn.xlarge")])
    assert {t.instance_type: t.node_ms for t in totals(ledger)} == {
        "m5.xlarge": 50,
        "g4dn.xlarge": 70,
    }


def test_what_lies_in_the_future_does_not_count_yet(ledger: UsageLedger) -> None:
    ledger.append([usage(0, 100), usage(90, 200, run="a")])
    reading = ledger.read(ENV, DAYS[2], DAYS[2], until_ms=MIDNIGHT + 50)
    assert sum(total.node_ms for total in reading.totals) == 50


def test_hours_hold_the_node_time_and_what_runs_held_of_it(ledger: UsageLedger) -> None:
    ledger.append([usage(-HOUR_MS, 90 * 60_000), usage(0, 60_000, run="a")])
    hours = ledger.read(ENV, DAYS[0], DAYS[2]).hours
    assert [((h.start_ms - MIDNIGHT) // HOUR_MS, h.held_ms, h.node_ms) for h in hours] == [
        (-1, 0, HOUR_MS),
        (0, 60_000, HOUR_MS),
        (1, 0, HOUR_MS // 2),
    ]


def test_a_peak_is_what_runs_held_at_once_however_short(ledger: UsageLedger) -> None:
    ledger.append([usage(0, HOUR_MS, node) for node in ("n1", "n2", "n3")])
    ledger.append([usage(5, 9, "n1", "a"), usage(8, 20, "n2", "a"), usage(9, 11, "n1", "b")])
    assert ledger.read(ENV, DAYS[0], DAYS[-1]).peaks == {"cpu": 2}
    ledger.append([usage(10, 11, "n3", "b")])
    assert ledger.read(ENV, DAYS[0], DAYS[-1]).peaks == {"cpu": 3}
    assert ledger.read(ENV, DAYS[0], DAYS[0]).peaks == {}


def test_teams_tasks_and_lost_nodes_are_told(ledger: UsageLedger) -> None:
    ledger.append([usage(0, 9, run="a", team="vision"), usage(0, 9, "n2", team="shared")])
    lost = Mark(ENV, MIDNIGHT + 9, "lost", "", "n1", "cpu", True, 1)
    tasks = Mark(ENV, MIDNIGHT + 9, "tasks", "a", "", "", False, 31)
    ledger.append(marks=[tasks, lost])
    ledger.append(marks=[Mark(ENV, MIDNIGHT + 12, "lost", "", "n1", "cpu", True, 1)])
    reading = ledger.read(ENV, DAYS[2], DAYS[2])
    assert (reading.run_teams, reading.pool_teams) == ({"a": "vision"}, {"cpu": "shared"})
    assert (reading.tasks, reading.lost) == ({"a": 31}, {("cpu", True): 1})


def test_adding_the_same_again_adds_no_file(ledger: UsageLedger) -> None:
    ledger.append([usage(0, 10), usage(5, 8, run="a")])
    before = ledger.store.keys("usage")
    ledger.append([usage(5, 8, run="a"), usage(0, 10)])
    assert ledger.store.keys("usage") == before


def test_a_damaged_file_is_named(ledger: UsageLedger) -> None:
    ledger.store.put(f"usage/{ENV}/2026-11/usage-bad.parquet", b"not parquet")
    with pytest.raises(ArtifactError, match=r"usage-bad\.parquet"):
        totals(ledger)


def test_a_ledger_in_s3_reads_as_one_in_a_folder(tmp_path: Path, s3_emulator: Any) -> None:
    s3_emulator.create_bucket(Bucket="ledger")
    ledger = UsageLedger(S3Store("ledger", "p", s3_emulator), tmp_path / "cache")
    for seen in range(10, 100, 10):
        ledger.append([usage(0, seen), usage(0, seen, run="a")])
    assert shares(ledger) == {"a": 90}
    ledger.compact(ENV, "2026-11", least=2)
    assert len(ledger.store.keys("usage")) == 1
    assert shares(ledger) == {"a": 90}
    assert len(list(ledger.cache.rglob("*.parquet"))) == 1


# Histories ---------------------------------------------------------------------------------------

moments = st.integers(-2 * DAY_MS, 2 * DAY_MS) | st.integers(-30, 30)
usages = st.builds(
    lambda a, b, node, run, overhead, place: usage(
        min(a, b),
        max(a, b),
        node,
        "" if overhead else run,
        ("cpu", "gpu")[place],
        kind="overhead" if overhead else "run" if run else "idle",
        instance_type=TYPES[place],
    ),
    moments,
    moments,
    st.sampled_from(["n1", "n2"]),
    st.sampled_from(["", "", "a", "b", "c"]),
    st.sampled_from([False, False, False, True]),
    st.sampled_from([0, 0, 0, 1]),
)


@settings(
    max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(st.lists(usages, min_size=1, max_size=12), st.data())
def test_the_query_says_what_the_rule_says_however_the_ledger_was_written(
    tmp_path_factory: pytest.TempPathFactory, found: list[Usage], data: st.DataObject
) -> None:
    folder = tmp_path_factory.mktemp("ledger")
    ledger = UsageLedger(FileStore(folder / "a"), folder / "cache")
    again = data.draw(st.lists(st.sampled_from(found), max_size=4))
    order = data.draw(st.permutations([*found, *again]))
    for at in range(0, len(order), 3):
        ledger.append(order[at : at + 3])
        if data.draw(st.booleans()):
            ledger.compact(ENV, "2026-11", least=1)
    assert totals(ledger) == expected_totals(found)


class Killed(BaseException):
    """Stands for `kill -9`: nothing catches it."""


class KilledStore(FileStore):
    """A folder whose user dies before, or right after, the n-th change that it makes."""

    def __init__(self, folder: Path, steps: int) -> None:
        super().__init__(folder)
        self.steps = steps

    def _step(self) -> None:
        self.steps -= 1
        if self.steps < 0:
            raise Killed

    def put(self, key: str, content: bytes) -> None:
        self._step()
        super().put(key, content)
        self._step()

    def remove(self, key: str) -> None:
        self._step()
        super().remove(key)


@pytest.mark.parametrize("steps", range(12))
def test_a_compaction_killed_at_any_step_loses_and_doubles_nothing(
    tmp_path: Path, steps: int
) -> None:
    whole = UsageLedger(FileStore(tmp_path / "a"), tmp_path / "cache")
    marks = [Mark(ENV, MIDNIGHT, "tasks", run, "", "", False, 5) for run in "ab"]
    for number, mark in enumerate(marks):
        whole.append([usage(number * 10, 100), usage(50 + number, 90, run="a")], [mark])
    whole.append([usage(70, 130, "n2")])
    before = whole.read(ENV, DAYS[0], DAYS[-1])
    killed = UsageLedger(KilledStore(tmp_path / "a", steps), tmp_path / "cache")
    if steps < 11:
        with pytest.raises(Killed):
            killed.compact(ENV, "2026-11", least=1)
    else:
        killed.compact(ENV, "2026-11", least=1)
    assert whole.read(ENV, DAYS[0], DAYS[-1]) == before
    whole.compact(ENV, "2026-11", least=1)
    assert whole.read(ENV, DAYS[0], DAYS[-1]) == before
    assert len(whole.store.keys("usage")) == 2


def test_where_nothing_may_be_removed_nothing_is_joined(tmp_path: Path) -> None:
    class Keeping(FileStore):
        def remove(self, key: str) -> None:
            raise ArtifactError("an artifact cannot be removed", where=key, fix="allow it")

    ledger = UsageLedger(Keeping(tmp_path / "a"), tmp_path / "cache")
    for seen in (10, 20, 30):
        ledger.append([usage(0, seen)])
    with pytest.raises(ArtifactError, match="cannot be removed"):
        ledger.compact(ENV, "2026-11", least=1)
    assert len(ledger.store.keys("usage")) == 3
    assert shares(ledger) == {"idle": 30}


def test_a_read_during_a_compaction_sees_the_whole_ledger(tmp_path: Path) -> None:
    class Racing(FileStore):
        """Files are compacted away between their listing and their reading."""

        raced = False

        def keys(self, prefix: str) -> list[str]:
            found = super().keys(prefix)
            if not self.raced:
                self.raced = True
                calm.compact(ENV, "2026-11", least=1)
            return found

    calm = UsageLedger(FileStore(tmp_path / "a"), tmp_path / "cache")
    calm.append([usage(0, 10)])
    calm.append([usage(5, 30, run="a")])
    racing = UsageLedger(Racing(tmp_path / "a"), tmp_path / "cache")
    assert shares(racing) == {"idle": 5, "a": 25}


def test_processes_that_append_and_compact_at_once_lose_and_double_nothing(tmp_path: Path) -> None:
    """Three real processes on one folder, each compacting after every append."""
    code = (
        "import sys; from pathlib import Path\n"
        "from ray_platform.store.artifact_store import FileStore\n"
        "from ray_platform.cost.ledger.usage_store import UsageLedger\n"
        "from ray_platform.cost.ledger.usage_interval import Usage\n"
        "folder, who, start = Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3])\n"
        "ledger = UsageLedger(FileStore(folder / 'a'), folder / f'cache-{who}')\n"
        "for n in range(8):\n"
        "    span = (start + n * 100, start + n * 100 + 60 + 10 * who)\n"
        "    ledger.append([Usage('local', 'n', *span, 'idle', '', 'cpu', '', 'm5.xlarge', False)])\n"
        "    ledger.compact('local', '2026-11', least=2)\n"
    )
    root = Path(__file__).resolve().parents[3]
    children = [
        subprocess.Popen(
            [sys.executable, "-c", code, str(tmp_path), str(who), str(MIDNIGHT)], cwd=root
        )
        for who in range(3)
    ]
    assert [child.wait(timeout=120) for child in children] == [0, 0, 0]
    ledger = UsageLedger(FileStore(tmp_path / "a"), tmp_path / "cache")
    assert shares(ledger) == {"idle": 8 * 80}


def history(number: int, chance: random.Random) -> Iterator[Usage]:
    """What was written of one small cluster's life: overlapping runs, nodes that are seen again and
    again, events that are lost, doubled or late, a recorder that is killed and starts anew, and a
    clock that is set back or forth while it watches."""
    pool = f"pool {number}"
    step = 0
    for n in range(chance.randint(1, 3)):
        node, spot = f"{number}/{n}", chance.random() < 0.3
        start = chance.randint(-DAY_MS, DAY_MS)
        end = start + chance.choice([chance.randint(1, 90_000), chance.randint(1, DAY_MS)])
        common: dict[str, Any] = {"spot": spot, "instance_type": TYPES[n % 2]}
        head = n == 0 and chance.random() < 0.3
        seen = sorted(chance.randint(start, end) for _ in range(chance.randint(0, 3)))
        for at in [*seen, end]:
            if chance.random() < 0.15:
                continue  # lost
            if chance.random() < 0.1:
                step = chance.randint(-3_600_000, 3_600_000)
            common["kind"] = "overhead" if head else "idle"
            yield usage(start, max(start, at + step), node, "", pool, **common)
        for run in chance.sample("abc", chance.randint(0, 3)):
            left = chance.randint(start - 1000, end)
            common["kind"] = "run"
            yield usage(
                left,
                left + chance.randint(0, (end - start) // 2),
                node,
                f"{number}/{run}",
                pool,
                **common,
            )


def test_ten_thousand_random_histories_conserve_time_and_cents(tmp_path: Path) -> None:
    """Each history is a pool of one ledger, so that one query answers for all of them."""
    started = time.perf_counter()
    chance = random.Random(20261121)  # noqa: S311
    truth: dict[str, list[Usage]] = {}
    batches: list[list[Usage]] = [[] for _ in range(12)]
    doubled = 0
    for number in range(HISTORIES):
        written = list(history(number, chance))
        truth[f"pool {number}"] = [u for _, u in by_month(written)]
        for item in written:
            times = 1 + (chance.random() < 0.2)
            doubled += times - 1
            for _ in range(times):
                chance.choice(batches).append(item)
    ledger = UsageLedger(FileStore(tmp_path / "a"), tmp_path / "cache")
    for number, batch in enumerate(batches):
        ledger.append(batch)
        if number in (4, 9):
            ledger.compact(ENV, "2026-11", least=2)
    written_seconds = time.perf_counter() - started
    reading = ledger.read(ENV, DAYS[0], DAYS[-1])
    query_seconds = time.perf_counter() - started - written_seconds

    by_pool: dict[str, list[UsageTotal]] = defaultdict(list)
    for total in reading.totals:
        by_pool[total.pool].append(total)
    book = load_price_book()
    whole_ms = whole_cents = shared = 0
    for pool, usages_ in truth.items():
        found = by_pool.get(pool, [])
        up = node_ms_up(usages_)
        assert sum(total.node_ms for total in found) == up, pool
        whole_ms += up
        shared += any(len(total.runs) > 1 for total in found)
        for day, costs in day_costs(found, (), dict.fromkeys(DAYS, 0), book, {}).items():
            rate = sum(
                book.hourly(t.instance_type, t.spot) * t.node_ms for t in found if t.day == day
            )
            # The day's whole, rounded once, from its node time alone.
            assert abs(costs.cents - rate / 36_000) <= 0.5, (pool, day)
            assert sum(part.cents for part in costs.parts) == costs.cents, (pool, day)
            whole_cents += costs.cents
    for pool in chance.sample(sorted(truth), 1000):
        assert tuple(sorted(by_pool.get(pool, []))) == expected_totals(truth[pool])
    intervals = sum(len(found) for found in truth.values())
    assert doubled > 1000 and shared > 500
    print(
        f"\n{HISTORIES:,} histories, {intervals:,} intervals and {doubled:,} doubled ones: "
        f"{whole_ms:,} node-milliseconds and {whole_cents:,} cents, 0 lost, 0 counted twice; "
        f"{shared:,} with shared nodes, 1,000 compared part by part; "
        f"written in {written_seconds:.1f} s, queried in {query_seconds:.1f} s, "
        f"{time.perf_counter() - started:.1f} s in all"
    )
