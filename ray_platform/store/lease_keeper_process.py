"""Keeps a lease alive for a terraform that has lost its platform; a process of its own, run as a module.

Terraform has a session of its own and goes on when the platform is killed. From another machine that
would look dead: no heartbeat, and Dagster has the run as failed. So beside each terraform that may change
something waits this process. It reads one line of JSON (`Kept`) and then the end of its input, which comes
when the platform closes it or dies. If terraform still runs then, the heartbeat goes on until it does not.

Nothing but the standard library is loaded until then: it costs some hundredths of a second.
"""

import json
import os
import subprocess
import sys
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path


@dataclass(frozen=True)
class Kept:
    """A lease, and the terraform that it is kept alive for.

    ``store`` is a folder or ``s3://BUCKET/PREFIX``, ``region`` its AWS region; ``token`` names the owner.
    """

    store: str
    region: str
    environment: str
    token: str
    pid: int
    started: str
    interval_seconds: float


class Keeper:
    """A waiting process for one terraform; to be stopped once that has ended."""

    def __init__(self, kept: Kept, env: Mapping[str, str]) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "ray_platform.store.lease_keeper_process"],
            cwd=Path(__file__).resolve().parents[2],
            env=dict(env),
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        assert self._process.stdin is not None  # noqa: S101  (it was asked for)
        self._process.stdin.write(json.dumps(asdict(kept)).encode() + b"\n")
        self._process.stdin.flush()

    def stop(self) -> None:
        """Let it go; it looks once whether terraform runs still, and ends."""
        self._process.communicate()


def keep(kept: Kept) -> None:
    """Renew the lease until terraform has ended or another one has taken the lease over."""
    from ray_platform.store.artifact_store import open_store
    from ray_platform.store.held_lease_store import Held
    from ray_platform.store.lease_store import EnvironmentLease
    from ray_platform.store.process_table import process_state
    from ray_platform.text.errors import ArtifactError, BusyError

    lease = EnvironmentLease(open_store(kept.store, kept.region), kept.environment)
    while process_state(kept.pid, kept.started) == "running":
        try:
            record, version = lease.read()
            if version is None or record.owner is None or record.owner.token != kept.token:
                return
            Held(lease, record, version, dead=None).beat()
        except BusyError:
            return
        except ArtifactError:
            pass  # the store may answer again
        time.sleep(kept.interval_seconds)


def main() -> int:
    line = sys.stdin.buffer.readline()
    sys.stdin.buffer.read()
    if not line.endswith(b"\n"):
        return 0
    kept = Kept(**json.loads(line))
    try:
        os.kill(kept.pid, 0)
    except ProcessLookupError:
        return 0
    keep(kept)
    return 0


if __name__ == "__main__":
    sys.exit(main())
