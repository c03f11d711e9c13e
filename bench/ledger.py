"""Ten million usage intervals to a day's node time and the month's: the ledger against plain pandas.

Run: ``python bench/ledger.py [ROWS]``; prints Markdown. Both read the same Parquet files, apply the
same rule (an interval seen twice counts once, overhead before runs before idle, equal shares) and
must give the same numbers, or the script fails. Each is a process of its own; memory is the peak of
its resident set. ``bench`` dependencies are needed (pandas).

A month of one environment: nodes that live minutes to a day, seen open twice and closed once (three
overlapping intervals each), each held by two runs one after the other, every tenth time by both at once.
"""

import datetime as dt
import json
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from ray_platform.cost.ledger.usage_interval import DAY_MS, HOUR_MS, UsageTotal, day_bounds
from ray_platform.cost.ledger.usage_store import UsageLedger
from ray_platform.store.artifact_store import FileStore

ENV = "bench"
FIRST, LAST = dt.date(2026, 10, 1), dt.date(2026, 10, 31)
START = round(day_bounds(FIRST)[0] * 1000)
ROWS = 10_000_000
FILES = 20
POOLS = (("cpu", "m5.xlarge", False), ("spot", "c6i.xlarge", True), ("gpu", "g4dn.xlarge", False))
ANSWER = tuple[tuple[str, int], ...]


