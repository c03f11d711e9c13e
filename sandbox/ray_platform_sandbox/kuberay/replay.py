"""Replays recordings of the real operator through the stand-in, and prints where the two differ.

    python -m ray_platform_sandbox.kuberay.replay FILE... [--json]

What clients, kubelet, scheduler and other controllers did comes from the recording; what the operator does
is the stand-in's. Exit code 0: no difference but those that ``reviewed_differences.json`` names; 2: there
are others; 1: a file cannot be read.
"""

import argparse
import gzip
import json
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

from ray_platform_sandbox.kuberay.recordings.runner import Difference, Replay, Unreadable

REVIEWED = Path(__file__).with_name("reviewed_differences.json")


def read(path: Path) -> dict[str, Any]:
    """A recording.

    Raises:
        Unreadable: it is none; says why.
    """
    try:
        text = path.read_bytes()
        if text[:2] == b"\x1f\x8b":
            text = gzip.decompress(text)
        content = json.loads(text)
        missing = {"scenario", "namespace", "steps", "events"} - set(content)
    except (OSError, EOFError, ValueError, TypeError) as error:
        raise Unreadable(f"{path}: {error}") from error
    if missing:
        raise Unreadable(f"{path}: no recording: it lacks {', '.join(sorted(missing))}")
    return dict(content)


def replay_file(path: Path) -> list[Difference]:
    """The differences of one recording, each with the reason that the reviewed list gives.

    Raises:
        Unreadable: it is no recording.
    """
    content = read(path)
    with tempfile.TemporaryDirectory(prefix="replay-") as folder:
        found = Replay(str(content["scenario"]), content, Path(folder)).run()
    known = json.loads(REVIEWED.read_text(encoding="utf-8"))
    return [replace(one, reviewed=_reason(one, known)) for one in found]


def _reason(found: Difference, known: Sequence[Mapping[str, str]]) -> str:
    for one in known:
        if fnmatchcase(found.recording, one.get("recording", "*")) and fnmatchcase(
            found.what, one["what"]
        ):
            return one["reason"]
    return ""


def main(arguments: Sequence[str]) -> int:
    parser = argparse.ArgumentParser(prog="replay", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("files", nargs="+", type=Path, metavar="FILE")
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    asked = parser.parse_args(arguments)
    found: dict[str, list[Difference]] = {}
    for path in asked.files:
        try:
            found[str(path)] = replay_file(path)
        except Unreadable as error:
            sys.stderr.write(f"{error}\n")
            return 1
    every = [one for several in found.values() for one in several]
    unreviewed = [one for one in every if not one.reviewed]
    if asked.json:
        answer = {
            "recordings": [
                {"file": path, "differences": [asdict(one) for one in several]}
                for path, several in found.items()
            ],
            "differences": len(every),
            "unreviewed": len(unreviewed),
        }
        sys.stdout.write(json.dumps(answer, indent=2, default=str) + "\n")
    else:
        for one in every:
            mark = f"reviewed: {one.reviewed}" if one.reviewed else "NOT REVIEWED"
            sys.stdout.write(
                f"{one.recording} {one.at:.2f} s: {one.what}: recorded {_short(one.recorded)}, "
                f"replayed {_short(one.replayed)} ({mark})\n"
            )
        sys.stdout.write(
            f"{len(found)} recordings, {len(every)} differences, {len(unreviewed)} not reviewed\n"
        )
    return 2 if unreviewed else 0


def _short(value: Any) -> str:
    text = value if isinstance(value, str) else json.dumps(value, sort_keys=True, default=str)
    return text if len(text) <= 300 else f"{text[:300]}…"


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
