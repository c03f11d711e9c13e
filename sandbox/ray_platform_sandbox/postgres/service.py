"""A PostgreSQL for Dagster's storage as a local service: started when needed, its data kept in the home.

It listens on a Unix socket in the home alone, asks for a password that stands in a file of its owner,
and does not run as root: root starts it as ``postgres`` or ``nobody``.
"""

import contextlib
import functools
import os
import pwd
import secrets
import shutil
import signal
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from ray_platform.config.settings import Settings, child_environment
from ray_platform.text.errors import LocalServiceError
from ray_platform_sandbox.services import processes

NAME = "postgres"
READY_SECONDS = 60.0
INIT_SECONDS = 120.0
USER = "dagster"
#: What a Unix socket's path may hold on Linux (107 bytes) and on macOS (103), whichever is less.
_SOCKET_BYTES = 103
_SOCKET = ".s.PGSQL.5432"


@dataclass(frozen=True)
class Postgres:
    """A running server. ``url`` holds the password: it never goes into a log."""

    folder: Path
    pid: int
    password: str

    @property
    def url(self) -> str:
        """The address of the database for SQLAlchemy and psycopg2."""
        return f"postgresql://{USER}:{self.password}@/postgres?host={self.folder}"

    def __repr__(self) -> str:
        return f"Postgres(folder={str(self.folder)!r}, pid={self.pid})"


def find_programs(settings: Settings) -> Path | None:
    """The folder of PostgreSQL's programs: the one that is named, Debian's newest, or the one on the PATH."""
    if settings.postgres_dir:
        named = Path(settings.postgres_dir)
        return named if (named / "initdb").is_file() else None
    found = sorted(
        Path("/usr/lib/postgresql").glob("*/bin/initdb"),
        key=lambda path: [int(part) for part in path.parts[4].split(".") if part.isdigit()],
    )
    if found:
        return found[-1].parent
    on_path = shutil.which("initdb")
    return Path(on_path).resolve().parent if on_path else None


def ensure_postgres(settings: Settings) -> Postgres:
    """The running PostgreSQL of this home, started if there is none; the first start makes its data.

    Takes about 3 s the first time, 0.3 s later and 20 ms where it runs.

    Raises:
        LocalServiceError: it is not installed, cannot have its folder, or does not get ready.
    """
    folder = settings.home / NAME
    programs = require_programs(settings)
    require_reachable(folder)
    if not _made(folder):
        _make_data(settings, programs)
    password = _password(settings)
    service = processes.start(
        settings.home,
        NAME,
        [
            *_as(_account()),
            str(programs / "postgres"),
            *("-D", str(folder / "data"), "-c", "listen_addresses="),
            *("-c", f"unix_socket_directories={folder}", "-c", "unix_socket_permissions=0700"),
        ],
        env=_variables(folder),
        ports={},
        ready=functools.partial(_answers, folder, password),
        timeout_seconds=READY_SECONDS,
        cwd=folder,
    )
    return Postgres(folder, service.pid, password)


def find_postgres(settings: Settings) -> Postgres | None:
    """The running PostgreSQL of this home, or None."""
    service = processes.find(settings.home, NAME)
    return Postgres(settings.home / NAME, service.pid, _password(settings)) if service else None


def stop_postgres(settings: Settings) -> bool:
    """End the PostgreSQL; whether there was one. Its data stays.

    Raises:
        LocalServiceError: another process is starting or stopping it.
    """
    # SIGINT cuts the connections that are open and ends clean; at SIGTERM it would wait for them.
    return processes.stop(settings.home, NAME, first_signal=signal.SIGINT)


def require_programs(settings: Settings) -> Path:
    """The folder of PostgreSQL's programs.

    Raises:
        LocalServiceError: there is none.
    """
    if programs := find_programs(settings):
        return programs
    raise LocalServiceError(
        "Dagster's storage is to be PostgreSQL, and its program initdb is not found",
        where=settings.postgres_dir or "/usr/lib/postgresql and PATH",
        fix="install PostgreSQL (Debian: apt-get install postgresql), name the folder of its programs "
        "by RAY_PLATFORM_POSTGRES_DIR, or take SQLite: RAY_PLATFORM_STORAGE=sqlite",
    )