def write_month(folder: Path, rows: int) -> None:
    """``rows`` intervals (rounded down to whole nodes of five) in `FILES` files."""
    import numpy as np
    import pyarrow as pa
    import pyarrow.parquet as pq

    rng = np.random.default_rng(7)
    folder.mkdir(parents=True)
    each = rows // 5 // FILES
    for file in range(FILES):
        start = START + rng.integers(0, 30 * DAY_MS, each)
        length = rng.integers(3 * 60_000, 24 * HOUR_MS, each) + 3
        end = np.minimum(start + length, START + 31 * DAY_MS - 1)
        seen = [start + (end - start) // 3, start + (end - start) * 2 // 3, end]
        both = rng.random(each) < 0.1
        middle = start + (end - start) // 2
        second = np.where(both, start + (end - start) // 4, middle)
        pool = rng.integers(0, len(POOLS), each)
        # Four runs begin in each hour; those that share a node began in the same.
        hour = [(start - START) // HOUR_MS, np.where(both, start, middle) // HOUR_MS]
        hour[1] = hour[1] - START // HOUR_MS
        first_run = rng.integers(0, 4, each)
        run = np.stack([hour[0] * 4 + first_run, hour[1] * 4 + (first_run + 1) % 4])
        node = np.char.add(f"{file:02d}-", np.char.zfill(np.arange(each).astype(str), 10))
        starts = np.concatenate([start, start, start, start, second])
        ends = np.concatenate([*seen, middle, end])
        order = rng.permutation(len(starts))
        names = np.char.add("run-", run.astype(str))
        empty = np.zeros(3 * each, dtype="U1")

        def strings(values: Any, order: Any = order) -> Any:
            return pa.array(values[order]).cast(pa.string())

        def of_pool(place: int, pool: Any = pool) -> Any:
            return np.tile(np.array([p[place] for p in POOLS])[pool], 5)

        table = pa.table(
            {
                "environment": pa.array([ENV] * len(starts)),
                "node": strings(np.tile(node, 5)),
                "start_ms": pa.array(starts[order]),
                "end_ms": pa.array(ends[order]),
                "kind": strings(np.repeat(np.array(["idle", "run"]), [3 * each, 2 * each])),
                "run_id": strings(np.concatenate([empty, names[0], names[1]])),
                "pool": strings(of_pool(0)),
                "team": pa.array([""] * len(starts)),
                "instance_type": strings(of_pool(1)),
                "spot": pa.array(of_pool(2)[order]),
            }
        )
        pq.write_table(table, folder / f"usage-{file:02d}.parquet", compression="zstd")


def by_ledger(home: Path) -> ANSWER:
    reading = UsageLedger(FileStore(home), home / "cache").read(ENV, FIRST, LAST)
    return _answer(reading.totals)


def by_pandas(home: Path) -> ANSWER:
    """The same rule, each step on whole columns."""
    import numpy as np
    import pandas as pd

    texts = ["node", "kind", "run_id", "pool", "instance_type"]
    seen = pd.read_parquet(
        sorted((home / "usage" / ENV).rglob("usage-*.parquet")),
        columns=["start_ms", "end_ms", "spot", *texts],
        engine="pyarrow",
        read_dictionary=texts,
    )
    use = seen["kind"].cat.codes if seen["kind"].dtype == "category" else None
    uses = {"overhead": 0, "run": 1, "idle": 2}
    for name in ("node", "run_id", "pool", "instance_type"):
        seen[name] = seen[name].astype("category")
    runs, pools = seen["run_id"].cat.categories, seen["pool"].cat.categories
    types = seen["instance_type"].cat.categories
    assert use is None or len(use) == len(seen)
    frame = pd.DataFrame(
        {
            "node": seen["node"].cat.codes,
            "use": seen["kind"].map(uses).astype("int8"),
            "run": seen["run_id"].cat.codes,
            "label": (
                seen["pool"].cat.codes.astype("int32") * len(types) * 2
                + seen["instance_type"].cat.codes.astype("int32") * 2
                + seen["spot"].astype("int32")
            ),
            "s": seen["start_ms"],
            "e": seen["end_ms"],
        }
    )
    del seen
    key = ["node", "use", "run"]
    frame = frame.groupby([*key, "label", "s"], as_index=False, sort=False)["e"].max()
    frame = frame.sort_values([*key, "s", "e", "label"], ignore_index=True)
    earlier = frame.groupby(key, sort=False)["e"].cummax().shift()
    same = frame[key].eq(frame[key].shift()).all(axis=1)
    since = np.maximum(frame["s"], earlier.where(same, frame["s"]).astype("int64"))
    claims = frame.assign(since=since)[since < frame["e"]]
    starts = claims.rename(columns={"since": "moment"})[["node", "moment", "use", "run", "label"]]
    ends = claims.rename(columns={"e": "moment"})[["node", "moment", "use", "run"]]
    changes = pd.concat([starts.assign(step=1), ends.assign(step=-1, label=np.nan)])
    changes["overhead"] = changes["step"].where(changes["use"] == 0, 0)
    changes["held"] = changes["step"].where(changes["use"] == 1, 0)
    changes["code"] = (changes["step"] * changes["run"]).where(changes["use"] == 1, 0)
    points = changes.groupby(["node", "moment"])[["overhead", "held", "code", "step", "label"]]
    points = points.agg(
        {"overhead": "sum", "held": "sum", "code": "sum", "step": "sum", "label": "min"}
    ).reset_index()
    del changes, starts, ends, frame
    # All counts are zero at a node's end, so that one running sum serves all nodes.
    for name in ("overhead", "held", "code", "step"):
        points[name] = points[name].cumsum()
    points["label"] = points["label"].ffill().astype("int32")
    points["e"] = points["moment"].shift(-1)
    segments = points[points["step"] > 0].rename(columns={"moment": "s"})
    segments = segments.assign(e=segments["e"].astype("int64"))
    del points
    shared = segments[(segments["overhead"] == 0) & (segments["held"] > 1)]
    joined = shared[["node", "s", "e", "label"]].merge(
        claims.loc[claims["use"] == 1, ["node", "run", "since", "e"]], on="node", suffixes=("", "_")
    )
    joined = joined[(joined["since"] <= joined["s"]) & (joined["e_"] >= joined["e"])]
    joined = joined.sort_values(["node", "s", "run"])
    owners = joined.groupby(["node", "s", "e", "label"])["run"].agg(tuple).reset_index()
    rest = segments[(segments["overhead"] > 0) | (segments["held"] < 2)]
    single = np.where((rest["overhead"] == 0) & (rest["held"] == 1), rest["code"], -1)
    out: dict[tuple[Any, ...], int] = {}
    for part, held in ((rest.assign(run=single), False), (owners, True)):
        days = (part["e"] - 1) // DAY_MS - part["s"] // DAY_MS + 1
        cut = part.loc[part.index.repeat(days)].copy()
        cut["day"] = cut["s"] // DAY_MS + cut.groupby(level=0).cumcount()
        cut["ms"] = np.minimum(cut["e"], (cut["day"] + 1) * DAY_MS) - np.maximum(
            cut["s"], cut["day"] * DAY_MS
        )
        cut["over"] = False if held else cut["overhead"] > 0
        for (day, label, over, run), ms in (
            cut.groupby(["day", "label", "over", "run"])["ms"].sum().items()
        ):
            names = [runs[r] for r in run] if held else [runs[run]] if run >= 0 else []
            pool, rest_ = divmod(label, len(types) * 2)
            row = (day, bool(over), pools[pool], types[rest_ // 2], bool(rest_ % 2), *sorted(names))
            out[row] = out.get(row, 0) + int(ms)
    return tuple(sorted((" ".join(map(str, row)), ms) for row, ms in out.items()))


def _answer(totals: tuple[UsageTotal, ...]) -> ANSWER:
    epoch = dt.date(1970, 1, 1)

    def name(t: UsageTotal) -> str:
        day = (t.day - epoch).days
        fields = (day, t.kind == "overhead", t.pool, t.instance_type, t.spot, *t.runs)
        return " ".join(map(str, fields))

    return tuple(sorted((name(t), t.node_ms) for t in totals))


def measure(way: str, home: Path) -> dict[str, Any]:
    """One way in a process of its own: seconds, peak MB, a digest of the answer."""
    done = subprocess.run(
        [sys.executable, __file__, way, str(home)], capture_output=True, text=True, check=False
    )
    if done.returncode:
        raise SystemExit(done.stderr)
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def main() -> None:
    if len(sys.argv) == 3:
        from ray_platform.text.canonical import digest

        start = time.perf_counter()
        answer = {"ledger": by_ledger, "pandas": by_pandas}[sys.argv[1]](Path(sys.argv[2]))
        seconds = time.perf_counter() - start
        used = resource.getrusage(resource.RUSAGE_SELF)
        whole = sum(row[-1] for row in answer)
        rows = len(answer)
        said = {"seconds": seconds, "mb": used.ru_maxrss / 1024, "rows": rows, "node_ms": whole}
        said["cpu"] = used.ru_utime + used.ru_stime
        print(json.dumps({**said, "digest": digest([list(row) for row in answer])}))
        return
    rows = int(sys.argv[1]) if len(sys.argv) == 2 else ROWS
    with tempfile.TemporaryDirectory() as folder:
        write_month(Path(folder) / "usage" / ENV / "2026-10", rows)
        ledger, pandas = measure("ledger", Path(folder)), measure("pandas", Path(folder))
    assert ledger["digest"] == pandas["digest"], (ledger, pandas)
    print(f"{rows:,} intervals to {ledger['rows']:,} totals, the same from both.\n")
    print("| way | seconds | ratio | CPU seconds | ratio | peak memory, MB | ratio |")
    print("|---|--:|--:|--:|--:|--:|--:|")
    for name, found in (("the ledger (DuckDB)", ledger), ("pandas", pandas)):
        cells = (
            f"{found[key]:,.{digits}f} | {found[key] / ledger[key]:.2f}"
            for key, digits in (("seconds", 1), ("cpu", 1), ("mb", 0))
        )
        print(f"| {name} | {' | '.join(cells)} |")


if __name__ == "__main__":
    main()
