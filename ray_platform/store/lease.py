"""The lease of an environment: who holds it, and when its owner counts as dead.

An owner renews its lease every `INTERVAL_SECONDS`. Another process takes it over in two cases only:

- on the owner's machine: the owner's process is gone, and so is the terraform that it started;
- elsewhere: Dagster has recorded the end of the owner's run, and since then the heartbeat has not moved
  for `SILENT_SECONDS` of the observer's own clock. Not while a ``terraform apply`` is recorded: on a machine
  that cannot be seen it may still run.

In every other case a person decides, by `ray-platform unlock`. Two clocks are never compared: a heartbeat
is old when the observer has seen it unchanged for that long.
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Literal

INTERVAL_SECONDS = 10.0
SILENT_SECONDS = 6 * INTERVAL_SECONDS

#: ``unseen``: a process of another machine, or none at all.
ProcessState = Literal["running", "gone", "unseen"]
RunState = Literal["live", "ended", "unknown"]


@dataclass(frozen=True)
class Host:
    """A machine as its processes see it. ``boot`` and ``processes`` name the boot and the process table.

    A container has the boot of its machine and a process table of its own. Both are empty where the system
    does not report them; then no two hosts count as the same.
    """

    name: str
    boot: str
    processes: str

    def sees(self, other: "Host") -> bool:
        """Whether process ids mean the same here and there."""
        return bool(self.boot and self.processes) and (self.boot, self.processes) == (
            other.boot,
            other.processes,
        )


@dataclass(frozen=True)
class Child:
    """The terraform that works for the owner. ``call`` is ``plan`` or ``apply``; ``since`` ISO 8601, UTC."""

    pid: int
    started: str
    call: str
    since: str


@dataclass(frozen=True)
class Owner:
    """The holder of a lease. Times are ISO 8601 in UTC by the owner's own clock.

    ``token`` differs each time a lease is taken; ``run_id`` is the Dagster run that makes the change;
    ``beats`` counts the renewals; ``started`` is the start of the process in its system's spelling;
    ``user`` is empty where the user has no name.
    """

    token: str
    what: str
    run_id: str
    user: str
    host: Host
    pid: int
    started: str
    acquired_at: str
    heartbeat_at: str
    beats: int = 0
    child: Child | None = None


@dataclass(frozen=True)
class Lease:
    """The stored record. ``left`` are dead owners whose terraform may have left a lock on the state."""

    owner: Owner | None = None
    left: tuple[Owner, ...] = ()

    def to_json(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> "Lease":
        """A stored lease.

        Raises:
            ValueError: it has not the shape of one.
        """
        try:
            owner = data["owner"]
            return cls(
                owner=_owner(owner) if owner is not None else None,
                left=tuple(_owner(item) for item in data["left"]),
            )
        except (KeyError, TypeError) as error:
            raise ValueError(f"not a lease: {error!r}") from error


def _owner(data: Mapping[str, Any]) -> Owner:
    child = data["child"]
    return Owner(
        **{
            **data,
            "host": Host(**data["host"]),
            "child": Child(**child) if child is not None else None,
        }
    )


@dataclass(frozen=True)
class Seen:
    """What an observer sees of an owner.

    Args:
        process: The owner's process.
        child: Its terraform; ``unseen`` also where it has none.
        run: Its Dagster run.
        silent_seconds: For how long the observer has seen heartbeat and run unchanged.
    """

    process: ProcessState
    child: ProcessState
    run: RunState
    silent_seconds: float


@dataclass(frozen=True)
class Judgement:
    """Whether an owner is dead, why or why not, and what a person who waits for it can do."""

    dead: bool
    why: str
    fix: str = ""


def judge(owner: Owner, seen: Seen, unlock: str) -> Judgement:
    """Whether the lease of this owner may be taken over.

    Args:
        owner: As last read.
        seen: What is seen of it.
        unlock: The command by which a person frees the lease.
    """
    child = owner.child
    if child is not None and seen.child == "running" and seen.process != "running":
        return Judgement(
            False,
            f"its process is gone, its terraform {child.call} (process {child.pid}) still runs",
            "wait: terraform finishes, saves its state, and then the environment is free",
        )
    if seen.process == "gone":
        return Judgement(True, f"its process {owner.pid} on {owner.host.name} is gone")
    if seen.silent_seconds < SILENT_SECONDS:
        if seen.run == "ended" and seen.process != "running":
            watched = f"its run {owner.run_id} has ended, its heartbeat is watched for a minute"
            return Judgement(False, watched, "wait: the environment is free then")
        return Judgement(
            False,
            f"it {'is' if seen.process == 'running' else 'seems'} alive",
            "wait until it has ended; the environment is free then",
        )
    silent = f"no heartbeat for {seen.silent_seconds:.0f} s"
    if seen.child == "running":
        return Judgement(False, f"{silent}, its terraform runs", "wait until it has ended")
    if seen.run == "ended":
        if child is None or child.call == "plan" or seen.child == "gone":
            return Judgement(True, f"{silent}, and its run {owner.run_id} has ended")
        silent += (
            f", its run {owner.run_id} has ended, but its terraform {child.call} may still run"
        )
    elif seen.run == "live":
        silent += f", but Dagster lists its run {owner.run_id} as live"
    else:
        silent += f", but this Dagster does not know its run {owner.run_id or '(none)'}"
    return Judgement(
        False,
        silent,
        f"see on {owner.host.name} whether process {owner.pid} or a terraform of it still runs; "
        f"once neither does: {unlock}",
    )


def signs_of_life(owner: Owner, seen: Seen, renewed: bool) -> str:
    """Why an owner is known to be alive; empty: nothing shows that it is.

    Args:
        owner: As last read.
        seen: What is seen of it.
        renewed: Whether it has renewed its lease while it was watched.
    """
    if seen.child == "running" and owner.child is not None:
        return f"its terraform {owner.child.call} runs on this machine (process {owner.child.pid})"
    if seen.process == "running":
        return f"its process {owner.pid} runs on this machine"
    if renewed and seen.run == "live":
        return f"its run {owner.run_id} is live and renews the lease"
    return "it renews the lease" if renewed else ""


def describe(owner: Owner) -> str:
    """The owner in words: what for, who, where, since when, the last heartbeat."""
    user = f" by {owner.user}" if owner.user else ""
    return (
        f"{owner.what}{user} on {owner.host.name} (process {owner.pid}), since {owner.acquired_at}, "
        f"last heartbeat {owner.heartbeat_at}"
    )