def require_reachable(folder: Path) -> None:
    """Check that the folder can be the server's: its socket's path is not too long, its account may enter.

    Raises:
        LocalServiceError: it cannot.
    """
    if len(os.fsencode(folder / _SOCKET)) > _SOCKET_BYTES:
        raise LocalServiceError(
            f"the path of PostgreSQL's socket is longer than the {_SOCKET_BYTES} bytes that a system allows",
            where=str(folder / _SOCKET),
            fix="set RAY_PLATFORM_HOME to a folder with a shorter path",
        )
    account = _account()
    if account is None:
        return
    # The home itself is opened for it when its data is made.
    for above in folder.parent.parents:
        if above.exists() and not above.stat().st_mode & 0o001:
            raise LocalServiceError(
                f"PostgreSQL does not run as root, and the user {account.pw_name} may not enter {above}",
                where=str(folder),
                fix="run as a user of your own, set RAY_PLATFORM_HOME to a folder that others may enter, "
                "or take SQLite: RAY_PLATFORM_STORAGE=sqlite",
            )


def _made(folder: Path) -> bool:
    return (folder / "data" / "PG_VERSION").is_file()


def _make_data(settings: Settings, programs: Path) -> None:
    """The server's data folder, made beside and renamed: what was cut short is thrown away."""
    folder = settings.home / NAME
    account = _account()
    with processes.locked(settings.home, f"{NAME}-data", INIT_SECONDS):
        if _made(folder):
            return
        folder.mkdir(exist_ok=True, mode=0o700)
        beside, secret = folder / "data.new", folder / "password.new"
        shutil.rmtree(beside, ignore_errors=True)
        secret.unlink(missing_ok=True)
        password = secrets.token_urlsafe(24)
        for path in (secret, _password_file(settings)):
            path.unlink(missing_ok=True)
            with open(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:  # noqa: PTH123
                file.write(password)
        if account is not None:
            # Its account passes through the home, in which all else is closed to it.
            settings.home.chmod(0o711)
            for path in (folder, secret):
                os.chown(path, account.pw_uid, account.pw_gid)
        done = subprocess.run(
            [
                *_as(account),
                str(programs / "initdb"),
                *("-D", str(beside), "-U", USER, f"--pwfile={secret}", "--auth=scram-sha-256"),
                *("--encoding=UTF8", "--locale=C"),
            ],
            cwd=folder,
            env=_variables(folder),
            capture_output=True,
            text=True,
            timeout=INIT_SECONDS,
            check=False,
        )
        secret.unlink(missing_ok=True)
        if done.returncode:
            raise LocalServiceError(
                f"PostgreSQL could not make its data folder: {done.stderr.strip()}",
                where=str(folder),
                fix="mend what it says; `ray-platform doctor` looks at disk and rights",
            )
        beside.rename(folder / "data")


def _password_file(settings: Settings) -> Path:
    return settings.home / "local" / "postgres.password"


def _password(settings: Settings) -> str:
    try:
        return _password_file(settings).read_text(encoding="utf-8")
    except OSError as error:
        raise LocalServiceError(
            f"the password of the PostgreSQL in this home cannot be read: {error.strerror}",
            where=str(_password_file(settings)),
            fix="put the file back; without it the history in "
            f"{settings.home / NAME} is lost: remove that folder to begin anew",
        ) from error


def _answers(folder: Path, password: str) -> bool:
    import psycopg2

    psycopg2.connect(
        host=str(folder), user=USER, password=password, dbname="postgres", connect_timeout=5
    ).close()
    return True


def _variables(folder: Path) -> Mapping[str, str]:
    return {"PATH": child_environment().get("PATH", ""), "LC_ALL": "C", "HOME": str(folder)}


def _as(account: pwd.struct_passwd | None) -> tuple[str, ...]:
    if account is None:
        return ()
    identity = (f"--reuid={account.pw_uid}", f"--regid={account.pw_gid}", "--clear-groups")
    return ("setpriv", *identity)


@functools.cache
def _account() -> pwd.struct_passwd | None:
    """Who the server runs as where that is not who we are."""
    if os.geteuid() != 0:
        return None
    for name in ("postgres", "nobody"):
        with contextlib.suppress(KeyError):
            return pwd.getpwnam(name)
    raise LocalServiceError(
        "PostgreSQL does not run as root, and there is no user postgres or nobody",
        where="/etc/passwd",
        fix="run as a user of your own",
    )
