"""Background services on this machine that later processes find again.

Each service has a record ``HOME/local/NAME.json``, a lock ``NAME.lock`` and a log ``NAME.log``. A
service counts as alive when its process still has the recorded start time, so that a reused process
id is never mistaken for it; and only what carries the service's own instance id is ever ended.
"""

import contextlib
import dataclasses
import fcntl
import json
import os
import secrets
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from ray_platform.store.process_table import process_started as process_started
from ray_platform.text.errors import LocalServiceError
from ray_platform_sandbox.services.members import INSTANCE_VARIABLE, POLL_SECONDS, kill_members

LOOPBACK = "127.0.0.1"
LOG_LINES = 12

# The child waits for one line before it becomes the service: when we die before the record is
# written, it reads the end of the file and ends too, so no service ever runs without a record.
_WAIT_THEN_EXEC = ("/bin/sh", "-c", 'read -r go && exec "$@" </dev/null', "sh")

# Keeps the handles of children of this process, so that they are reaped when they end.
_CHILDREN: dict[int, subprocess.Popen[bytes]] = {}


@dataclass(frozen=True)
class Service:
    """A recorded service. ``started`` is in the system's own spelling: compare, don't read it."""

    name: str
    pid: int
    started: str
    ports: Mapping[str, int]
    instance: str


def find(home: Path, name: str) -> Service | None:
    """The running service of that name, whoever started it, or None."""
    service = _recorded(home, name)
    return service if service and is_alive(service) else None


def _recorded(home: Path, name: str) -> Service | None:
    try:
        record = json.loads(_file(home, name, "json").read_text(encoding="utf-8"))
        return Service(
            name=str(record["name"]),
            pid=int(record["pid"]),
            started=str(record["started"]),
            ports={key: int(port) for key, port in record["ports"].items()},
            instance=str(record["instance"]),
        )
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return None


def is_alive(service: Service) -> bool:
    """Whether the very process that was recorded still runs."""
    if child := _CHILDREN.get(service.pid):
        child.poll()
    return process_started(service.pid) == service.started


def start(
    home: Path,
    name: str,
    command: Sequence[str],
    *,
    env: Mapping[str, str],
    ports: Mapping[str, int],
    ready: Callable[[], bool],
    timeout_seconds: float,
    cwd: Path | None = None,
    check_ports: bool = True,
) -> Service:
    """The service of that name, once it is ready: the one that runs already, else a new one.

    Args:
        home: The home of local state.
        name: Names the service, its record and its log.
        command: Program and arguments.
        env: The whole environment of the process.
        ports: What listens where on loopback, by purpose.
        ready: Asked until it says yes; its own exceptions count as no.
        timeout_seconds: How long to wait for readiness.
        cwd: Its working directory; default: this process's.
        check_ports: Whether to refuse when something else listens on one of the ports.

    Raises:
        LocalServiceError: a port is in use, it ends by itself, it is not ready in time, or one with
            other ports runs already.
    """
    with locked(home, name, timeout_seconds):
        if service := find(home, name):
            if dict(service.ports) != dict(ports):
                raise LocalServiceError(
                    f"{name} runs already, on other ports: {_spell(service.ports)}",
                    where=str(_file(home, name, "json")),
                    fix="run `ray-platform down`, or give RAY_PLATFORM_PORT_BASE its old value",
                )
            if _wait(service, ready, timeout_seconds) is None:
                return service
            _end(home, service, timeout_seconds=5)
        elif crashed := _recorded(home, name):
            _end(home, crashed, timeout_seconds=0)
        if check_ports:
            for purpose, port in ports.items():
                require_free_port(port, f"{name} ({purpose})")
        service = _spawn(home, name, command, env=env, ports=ports, cwd=cwd)
        if problem := _wait(service, ready, timeout_seconds):
            _end(home, service, timeout_seconds=5)
            raise LocalServiceError(
                f"{name} did not get ready: {problem}\n{_log_tail(home, name)}",
                where=str(log_file(home, name)),
                fix="read the log; `ray-platform doctor` checks ports, memory and disk",
            )
        return service


def stop(
    home: Path,
    name: str,
    *,
    timeout_seconds: float = 20,
    first_signal: signal.Signals = signal.SIGTERM,
) -> bool:
    """End the service and every process that it started; whether there was one to end.

    ``first_signal`` asks it to end by itself; what has not ended in ``timeout_seconds`` is killed.

    Raises:
        LocalServiceError: another process is starting or stopping it for longer than the timeout.
    """
    with locked(home, name, timeout_seconds):
        service = _recorded(home, name)
        if service is None:
            return False
        was_alive = is_alive(service)
        # Also after a crash: what the service started can outlive it.
        _end(home, service, timeout_seconds, first_signal)
        return was_alive


def log_file(home: Path, name: str) -> Path:
    """Where the service's output goes; it starts afresh with each start."""
    return _file(home, name, "log")


def require_free_port(port: int, purpose: str) -> None:
    """Check that nothing listens on the loopback port.

    Raises:
        LocalServiceError: something does.
    """
    if port_is_free(port):
        return
    raise LocalServiceError(
        f"port {port} is in use by another process; {purpose} needs it",
        where=f"{LOOPBACK}:{port}",
        fix="set RAY_PLATFORM_PORT_BASE to another port, "
        f"or end the process that listens there (`lsof -i :{port}` or `ss -ltnp` names it)",
    )


