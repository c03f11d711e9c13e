"""The lease of an environment: who holds it, when its owner is provably dead, and what to tell.

An owner renews its lease every `INTERVAL_SECONDS`. Whoever waits takes it over only on proof:

- on the owner's machine: the owner's process is gone, and so is the terraform that it started;
- elsewhere: Dagster says that the owner's run has ended, and since that was seen the heartbeat has not
  moved for `SILENT_SECONDS` of the waiter's own clock. A run that Dagster does not know proves nothing.

No two clocks are ever compared: a heartbeat is old when the one who looks has seen it stand still.
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

    A container has the boot of its machine and a process table of its own. Where the system does not
    tell them they are empty, and no two hosts count as the same.
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
    """Who holds a lease. Times are ISO 8601 in UTC by the owner's own clock.

    ``token`` differs with each time that a lease is taken; ``beats`` counts the renewals; ``started`` is
    the start of the process in its system's spelling; ``user`` is empty where the user has no name.
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
    """What the store holds. ``left`` are dead owners whose terraform may have left a lock on the state."""

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
class Judgement:
    """Whether an owner is provably dead, why or why not, and what a person can do who waits for it."""

    dead: bool
    why: str
    fix: str = ""


def judge(
    owner: Owner,
    *,
    process: ProcessState,
    child: ProcessState,
    run: RunState,
    silent_seconds: float,
) -> Judgement:
    """What is known of an owner, weighed.

    Args:
        owner: As last read.
        process: Its process.
        child: Its terraform; ``unseen`` also where it has none.
        run: Its Dagster run.
        silent_seconds: For how long the one who looks has seen its heartbeat stand still, and its run be
            what it is.
    """
    if child == "running" and owner.child is not None and process != "running":
        return Judgement(
            False,
            f"its process is gone, its terraform {owner.child.call} (process {owner.child.pid}) goes on",
            "wait: it finishes by itself, saves its state, and then the environment is free",
        )
    if process == "gone":
        return Judgement(True, f"its process {owner.pid} on {owner.host.name} is gone")
    if silent_seconds < SILENT_SECONDS:
        if run == "ended" and process != "running":
            watched = f"its run {owner.run_id} has ended, its heartbeat is watched for a minute"
            return Judgement(False, watched, "wait: the environment is free then")
        seems = "is" if process == "running" else "seems"
        return Judgement(
            False, f"it {seems} alive", "wait until it has ended; the environment is free then"
        )
    silent = f"its heartbeat has stood still for {silent_seconds:.0f} s"
    if child == "running":
        return Judgement(False, f"{silent}, its terraform is running", "wait until it has ended")
    if run == "ended":
        return Judgement(True, f"{silent}, and its run {owner.run_id} has ended")
    if run == "live":
        return Judgement(
            False,
            f"{silent}, but Dagster has its run {owner.run_id} as live",
            f"wait: Dagster's run monitoring ends a run whose worker is gone. If {owner.host.name} is gone "
            f"for good, terminate the run in the Dagster UI, and the environment is free within "
            f"{SILENT_SECONDS:.0f} s",
        )
    return Judgement(
        False,
        f"{silent}, but this Dagster does not know its run {owner.run_id or '(none)'}",
        f"run the same command on {owner.host.name}: there it is seen whether process {owner.pid} is "
        "gone; or run it with the Dagster storage that the run was started in",
    )


def told(owner: Owner) -> str:
    """The owner in words: what, who, where, since when, when last heard of."""
    user = f" by {owner.user}" if owner.user else ""
    return (
        f"{owner.what}{user} on {owner.host.name} (process {owner.pid}), since {owner.acquired_at}, "
        f"last heartbeat {owner.heartbeat_at}"
    )
