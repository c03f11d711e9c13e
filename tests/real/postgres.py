"""A PostgreSQL of its own for tests and benchmarks: a real server on loopback, in a folder of its own."""

import os
import pwd
import shutil
import socket
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

#: Set to ``skip`` where a machine has no PostgreSQL on purpose: the tests that need it are skipped then.
SETTING = "RAY_PLATFORM_TEST_POSTGRES"


def find_postgres() -> Path | None:
    """The folder of PostgreSQL's programs, or None."""
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"), reverse=True)
    if found:
        return found[0].parent
    on_path = shutil.which("initdb")
    return Path(on_path).resolve().parent if on_path else None


@contextmanager
def running_postgres(folder: Path, programs: Path, port: int | None = None) -> Iterator[str]:
    """A PostgreSQL server's URL; it ends with the block. ``folder`` must not exist yet.

    PostgreSQL refuses to run as root, so root starts it as ``postgres`` or ``nobody``.
    """
    port = port or _free_port()
    data = folder / "data"
    folder.mkdir(parents=True, mode=0o755)
    user = _other_user()
    before: list[str] = []
    if user is not None:
        os.chown(folder, user.pw_uid, user.pw_gid)
        before = ["setpriv", f"--reuid={user.pw_uid}", f"--regid={user.pw_gid}", "--clear-groups"]
    environment = {"PATH": os.environ["PATH"], "LC_ALL": "C.UTF-8", "HOME": str(folder)}

    def run(*arguments: str) -> None:
        subprocess.run(
            [*before, *arguments],
            check=True,
            cwd="/",
            env=environment,
            capture_output=True,
            text=True,
            timeout=60,
        )

    run(
        *(str(programs / "initdb"), "-D", str(data), "-U", "platform", "--auth=trust"),
        *("--encoding=UTF8", "--locale=C.UTF-8", "--no-sync"),
    )
    options = f"-c listen_addresses=127.0.0.1 -c port={port} -c unix_socket_directories={folder}"
    control = (str(programs / "pg_ctl"), "-D", str(data), "-w", "-t", "60")
    run(*control, "-l", str(folder / "log"), "-o", options, "start")
    try:
        yield f"postgresql://platform@127.0.0.1:{port}/postgres"
    finally:
        run(*control, "-m", "immediate", "stop")


def _other_user() -> pwd.struct_passwd | None:
    if os.geteuid() != 0:
        return None
    for name in ("postgres", "nobody"):
        try:
            return pwd.getpwnam(name)
        except KeyError:
            continue
    raise RuntimeError("PostgreSQL does not run as root, and there is no user postgres or nobody")


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
