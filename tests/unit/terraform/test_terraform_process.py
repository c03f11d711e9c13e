"""A terraform that may change something is written down before it starts, watched, and stopped when lost."""

import os
from pathlib import Path

import pytest

from ray_platform.terraform.terraform_process import Finished, run
from ray_platform.text.errors import BusyError, ToolError
from ray_platform.store.process_table import process_started

LOST = BusyError("somebody took it over")


class Watching:
    """Keeps account, and loses the lease when told."""

    def __init__(self, *, refuses: bool = False, loses_after: Path | None = None) -> None:
        self.refuses = refuses
        self.loses_after = loses_after
        self.told: list[tuple[str, int]] = []

    def started(self, pid: int, call: str) -> None:
        if self.refuses:
            raise LOST
        assert process_started(pid) is not None
        self.told.append((call, pid))

    def check(self) -> None:
        if self.loses_after is not None and self.loses_after.exists():
            raise LOST

    def ended(self, code: int) -> None:
        self.told.append(("ended", code))


def terraform(tmp_path: Path, script: str, watch: Watching) -> Finished:
    program = tmp_path / "terraform"
    program.write_text(f"#!/bin/sh\n{script}\n", encoding="utf-8")
    program.chmod(0o700)
    return run(
        [str(program), "apply", "-json"],
        cwd=tmp_path,
        env=dict(os.environ),
        logs=tmp_path / "logs",
        watch=watch,
    )


def test_it_is_written_down_under_the_process_id_that_it_has(tmp_path: Path) -> None:
    watch = Watching()
    done = terraform(tmp_path, 'echo $$ "$@"', watch)
    (call, pid), ended = watch.told
    assert (call, done.output) == ("apply", f"{pid} apply -json\n")
    assert ended == ("ended", 0)


def test_it_does_not_start_where_the_lease_is_lost(tmp_path: Path) -> None:
    watch = Watching(refuses=True)
    with pytest.raises(BusyError):
        terraform(tmp_path, "touch ran", watch)
    assert not (tmp_path / "ran").exists()
    assert watch.told == []


def test_it_is_interrupted_when_the_lease_is_found_lost_and_waited_for(tmp_path: Path) -> None:
    watch = Watching(loses_after=tmp_path / "begun")
    script = "trap 'touch saved; exit 1' INT; touch begun; while :; do sleep 0.02; done"
    with pytest.raises(BusyError):
        terraform(tmp_path, script, watch)
    assert (tmp_path / "saved").exists()
    assert watch.told[-1] == ("ended", 1)


def test_that_it_was_killed_is_told(tmp_path: Path) -> None:
    watch = Watching()
    assert terraform(tmp_path, "kill -9 $$", watch).code == -9
    assert watch.told[-1] == ("ended", -9)


def test_a_program_that_is_missing_is_told_before_anything_is_written_down(tmp_path: Path) -> None:
    watch = Watching()
    with pytest.raises(ToolError, match="cannot be run"):
        run(["no-such-terraform", "plan"], cwd=tmp_path, env={}, logs=tmp_path, watch=watch)
    assert watch.told == []
