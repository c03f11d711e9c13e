"""The processes of this machine: which one still runs, and which machine this is.

psutil is not used: it gives a start time by the wall clock, which moves when the clock is set. A lease and
a service are found again by a later process, so they need one that never does: boot and ticks since boot.
"""

import os
import pwd
import subprocess
from pathlib import Path

from ray_platform.store.lease import Host, ProcessState


def process_started(pid: int) -> str | None:
    """The start time of a process in the system's own spelling, or None when none runs."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return None if Path("/proc/self/stat").exists() else _process_started_by_ps(pid)
    # The name in parentheses may itself hold spaces and parentheses.
    fields = stat[stat.rindex(")") + 2 :].split()
    if fields[0] in "ZX":
        return None
    return f"{boot_id()}:{fields[19]}"


def began_after(started: str | None, other: str) -> bool:
    """Whether a process began after another one, by their start times of this boot on Linux."""
    if started is None or ":" not in started or ":" not in other:
        return False
    return int(started.rpartition(":")[2]) >= int(other.rpartition(":")[2])


def process_state(pid: int, started: str) -> ProcessState:
    """Whether the very process with that start time runs on this machine.

    A process of another user may be hidden from us; it then counts as running.
    """
    now = process_started(pid)
    if now is not None:
        return "running" if started in ("", now) else "gone"
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return "gone"
    except PermissionError:
        return "running"
    return "gone"  # ours, and ended: nobody has asked for its exit code yet


def boot_id() -> str:
    """What differs with each boot; empty where the system does not tell.

    Start times are counted from the boot, so that they recur after the next one.
    """
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
    except OSError:
        return ""


def this_host() -> Host:
    """The machine, or the container, that this process runs on."""
    try:
        processes = str(Path("/proc/self/ns/pid").readlink())
    except OSError:
        processes = ""
    return Host(name=os.uname().nodename, boot=boot_id(), processes=processes)


def user_name() -> str:
    """The user as Terraform names them in its locks; empty where they have no name."""
    try:
        return pwd.getpwuid(os.getuid()).pw_name
    except KeyError:
        return ""


def _process_started_by_ps(pid: int) -> str | None:
    asked = subprocess.run(
        ["ps", "-o", "stat=,lstart=", "-p", str(pid)], capture_output=True, text=True, check=False
    )
    state, _, started = asked.stdout.strip().partition(" ")
    return None if not state or state.startswith("Z") else started.strip()
