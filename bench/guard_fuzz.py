"""Made-up HCL against what Terraform reads of it: does Terraform see anything that the guard did not?

10,000 files by a seed, half of them blocks, half expressions, every second one damaged at an odd place. Two
judges: ``terraform validate`` (the blocks and the functions that it comes across), and, where node and npm
are there, a build of hashicorp/hcl from npm for all that is nested (arguments and blocks inside blocks).
Run: ``.venv/bin/python bench/guard_fuzz.py [FILES] [SEED]`` (three minutes); exit code 1: it does.
"""

import json
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from ray_platform.hcl.hcl_blocks import Body
from tests.support.hcl_judges import Tally, compare, read_by_us
from tests.support.hcl_texts import MadeFile, Maker

PACKAGE = "@cdktf/hcl2json@0.21.0"
BATCH = 250
_SCRIPT = """
const fs = require('fs'); const hcl = require('@cdktf/hcl2json');
(async () => {
  const read = [];
  for (const text of JSON.parse(fs.readFileSync('texts.json', 'utf8'))) {
    try { read.push(await hcl.parse('a.tf', text)); } catch (error) { read.push(null); }
  }
  fs.writeFileSync('read.json', JSON.stringify(read));
})();
"""


def main() -> int:
    files = int(sys.argv[1]) if len(sys.argv) > 1 else 10_000
    seed = int(sys.argv[2]) if len(sys.argv) > 2 else 11
    maker, tally, started = Maker(seed), Tally(), time.monotonic()
    while tally.files < files:
        compare(maker, min(BATCH, (files - tally.files + 1) // 2), tally)
    print(f"terraform validate, seed {seed}: {tally} ({time.monotonic() - started:.0f} s)")
    missed = list(tally.missed)
    if shutil.which("npm"):
        missed += _nested(Maker(seed + 1), files // 2)
    for text in missed[:10]:
        print("MISSED", repr(text))
    return 1 if missed else 0


def _nested(maker: Maker, count: int) -> list[str]:
    files = [maker.file() for _ in range(count)]
    read = [(file, body) for file in files if (body := read_by_us(file)) is not None]
    with tempfile.TemporaryDirectory(prefix="hcl-judge-") as name:
        folder = Path(name)
        install = ["npm", "install", "--silent", "--no-audit", "--no-fund", PACKAGE]
        subprocess.run(install, cwd=folder, check=True, timeout=300)
        (folder / "read.js").write_text(_SCRIPT)
        (folder / "texts.json").write_text(json.dumps([file.text for file, _ in read]))
        subprocess.run(["node", "read.js"], cwd=folder, check=True, timeout=900)
        theirs = json.loads((folder / "read.json").read_text())
    both = [
        (file, body, seen)
        for (file, body), seen in zip(read, theirs, strict=True)
        if seen is not None
    ]
    missed = _missed(both)
    print(f"{PACKAGE}: {len(both)} files read by both, {len(missed)} with something missed")
    return missed


def _missed(both: list[tuple[MadeFile, Body, Any]]) -> list[str]:
    return [file.text for file, body, seen in both if not _same(body, seen)]


def _same(body: Body, seen: dict[str, Any]) -> bool:
    """Whether the judge's JSON has the same arguments and blocks, with their labels, at every depth."""
    if set(seen) != set(body.arguments) | {block.kind for block in body.blocks}:
        return False
    for block in body.blocks:
        below = seen[block.kind]
        for label in block.labels:
            if not isinstance(below, dict) or label not in below:
                return False
            below = below[label]
        # Names are made up once each, so there is one body.
        if isinstance(below, list):
            if len(below) != 1:
                return False
            below = below[0]
        if not _same(block.body, below):
            return False
    return True


if __name__ == "__main__":
    sys.exit(main())
