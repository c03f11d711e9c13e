"""Seconds to load the code location, against an empty Dagster project.

Each is a process of its own, as each run's is. Run: ``.venv/bin/python bench/load_time.py``.
"""

import argparse
import statistics
import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent

CASES = {
    "`import dagster` and an empty `Definitions()`": "import dagster as dg; dg.Definitions()",
    "this code location": "from ray_platform.definitions import defs; defs()",
    "the same files by `load_from_defs_folder`": (
        "from pathlib import Path; import dagster as dg, warnings; warnings.simplefilter('ignore');"
        "dg.load_from_defs_folder(path_within_project=Path('ray_platform'))"
    ),
}


def seconds(code: str) -> float:
    """Wall-clock seconds of one fresh Python process that runs ``code``."""
    start = time.perf_counter()
    subprocess.run([sys.executable, "-W", "ignore", "-c", code], cwd=ROOT, check=True)
    return time.perf_counter() - start


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--times", type=int, default=7, help="runs of each case, taken in turns")
    times = parser.parse_args().times
    taken: dict[str, list[float]] = {name: [] for name in CASES}
    for _ in range(times):
        for name, code in CASES.items():
            taken[name].append(seconds(code))
    base = statistics.median(next(iter(taken.values())))
    print(f"Median of {times} processes each, taken in turns.\n")
    print("| what is loaded | seconds | ratio |\n|---|--:|--:|")
    for name, values in taken.items():
        middle = statistics.median(values)
        print(f"| {name} | {middle:.2f} | {middle / base:.2f} |")


if __name__ == "__main__":
    main()
