"""All processes of a service, wherever they moved to: each carries its mark in its environment (Linux)."""

import contextlib
import os
import signal
import time
from pathlib import Path

from ray_platform.store.process_table import began_after, process_started

#: Marks every process of a service, also those that leave its process group.
INSTANCE_VARIABLE = "RAY_PLATFORM_INSTANCE"
POLL_SECONDS = 0.05
#: How long a process that was killed may take to be gone.
DYING_SECONDS = 10.0
#: How long a process may take to become another program; it has no environment then.
CHANGING_SECONDS = 1.0


def members(instance: str) -> list[int]:
    """The processes that carry the instance id in their environment; elsewhere than on Linux none."""
    return _look(instance)[0]


def kill_marked(instance: str, mark: str) -> int:
    """Kill those members that carry a mark as well, as in ``NAME=VALUE``; how many."""
    killed = 0
    for pid in members(instance):
        with contextlib.suppress(OSError):
            if mark.encode() in Path(f"/proc/{pid}/environ").read_bytes().split(b"\0"):
                os.kill(pid, signal.SIGKILL)
                killed += 1
    return killed


def kill_members(instance: str, started: str) -> None:
    """Kill all of them, those that they start meanwhile too, and wait until they are gone with their ports.

    One that the kernel holds for longer than `DYING_SECONDS` is left to it.

    Args:
        instance: The instance id.
        started: When the service's first process began; no member is older.
    """
    dying: dict[int, str] = {}
    begun = time.monotonic()
    looks_without = 0
    # Two looks: the first may miss one that was born behind it.
    while looks_without < 2 and time.monotonic() < begun + DYING_SECONDS:
        found, nameless = _look(instance)
        for pid in found:
            if began := process_started(pid):
                dying[pid] = began
            with contextlib.suppress(OSError):
                os.kill(pid, signal.SIGKILL)
        dying = {pid: began for pid, began in dying.items() if process_started(pid) == began}
        may_be_ours = time.monotonic() < begun + CHANGING_SECONDS and any(
            began_after(process_started(pid), started) for pid in nameless
        )
        looks_without = 0 if found or dying or may_be_ours else looks_without + 1
        time.sleep(POLL_SECONDS)


def _look(instance: str) -> tuple[list[int], list[int]]:
    """The members, and the processes of this user that show no environment though they are alive."""
    mark = f"{INSTANCE_VARIABLE}={instance}".encode()
    found, nameless = [], []
    for folder in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            environment = (folder / "environ").read_bytes()
            if mark in environment.split(b"\0"):
                found.append(int(folder.name))
            # The kernel's own have no memory; the ended ones neither.
            elif not environment and not (folder / "statm").read_bytes().startswith(b"0 "):
                nameless.append(int(folder.name))
    return [pid for pid in found if pid != os.getpid()], nameless