def port_is_free(port: int) -> bool:
    """Whether nothing listens on the loopback port."""
    with socket.socket() as probe:
        probe.settimeout(1)
        if probe.connect_ex((LOOPBACK, port)) == 0:
            return False
    with socket.socket() as probe:
        # Without it a port whose last connections are still closing would count as used.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((LOOPBACK, port))
        except OSError:
            return False
    return True


def _spawn(
    home: Path,
    name: str,
    command: Sequence[str],
    *,
    env: Mapping[str, str],
    ports: Mapping[str, int],
    cwd: Path | None,
) -> Service:
    instance = secrets.token_hex(8)
    with log_file(home, name).open("wb") as log:
        child = subprocess.Popen(
            [*_WAIT_THEN_EXEC, *command],
            stdin=subprocess.PIPE,
            stdout=log,
            stderr=subprocess.STDOUT,
            env={**env, INSTANCE_VARIABLE: instance},
            cwd=cwd,
            start_new_session=True,
        )
    _CHILDREN[child.pid] = child
    assert child.stdin is not None  # noqa: S101  (it was asked for)
    with contextlib.suppress(BrokenPipeError), child.stdin:
        started = process_started(child.pid) or ""
        service = Service(name, child.pid, started, dict(ports), instance)
        record = {**dataclasses.asdict(service), "command": list(command)}
        path = _file(home, name, "json")
        beside = path.with_suffix(".json.new")
        beside.write_text(json.dumps(record, indent=2), encoding="utf-8")
        beside.replace(path)
        child.stdin.write(b"go\n")
    return service


def _wait(service: Service, ready: Callable[[], bool], timeout_seconds: float) -> str | None:
    """None once it is ready, else why it is not."""
    deadline = time.monotonic() + timeout_seconds
    last = "it never answered"
    while True:
        if not is_alive(service):
            code = _CHILDREN[service.pid].poll() if service.pid in _CHILDREN else None
            return "it ended by itself" + (f" with exit code {code}" if code is not None else "")
        try:
            if ready():
                return None
        except Exception as error:  # what a probe raises while a service starts is its own affair
            last = f"the last answer was {error!r}"
        if time.monotonic() >= deadline:
            return f"waited {timeout_seconds:.0f} s for {_spell(service.ports)}; {last}"
        time.sleep(POLL_SECONDS)


def _end(
    home: Path,
    service: Service,
    timeout_seconds: float,
    first_signal: signal.Signals = signal.SIGTERM,
) -> None:
    _signal_group(service, first_signal)
    deadline = time.monotonic() + timeout_seconds
    while time.monotonic() < deadline and is_alive(service):
        time.sleep(POLL_SECONDS)
    _signal_group(service, signal.SIGKILL)
    kill_members(service.instance, service.started)
    if child := _CHILDREN.pop(service.pid, None):
        child.wait()
    _file(home, service.name, "json").unlink(missing_ok=True)


def _signal_group(service: Service, number: signal.Signals) -> None:
    # Its own group has its own id; once the leader is gone, the id could be anybody's.
    with contextlib.suppress(OSError):
        if is_alive(service) and os.getpgid(service.pid) == service.pid:
            os.killpg(service.pid, number)


@contextlib.contextmanager
def locked(home: Path, name: str, timeout_seconds: float) -> Iterator[None]:
    """Hold what is called ``name`` in the home against other processes, for as long as the block.

    Raises:
        LocalServiceError: another process has held it for twice the timeout, or the home cannot be written.
    """
    path = _file(home, name, "lock")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle = path.open("ab")
    except OSError as error:
        raise LocalServiceError(
            f"the folder for local services cannot be written: {error.strerror}",
            where=str(path.parent),
            fix="mend its permissions, or set RAY_PLATFORM_HOME to a folder of yours",
        ) from error
    with handle:
        # The holder may itself wait for readiness as long as we would.
        deadline = time.monotonic() + 2 * timeout_seconds
        while True:
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except OSError as error:
                if time.monotonic() >= deadline:
                    raise LocalServiceError(
                        f"another process has been starting or stopping {name} "
                        f"for {2 * timeout_seconds:.0f} s",
                        where=str(path),
                        fix="wait for it, or end it, and try again",
                    ) from error
                time.sleep(POLL_SECONDS)
        yield


def _log_tail(home: Path, name: str) -> str:
    try:
        text = log_file(home, name).read_text(encoding="utf-8", errors="replace")
    except OSError:
        return "  (no log)"
    lines = text.splitlines()[-LOG_LINES:]
    return "\n".join(f"  | {line}" for line in lines) or "  (its log is empty)"


def _spell(ports: Mapping[str, int]) -> str:
    return ", ".join(f"{purpose} {LOOPBACK}:{port}" for purpose, port in ports.items()) or "no port"


def _file(home: Path, name: str, suffix: str) -> Path:
    return home / "local" / f"{name}.{suffix}"
